"""What the REST side makes of answers, dates and foreign exceptions: tables."""

from __future__ import annotations

import random
import socket
import ssl
from datetime import datetime, timedelta, timezone
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawlogs.advice import Credentials, Facts, advise
from rawlogs.backoff import delay
from rawlogs.errors import AuthError, HistoryError
from rawlogs.rest.errors import failure
from rawlogs.rest.request import RequestInfo
from rawlogs.rest.responses import (
    CsrfRequired,
    Fatal,
    Outcome,
    Redirect,
    Response,
    Retry,
    Success,
    classify,
    error_detail,
    page_limit,
)
from rawlogs.rest.timing import skew
from rawlogs.untrusted import http_date, loads_lenient, retry_after

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
GET = RequestInfo("GET", "http://h:4200/api/x")
POST = RequestInfo("POST", "http://h:4200/api/logs/filter")


def judged(status: int, body: Any = b"", asked: RequestInfo = POST, **headers: str) -> Outcome:
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    return classify(
        asked, Response(status, {k.replace("_", "-"): v for k, v in headers.items()}, content), NOW
    )


def failed(answer: Outcome) -> Any:
    assert isinstance(answer, Fatal)
    return answer.error


@pytest.mark.parametrize(
    ("status", "body", "headers", "kind"),
    [
        (200, {"a": 1}, {}, Success),
        (201, None, {}, Success),
        (204, b"", {}, Success),
        (200, b"", {}, Retry),
        (200, b"<html>", {}, Retry),
        (301, b"", {"location": "/x"}, Redirect),
        (302, b"", {"location": "/x"}, Redirect),
        (307, b"", {"location": "/x"}, Redirect),
        (308, b"", {"location": "/x"}, Redirect),
        (303, b"", {"location": "/x"}, Redirect),
        (304, b"", {"location": "/x"}, Fatal),
        (307, b"", {}, Fatal),
        (400, b"", {}, Fatal),
        (401, b"", {}, Fatal),
        (403, b"", {}, Fatal),
        (403, {"detail": "Missing CSRF token."}, {}, CsrfRequired),
        (403, {"detail": "Missing client identifier."}, {}, CsrfRequired),
        (403, {"detail": "Invalid CSRF token or client identifier."}, {}, CsrfRequired),
        (404, b"", {}, Fatal),
        (405, b"", {}, Fatal),
        (407, b"", {}, Fatal),
        (408, b"", {}, Retry),
        (410, b"", {}, Fatal),
        (422, b"", {}, Fatal),
        (425, b"", {}, Retry),
        (429, b"", {}, Retry),
        (500, b"", {}, Retry),
        (501, b"", {}, Fatal),
        (502, b"", {}, Retry),
        (503, b"", {}, Retry),
        (504, b"", {}, Retry),
        (401, b"", {"prefect_maintenance": "true"}, Retry),
        (404, b"", {"prefect_maintenance": "True"}, Retry),
        (404, b"", {"prefect_maintenance": "false"}, Fatal),
    ],
)
def test_every_status_has_one_meaning(status: int, body: Any, headers: dict[str, str], kind: type) -> None:
    assert type(judged(status, body, **headers)) is kind


def test_a_csrf_answer_to_a_get_is_a_plain_refusal() -> None:
    assert isinstance(failed(judged(403, {"detail": "Missing CSRF token."}, GET)), AuthError)


def test_a_500_is_the_only_one_with_a_limit_of_its_own() -> None:
    limits = {status: judged(status).most for status in (408, 425, 429, 500, 502, 503, 504)}  # type: ignore[union-attr]
    assert limits == {408: None, 425: None, 429: None, 500: 3, 502: None, 503: None, 504: None}


def test_maintenance_is_the_only_one_that_does_not_count() -> None:
    assert judged(503, prefect_maintenance="true") == Retry(
        f"{POST} was answered with HTTP 503 (maintenance)", 503, counted=False
    )
    assert judged(503) == Retry(
        f"{POST} was answered with HTTP 503",
        503,
        hint="The server, or the proxy in front of it, is not ready. Try again in a moment; `rawlogs tail --wait` "
        "waits for it. `rawlogs doctor` checks each step.",
    )


@pytest.mark.parametrize(
    ("body", "words"),
    [
        pytest.param({"detail": "Flow run not found"}, "Flow run not found", id="detail"),
        pytest.param({"exception_message": "Unauthorized"}, "Unauthorized", id="exception message"),
        pytest.param(
            {
                "exception_message": "Invalid request received.",
                "exception_detail": [
                    {
                        "type": "extra_forbidden",
                        "loc": ["body", "logs", "x"],
                        "msg": "Extra inputs",
                        "input": 1,
                    }
                ],
                "request_body": {"logs": {"x": 1}},
            },
            "Invalid request received. body.logs.x: Extra inputs;",
            id="validator",
        ),
        pytest.param({"detail": [{"loc": ["path", "id"], "msg": "no UUID"}]}, "path.id: no UUID;", id="list"),
        pytest.param({"detail": ["odd", {"msg": 1}]}, "odd : 1;", id="odd list"),
        pytest.param(
            {"exception_message": "Bad", "exception_detail": "why"}, "Bad why", id="detail that is text"
        ),
        pytest.param({"error": "other shape"}, '{"error":"other shape"}', id="another object"),
        pytest.param(["a"], '["a"]', id="a list"),
        pytest.param(b"<h1>\n  Bad   Gateway</h1>", "<h1> Bad Gateway</h1>", id="HTML"),
        pytest.param(b"", "", id="nothing"),
        pytest.param(b"\x00\x9b\xe2\x80\xae", r"\x00\x9b\u202e", id="control characters"),
    ],
)
def test_the_words_of_an_error_are_found_in_every_shape(body: Any, words: str) -> None:
    assert error_detail(body if isinstance(body, bytes) else orjson.dumps(body), ()) == words


def test_words_come_without_secrets() -> None:
    assert error_detail(b'{"detail": "no \\"pass\\" for you"}', ('"pass"',)) == "no *** for you"


words = st.sampled_from(["detail", "exception_message", "exception_detail", "loc", "msg"])
documents = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner),
)


@given(body=st.binary(max_size=200) | documents, status=st.integers(100, 599))
def test_no_answer_raises(body: Any, status: int) -> None:
    judged(status, body)


@given(text=st.text())
def test_a_quote_is_printable_and_short(text: str) -> None:
    quoted = GET.quote(text)
    assert quoted.isprintable()
    assert len(quoted) <= 80


@pytest.mark.parametrize(
    ("body", "value"),
    [
        pytest.param(b'[{"m": "\\ud800 half"}]', [{"m": "? half"}], id="a lone surrogate is replaced"),
        pytest.param(b'{"a": NaN, "b": -Infinity}', {"a": None, "b": None}, id="NaN is null"),
        pytest.param('"é"'.encode(), "é", id="plain"),
    ],
)
def test_more_than_strict_json_is_read(body: bytes, value: Any) -> None:
    assert loads_lenient(body) == value


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff", b"[" * 200_000], ids=["empty", "half", "binary", "deep"]
)
def test_what_is_no_json_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError):
        loads_lenient(body)


@pytest.mark.parametrize(
    ("body", "limit"),
    [
        ({"detail": "Invalid limit: must be less than or equal to 200."}, 200),
        ({"detail": "Invalid limit: must be less than or equal to 0."}, 1),
        ({"detail": "Invalid limit: must be greater than or equal to 0."}, None),
        ({"exception_message": "Invalid request received."}, None),
    ],
)
def test_the_page_limit_is_read_from_a_422(body: Any, limit: int | None) -> None:
    error = failed(judged(422, body))
    assert isinstance(error, HistoryError)
    assert page_limit(error) == limit


def test_the_page_limit_is_read_from_a_422_only() -> None:
    assert page_limit(failed(judged(400, {"detail": "must be less than or equal to 5"}))) is None


@pytest.mark.parametrize("sent", ["none", "basic", "bearer", "custom"])
@pytest.mark.parametrize("cloud", [False, True], ids=["server", "cloud"])
@pytest.mark.parametrize("status", [401, 403])
def test_every_refusal_says_what_to_set(sent: Credentials, cloud: bool, status: int) -> None:
    assert "PREFECT_" in advise("rest", status, Facts(sent=sent, cloud=cloud)).hint


def test_cloud_names_the_auth_string_that_gets_in_the_keys_way() -> None:
    advice = advise("rest", 401, Facts(sent="basic", cloud=True))
    assert advice.cause.endswith("wins over PREFECT_API_KEY.")
    assert advice.fix == "Unset PREFECT_API_AUTH_STRING."


# -- timing


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("0", 0.0),
        ("1.5", 1.5),
        ("-3", 0.0),
        ("301", 300.0),
        ("1e999", 300.0),
        ("nan", None),
        ("soon", None),
        ("Thu, 01 Jan 2026 00:01:00 GMT", 60.0),
        ("Thu, 01 Jan 2026 01:00:30 +0100", 30.0),
        ("Thu, 01 Jan 2026 00:00:10 -0000", 10.0),
        ("Wed, 31 Dec 2025 00:00:00 GMT", 0.0),
        ("Fri, 01 Jan 2999 00:00:00 GMT", 300.0),
        ("Thu, 99 Foo 2026 00:00:00 GMT", None),
    ],
)
def test_retry_after_is_read_or_ignored(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, NOW) == seconds


@given(value=st.text(max_size=40))
def test_no_retry_after_raises_or_leaves_its_bounds(value: str) -> None:
    found = retry_after(value, NOW)
    assert found is None or 0 <= found <= 300


@given(value=st.text(max_size=40))
def test_a_date_is_aware_or_none(value: str) -> None:
    found = http_date(value)
    assert found is None or found.tzinfo is not None


@given(retry=st.integers(0, 10_000), floor=st.none() | st.floats(0, 300), seed=st.integers(0, 99))
def test_a_delay_stays_within_its_bounds(retry: int, floor: float | None, seed: int) -> None:
    seconds = delay(retry, floor, random.Random(seed))
    least = floor or 0.0
    assert least <= seconds <= least + min(30.0, 0.5 * 2 ** min(retry, 16))


def test_the_jitter_is_full() -> None:
    rng = random.Random(1)
    drawn = [delay(3, None, rng) for _ in range(2000)]
    assert min(drawn) < 0.1
    assert max(drawn) > 3.9
    assert 1.8 < sum(drawn) / len(drawn) < 2.2


@pytest.mark.parametrize(
    ("date", "elapsed", "expected"),
    [
        pytest.param("Thu, 01 Jan 2026 00:00:00 GMT", 0.0, 0.0, id="in step"),
        pytest.param("Thu, 01 Jan 2026 00:00:03 GMT", 0.0, 3.5, id="ahead"),
        pytest.param("Wed, 31 Dec 2025 23:59:50 GMT", 1.0, -9.0, id="behind"),
        pytest.param("Thu, 01 Jan 2026 00:01:00 GMT", 4.0, 62.5, id="just quick enough"),
        pytest.param("Thu, 01 Jan 2026 00:01:00 GMT", 4.1, None, id="too slow to tell"),
        pytest.param(None, 0.0, None, id="no date"),
        pytest.param("yesterday", 0.0, None, id="no real date"),
    ],
)
def test_the_skew_is_measured_from_the_middle(
    date: str | None, elapsed: float, expected: float | None
) -> None:
    assert skew(date, NOW, elapsed) == expected


@given(ahead=st.floats(-1e6, 1e6), elapsed=st.floats(0, 4))
def test_a_measured_skew_is_right_to_three_seconds(ahead: float, elapsed: float) -> None:
    answered = NOW + timedelta(seconds=ahead - elapsed / 2)
    date = answered.strftime("%a, %d %b %Y %H:%M:%S GMT")
    found = skew(date, NOW, elapsed)
    assert found is not None
    assert abs(found - ahead) <= 3


# -- foreign exceptions


def chained(outer: Exception, inner: Exception) -> Exception:
    outer.__cause__ = inner
    return outer


def refused() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = "certificate has expired"
    error.verify_code = 10
    return error


@pytest.mark.parametrize(
    ("exc", "first", "later", "text"),
    [
        (httpx.ConnectTimeout("x"), Retry, Retry, "h:4200 did not answer in time"),
        (httpx.PoolTimeout("x"), Retry, Retry, "h:4200 did not answer in time"),
        (httpx.ReadError(""), Retry, Retry, "the connection was cut"),
        (httpx.WriteError(""), Retry, Retry, "the connection was cut"),
        (ConnectionResetError(), Retry, Retry, "the connection was cut"),
        (httpx.LocalProtocolError("Illegal header value b'x'"), Fatal, Fatal, "A header cannot be sent"),
        (httpx.LocalProtocolError("Too little data"), Retry, Retry, "the connection was cut"),
        (
            httpx.RemoteProtocolError("illegal status line: b'SSH'"),
            Fatal,
            Retry,
            "that is not HTTP: illegal",
        ),
        (httpx.InvalidURL("x"), Fatal, Fatal, "is not a URL"),
        (chained(httpx.ConnectError(""), refused()), Fatal, Fatal, "not accepted: certificate has expired"),
        (
            chained(httpx.ConnectError(""), OSError("all failed")),
            Fatal,
            Retry,
            "No connection to h:4200: all",
        ),
        (httpx.ConnectError(""), Fatal, Retry, "No connection to h:4200: it was cut"),
        (
            chained(httpx.ConnectError(""), socket.gaierror(-2, "Name or service not known")),
            Fatal,
            Retry,
            "The name h does not resolve (Name or service not known)",
        ),
        (httpx.ProxyError("502 Bad Gateway"), Fatal, Retry, "refused a tunnel to h:4200: 502 Bad"),
        (httpx.ProxyError("407 Proxy Authentication Required"), Fatal, Fatal, "refused a tunnel"),
    ],
    ids=lambda value: f"{type(value).__name__}" if isinstance(value, Exception) else None,
)
def test_every_foreign_exception_has_a_meaning(exc: Exception, first: type, later: type, text: str) -> None:
    for answered, kind in ((False, first), (True, later)):
        answer = failure(exc, GET, proxy=None, answered=answered)
        assert type(answer) is kind
        assert text in (str(answer.error) if isinstance(answer, Fatal) else answer.text)


def test_the_proxy_is_named_without_its_credentials() -> None:
    proxy = "http://me:secret@proxy.local:3128"
    for exc in (httpx.ReadTimeout(""), httpx.ConnectError(""), httpx.ProxyError("x")):
        answer = failure(exc, GET, proxy=proxy, answered=True)
        assert isinstance(answer, Retry)
        assert "http://proxy.local:3128" in answer.text
        assert "secret" not in answer.text
