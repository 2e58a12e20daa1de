"""Foreign exceptions end here: what went wrong while a connection was opened, in this package's words. Pure."""

from __future__ import annotations

import asyncio
import email.utils
import socket
import ssl
from datetime import datetime, timezone
from urllib.parse import urlsplit

from websockets import exceptions as ws

from rawlogs.errors import (
    AuthError,
    CertificateError,
    ConfigError,
    ConnectError,
    ProtocolError,
    RawlogsError,
    UpgradeRefused,
)

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
MAX_RETRY_AFTER = 300.0


def retry_after(value: str | None, now: datetime | None = None) -> float | None:
    """Seconds from a Retry-After header (seconds or an HTTP date), from 0 to 300; None where it says nothing usable."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            moment = email.utils.parsedate_to_datetime(value)
        except (ValueError, TypeError):
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=timezone.utc)
        seconds = (moment - (now or datetime.now(timezone.utc))).total_seconds()
    if seconds != seconds:
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER)


def excerpt(body: bytes | bytearray | str | None, limit: int = 200) -> str:
    """The beginning of a foreign text, printable, on one line."""
    if not body:
        return ""
    text = body.decode("utf-8", "backslashreplace") if not isinstance(body, str) else body
    text = " ".join(text[: limit * 4].split())
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)[:limit]


def refused(exc: ws.InvalidStatus, url: str) -> UpgradeRefused | AuthError:
    """An HTTP answer instead of 101."""
    response = exc.response
    status = response.status_code
    body = excerpt(response.body)
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
    else:
        hint = STATUS_HINTS.get(status, "")
    return UpgradeRefused(
        f"{url} answered the WebSocket upgrade with HTTP {status}{said}",
        status=status,
        url=url,
        retry_after=retry_after(response.headers.get("Retry-After")),
        body=body,
        hint=hint or None,
    )


def open_error(exc: BaseException, url: str, proxy: str | None) -> RawlogsError:
    """What an exception of the library, of TLS or of the system means for whoever asked for this connection."""
    host = urlsplit(url).netloc
    via = f" through the proxy {_proxy_name(proxy)}" if proxy else ""
    if isinstance(exc, RawlogsError):
        return exc
    if isinstance(exc, ws.InvalidStatus):
        return refused(exc, url)
    if isinstance(exc, ws.InvalidProxyStatus):
        status = exc.response.status_code
        return ConnectError(
            f"The proxy {_proxy_name(proxy)} refused a tunnel to {host} (HTTP {status})",
            url=url,
            phase="proxy" if status != 407 else "proxy-auth",
            hint=STATUS_HINTS[407] if status == 407 else "NO_PROXY keeps a host away from the proxy.",
        )
    if isinstance(exc, (ws.ProxyError, ws.InvalidProxy)):
        return ConnectError(
            f"The proxy {_proxy_name(proxy)} cannot be used: {excerpt(str(exc))}", url=url, phase="proxy"
        )
    if isinstance(exc, ssl.SSLCertVerificationError):
        return CertificateError(
            f"{host} showed a TLS certificate that is not accepted: {exc.verify_message or exc.reason}",
            url=url,
            phase="tls",
            hint="Name its CA in PREFECT_API_SSL_CERT_FILE (--cacert), or skip the check with "
            "PREFECT_API_TLS_INSECURE_SKIP_VERIFY=true (-k).",
        )
    if isinstance(exc, ssl.SSLError):
        return ConnectError(
            f"No TLS with {host}: {exc.reason or excerpt(str(exc))}",
            url=url,
            phase="tls-mismatch",
            hint="Does this port speak plain HTTP? Try http:// instead of https:// in PREFECT_API_URL.",
        )
    if isinstance(exc, ws.InvalidMessage):
        cause = exc.__cause__
        if isinstance(cause, EOFError):
            return ConnectError(
                f"{host} hung up instead of answering the WebSocket upgrade{via}",
                url=url,
                phase="upgrade",
                hint="If this port speaks TLS, use https:// in PREFECT_API_URL."
                if url.startswith("ws:")
                else None,
            )
        return ProtocolError(
            f"{host} does not answer like an HTTP server: {excerpt(str(cause or exc), 80)}",
            frame=excerpt(str(cause or exc), 80),
            hint="Does this port speak TLS (then use https:// in PREFECT_API_URL), or another protocol?",
        )
    if isinstance(exc, ws.SecurityError):
        return ProtocolError(f"{host} sent an answer too large to be a WebSocket upgrade")
    if isinstance(exc, ws.InvalidURI):
        return ConfigError(f"{excerpt(exc.uri)} is not a WebSocket URL", setting="PREFECT_API_URL")
    if isinstance(exc, ws.InvalidHandshake):
        return ProtocolError(
            f"{host} accepted the upgrade wrongly: {excerpt(str(exc))}",
            hint="Is a proxy in between changing headers?",
        )
    if isinstance(exc, socket.gaierror):
        name = _proxy_name(proxy) if proxy else urlsplit(url).hostname
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
            f"The proxy {_proxy_name(proxy)} is a SOCKS proxy, which needs one more package",
            hint="Install python-socks[asyncio] and socksio.",
        )
    if isinstance(exc, OSError):
        return ConnectError(
            f"No connection to {host}{via}: {exc.strerror or excerpt(str(exc)) or type(exc).__name__}",
            url=url,
            phase="proxy" if proxy else "tcp",
            hint=None if proxy else "Is the Prefect server running there? Check PREFECT_API_URL.",
        )
    return ProtocolError(f"{host}: {excerpt(str(exc)) or type(exc).__name__}")


def _proxy_name(proxy: str | None) -> str:
    """The proxy without the credentials in its URL."""
    parts = urlsplit(proxy or "")
    return f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")
