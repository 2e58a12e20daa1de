"""Foreign exceptions of the REST side end here: what httpx raised, in this package's words. Pure.

| what | before the first answer | later |
| --- | --- | --- |
| timeout; the line was cut | Retry | Retry |
| name, refusal, unreachable, proxy, TLS mismatch | Fatal | Retry |
| certificate; proxy wants credentials; a header that cannot be sent | Fatal | Fatal |
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx

from rawlogs.errors import CertificateError, ConfigError, HistoryError
from rawlogs.rest.hints import quote
from rawlogs.rest.request import RequestInfo
from rawlogs.rest.responses import Fatal, Retry
from rawlogs.untrusted import origin_of

FOREIGN = (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError)
"""What a request can raise."""


def failure(exc: Exception, asked: RequestInfo, *, proxy: str | None, answered: bool) -> Retry | Fatal:
    """What an exception means. ``answered``: whether this API has answered before; ``proxy`` is its URL."""
    host = urlsplit(asked.url).netloc
    via = f" through the proxy {origin_of(proxy)}" if proxy else ""
    if isinstance(exc, httpx.LocalProtocolError) and "header" in str(exc):
        return Fatal(_header_error())
    if isinstance(exc, (httpx.InvalidURL, httpx.UnsupportedProtocol)):
        return Fatal(HistoryError(f"{asked.shown} is not a URL that can be asked"))
    if isinstance(exc, httpx.TimeoutException):
        reached = not isinstance(exc, httpx.ConnectTimeout)
        return Retry(f"{asked}: {host} did not answer in time{via}", reached=reached)
    if isinstance(exc, httpx.DecodingError):
        return Retry(f"The answer to {asked} cannot be unpacked")
    if isinstance(exc, httpx.RemoteProtocolError):
        return _protocol(exc, asked, answered)
    for cause in causes(exc):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Fatal(_certificate(cause, asked.shown, host))
    if isinstance(exc, httpx.ProxyError):
        return _proxy(exc, asked, proxy, answered)
    if isinstance(exc, httpx.ConnectError):
        return _connect(exc, asked, host, proxy, answered)
    return Retry(f"{asked}: the connection was cut{via}", at_once=True)


def _protocol(exc: Exception, asked: RequestInfo, answered: bool) -> Retry | Fatal:
    said = str(exc)
    if "without sending a response" in said:
        plain = asked.url.startswith("http:") and not answered
        hint = "If this port speaks TLS, use https:// in PREFECT_API_URL." if plain else None
        return Retry(f"{asked}: the server hung up instead of answering", hint=hint, at_once=True)
    if "complete message body" in said:
        return Retry(f"The answer to {asked} was cut off")
    quoted = quote(said, asked.secrets)
    again = Retry(
        f"{asked}: that is not HTTP: {quoted}",
        hint="Does this port speak TLS (then use https:// in PREFECT_API_URL), or another protocol?",
    )
    return _unless_first(again, answered, transient=False)


def _connect(
    exc: Exception, asked: RequestInfo, host: str, proxy: str | None, answered: bool
) -> Retry | Fatal:
    found = list(causes(exc))
    tls = next((cause for cause in found if isinstance(cause, ssl.SSLError)), None)
    name = next((cause for cause in found if isinstance(cause, socket.gaierror)), None)
    system = next((cause for cause in reversed(found) if isinstance(cause, OSError)), None)
    if tls is not None:
        again = Retry(
            f"No TLS with {host}: {tls.reason or quote(str(tls), asked.secrets)}",
            hint="Does this port speak plain HTTP? Try http:// instead of https:// in PREFECT_API_URL.",
        )
        return _unless_first(again, answered, transient=False)
    if name is not None:
        where = urlsplit(proxy or asked.url).hostname
        hint = "Check the proxy setting." if proxy else "Check the host in PREFECT_API_URL."
        again = Retry(
            f"The name {where} does not resolve ({name.strerror or name})", hint=hint, reached=False
        )
    else:
        whom = f"the proxy {origin_of(proxy)}" if proxy else host
        number = system.errno if system else None
        why = (os.strerror(number) if number else quote(str(system or exc), asked.secrets)) or "it was cut"
        hint = (
            "NO_PROXY keeps a host away from the proxy."
            if proxy
            else "Is the Prefect server running there? Check PREFECT_API_URL."
        )
        again = Retry(f"No connection to {whom}: {why}", hint=hint, reached=False)
    return _unless_first(again, answered)


def _proxy(exc: Exception, asked: RequestInfo, proxy: str | None, answered: bool) -> Retry | Fatal:
    said = quote(str(exc), asked.secrets)
    text = f"The proxy {origin_of(proxy)} refused a tunnel to {urlsplit(asked.url).netloc}: {said}"
    if said.startswith("407"):
        hint = "Put its credentials into HTTPS_PROXY or HTTP_PROXY (http://user:password@host:port)."
        return Fatal(HistoryError(text, status=407, hint=hint))
    return _unless_first(
        Retry(text, hint="NO_PROXY keeps a host away from the proxy.", reached=False), answered
    )


def _unless_first(again: Retry, answered: bool, *, transient: bool = True) -> Retry | Fatal:
    """At the very first a wrong address is likelier than a bad moment."""
    if answered:
        return again
    return Fatal(again.error(transient=transient))


def _certificate(exc: ssl.SSLCertVerificationError, url: str, host: str) -> CertificateError:
    return CertificateError(
        f"{host} showed a TLS certificate that is not accepted: {exc.verify_message or exc.reason}",
        url=url,
        phase="tls",
        hint="Name its CA in PREFECT_API_SSL_CERT_FILE (--cacert), or skip the check with "
        "PREFECT_API_TLS_INSECURE_SKIP_VERIFY=true (-k).",
    )


def _header_error() -> ConfigError:
    # The library's own text quotes the header's value.
    return ConfigError(
        "A header cannot be sent: its name or value has a character that HTTP does not allow",
        setting="PREFECT_CLIENT_CUSTOM_HEADERS",
        hint="Check PREFECT_CLIENT_CUSTOM_HEADERS and PREFECT_API_KEY for line breaks and spaces.",
    )


def causes(exc: BaseException) -> Iterator[BaseException]:
    """The exception, what it came from, and what that came from; with the members of groups."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [exc]
    while waiting:
        cause = waiting.pop(0)
        if cause is None or id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        waiting += [cause.__cause__, cause.__context__, *getattr(cause, "exceptions", ())]
