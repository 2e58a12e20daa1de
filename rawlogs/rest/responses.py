"""What an HTTP answer of the REST API means. Pure.

| answer | means |
| --- | --- |
| 2xx, JSON | Success |
| 2xx, anything else (cut off, HTML of a proxy or of the UI) | Retry |
| 301 302 303 307 308 with a Location | Redirect |
| any error with ``Prefect-Maintenance: true`` | Retry, not counted |
| 403 that speaks of CSRF, to anything but a GET | CsrfRequired |
| 401, 403 | Fatal (AuthError) |
| 500 | Retry, three times at most |
| 408 425 429 502 503 504 | Retry |
| any other | Fatal (HistoryError) |

``Retry-After`` is the least wait before a Retry.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson

from rawlogs.backoff import TRANSIENT_STATUSES
from rawlogs.config.urls import REDIRECTS
from rawlogs.errors import AuthError, HistoryError, RawlogsError
from rawlogs.rest import body
from rawlogs.rest.request import RequestInfo
from rawlogs.untrusted import excerpt, loads_lenient, retry_after, without_markup

RETRIES_OF_500 = 3
"""A persistent 500 is a server bug (SQLite before 3.44 answers every search for text so)."""
LONGEST = 2000
"""How many characters of an error's detail are kept."""
_LIMIT = re.compile(r"less than or equal to (\d+)")


@dataclass(frozen=True, slots=True)
class Response:
    """One HTTP answer, read to its end. The names of ``headers`` are in lower case.

    Its headers came ``at`` that moment of our clock, ``seconds`` after the request.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = field(default=b"", repr=False)
    at: datetime | None = None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Success:
    """The decoded JSON."""

    value: Any


@dataclass(frozen=True, slots=True)
class Retry:
    """The same request may succeed, not sooner than ``floor`` seconds from now.

    ``counted``: whether it uses up a retry; ``most``: how many retries at most (None: all that were granted);
    ``reached`` is False where no connection could be made; ``at_once``: the line was cut before a byte of an answer, so
    a kept connection may just have been too old.
    """

    text: str
    status: int | None = None
    floor: float | None = None
    body: str = ""
    hint: str | None = None
    counted: bool = True
    most: int | None = None
    at_once: bool = False
    reached: bool = True

    def error(self, tries: int = 1, *, transient: bool = True) -> HistoryError:
        """Return what to raise when there is no other try."""
        return HistoryError(
            self.text if tries == 1 else f"{self.text} ({tries} tries)",
            status=self.status,
            retry_after=self.floor,
            transient=transient,
            body=self.body,
            reached=self.reached,
            hint=self.hint,
        )


@dataclass(frozen=True, slots=True)
class Redirect:
    """A redirect to ``location``, as it was written."""

    location: str
    status: int


@dataclass(frozen=True, slots=True)
class CsrfRequired:
    """The server wants a (new) CSRF token; ``error`` is for when there is none to be had."""

    error: AuthError


@dataclass(frozen=True, slots=True)
class Fatal:
    """The same request would fail again."""

    error: RawlogsError


Outcome = Success | Retry | Redirect | CsrfRequired | Fatal


def classify(request: RequestInfo, response: Response, now: datetime) -> Outcome:
    """Return what the answer means. ``now`` is the server's time, as well as it is known."""
    status = response.status
    if 200 <= status < 300:
        return _success(request, response)
    if status in REDIRECTS and "location" in response.headers:
        return Redirect(response.headers["location"], status)
    detail = error_detail(response.body, request.secrets)
    short = detail[:200]
    text = f"{request} was answered with HTTP {status}" + (f": {detail[:80]}" if detail else "")
    floor = retry_after(response.headers.get("retry-after"), now)
    if response.headers.get("prefect-maintenance", "").lower() == "true":
        return Retry(f"{text} (maintenance)", status, floor, short, counted=False)
    html = response.body.lstrip()[:1] == b"<"
    hint: str | None = request.advise("rest", status, body="<" if html else detail).hint
    if status in (401, 403):
        error = AuthError(text, reason=short, code=status, hint=hint)
        return CsrfRequired(error) if request.method != "GET" and _is_csrf(status, detail) else Fatal(error)
    if status in TRANSIENT_STATUSES:
        return Retry(text, status, floor, short, hint, most=RETRIES_OF_500 if status == 500 else None)
    # An API that knows the path says in JSON what it did not find, or what was wrong with the request.
    knows_path = response.body.lstrip()[:1] == b"{" and detail != "Not Found"
    if 400 <= status < 500 and status != 407 and knows_path:
        hint = None
    return Fatal(HistoryError(text, status=status, body=detail, hint=hint))


def unreadable(problem: Exception, request: RequestInfo, limit: int) -> Retry | Fatal:
    """Return what it means that a body was not taken: ``problem`` is one of the exceptions of ``body.read``."""
    if isinstance(problem, body.Unreadable):
        return Retry(f"The answer to {request} cannot be unpacked: {problem}")
    if isinstance(problem, body.TooLarge):
        return Fatal(body.AnswerTooLarge(f"The answer to {request} is larger than {limit >> 20} MiB"))
    return Fatal(
        HistoryError(
            f"The answer to {request} is packed as {request.quote(str(problem))}",
            hint="It may be packed once, with gzip: does something in between pack it once more?",
        )
    )


def page_limit(error: HistoryError) -> int | None:
    """Return the page size that a 422 names as the highest; None where the error is about something else."""
    found = _LIMIT.search(f"{error.text} {error.body}") if error.status == 422 else None
    return max(int(found[1]), 1) if found else None


def error_detail(body: bytes, secrets: tuple[str, ...]) -> str:
    """Return what an error's body says, on one line, in any of the shapes that Prefect answers with; no secrets."""
    try:
        data = loads_lenient(body)
    except ValueError:
        data = None
    detail = _detail_text(data) if isinstance(data, dict) else ""
    return excerpt(detail or without_markup(body), LONGEST, secrets)


def _is_csrf(status: int, detail: str) -> bool:
    return status == 403 and ("csrf" in detail.lower() or detail == "Missing client identifier.")


def _success(request: RequestInfo, response: Response) -> Success | Retry:
    if response.status in (204, 205):
        return Success(None)
    try:
        return Success(loads_lenient(response.body))
    except ValueError:
        quoted = request.quote(response.body)
    what = f"is not JSON: {quoted}" if quoted else "is empty"
    hint = request.advise("rest", 200, body=quoted).hint
    return Retry(f"The answer to {request} {what}", response.status, body=quoted, hint=hint)


def _detail_text(data: dict[str, Any]) -> str:
    head = data.get("detail") or data.get("exception_message") or ""
    details = head if isinstance(head, list) else data.get("exception_detail")
    parts = [] if isinstance(head, list) else [_text(head)]
    if isinstance(details, list):
        parts += [_validation_error(item) for item in details[:5]]
    elif details:
        parts.append(_text(details))
    return " ".join(parts)


def _validation_error(item: object) -> str:
    """Return one entry of a validator's list: where, and what."""
    if not isinstance(item, dict):
        return _text(item)
    steps = item.get("loc")
    where = ".".join(_text(step) for step in steps) if isinstance(steps, list) else ""
    return f"{where}: {_text(item.get('msg'))};"


def _text(value: object) -> str:
    """Return any JSON value as text. Not by str(), which calls itself for each level that is nested."""
    if isinstance(value, str):
        return value
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # nested deeper than that
        return "(nested too deeply)"
