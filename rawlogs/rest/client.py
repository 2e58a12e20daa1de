"""One API's REST side: headers, CSRF, retries, redirects. What an answer means is decided in ``answers``."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

import orjson

from rawlogs.clock import Clock, SystemClock
from rawlogs.config.urls import same_origin
from rawlogs.errors import ConfigError, HistoryError, RedirectRefused
from rawlogs.notices import Kind, Notice, OnNotice
from rawlogs.rest import body
from rawlogs.rest.hints import LONGEST, quote
from rawlogs.rest.request import Csrf, RequestInfo, credentials, fixed_headers
from rawlogs.rest.responses import (
    Answer,
    CsrfRequired,
    Fatal,
    Redirect,
    Response,
    Result,
    Retry,
    classify,
    unreadable,
)
from rawlogs.rest.timing import delay, offset_bounds, skew

if TYPE_CHECKING:
    import ssl

    import httpx

    from rawlogs.config.settings import Settings

CONNECT_TIMEOUT = 10.0
ERROR_SIZE = 1 << 20
"""How many bytes of an error's body are taken: its words are at the beginning, if anywhere."""
MAX_REDIRECTS = 5
LATE_DATE = 2.0
"""Seconds by which a server that is busy may write its Date too late."""
LONGEST_TOKEN = 1000


class RestClient:
    """The REST API at ``settings.api_url``; httpx is loaded at the first request.

    ``timeout`` is how many seconds the peer may be silent (connecting has 10 at most). ``retries`` is how
    often a request is repeated; a request must therefore bear it, as all that only read do. ``on_request`` is
    called before each HTTP request, repeated ones included. ``max_size`` is how many bytes an answer may have, packed
    or unpacked.

    ``requests`` counts them, ``answers`` how they were answered: by status, "none" where nothing came. ``skew`` is how
    many seconds the server's clock is ahead of ours, by its last Date header; 0.0 while that is unknown or at most 2.

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
        on_request: Callable[[], None] | None = None,
        max_size: int = body.MAX_SIZE,
    ) -> None:
        self._http: httpx.AsyncClient | None = None
        self._retired: list[httpx.AsyncClient] = []
        self._clock: Clock = clock or SystemClock()
        self._rng = rng or random.Random()
        self._timeout = timeout
        self._retries = retries
        self._on_notice = on_notice
        self._on_request = on_request
        self._max_size = max_size
        self._answered = False
        self._told_redirect = False
        self._csrf = Csrf()
        self._offset: tuple[float, float] | None = None
        self.requests = 0
        self.answers: Counter[str] = Counter()
        self.skew = 0.0
        self.use(settings)

    def use(self, settings: Settings) -> None:
        """From now on these settings, as after the rotation of a key."""
        self._settings = settings
        self._ask = partial(
            RequestInfo,
            credentials=credentials(settings),
            cloud=settings.is_cloud,
            secrets=settings.secrets(),
        )
        if self._http is not None:
            self._retired.append(self._http)
            self._http = None

    async def __aenter__(self) -> RestClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections. A later request would open new ones."""
        if self._http is not None:
            self._retired.append(self._http)
            self._http = None
        while self._retired:
            await self._retired.pop().aclose()

    async def get(self, path: str, *, retries: int | None = None) -> Any:
        """The decoded JSON at a path that begins with a slash. ``retries=0`` tries once.

        Raises HistoryError (``status`` is the HTTP status, None where no answer came), AuthError (``code``
        is 401 or 403), RedirectRefused, CertificateError, and ConfigError for a proxy, a CA file or a header
        that cannot be used.
        """
        return await self._call("GET", path, None, retries)

    async def post(self, path: str, body: Mapping[str, Any], *, retries: int | None = None) -> Any:
        """The decoded JSON that answers this JSON body; otherwise as ``get``."""
        return await self._call("POST", path, orjson.dumps(body), retries)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What no text may show."""
        return self._settings.secrets()

    def server_now(self) -> datetime:
        """What the server's clock says, as far as it is known; aware, in UTC."""
        return self._clock.now() + timedelta(seconds=self.skew)

    def server_time(self, moment: datetime, *, latest: bool = False) -> datetime:
        """Return the earliest (or ``latest``) time that the server's clock can have shown at a moment of ours.

        On a loopback address both are one clock, unless answers have shown otherwise.
        """
        if self._offset is None:
            return moment
        least, greatest = self._offset
        if least - LATE_DATE <= 0.0 <= greatest + LATE_DATE and self._settings.address.on_loopback:
            return moment
        return moment + timedelta(seconds=greatest if latest else least)

    async def _call(self, method: str, path: str, content: bytes | None, retries: int | None) -> Any:
        granted = self._retries if retries is None else retries
        url = self._settings.api_url + path
        tries = waits = failures = hops = renewals = 0
        spare = True
        while True:
            token = self._csrf.token
            asked = self._ask(method, url)
            answer = await self._attempt(asked, content)
            tries += 1
            if isinstance(answer, Result):
                return answer.value
            if isinstance(answer, Fatal):
                raise answer.error
            if isinstance(answer, Redirect):
                hops += 1
                url = self._followed(asked, answer, hops)
                continue
            if isinstance(answer, CsrfRequired):
                # Once for the first token, once for one that expired or was replaced meanwhile.
                renewals += 1
                if renewals > 2 or not await self._renew(token, granted):
                    raise answer.error
                continue
            if answer.at_once and spare and self._answered:
                spare = False
                continue
            failures += answer.counted
            most = granted if answer.most is None else min(granted, answer.most)
            if granted == 0 or failures > most:
                raise answer.error(tries)
            seconds = delay(waits, answer.floor, self._rng)
            waits += 1
            self._tell_retry(answer, failures, most, seconds)
            await self._clock.sleep(seconds)

    async def _attempt(self, asked: RequestInfo, content: bytes | None) -> Answer:
        http = self._open()
        from rawlogs.rest.failures import FOREIGN, failure

        self.requests += 1
        if self._on_request is not None:
            self._on_request()
        headers = {} if content is None else {"Content-Type": "application/json", **self._csrf.headers()}
        began = self._clock.monotonic()
        try:
            async with http.stream(asked.method, asked.url, content=content, headers=headers) as response:
                self._measure(response.headers.get("Date"), self._clock.monotonic() - began)
                content_or_problem = await self._body(response, asked)
        except FOREIGN as exc:
            self.answers["none"] += 1
            return failure(exc, asked, proxy=self._settings.proxy, answered=self._answered)
        self._answered = True
        self.answers[str(response.status_code)] += 1
        if not isinstance(content_or_problem, bytes):
            return content_or_problem
        names = {name.lower(): value for name, value in response.headers.items()}
        return classify(asked, Response(response.status_code, names, content_or_problem), self.server_now())

    async def _body(self, response: httpx.Response, asked: RequestInfo) -> bytes | Retry | Fatal:
        """The unpacked body, or why there is none. An error counts by its status, whatever its body is."""
        error = response.status_code >= 400
        try:
            return await body.read(response, ERROR_SIZE if error else self._max_size)
        except (body.TooLarge, body.Unreadable, body.UnknownCoding) as problem:
            if error:
                return b""
            return unreadable(problem, asked, self._max_size)

    def _measure(self, date: str | None, elapsed: float) -> None:
        found = skew(date, self._clock.now(), elapsed)
        if found is not None:
            self.skew = found
        bounds = offset_bounds(date, self._clock.now(), elapsed)
        if bounds is not None:
            known = self._offset or bounds
            both = max(known[0], bounds[0]), min(known[1], bounds[1])
            # Where they contradict each other, one of the clocks was set: the newer answer is right.
            self._offset = both if both[0] <= both[1] else bounds

    def _followed(self, asked: RequestInfo, moved: Redirect, hops: int) -> str:
        """The URL to go on with, which is never one that would be handed the key from outside this origin."""
        try:
            url = urljoin(asked.url, moved.location)
            place = urlsplit(url).netloc
        except ValueError:
            raise HistoryError(f"{asked.shown} redirects to no URL", status=moved.status) from None
        if "@" in place or not same_origin(asked.url, url):
            shown = quote(f"{urlsplit(url).scheme}://{place.rpartition('@')[2]}", asked.secrets)
            raise RedirectRefused(
                f"{asked.shown} redirects to {shown}, which is another server: not followed",
                status=moved.status,
                url=asked.shown,
                location=quote(moved.location, asked.secrets, LONGEST),
                hint="If the API has moved there, name it in PREFECT_API_URL.",
            )
        if hops > MAX_REDIRECTS:
            raise HistoryError(f"{asked.shown} redirects in a loop", status=moved.status)
        if not self._told_redirect:
            self._told_redirect = True
            shown = quote(url, asked.secrets, LONGEST)
            self._tell("warning", f"{asked.shown} redirects to {shown}", url=shown, status=moved.status)
        return url

    async def _renew(self, used: str | None, retries: int) -> bool:
        """Fetch a CSRF token, unless another task has since ``used`` was read; whether there is one now."""
        async with self._csrf.lock:
            if self._csrf.token != used:
                return True
            self._csrf.token = None
            try:
                answer = await self._call("GET", self._csrf.path, None, retries)
            except HistoryError as error:
                if error.status != 422:
                    raise
                return False  # its protection is off, so somebody else refused
            token = answer.get("token") if isinstance(answer, dict) else None
            # What no header can hold is no token, as it is none of Prefect's.
            self._csrf.token = token if isinstance(token, str) and _fits_header(token) else None
            return self._csrf.token is not None

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

    def _open(self) -> httpx.AsyncClient:
        if self._http is None:
            import httpx

            try:
                self._http = httpx.AsyncClient(
                    headers=fixed_headers(self._settings),
                    verify=self._settings.ssl_context() or _no_tls(),
                    proxy=self._settings.proxy,
                    trust_env=False,
                    follow_redirects=False,
                    timeout=httpx.Timeout(self._timeout, connect=min(self._timeout, CONNECT_TIMEOUT)),
                    # Servers close idle connections sooner; httpx sees that before it uses one again.
                    limits=httpx.Limits(max_connections=10, keepalive_expiry=60.0),
                )
            except (ImportError, ValueError, httpx.InvalidURL):
                # Chained to nothing: the library's text may quote the proxy with its credentials.
                problem = True
            else:
                problem = False
            if problem:
                raise ConfigError(
                    "The proxy cannot be used for REST requests",
                    setting=self._settings.proxy_origin,
                    hint="It is http://host:port or https://host:port; socks5:// needs the package socksio.",
                )
        assert self._http is not None
        return self._http

    def __repr__(self) -> str:
        return f"<RestClient {self._settings.api_url} requests={self.requests}>"


def _fits_header(token: str) -> bool:
    return 0 < len(token) <= LONGEST_TOKEN and token.isascii() and token.isprintable()


def _no_tls() -> ssl.SSLContext:
    """Return a context for plain http, which trusts nobody: httpx takes or makes one for every scheme.

    Left to itself it would load a CA bundle for nothing.
    """
    import ssl

    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
