"""Foreign exceptions end here: what went wrong while a connection was opened, in this package's words. Pure."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import ssl
from collections.abc import Iterable
from datetime import datetime, timezone
from functools import partial
from urllib.parse import urljoin, urlsplit

from websockets import exceptions as ws
from websockets.http11 import Response

from rawlogs.config.urls import same_origin
from rawlogs.errors import (
    AuthError,
    CertificateError,
    ConfigError,
    ConnectError,
    ProtocolError,
    RawlogsError,
    UpgradeRedirected,
    UpgradeRefused,
)
from rawlogs.untrusted import excerpt, http_date, origin_of, retry_after, without_markup

FOREIGN = (OSError, ws.WebSocketException, asyncio.TimeoutError, ImportError, EOFError, ValueError)
"""What opening a connection can raise, apart from mistakes in this package."""
REDIRECTS = frozenset({301, 302, 303, 307, 308})
MAX_REDIRECTS = 5
LONGEST_URL = 500
"""How much of a URL is shown: a redirect may name any."""
STATUS_HINTS = {
    400: "A proxy in between does not pass the WebSocket upgrade on (nginx: proxy_http_version 1.1 and the Upgrade "
    "and Connection headers).",
    403: "Prefect answers 403 for: a path that is no WebSocket (is the API under another base path?), a server "
    "older than 3.4.7, or, with server authentication on, a proxy that strips Sec-WebSocket-Protocol.",
    404: "No Prefect API at this path, or a proxy that does not pass WebSockets on. Check PREFECT_API_URL.",
    407: "The proxy wants credentials: put them into HTTPS_PROXY or HTTP_PROXY (http://user:password@host:port).",
    426: "A proxy in between does not pass the WebSocket upgrade on.",
    502: "The proxy in front could not reach the Prefect server.",
    503: "The server, or the proxy in front of it, is not ready.",
}
_PLAIN_HTTP = frozenset(
    {"HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE", "WRONG_VERSION_NUMBER"}
)
"""How OpenSSL names bytes that are no TLS at all."""
_NOT_TLS = "If this port speaks TLS, use https:// in PREFECT_API_URL."


def redirect(
    response: Response, asked: str, followed: int, secrets: Iterable[str] = ()
) -> str | RawlogsError:
    """Where to ask instead, or why not: within the origin only, and at most five times.

    The key travels in a frame, so no stripping of headers would keep it from another origin.
    """
    status = response.status_code
    location = _header(response, "Location") or ""
    secrets = tuple(secrets)
    shown = excerpt(asked, LONGEST_URL, secrets)
    try:
        answer = urlsplit(urljoin(asked.replace("ws", "http", 1), location))
    except ValueError:
        answer = urlsplit("")
    if not same_origin(asked, answer.geturl()):
        return UpgradeRedirected(
            f"{shown} redirects to {excerpt(origin_of(answer.geturl()), LONGEST_URL, secrets)}, "
            "which is another server: not followed",
            status=status,
            url=shown,
            location=excerpt(location, secrets=secrets),
            hint="If the API has moved there, name it in PREFECT_API_URL.",
        )
    if followed >= MAX_REDIRECTS:
        return UpgradeRefused(
            f"{shown} redirects in a loop ({MAX_REDIRECTS} redirects)",
            status=status,
            url=shown,
            hint="Check PREFECT_API_URL, and the rules of the proxy in front of Prefect.",
        )
    scheme = "wss" if answer.scheme in ("https", "wss") else "ws"
    host = answer.netloc.rpartition("@")[2]
    return answer._replace(scheme=scheme, netloc=host, fragment="").geturl()


def refused(
    exc: ws.InvalidStatus, url: str, now: datetime | None = None, secrets: Iterable[str] = ()
) -> UpgradeRefused | AuthError:
    """An HTTP answer instead of 101. ``now`` is the time where the answer has no Date of its own.

    ``secrets`` are hidden where the answer echoes them.
    """
    response = exc.response
    status = response.status_code
    secrets = tuple(secrets)
    url = excerpt(url, LONGEST_URL, secrets)
    body = excerpt(without_markup(response.body), secrets=secrets)
    said = f": {body}" if body else ""
    if status == 401:
        return AuthError(
            f"{url} answered the WebSocket upgrade with HTTP 401{said}",
            reason=body,
            code=401,
            hint="A proxy in front of Prefect wants credentials: give them with PREFECT_CLIENT_CUSTOM_HEADERS or "
            "-H 'Authorization: ...'.",
        )
    if status == 200:
        hint = "Something that is not a Prefect API answered (a login page, a captive portal?)."
    elif status == 400 and "HTTPS port" in body:
        hint = _NOT_TLS
    else:
        hint = STATUS_HINTS.get(status, "")
    moment = http_date(_header(response, "Date") or "") or now or datetime.now(timezone.utc)
    return UpgradeRefused(
        f"{url} answered the WebSocket upgrade with HTTP {status}{said}",
        status=status,
        url=url,
        retry_after=retry_after(_header(response, "Retry-After"), moment),
        body=body,
        hint=hint or None,
    )


def _header(response: Response, name: str) -> str | None:
    """The first of that name; ``Headers.get`` raises where there are two."""
    return next(iter(response.headers.get_all(name)), None)


def open_error(exc: BaseException, url: str, proxy: str | None, secrets: Iterable[str] = ()) -> RawlogsError:
    """What an exception of the library, of TLS or of the system means for whoever asked for this connection."""
    show = partial(excerpt, secrets=tuple(secrets))
    host = urlsplit(url).netloc
    via = f" through the proxy {origin_of(proxy)}" if proxy else ""
    if isinstance(exc, ws.InvalidProxyStatus):
        status = exc.response.status_code
        return ConnectError(
            f"The proxy {origin_of(proxy)} refused a tunnel to {host} (HTTP {status})",
            url=url,
            phase="proxy" if status != 407 else "proxy-auth",
            hint=STATUS_HINTS[407] if status == 407 else "NO_PROXY keeps a host away from the proxy.",
        )
    if isinstance(exc, ws.ProxyError):
        return ConnectError(
            f"The proxy {origin_of(proxy)} cannot be used: {show(str(exc))}", url=url, phase="proxy"
        )
    if isinstance(exc, ssl.SSLCertVerificationError):
        return CertificateError(
            f"{host} showed a TLS certificate that is not accepted: {exc.verify_message or exc.reason}",
            url=url,
            phase="tls",
            hint="Name its CA in PREFECT_API_SSL_CERT_FILE (--cacert), or skip the check with "
            "PREFECT_API_TLS_INSECURE_SKIP_VERIFY=true (-k).",
        )
    if isinstance(exc, (ssl.SSLEOFError, ConnectionResetError, ConnectionAbortedError)):
        during = "the TLS handshake" if url.startswith("wss:") else "the WebSocket upgrade"
        return ConnectError(f"{host} hung up during {during}{via}", url=url, phase="upgrade")
    if isinstance(exc, ssl.SSLError):
        plain = exc.reason in _PLAIN_HTTP
        return ConnectError(
            f"No TLS with {host}: {exc.reason or show(str(exc))}",
            url=url,
            phase="tls-mismatch" if plain else "tls",
            hint="Does this port speak plain HTTP? Try http:// instead of https:// in PREFECT_API_URL."
            if plain
            else None,
        )
    if isinstance(exc, ws.InvalidMessage):
        cause = exc.__cause__
        if isinstance(cause, EOFError):
            return ConnectError(
                f"{host} hung up instead of answering the WebSocket upgrade{via}",
                url=url,
                phase="upgrade",
                hint=_NOT_TLS if url.startswith("ws:") else None,
            )
        return ProtocolError(
            f"{host} does not answer like an HTTP server: {show(str(cause or exc), 80)}",
            frame=show(str(cause or exc), 80),
            hint="Does this port speak TLS (then use https:// in PREFECT_API_URL), or another protocol?",
        )
    if isinstance(exc, ws.SecurityError):
        return ProtocolError(f"{host} sent an answer too large to be a WebSocket upgrade")
    if isinstance(exc, ws.InvalidProxy) or (proxy and type(exc) is ValueError):
        # The library's text quotes the URL, and with it the password.
        return ConfigError(
            f"The proxy {origin_of(proxy)} cannot be used",
            hint="Write HTTPS_PROXY or HTTP_PROXY as http://[user:password@]host:port.",
        )
    if isinstance(exc, ws.InvalidURI):
        return ConfigError(f"{show(exc.uri)} is not a WebSocket URL", setting="PREFECT_API_URL")
    if isinstance(exc, ws.InvalidHandshake):
        return ProtocolError(
            f"{host} accepted the upgrade wrongly: {show(str(exc))}",
            hint="Is a proxy in between changing headers?",
        )
    if isinstance(exc, socket.gaierror):
        name = urlsplit(proxy or url).hostname
        return ConnectError(
            f"The name {name} does not resolve ({exc.strerror or exc})",
            url=url,
            phase="dns",
            hint="Check the host in PREFECT_API_URL" + (" and the proxy setting." if proxy else "."),
        )
    if isinstance(exc, (TimeoutError, asyncio.TimeoutError)):
        return ConnectError(f"{host} did not answer in time{via}", url=url, phase="timeout")
    if isinstance(exc, ImportError):
        return ConfigError(
            f"The proxy {origin_of(proxy)} is a SOCKS proxy, which needs one more package",
            hint="Install python-socks[asyncio] and socksio.",
        )
    if isinstance(exc, OSError):
        return ConnectError(
            f"No connection to {host}{via}: {_system_reason(exc)}",
            url=url,
            phase="proxy" if proxy else "tcp",
            hint=None if proxy else "Is the Prefect server running there? Check PREFECT_API_URL.",
        )
    if isinstance(exc, UnicodeError):
        return ConfigError(f"{show(host)} is not a host name", setting="PREFECT_API_URL")
    return ProtocolError(f"{host}: {show(str(exc)) or type(exc).__name__}")


def _system_reason(exc: OSError) -> str:
    """The system's word; asyncio puts the address into it, and for several addresses joins all errors."""
    found = re.search(r"\[Errno (\d+)\]", str(exc))
    number = exc.errno or (int(found[1]) if found else None)
    return os.strerror(number) if number else excerpt(str(exc)) or type(exc).__name__
