"""What settings say: each refusal whole, with the setting that it names, and every text that is a secret."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from rawlogs.advice import Facts
from rawlogs.config.settings import Settings, resolve
from rawlogs.config.urls import parse
from rawlogs.errors import ConfigError

URL = "http://h:4200/api"
CLOUD = "https://api.prefect.cloud/api/accounts/A/workspaces/W"
KEY = "PREFECT_API_KEY"
AUTH = "PREFECT_API_AUTH_STRING"
INSECURE = "PREFECT_API_TLS_INSECURE_SKIP_VERIFY"


def settle(folder: Path, environ: dict[str, str] | None = None, **arguments: Any) -> Settings:
    """Resolve in an empty folder, which is the home, too."""
    home = {"HOME": str(folder), "USERPROFILE": str(folder), "PREFECT_API_URL": URL}
    return resolve(environ=home | (environ or {}), cwd=folder, **arguments)


# Refusals


@pytest.mark.parametrize("at", [0, 1, 5])
@pytest.mark.parametrize("bad", [" ", "\x7f", "é"], ids=["blank", "DEL", "no ASCII"])
def test_a_character_that_no_key_has_is_named_by_its_place(tmp_path: Path, at: int, bad: str) -> None:
    inside = "pnu_0123"
    key = f"!{inside[:at]}{bad}{inside[at:]}~"
    with pytest.raises(ConfigError) as caught:
        settle(tmp_path, {KEY: key})
    assert caught.value.text == f"{KEY} (environment): character {at + 2} of 11 cannot be part of a key."
    assert caught.value.setting == KEY
    assert caught.value.hint == "A key has neither spaces nor line breaks; copy it again, in one piece."


def test_every_printable_character_may_be_in_a_key(tmp_path: Path) -> None:
    key = "".join(map(chr, range(0x21, 0x7F)))
    assert settle(tmp_path, {KEY: key}).api_key == key


@pytest.mark.parametrize(
    ("text", "key"),
    [("'", "'"), ("''", None), ("XX", "XX"), ("'a\"", "'a\"")],
    ids=["one quote", "nothing quoted", "no quotes", "different quotes"],
)
def test_only_a_pair_of_quotes_is_taken_off_a_key(tmp_path: Path, text: str, key: str | None) -> None:
    assert settle(tmp_path, {KEY: text}).api_key == key


@pytest.mark.parametrize("bad", [0x0A, 0x1F, 0x7F, 0xD800, 0xDC80, 0xDFFF], ids=hex)
def test_an_unprintable_auth_string_is_refused(tmp_path: Path, bad: int) -> None:
    with pytest.raises(ConfigError) as caught:
        settle(tmp_path, {AUTH: f"admin:{chr(bad)}x"})
    assert caught.value.text == (
        f"{AUTH} (environment) has a line break or another unprintable character in it."
    )
    assert (caught.value.setting, caught.value.hint) == (AUTH, "It looks like user:password .")


def test_an_auth_string_may_begin_and_end_with_any_letter(tmp_path: Path) -> None:
    assert settle(tmp_path, {AUTH: "X:passX"}).auth_string == "X:passX"


def test_a_boolean_that_is_none_is_refused_with_all_words(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        settle(tmp_path, {INSECURE: "maybe"})
    assert caught.value.text == f"{INSECURE} (environment) is neither true nor false."
    assert caught.value.setting == INSECURE
    assert caught.value.hint == ("It is one of true, 1, yes, y, on, t; or one of false, 0, no, n, off, f.")


@pytest.mark.parametrize("given", [True, False])
def test_a_boolean_may_be_an_argument(tmp_path: Path, given: bool) -> None:
    assert settle(tmp_path, insecure=given).insecure is given


@pytest.mark.parametrize(
    ("key", "setting"), [("key", KEY), ("auth_string", AUTH), ("ssl_cert_file", "PREFECT_API_SSL_CERT_FILE")]
)
def test_what_is_no_string_is_refused_by_its_setting(tmp_path: Path, key: str, setting: str) -> None:
    (tmp_path / "prefect.toml").write_text(f"[api]\n{key} = 7\n")
    with pytest.raises(ConfigError) as caught:
        settle(tmp_path)
    assert caught.value.text == f"{setting} (prefect.toml) is not a string."
    assert caught.value.setting == setting


def test_a_url_that_is_missing_and_one_that_is_empty_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "prefect.toml").write_text("api_url = 'http://h/api'\n")
    with pytest.raises(ConfigError) as missing:
        resolve(environ={"HOME": str(tmp_path), "USERPROFILE": str(tmp_path)}, cwd=tmp_path)
    assert missing.value.text.startswith(
        "No API URL is set: not as an argument, nor as PREFECT_API_URL in the environment, .env, prefect.toml, "
        "pyproject.toml or a profile; looked at "
    )
    assert (missing.value.hint or "").startswith(f"{tmp_path / 'prefect.toml'}, line 1: ")
    with pytest.raises(ConfigError) as empty:
        settle(tmp_path, {"PREFECT_API_URL": ""})
    assert empty.value.text == "PREFECT_API_URL (environment) is set, but empty."
    assert (empty.value.hint or "").startswith("Set PREFECT_API_URL")


def test_a_misplaced_line_is_looked_for_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "prefect.toml").write_text("api_url = 'http://h/api'\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        resolve(environ={"HOME": str(tmp_path), "USERPROFILE": str(tmp_path)})
    assert "prefect.toml, line 1: " in (caught.value.hint or "")


@pytest.mark.parametrize("argument", [True, False])
def test_a_bad_url_names_the_setting(tmp_path: Path, argument: bool) -> None:
    with pytest.raises(ConfigError) as caught:
        settle(tmp_path, {"PREFECT_API_URL": "ftp://h/api"}, api_url="ftp://h/api" if argument else None)
    assert caught.value.setting == "PREFECT_API_URL"


@pytest.mark.parametrize(
    ("environ", "hidden"),
    [({}, ""), ({KEY: ""}, f" {KEY} is set, but empty (environment).")],
    ids=["none", "an empty one"],
)
def test_cloud_without_a_key_says_what_hides_one(
    tmp_path: Path, environ: dict[str, str], hidden: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        settle(tmp_path, {"PREFECT_API_URL": CLOUD, **environ})
    assert caught.value.text == "The API URL is Prefect Cloud's, but no API key is set."
    assert (caught.value.hint or "").startswith(
        f"Set {KEY}, or choose a profile that has one (`prefect cloud login` makes one).{hidden} Looked at "
    )


def test_a_profile_that_is_active_and_not_asked_for_is_not_told_about(tmp_path: Path) -> None:
    (tmp_path / ".prefect").mkdir()
    (tmp_path / ".prefect" / "profiles.toml").write_text(
        "active='p'\n[profiles.p]\nPREFECT_API_URL='http://profile/api'\n"
    )
    assert settle(tmp_path).notes == ()


def test_custom_headers_of_two_places_are_named_with_both(tmp_path: Path) -> None:
    (tmp_path / ".prefect").mkdir()
    (tmp_path / ".prefect" / "profiles.toml").write_text(
        "active='p'\n[profiles.p]\nPREFECT_CLIENT_CUSTOM_HEADERS='{\"X-A\": \"1\"}'\n"
    )
    (tmp_path / "prefect.toml").write_text(f"[api]\nurl='{URL}'\n")
    environ = {
        "HOME": str(tmp_path),
        "USERPROFILE": str(tmp_path),
        "PREFECT_CLIENT_CUSTOM_HEADERS": '{"X-B": "2"}',
    }
    settings = resolve(environ=environ, cwd=tmp_path)
    (note,) = settings.notes
    assert note.endswith(
        f"gets PREFECT_CLIENT_CUSTOM_HEADERS ({settings.origins['PREFECT_CLIENT_CUSTOM_HEADERS']})"
    )
    assert " + " in settings.origins["PREFECT_CLIENT_CUSTOM_HEADERS"]


def test_of_custom_headers_only_ones_own_are_named(tmp_path: Path) -> None:
    (tmp_path / "prefect.toml").write_text(
        f"[api]\nurl='{URL}'\n[client]\ncustom_headers='{{\"X-A\": \"1\"}}'\n"
    )
    environ = {
        "HOME": str(tmp_path),
        "USERPROFILE": str(tmp_path),
        "PREFECT_CLIENT_CUSTOM_HEADERS": '{"X-B": "2"}',
    }
    settings = resolve(environ=environ, cwd=tmp_path)
    assert settings.origins["PREFECT_CLIENT_CUSTOM_HEADERS"] == "environment + prefect.toml"
    (note,) = settings.notes
    assert note.endswith("gets PREFECT_CLIENT_CUSTOM_HEADERS (environment)")


def test_a_folder_that_has_certificates_checked_is_no_note(tmp_path: Path) -> None:
    (tmp_path / "prefect.toml").write_text("[api]\ntls_insecure_skip_verify=false\n")
    assert settle(tmp_path, {"PREFECT_API_URL": "https://h/api", AUTH: "a:password"}).notes == ()


# Certificates


def test_a_ca_file_that_is_not_there_is_told_with_its_origin() -> None:
    settings = Settings(parse("https://h/api"), ssl_cert_file="/none.pem")
    with pytest.raises(ConfigError, match=r"^The CA file /none\.pem \(default\)"):
        settings.ssl_context()


# What is known of the server


@pytest.mark.parametrize(
    ("options", "sent", "token"),
    [
        ({}, "none", None),
        ({"api_key": "k"}, "bearer", KEY),
        ({"auth_string": "a:b"}, "basic", AUTH),
        ({"auth_string": "a:b", "headers": {"AUTHORIZATION": "x"}}, "custom", AUTH),
        ({"headers": {"X-A": "x"}}, "none", None),
    ],
)
def test_facts_say_what_is_sent(options: dict[str, Any], sent: Any, token: str | None) -> None:
    assert Settings(parse(URL), **options).facts() == Facts(url=URL, cloud=False, sent=sent, token=token)


def test_facts_know_cloud() -> None:
    assert Settings(parse(CLOUD), api_key="k").facts() == Facts(
        url=CLOUD, cloud=True, sent="bearer", token=KEY
    )


# Secrets


@pytest.mark.parametrize(("length", "hashed"), [(19, False), (20, True)])
def test_a_secret_that_could_be_guessed_has_no_hash(length: int, hashed: bool) -> None:
    assert ("sha256" in Settings.fingerprint("x" * length)) is hashed


def test_a_password_may_have_colons() -> None:
    secrets = Settings(parse(URL), auth_string="operator:pass:word:it").secrets()
    assert "pass:word:it" in secrets
    assert "operator" in secrets
    assert not {"word:it", "operator:pass:word"} & set(secrets)


@pytest.mark.parametrize(("password", "listed"), [("12345", False), ("123456", True)])
def test_a_part_of_six_characters_is_a_secret(password: str, listed: bool) -> None:
    assert (password in Settings(parse(URL), auth_string=f"a:{password}").secrets()) is listed


def packed(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("Bearer abcdefgh", {"abcdefgh"}),
        ("token  abcdefgh", {"abcdefgh"}),
        ("abcdefgh ijklmnop", {"abcdefgh ijklmnop"}),
        ("Basic not:base64!", {"not:base64!"}),
        (f"Bearer {packed('somebody:password')}", {packed("somebody:password")}),
        (
            f"BASIC {packed('somebody:pass:word')}",
            {packed("somebody:pass:word"), "somebody:pass:word", "somebody", "pass:word"},
        ),
        # Ignoring what is no base64 would give another pair.
        (f"Basic {packed('somebody:password')}!", {f"{packed('somebody:password')}!"}),
    ],
    ids=["Bearer", "Token", "another kind", "no base64", "base64 of a bearer", "Basic", "nearly base64"],
)
def test_what_of_a_header_is_secret(header: str, expected: set[str]) -> None:
    assert set(Settings(parse(URL), headers={"X-A": header}).secrets()) == expected
