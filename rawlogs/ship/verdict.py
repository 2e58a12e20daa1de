"""The meaning of a receiver's answer: a table, and the function that applies it. Pure.

| answer | means |
| --- | --- |
| 2xx | Accepted, with what a partial success says |
| 429 502 503 504 | Later, not before Retry-After |
| 2xx or 400 with a page of HTML; 3xx; 401 403 404 405 407 415 501 505 | Later, and a setting is wrong |
| any other | Refused: these logs will never be taken |

The first two lines are the OTLP specification's, by which no other status is sent again; the third is what no log is to
blame for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from urllib.parse import urljoin

from rawlogs.errors import AuthError, ConfigError, RawlogsError
from rawlogs.otlp import protobuf
from rawlogs.ship.receiver import Receiver
from rawlogs.untrusted import excerpt, loads_lenient, origin_of, retry_after

RETRYABLE = frozenset({429, 502, 503, 504})
_SETTINGS = frozenset({401, 403, 404, 405, 407, 415, 501, 505})


@dataclass(frozen=True, slots=True)
class Accepted:
    """The receiver has the request; of its logs it threw ``rejected`` away. ``message`` is its text, mostly empty."""

    rejected: int = 0
    message: str = ""


@dataclass(frozen=True, slots=True)
class Later:
    """Send the same request again, not sooner than ``floor`` seconds from now.

    error: what to raise where nothing was accepted yet, because a setting is wrong; None where it may pass by itself.
    """

    text: str
    floor: float = 0.0
    error: RawlogsError | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """The receiver will never take this request."""

    text: str
    status: int


Verdict = Accepted | Later | Refused


def verdict(
    status: int, headers: Mapping[str, str], body: bytes, *, whole: bool, receiver: Receiver, now: datetime
) -> Verdict:
    """Return what an answer means. Names of ``headers`` are in lower case; ``whole``: whether the body is all of it."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    message = _error_message(kind, body, receiver.secrets) if status >= 400 and whole else ""
    text = f"{receiver.shown} answers {_status(status)}" + (f": {message}" if message else "")
    if kind == "text/html" and (200 <= status < 300 or status == 400):
        return _wrong(f"{receiver.shown} answers {_status(status)} with a page of HTML", status, receiver)
    if 200 <= status < 300:
        return _accepted(kind, body, whole, receiver)
    if status in RETRYABLE:
        return Later(text, retry_after(headers.get("retry-after"), now) or 0.0)
    if 300 <= status < 400 and (location := headers.get("location")):
        # Not followed: the headers may hold credentials, which are for nobody else.
        text += f": it redirects to {_origin(receiver.url, location)}, which is not followed"
    if status < 400 or status in _SETTINGS:
        return _wrong(text, status, receiver)
    return Refused(text, status)


def _origin(url: str, location: str) -> str:
    """Return where a redirect leads to, without what may be a secret."""
    try:
        return excerpt(origin_of(urljoin(url, location)))
    except ValueError:
        return "what is no URL"


def _accepted(kind: str, body: bytes, whole: bool, receiver: Receiver) -> Accepted:
    """Return the verdict of a status that acknowledges the request; what its body says is only told."""
    if whole and not body:
        return Accepted()
    try:
        if not whole:
            raise ValueError("it is too large")
        if kind == "application/json":
            rejected, message = _partial_success(loads_lenient(body))
        else:
            rejected, message = protobuf.read_response(body)
    except ValueError:
        return Accepted(message=f"its answer ({kind[:40] or 'of no type'}) cannot be read")
    return Accepted(rejected, excerpt(message, secrets=receiver.secrets))


def _partial_success(data: object) -> tuple[int, str]:
    partial = data.get("partialSuccess") if isinstance(data, dict) else None
    if not isinstance(partial, dict):
        return 0, ""
    rejected, message = partial.get("rejectedLogRecords", 0), partial.get("errorMessage", "")
    # JSON of protobuf writes 64-bit integers as text.
    return max(int(str(rejected)), 0), str(message)


def _wrong(text: str, status: int, receiver: Receiver) -> Later:
    """Return an answer that speaks of a setting, with the error to end with where it is the first one."""
    if status in (401, 403):
        hint = "Credentials are headers: OTEL_EXPORTER_OTLP_HEADERS='Authorization=Bearer%20...'."
        return Later(text, error=AuthError(text, code=status, hint=hint))
    hint = f"Is that the URL of an OTLP/HTTP receiver ({receiver.origin})? Its path is mostly /v1/logs."
    return Later(text, error=ConfigError(text, setting=receiver.origin, hint=hint))


def _error_message(kind: str, body: bytes, secrets: tuple[str, ...]) -> str:
    """Return the receiver's own words about a failure, if any can be read."""
    if kind == "text/html":
        return ""
    try:
        if kind == "application/json":
            data = loads_lenient(body)
            message = data.get("message") if isinstance(data, dict) else None
            return excerpt(message if isinstance(message, str) else body, secrets=secrets)
        if kind == "application/x-protobuf":
            return excerpt(protobuf.read_status(body), secrets=secrets)
    except ValueError:
        return ""
    return excerpt(body, secrets=secrets)


def _status(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)
