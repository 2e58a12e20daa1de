"""No secret in any text that leaves: in no spelling, no part of six characters."""

from __future__ import annotations

import base64
import json
import re
import string
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import quote, quote_plus, unquote

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from rawlogs.masking import _PUBLIC, MASK, PART, Masker, is_public, masker, names_secret

KEY = "pnu_MARKEDkey0123456789abcdef"
AUTH = "admin:MARKED-pass/w%rd+ é€😀"

secrets = st.text(
    st.sampled_from(string.ascii_letters + string.digits + "-_:/+@!$ ü€😀\"'&=#?%"),
    min_size=PART,
    max_size=60,
)


def escaped(text: str) -> str:
    """Every character as JSON can write it."""
    data = text.encode("utf-16-be")
    return "".join(f"\\u{data[at : at + 2].hex()}" for at in range(0, len(data), 2))


def upper_escaped(text: str) -> str:
    return escaped(text).replace("a", "A").replace("f", "F")


def percent(text: str) -> str:
    return "".join(f"%{byte:02x}" for byte in text.encode())


SPELLINGS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "JSON": lambda text: json.dumps(text)[1:-1],
    "JSON, not ASCII": lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    "JSON with slashes escaped": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "JSON in JSON": lambda text: json.dumps(json.dumps(json.dumps(text)))[1:-1],
    "every character escaped": escaped,
    "escaped with capitals": upper_escaped,
    "URL": lambda text: quote(text, safe=""),
    "URL in small letters": percent,
    "form": quote_plus,
    "URL in JSON": lambda text: json.dumps(quote(text))[1:-1].replace("/", "\\/"),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 of more": lambda text: base64.b64encode(b"x" + text.encode() + b"yz").decode(),
    "base64 of other more": lambda text: base64.b64encode(b"xy" + text.encode() + b"z").decode(),
    "base64 for URLs": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "base64 in JSON": lambda text: base64.b64encode(text.encode()).decode().replace("/", "\\/"),
    "cut": lambda text: text[: len(text) * 2 // 3],
    "its end": lambda text: text[len(text) // 3 :],
}


def parts(text: str) -> set[str]:
    return {text[at : at + PART] for at in range(len(text) - PART + 1)}


def found_in(text: str, secret: str) -> set[str]:
    """The parts of a secret that are in a text, after everything was undone that is a spelling."""
    plain = text
    for _ in range(4):
        plain = plain.replace("\\/", "/").replace('\\"', '"').replace("\\\\", "\\")
    with suppress(ValueError):
        plain = json.loads(f'"{plain}"', strict=False) if "\\u" in plain else plain
    looked = {text, plain, unquote(plain), unquote(plain.replace("+", " "))}
    return {part for part in parts(secret) for seen in looked if part in seen}


def own_base64(secret: str, spelled: str, offset: int) -> str:
    """The characters of a text in base64 that depend on the secret alone, which begins at a byte of it."""
    size = len(secret.encode())
    return spelled.replace("\\", "")[-(-offset * 8 // 6) : (offset + size) * 8 // 6]


@pytest.mark.parametrize("spelling", SPELLINGS)
@given(secret=secrets, before=st.text(max_size=8), after=st.text(max_size=8))
@example(secret=KEY, before="", after="")
@example(secret=AUTH, before="\\", after="\\")
def test_no_part_of_a_secret_is_left(spelling: str, secret: str, before: str, after: str) -> None:
    # What looks like an escape of another kind could be read in more ways than are tried.
    assume("\\" not in secret and "*" not in secret and not re.search("%[0-9a-fA-F]{2}", secret))
    spelled = SPELLINGS[spelling](secret)
    left = Masker([secret]).text(f"{before}|{spelled}|{after}")
    context = parts(f"{before}|") | parts(f"|{after}") | parts(_PUBLIC)
    assert found_in(left, secret) - context - parts(f"{before}|{MASK}|{after}") == set()
    if spelling.startswith("base64"):
        own = own_base64(secret, spelled, {"base64 of more": 1, "base64 of other more": 2}.get(spelling, 0))
        assert parts(own) & parts(left) - context == set()


@pytest.mark.parametrize("spelling", [name for name in SPELLINGS if not name.startswith(("cut", "its"))])
def test_what_stands_around_it_stays(spelling: str) -> None:
    """In JSON, too: no half of an escape is left beside the mask."""
    spelled = SPELLINGS[spelling](KEY)
    left = Masker([KEY]).text(f'{{"a": "before {spelled} behind", "b": "\\n\\"{spelled}\\"\\\\"}}')
    assert left.startswith('{"a": "before ')
    assert ' behind", "b": "\\n\\"' in left
    assert json.loads(left)["b"].endswith('"\\')
    if "base64" not in spelling and spelling != "JSON in JSON":
        assert left == '{"a": "before *** behind", "b": "\\n\\"***\\"\\\\"}'


@given(st.text(), st.lists(st.text(max_size=30), max_size=3))
def test_nothing_raises_and_nothing_is_changed_without_cause(text: str, hidden: list[str]) -> None:
    Masker(hidden).text(text)
    assert Masker(["a secret that nobody has"]).payload(text) == text or "pn" in text or "secret" in text


@given(st.binary(max_size=60))
def test_bytes_stay_bytes(data: bytes) -> None:
    """Also where they are no text."""
    assert KEY.encode() not in Masker([KEY]).binary(data + KEY.encode() + data)
    assert Masker([KEY]).binary(data) == data or b"pn" in data


@given(st.uuids(), st.text("0123456789abcdef", min_size=32, max_size=64))
def test_an_id_is_not_torn_by_a_secret_of_hexadecimal_digits(log_id: object, secret: str) -> None:
    """They share six characters now and then, by chance."""
    text = f'{{"id": "{log_id}"}}'
    assert Masker([secret]).payload(text) == text
    assert Masker([secret]).payload(f'{{"id": "{secret}"}}') == '{"id": "***"}'


@pytest.mark.parametrize(
    "text",
    [
        '{"type":"log","log":{"flow_run_id":null,"name":"prefect.flow_runs","message":"Beginning flow run"}}',
        "http://127.0.0.1:4200/api/logs/out",
        "user:password",
    ],
)
def test_words_of_the_protocol_are_no_part_of_a_secret(text: str) -> None:
    """A user may be called prefect."""
    assert Masker(["prefect:hunter22", "user:password1"]).text(text) == text


@pytest.mark.parametrize("short", ["1234", "12345"])
def test_a_short_secret_is_hidden_as_a_whole(short: str) -> None:
    assert Masker([short]).text(f"a {short} b {short[:3]} {escaped(short)}") == f"a *** b {short[:3]} ***"


@pytest.mark.parametrize("word", ["message", "timestamp", "/logs", "auth_success"])
def test_a_secret_that_is_a_word_of_the_protocol_is_hidden_as_a_whole(word: str) -> None:
    """A password may be any word."""
    assert Masker([word]).payload(f'{{"{word}": "{word[:-1]}"}}') == f'{{"***": "{word[:-1]}"}}'


def test_what_is_too_short_is_left_out() -> None:
    assert Masker(["123", ""]).text("a 123 b") == "a 123 b"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("/api?token=abc&x=1", "/api?token=***&x=1"),
        ("https://h/a?x=1&API_KEY=abc#top", "https://h/a?x=1&API_KEY=***#top"),
        ("Location: /a?my-access-token=abc", "Location: /a?my-access-token=***"),
        ("/a?client_secret=a;password=b", "/a?client_secret=***;password=***"),
        ("/csrf-token?client=11111111-1111", "/csrf-token?client=11111111-1111"),
        ("/a?limit=5", "/a?limit=5"),
    ],
)
def test_parameters_that_name_a_secret_are_hidden_in_what_is_told(text: str, left: str) -> None:
    assert Masker().text(text) == left
    assert Masker().payload(text) == text


def test_a_text_of_nothing_but_such_names_is_read_through_once() -> None:
    """Without a bound on the names this would take minutes."""
    text = "?" + "token" * 200_000
    assert Masker().text(text) == text


def test_a_key_of_prefect_cloud_is_hidden_by_its_shape() -> None:
    assert Masker().payload("pnb_abcdefgh012345 pnu_short") == "*** pnu_short"


@pytest.mark.parametrize(
    "name",
    [
        "Authorization",
        "Proxy-Authorization",
        "Cookie",
        "Set-Cookie",
        "X-Api-Key",
        "CF-Access-Client-Secret",
        "Prefect-Csrf-Token",
        "X-Amz-Signature",
    ],
)
def test_headers_are_secret_by_their_names(name: str) -> None:
    assert names_secret(name)
    assert names_secret(name.lower())


@pytest.mark.parametrize(
    "name",
    ["WWW-Authenticate", "Sec-WebSocket-Key", "Host", "User-Agent", "Content-Type", "Location", "Date"],
)
def test_other_headers_are_not(name: str) -> None:
    assert not names_secret(name)


def test_the_same_secrets_have_one_masker() -> None:
    assert masker((KEY,)) is masker((KEY,))


@pytest.mark.parametrize(
    ("secret", "text", "hidden"),
    [
        ("pass", "the pass is", "the *** is"),
        ("pass", "password", "password"),
        ("pass", "bypass", "bypass"),
        ("p;a;", "p;a;x", "***x"),
        (";a;s", "x;a;s", "x***"),
        (";a;s", ";a;sx", ";a;sx"),
        (r"long\s", json.dumps(r"long\sx"), '"***x"'),
    ],
)
def test_a_short_secret_is_hidden_except_within_a_longer_word(secret: str, text: str, hidden: str) -> None:
    """Where it begins or ends with punctuation, no word goes on there."""
    assert Masker([secret]).text(text) == hidden


@pytest.mark.parametrize(
    ("secret", "text", "hidden"),
    [
        ("\\u0061", "banana, written \\u0061", "banana, written ***"),
        ("abcdefgh", "x\\abcdefgh y", "x*** y"),
        ("abcdefgh", "x %5Cu0061bcdefgh y", "x *** y"),
        ("abcdefgh", "x %FF%61bcdefgh y", "x %FF*** y"),
        (
            "0beefcafe1234567",
            "run 00beefca-0000-4000-8000-00000000beef",
            "run 00beefca-0000-4000-8000-00000000beef",
        ),
        (
            "0beefcafe1234567",
            "\\u0041 00beefca-0000-4000-8000-00000000beef",
            "\\u0041 00beefca-0000-4000-8000-00000000beef",
        ),
        (
            "0beefcafe1234567",
            "00beefca-0000-4000-8000-00000000beef, 0beefcaf",
            "00beefca-0000-4000-8000-00000000beef, ***",
        ),
    ],
    ids=[
        "a secret that stands for one character",
        "no half of an escape is left",
        "an escape of an escape",
        "bytes that are no UTF-8",
        "a part by chance within an id",
        "the same behind an escape",
        "the same part also outside of an id",
    ],
)
def test_what_is_hidden_and_what_is_left(secret: str, text: str, hidden: str) -> None:
    assert Masker([secret]).text(text) == hidden


def test_a_user_of_the_name_of_the_product_is_no_secret() -> None:
    assert (is_public("prefect"), is_public("wolfgang")) == (True, False)


def test_a_backslash_before_an_encoded_secret_is_hidden_with_it() -> None:
    assert Masker(["abcdefgh"]).text(r"x \%61bcdefgh y") == f"x {MASK} y"
