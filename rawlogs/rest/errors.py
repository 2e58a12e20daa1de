"""Map what httpx raises to Retry or Fatal. Pure.

| what | before the first answer | later |
| --- | --- | --- |
| timeout; the line was cut | Retry | Retry |
| name, refusal, unreachable, proxy, TLS mismatch | Fatal | Retry |
| certificate; proxy wants credentials; a header that cannot be sent | Fatal | Fatal |
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import urlsplit

import httpx

from rawlogs.errors import CertificateError, ConfigError, HistoryError
from rawlogs.network_errors import explain
from rawlogs.rest.request import RequestInfo
from rawlogs.rest.responses import Fatal, Retry
from rawlogs.untrusted import origin_of

FOREIGN = (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError)
"""What a request can raise."""


def failure(exc: Exception, request: RequestInfo, *, proxy: str | None, answered: bool) -> Retry | Fatal:
    """Return what an exception means. ``answered``: whether this API has answered before; ``proxy`` is its URL."""
    host = urlsplit(request.url).netloc
    via = f" through the proxy {origin_of(proxy)}" if proxy else ""
    if isinstance(exc, httpx.LocalProtocolError) and "header" in str(exc):
        # The library's own text quotes the header's value.
        text = "A header cannot be sent: its name or value has a character that HTTP does not allow"
        setting = "PREFECT_CLIENT_CUSTOM_HEADERS"
        hint = f"Check {setting} and PREFECT_API_KEY for line breaks and spaces."
        return Fatal(ConfigError(text, setting=setting, hint=hint))
    if isinstance(exc, (httpx.InvalidURL, httpx.UnsupportedProtocol)):
        return Fatal(HistoryError(f"{request.shown} is not a URL that can be asked"))
    if isinstance(exc, httpx.TimeoutException):
        reached = not isinstance(exc, httpx.ConnectTimeout)
        hint = request.advise("line", "silent").hint
        return Retry(f"{request}: {host} did not answer in time{via}", hint=hint, reached=reached)
    if isinstance(exc, httpx.DecodingError):
        return Retry(f"The answer to {request} cannot be unpacked")
    if isinstance(exc, httpx.RemoteProtocolError):
        return _protocol(str(exc), request, answered)
    chain = list(causes(exc))
    certificate = next((cause for cause in chain if isinstance(cause, ssl.SSLCertVerificationError)), None)
    if isinstance(exc, httpx.ProxyError):
        return _proxy(str(exc), request, proxy, answered)
    if certificate is None and not isinstance(exc, httpx.ConnectError):
        return Retry(f"{request}: the connection was cut{via}", at_once=True)
    found = explain(
        certificate or _system_error(chain) or OSError(str(exc) or "it was cut"),
        request.url,
        proxy,
        facts=replace(request.facts, url=request.shown),
        secrets=request.secrets,
    )
    if found.phase == "certificate":
        return Fatal(CertificateError(found.text, url=request.shown, phase="tls", hint=found.advice.hint))
    retry = Retry(found.text, hint=found.advice.hint, reached=found.phase.startswith("tls"))
    return _unless_first(retry, answered, transient=not retry.reached)


class TunnelRefused(OSError):
    """The proxy answered CONNECT with another ``status`` than 2xx (0: with no HTTP)."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}" if status else "no HTTP")
        self.status = status


def root_cause(exc: BaseException, proxy: str | None) -> OSError:
    """Return the error of the system behind what httpx raised while it connected."""
    if isinstance(exc, httpx.ProxyError):
        return TunnelRefused(int(str(exc)[:3]) if str(exc)[:3].isdigit() else 0)
    if isinstance(exc, (TimeoutError, httpx.TimeoutException)):
        return TimeoutError()
    found = _system_error(list(causes(exc)))
    if found is not None:
        return found
    return TunnelRefused(0) if proxy else OSError(str(exc) or type(exc).__name__)


def _system_error(chain: list[BaseException]) -> OSError | None:
    """Return the cause that says most: TLS, then the resolver, then the first error of the system."""
    for kind in (ssl.SSLError, socket.gaierror, OSError):
        found = [cause for cause in chain if isinstance(cause, kind)]
        if found:
            return found[-1] if kind is OSError else found[0]
    return None


def _protocol(detail: str, request: RequestInfo, answered: bool) -> Retry | Fatal:
    if "without sending a response" in detail:
        hint = None if answered else request.advise("line", "not upgraded").hint
        return Retry(f"{request}: the server hung up instead of answering", hint=hint, at_once=True)
    if "complete message body" in detail:
        return Retry(f"The answer to {request} was cut off")
    hint = request.advise("line", "not HTTP").hint
    retry = Retry(f"{request}: that is not HTTP: {request.quote(detail)}", hint=hint)
    return _unless_first(retry, answered, transient=False)


def _proxy(detail: str, request: RequestInfo, proxy: str | None, answered: bool) -> Retry | Fatal:
    status = int(detail[:3]) if detail[:3].isdigit() else 0
    text = f"The proxy {origin_of(proxy)} refused a tunnel to {urlsplit(request.url).netloc}: {request.quote(detail)}"
    hint = request.advise("tunnel", status).hint
    if status == 407:
        return Fatal(HistoryError(text, status=407, hint=hint))
    return _unless_first(Retry(text, hint=hint, reached=False), answered)


def _unless_first(retry: Retry, answered: bool, *, transient: bool = True) -> Retry | Fatal:
    # At the very first a wrong address is likelier than a bad moment.
    return retry if answered else Fatal(retry.error(transient=transient))


def causes(exc: BaseException) -> Iterator[BaseException]:
    """Yield the exception, what it came from, and what that came from; with the members of groups."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [exc]
    while waiting:
        cause = waiting.pop(0)
        if cause is None or id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        waiting += [cause.__cause__, cause.__context__, *getattr(cause, "exceptions", ())]
