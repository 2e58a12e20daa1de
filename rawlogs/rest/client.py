"""Call the REST API of one server: CSRF, retries, redirects, its clock. ``responses`` says what an answer means."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

import orjson

from rawlogs.backoff import delay
from rawlogs.clock import Clock, SystemClock
from rawlogs.config.urls import MAX_REDIRECTS, redirect_target
from rawlogs.errors import HistoryError, RedirectRefused
from rawlogs.notices import Kind, Notice, OnNotice
from rawlogs.rest import body
from rawlogs.rest.csrf import Csrf
from rawlogs.rest.http import Http
from rawlogs.rest.request import RequestInfo
from rawlogs.rest.responses import (
    LONGEST,
    CsrfRequired,
    Fatal,
    Outcome,
    Redirect,
    Response,
    Retry,
    Success,
    classify,
)
from rawlogs.rest.timing import offset_bounds, skew
from rawlogs.untrusted import origin_of

if TYPE_CHECKING:
    from rawlogs.config.settings import Settings

LATE_DATE = 2.0
"""Seconds by which a server that is busy may write its Date too late."""


class RestClient:
    """The REST API at ``settings.api_url``; httpx is loaded at the first request.

    ``timeout`` is how many seconds the peer may be silent (connecting has 10 at most). ``retries`` is how
    often a request is repeated; a request must therefore bear it, as all that only read do. ``on_request`` is
    called before each HTTP request, repeated ones included. ``max_size`` is how many bytes an answer may have, packed
    or unpacked.

    ``skew`` is how many seconds the server's clock is ahead of ours, by its last Date header; 0.0 while that is
    unknown or at most 2.

    May be used by several tasks of one event loop at once.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock | None = None,
        rng: random.Random | None = None,
        timeout: float = 60.0,
        retries: int = 5,
        on_notice: OnNotice | None = None,
        on_request: Callable[[], None] = lambda: None,
        max_size: int = body.MAX_SIZE,
    ) -> None:
        self._clock: Clock = clock or SystemClock()
        self._rng = rng or random.Random()
        self._retries = retries
        self._on_notice = on_notice
        self._told_redirect = False
        self._csrf = Csrf()
        self._offset: tuple[float, float] | None = None
        self._http = Http(settings, self._clock, timeout, max_size, on_request)
        self.skew = 0.0

    def use(self, settings: Settings) -> None:
        """Take these settings from now on, as after the rotation of a key."""
        self._http.use(settings)

    async def __aenter__(self) -> RestClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections. A later request would open new ones."""
        await self._http.close()

    async def get(self, path: str, *, retries: int | None = None) -> Any:
        """Return the decoded JSON at a path that begins with a slash. ``retries=0`` tries once.

        Raises HistoryError (``status`` is the HTTP status, None where no answer came), AuthError (``code``
        is 401 or 403), RedirectRefused, CertificateError, and ConfigError for a proxy, a CA file or a header
        that cannot be used.
        """
        return await self._call("GET", path, None, retries)

    async def post(self, path: str, body: Mapping[str, Any], *, retries: int | None = None) -> Any:
        """Return the decoded JSON that answers this JSON body; otherwise as ``get``."""
        return await self._call("POST", path, orjson.dumps(body), retries)

    @property
    def requests(self) -> int:
        """How many HTTP requests were sent, repeated ones included."""
        return self._http.requests

    @property
    def answers(self) -> Counter[str]:
        """How many answers came, by status; "none" counts requests without one."""
        return self._http.answers

    @property
    def api_url(self) -> str:
        """The API that is asked."""
        return self._http.settings.api_url

    @property
    def secrets(self) -> tuple[str, ...]:
        """What no text may show."""
        return self._http.settings.secrets()

    def server_now(self) -> datetime:
        """Return what the server's clock says, as far as it is known; aware, in UTC."""
        return self._clock.now() + timedelta(seconds=self.skew)

    def server_time(self, moment: datetime, *, latest: bool = False) -> datetime:
        """Return the earliest (or ``latest``) time that the server's clock can have shown at a moment of ours.

        On a loopback address both are one clock, unless answers have shown otherwise.
        """
        if self._offset is None:
            return moment
        least, greatest = self._offset
        if least - LATE_DATE <= 0.0 <= greatest + LATE_DATE and self._http.settings.address.on_loopback:
            return moment
        return moment + timedelta(seconds=greatest if latest else least)

    async def _call(self, method: str, path: str, content: bytes | None, retries: int | None) -> Any:
        granted = self._retries if retries is None else retries
        url = self._http.settings.api_url + path
        tries = waits = failures = hops = renewals = 0
        spare = True
        while True:
            token = self._csrf.token
            request = self._http.request(method, url)
            outcome = await self._attempt(request, content)
            tries += 1
            if isinstance(outcome, Success):
                return outcome.value
            if isinstance(outcome, Fatal):
                raise outcome.error
            if isinstance(outcome, Redirect):
                hops += 1
                url = self._followed(request, outcome, hops)
                continue
            if isinstance(outcome, CsrfRequired):
                # Once for the first token, once for one that expired or was replaced meanwhile.
                renewals += 1
                if renewals > 2 or not await self._csrf.renew(token, partial(self.get, retries=granted)):
                    raise outcome.error
                continue
            # A kept connection that the server has closed meanwhile says nothing about the server.
            if outcome.at_once and spare and self._http.answered:
                spare = False
                continue
            failures += outcome.counted
            most = granted if outcome.most is None else min(granted, outcome.most)
            if granted == 0 or failures > most:
                raise outcome.error(tries)
            seconds = delay(waits, outcome.floor, self._rng)
            waits += 1
            self._tell_retry(outcome, failures, most, seconds)
            await self._clock.sleep(seconds)

    async def _attempt(self, request: RequestInfo, content: bytes | None) -> Outcome:
        headers = {} if content is None else {"Content-Type": "application/json", **self._csrf.headers()}
        response = await self._http.send(request, content, headers)
        if not isinstance(response, Response):
            return response
        self._measure(response)
        return classify(request, response, self.server_now())

    def _measure(self, response: Response) -> None:
        """Learn what the server's clock shows from the Date header of an answer."""
        date, now = response.headers.get("date"), response.at or self._clock.now()
        found = skew(date, now, response.seconds)
        if found is not None:
            self.skew = found
        bounds = offset_bounds(date, now, response.seconds)
        if bounds is not None:
            known = self._offset or bounds
            both = max(known[0], bounds[0]), min(known[1], bounds[1])
            # Where they contradict each other, one of the clocks was set: the newer answer is right.
            self._offset = both if both[0] <= both[1] else bounds

    def _followed(self, request: RequestInfo, moved: Redirect, hops: int) -> str:
        """Return the URL to go on with, which never leads to another origin."""
        url = redirect_target(request.url, moved.location)
        if url is None:
            try:
                leads_to = request.quote(origin_of(urljoin(request.url, moved.location)))
            except ValueError:
                raise HistoryError(f"{request.shown} redirects to no URL", status=moved.status) from None
            raise RedirectRefused(
                f"{request.shown} redirects to {leads_to}, which is another server: not followed",
                status=moved.status,
                url=request.shown,
                location=request.quote(moved.location, LONGEST),
                hint=request.advise("rest", moved.status, location=leads_to).hint,
            )
        if hops > MAX_REDIRECTS:
            hint = request.advise("rest", "loop").hint
            raise HistoryError(f"{request.shown} redirects in a loop", status=moved.status, hint=hint)
        if not self._told_redirect:
            self._told_redirect = True
            shown = request.quote(url, LONGEST)
            self._tell("warning", f"{request.shown} redirects to {shown}", url=shown, status=moved.status)
        return url

    def _tell_retry(self, answer: Retry, failures: int, most: int, seconds: float) -> None:
        which = f"retry {failures} of {most}" if answer.counted else "retry"
        self._tell(
            "retrying",
            f"{answer.text}; {which} in {seconds:.1f} s",
            what="rest",
            status=answer.status,
            attempt=failures,
            of=most,
            delay=seconds,
        )

    def _tell(self, kind: Kind, text: str, **facts: Any) -> None:
        if self._on_notice is not None:
            self._on_notice(Notice(kind, text, self._clock.now(), facts))

    def __repr__(self) -> str:
        return f"<RestClient {self._http.settings.api_url} requests={self.requests}>"
