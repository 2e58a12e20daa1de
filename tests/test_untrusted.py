"""What others wrote, made safe to read."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawlogs.untrusted import excerpt, http_date, loads_lenient, origin_of, retry_after

NOW = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b'{"a": [1, null]}', {"a": [1, None]}),
        ('"\u00e9"', "\u00e9"),
        (b'{"a": NaN, "b": [-Infinity]}', {"a": None, "b": [None]}),
        (b'"a\\ud800b"', "a?b"),
        ('"\ud800"', "?"),
        (b'"\\ud83c\\udf89"', "\U0001f389"),
        (b'{"a": "\\udfff", "a\\udfff": 1}', {"a": "?", "a?": 1}),
    ],
)
def test_json_is_read_as_others_write_it(text: Any, value: object) -> None:
    assert loads_lenient(text) == value


@pytest.mark.parametrize("text", [b"", b"{", b"\xff", "nope", b"1e999", b"[" * 100_000])
def test_what_is_no_json_is_a_value_error(text: Any) -> None:
    with pytest.raises(ValueError):
        loads_lenient(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (None, ""),
        (b"", ""),
        ("plain", "plain"),
        (b"<html>\r\n\t<body>  Hi\x00", "<html> <body> Hi\\x00"),
        (bytearray(b"\xff\xfe"), "\\xff\\xfe"),
        ("\x1b]0;x\x07\u202e\ud800", "\\x1b]0;x\\x07\\u202e\\ud800"),
        ("x" * 300, "x" * 200),
    ],
)
def test_a_foreign_text_is_shown_on_one_short_printable_line(text: Any, shown: str) -> None:
    assert excerpt(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("bad token admin:pass!", "bad token ***!"),
        (b'{"token":"q\\"u\\u00e9"}', '{"token":"***"}'),
        ('{"token":"q\\"u\u00e9"}', '{"token":"***"}'),
        ("x" * 15 + "admin:pass", "x" * 15 + "***"),
    ],
)
def test_secrets_are_hidden_before_the_text_is_cut(text: Any, shown: str) -> None:
    assert excerpt(text, 20, ["admin:pass", 'q"u\u00e9', ""]) == shown


@given(st.text(st.characters()) | st.binary(), st.integers(0, 50))
def test_an_excerpt_is_printable_and_no_longer_than_asked(text: Any, limit: int) -> None:
    shown = excerpt(text, limit)
    assert (shown.isprintable(), len(shown) <= limit) == (True, True)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        pytest.param(None, None, id="no header"),
        pytest.param("", None, id="empty"),
        pytest.param("7", 7.0, id="seconds"),
        pytest.param(" 1.5 ", 1.5, id="a fraction"),
        pytest.param("-5", 0.0, id="negative"),
        pytest.param("86400", 300.0, id="huge"),
        pytest.param("inf", 300.0, id="infinite"),
        pytest.param("nan", None, id="nan"),
        pytest.param("soon", None, id="a word"),
        pytest.param("Thu, 01 Jan 2026 12:00:30 GMT", 30.0, id="a date"),
        pytest.param("Thu, 01 Jan 2026 12:00:30 -0000", 30.0, id="a date without a zone"),
        pytest.param("Thu, 01 Jan 2026 11:00:00 GMT", 0.0, id="a date gone by"),
        pytest.param("Thu, 01 Jan 2099 00:00:00 GMT", 300.0, id="a far date"),
        pytest.param("Thu, 99 Jan 2026 12:00:30 GMT", None, id="no such day"),
    ],
)
def test_retry_after_is_seconds_from_0_to_300(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, NOW) == seconds


@given(st.text())
def test_whatever_a_header_says_is_a_date_or_none(value: str) -> None:
    moment = http_date(value)
    assert moment is None or moment.tzinfo is not None


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://user:pw@proxy:3128/path?q#f", "http://proxy:3128"),
        ("wss://Host/api", "wss://host"),
        ("http://[::1]:80/", "http://[::1]:80"),
        ("http://h:99999", "(unreadable)"),
        ("http://h:port", "(unreadable)"),
        ("http://[::1", "(unreadable)"),
    ],
)
def test_of_a_url_only_the_place_is_shown(url: str, shown: str) -> None:
    assert origin_of(url) == shown
