"""Foreign JSON, HTTP headers and error texts, made safe to read. Pure."""

from __future__ import annotations

import email.utils
import json
import re
import reprlib
from collections.abc import Iterable
from datetime import datetime, timezone
from html import unescape
from typing import Any
from urllib.parse import urlsplit

import orjson

from rawlogs.masking import masker

MAX_RETRY_AFTER = 300.0
_LOOKED_AT = 16_000
_HTML = re.compile(rb"\s*<(?:!doctype|html|head|\?xml)", re.IGNORECASE)
_TAG = re.compile(rb"<[^>]*>")
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60
_TITLE = re.compile(rb"<title[^>]*>(.{1,200}?)</title", re.IGNORECASE | re.DOTALL)


def loads_lenient(text: bytes | str) -> Any:
    """Return parsed JSON; NaN becomes null, a lone surrogate ``?``, which orjson refuses. Raises ValueError."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        try:
            data = json.loads(
                text if isinstance(text, str) else text.decode("utf-8"), parse_constant=lambda _: None
            )
            return orjson.loads(json.dumps(data, ensure_ascii=False).encode("utf-8", "replace"))
        except RecursionError:
            raise ValueError("nested too deeply") from None


def excerpt(text: bytes | bytearray | str | None, limit: int = 200, secrets: Iterable[str] = ()) -> str:
    """Return the beginning of a foreign text, printable, on one line, without the secrets that servers echo.

    ``secrets`` are those of the settings; also hidden are keys of Prefect Cloud and parameters of URLs that name one.
    """
    if not text:
        return ""
    text = text[:_LOOKED_AT]
    line = text if isinstance(text, str) else text.decode("utf-8", "backslashreplace")
    line = masker(tuple(secrets)).text(line)
    line = " ".join(line.split())[:limit]
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in line)[:limit]


def shown(value: object) -> str:
    """Return the repr of any value, cut, as an error may quote it; also of a value whose repr fails."""
    return _SHORT.repr(value)


def without_markup(body: bytes | bytearray | None) -> bytes:
    """Return the title, or else the text, of what is an HTML page, as proxies answer with; any other body as it is."""
    beginning = bytes(body or b"")[:_LOOKED_AT]
    if not _HTML.match(beginning):
        return beginning
    title = _TITLE.search(beginning)
    words = title[1] if title else _TAG.sub(b" ", beginning)
    return unescape(words.decode("utf-8", "replace")).strip().encode() or b"an HTML page"


def retry_after(value: str | None, now: datetime) -> float | None:
    """Return the seconds of a Retry-After header (seconds or an HTTP date), from 0 to 300; None for nothing usable."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        moment = http_date(value)
        if moment is None:
            return None
        seconds = (moment - now).total_seconds()
    # "nan" is a number to Python.
    return None if seconds != seconds else min(max(seconds, 0.0), MAX_RETRY_AFTER)


def http_date(value: str) -> datetime | None:
    """Return an aware datetime from an HTTP date; None where it is none."""
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def origin_of(url: str | None) -> str:
    """Return scheme, host and port of a URL: the part that may be shown whatever else is in it."""
    try:
        parts = urlsplit(url or "")
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        return f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port else "")
    except ValueError:
        return "(unreadable)"
