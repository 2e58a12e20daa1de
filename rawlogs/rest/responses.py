"""What an HTTP answer of the REST API means: a table, and the function that applies it. Pure.

| answer | means |
| --- | --- |
| 2xx, JSON | Result |
| 2xx, anything else (cut off, HTML of a proxy or of the UI) | Retry |
| 301 302 307 308 | Redirect |
| any error with ``Prefect-Maintenance: true`` | Retry, not counted |
| 403 that speaks of CSRF, to anything but a GET | CsrfRequired |
| 401, 403 | Fatal (AuthError) |
| 500 | Retry, three times at most |
| 408 425 429 502 503 504 | Retry |
| any other | Fatal (HistoryError) |

``Retry-After`` is the least wait before an Retry.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rawlogs.errors import AuthError, HistoryError, RawlogsError
from rawlogs.rest import body
from rawlogs.rest.hints import CSRF, NOT_PREFECT, auth_hint, quote, said, status_hint
from rawlogs.rest.request import RequestInfo
from rawlogs.untrusted import loads_lenient, retry_after

REDIRECTS = frozenset({301, 302, 307, 308})
TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
RETRIES_OF_500 = 3
"""A 500 that stays is a bug, not a mood (SQLite before 3.44 answers every search for text so)."""
_LIMIT = re.compile(r"less than or equal to (\d+)")
decode = loads_lenient
"""A body as JSON, also with what others write that is almost JSON. Raises ValueError."""


@dataclass(frozen=True, slots=True)
class Response:
    """One HTTP answer, read to its end. The names of ``headers`` are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Result:
    """The decoded JSON."""

    value: Any


@dataclass(frozen=True, slots=True)
class Retry:
    """Worth another try, not sooner than ``floor`` seconds from now.

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
        """What to raise when there is no other try."""
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
    """Another try cannot help."""

    error: RawlogsError


Answer = Result | Retry | Redirect | CsrfRequired | Fatal


def classify(asked: RequestInfo, reply: Response, now: datetime) -> Answer:
    """What the answer means. ``now`` is the server's time, as well as it is known."""
    status = reply.status
    if 200 <= status < 300:
        return _success(asked, reply)
    if status in REDIRECTS and "location" in reply.headers:
        return Redirect(reply.headers["location"], status)
    words = said(reply.body, asked.secrets)
    short = words[:200]
    text = f"{asked} was answered with HTTP {status}" + (f": {words[:80]}" if words else "")
    floor = retry_after(reply.headers.get("retry-after"), now)
    if reply.headers.get("prefect-maintenance", "").lower() == "true":
        return Retry(f"{text} (maintenance)", status, floor, short, counted=False)
    if status in (401, 403):
        if status == 403 and asked.method != "GET" and _is_csrf(words):
            return CsrfRequired(AuthError(text, reason=short, code=status, hint=CSRF))
        return Fatal(AuthError(text, reason=short, code=status, hint=auth_hint(asked, status)))
    hint = status_hint(status, words, reply.body)
    if status in TRANSIENT:
        return Retry(text, status, floor, short, hint, most=RETRIES_OF_500 if status == 500 else None)
    return Fatal(HistoryError(text, status=status, body=words, hint=hint))


def unreadable(problem: Exception, asked: RequestInfo, limit: int) -> Retry | Fatal:
    """What it means that a body was not taken: ``problem`` is one of the exceptions of ``body.read``."""
    if isinstance(problem, body.Unreadable):
        return Retry(f"The answer to {asked} cannot be unpacked: {problem}")
    if isinstance(problem, body.TooLarge):
        return Fatal(body.AnswerTooLarge(f"The answer to {asked} is larger than {limit >> 20} MiB"))
    return Fatal(
        HistoryError(
            f"The answer to {asked} is packed as {quote(str(problem), asked.secrets)}",
            hint="It may be packed once, with gzip: does something in between pack it once more?",
        )
    )


def _is_csrf(words: str) -> bool:
    return "csrf" in words.lower() or words == "Missing client identifier."


def _success(asked: RequestInfo, reply: Response) -> Result | Retry:
    if reply.status in (204, 205):
        return Result(None)
    try:
        return Result(decode(reply.body))
    except ValueError:
        quoted = quote(reply.body, asked.secrets)
    what = f"is not JSON: {quoted}" if quoted else "is empty"
    html = reply.body.lstrip()[:1] == b"<"
    return Retry(
        f"The answer to {asked} {what}", reply.status, body=quoted, hint=NOT_PREFECT if html else None
    )


def page_limit(error: HistoryError) -> int | None:
    """The page size that a 422 names as the highest; None where the error is about something else."""
    found = _LIMIT.search(f"{error.text} {error.body}") if error.status == 422 else None
    return max(int(found[1]), 1) if found else None
