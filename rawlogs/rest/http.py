"""Send one request and read its answer within limits: httpx, loaded at the first request."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from rawlogs.clock import Clock
from rawlogs.errors import ConfigError
from rawlogs.rest import body
from rawlogs.rest.request import RequestInfo, fixed_headers
from rawlogs.rest.responses import Fatal, Response, Retry, unreadable
from rawlogs.waiting import first_of

if TYPE_CHECKING:
    import ssl

    import httpx

    from rawlogs.config.settings import Settings

CONNECT_TIMEOUT = 10.0
_ERROR_SIZE = 1 << 20
"""How many bytes of an error's body are taken: its words are at the beginning, if anywhere."""


class Http:
    """The connections to one API. ``requests`` and ``answers`` (by status, or "none") count what was sent."""

    def __init__(
        self, settings: Settings, clock: Clock, timeout: float, max_size: int, on_request: Callable[[], None]
    ) -> None:
        self._clock = clock
        self._timeout = timeout
        self._max_size = max_size
        self._on_request = on_request
        self._client: httpx.AsyncClient | None = None
        self._retired: list[httpx.AsyncClient] = []
        self.answered = False
        self.requests = 0
        self.answers: Counter[str] = Counter()
        self.use(settings)

    def use(self, settings: Settings) -> None:
        """Take these settings for new requests; running ones end with the old connections."""
        self.settings = settings
        self._facts, self._secrets = settings.facts(), settings.secrets()
        self._retire()

    async def close(self) -> None:
        """Close the connections. A later request would open new ones."""
        self._retire()
        while self._retired:
            await self._retired.pop().aclose()

    def request(self, method: str, url: str) -> RequestInfo:
        """Return a request with what is known about the server."""
        return RequestInfo(method, url, self._facts, self._secrets)

    async def send(
        self,
        request: RequestInfo,
        content: bytes | None,
        headers: Mapping[str, str],
        *,
        whole_errors: bool = False,
    ) -> Response | Retry | Fatal:
        """Send a request once, and read the answer; what keeps it from being read is the Retry or Fatal that it means.

        whole_errors: whether the body of an error counts as much as that of a success. Raises ConfigError for a proxy
        or a CA file that cannot be used.
        """
        client = self._open()
        from rawlogs.rest.errors import FOREIGN, failure

        self.requests += 1
        self._on_request()
        began = self._clock.monotonic()
        try:
            async with client.stream(request.method, request.url, content=content, headers=headers) as answer:
                at, seconds = self._clock.now(), self._clock.monotonic() - began
                error = answer.status_code >= 400 and not whole_errors
                try:
                    data = await body.read(answer, _ERROR_SIZE if error else self._max_size)
                    problem = None
                except (body.TooLarge, body.Unreadable, body.UnknownCoding) as exc:
                    # An error counts by its status, whatever its body is.
                    data, problem = b"", None if error else unreadable(exc, request, self._max_size)
        except FOREIGN as exc:
            self.answers["none"] += 1
            return failure(exc, request, proxy=self.settings.proxy, answered=self.answered)
        self.answered = True
        self.answers[str(answer.status_code)] += 1
        names = {name.lower(): value for name, value in answer.headers.items()}
        return problem or Response(answer.status_code, names, data, at, seconds)

    def _retire(self) -> None:
        if self._client is not None:
            self._retired.append(self._client)
            self._client = None

    def _open(self) -> httpx.AsyncClient:
        if self._client is not None:
            return self._client
        import httpx

        try:
            self._client = httpx.AsyncClient(
                headers=fixed_headers(self.settings),
                verify=self.settings.ssl_context() or _no_tls(),
                proxy=self.settings.proxy,
                trust_env=False,
                follow_redirects=False,
                timeout=httpx.Timeout(self._timeout, connect=min(self._timeout, CONNECT_TIMEOUT)),
                # Servers close idle connections sooner; httpx sees that before it uses one again.
                limits=httpx.Limits(max_connections=10, keepalive_expiry=60.0),
            )
            return self._client
        except ConfigError:
            raise
        except (ImportError, ValueError, httpx.InvalidURL):
            pass
        # Raised outside of the handler: the library's text may quote the proxy with its credentials.
        raise ConfigError(
            "The proxy cannot be used for REST requests",
            setting=self.settings.proxy_origin,
            hint="It is http://host:port or https://host:port; socks5:// needs the package socksio.",
        )


async def tls_session(settings: Settings, timeout: float) -> ssl.SSLObject:
    """Make the TLS handshake with the API, through its HTTP proxy if there is one, and hang up.

    The session tells the server's certificate, the TLS version and the cipher. Raises OSError (TunnelRefused for a
    proxy that makes no tunnel), and ConfigError for a CA file.
    """
    import httpx

    from rawlogs.rest.errors import root_cause

    expected = 2 if (settings.proxy or "").startswith("https:") else 1  # a proxy may have TLS of its own
    sessions: list[ssl.SSLObject] = []
    shaken = asyncio.Event()

    async def trace(name: str, info: Mapping[str, Any]) -> None:
        if name.endswith("start_tls.complete"):
            sessions.append(info["return_value"].get_extra_info("ssl_object"))
            if len(sessions) == expected:
                shaken.set()

    verify = settings.ssl_context() or _no_tls()
    async with httpx.AsyncClient(
        verify=verify, proxy=settings.proxy, trust_env=False, timeout=timeout
    ) as client:
        # What is answered to the request says nothing about TLS, so it is not waited for.
        message = client.build_request("GET", settings.address.origin, extensions={"trace": trace})
        request = asyncio.ensure_future(client.send(message, stream=True))
        try:
            await first_of(request, shaken.wait())
        finally:
            request.cancel()
            (result,) = await asyncio.gather(request, return_exceptions=True)
    if len(sessions) == expected:
        return sessions[-1]
    raise root_cause(result if isinstance(result, Exception) else TimeoutError(), settings.proxy) from None


def _no_tls() -> ssl.SSLContext:
    """Return a context for plain http, which trusts nobody: httpx takes or makes one for every scheme.

    Left to itself it would load a CA bundle for nothing.
    """
    import ssl

    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
