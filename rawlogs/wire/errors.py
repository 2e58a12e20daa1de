"""Map exceptions of websockets, ssl and the system, raised while a connection is opened, to errors of rawlogs. Pure."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timezone
from functools import partial
from urllib.parse import urljoin, urlsplit

from websockets import exceptions as ws
from websockets.http11 import Response

from rawlogs.advice import NO_FACTS, Facts, advise
from rawlogs.config.urls import MAX_REDIRECTS, redirect_target
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
from rawlogs.network_errors import explain
from rawlogs.untrusted import excerpt, http_date, origin_of, retry_after, without_markup

FOREIGN = (OSError, ws.WebSocketException, asyncio.TimeoutError, ImportError, EOFError, ValueError)
"""What opening a connection can raise, apart from mistakes in this package."""
_OLD_ANSWER = re.compile(r"\bHTTP/1\.0 ([1-5][0-9][0-9])\b")
"""In what the library (15 to 17) says of an answer in HTTP/1.0, which it does not read."""
LONGEST_URL = 500
"""How many characters of a URL are shown: a redirect may name any."""


def redirect(
    response: Response, asked: str, followed: int, secrets: Iterable[str] = (), facts: Facts = NO_FACTS
) -> str | RawlogsError:
    """Return the ws(s) URL to ask next, or the error: redirects stay within the origin, and are followed five times."""
    status = response.status_code
    location = _header(response, "Location") or ""
    secrets = tuple(secrets)
    url = excerpt(asked, LONGEST_URL, secrets)
    asked = f"http{asked[2:]}"  # a relative Location is resolved as for http, which the upgrade is
    target = redirect_target(asked, location)
    if target is None:
        try:
            leads_to = origin_of(urljoin(asked, location))
        except ValueError:
            leads_to = origin_of("")
        leads_to = excerpt(leads_to, LONGEST_URL, secrets)
        return UpgradeRedirected(
            f"{url} redirects to {leads_to}, which is another server: not followed",
            status=status,
            url=url,
            location=excerpt(location, secrets=secrets),
            hint=advise("upgrade", status, replace(facts, location=leads_to)).hint,
        )
    if followed >= MAX_REDIRECTS:
        text = f"{url} redirects in a loop ({MAX_REDIRECTS} redirects)"
        return UpgradeRefused(text, status=status, url=url, hint=advise("upgrade", "loop", facts).hint)
    target = urlsplit(target)._replace(fragment="").geturl()
    return f"ws{target[4:]}" if target.startswith("http") else target


def refused(
    exc: ws.InvalidStatus,
    url: str,
    now: datetime | None = None,
    secrets: Iterable[str] = (),
    facts: Facts = NO_FACTS,
) -> UpgradeRefused | AuthError:
    """Return the error for an HTTP answer instead of 101.

    now: the time where the answer has no Date of its own. secrets: hidden where the answer echoes them.
    """
    response = exc.response
    status = response.status_code
    secrets = tuple(secrets)
    url = excerpt(url, LONGEST_URL, secrets)
    body = excerpt(without_markup(response.body), secrets=secrets)
    detail = f": {body}" if body else ""
    # The page's markup tells a login page from words of Prefect's own.
    raw = excerpt(response.body, secrets=secrets)
    hint = advise("upgrade", status, replace(facts, url=url, body=raw)).hint
    text = f"{url} answered the WebSocket upgrade with HTTP {status}{detail}"
    if status == 401:
        return AuthError(text, reason=body, code=401, hint=hint)
    moment = http_date(_header(response, "Date") or "") or now or datetime.now(timezone.utc)
    wait = retry_after(_header(response, "Retry-After"), moment)
    return UpgradeRefused(text, status=status, url=url, retry_after=wait, body=body, hint=hint)


def _refused_by_http_1_0(status: int, url: str, facts: Facts) -> UpgradeRefused | AuthError:
    """Return the error for a refusal of which the library, which takes HTTP/1.1 only, keeps no more than the status."""
    shown = excerpt(url, LONGEST_URL)
    # No upgrade is possible over HTTP/1.0; but a status that has a meaning of its own says more.
    meant = status if status >= 400 else 426
    hint = advise("upgrade", meant, replace(facts, url=shown)).hint
    text = f"{shown} answered the WebSocket upgrade with HTTP/1.0 {status}"
    if status == 401:
        return AuthError(text, reason="", code=401, hint=hint)
    return UpgradeRefused(text, status=status, url=shown, hint=hint)


def _header(response: Response, name: str) -> str | None:
    """Return the first header of that name; ``Headers.get`` raises where there are two."""
    return next(iter(response.headers.get_all(name)), None)


def open_error(
    exc: BaseException, url: str, proxy: str | None, secrets: Iterable[str] = (), facts: Facts = NO_FACTS
) -> RawlogsError:
    """Return the error for an exception of the library, of TLS or of the system, raised while the socket was opened."""
    secrets = tuple(secrets)
    facts = replace(facts, url=url)
    show = partial(excerpt, secrets=secrets)
    host = urlsplit(url).netloc
    if isinstance(exc, ws.InvalidProxyStatus):
        status = exc.response.status_code
        text = f"The proxy {origin_of(proxy)} refused a tunnel to {host} (HTTP {status})"
        phase = "proxy" if status != 407 else "proxy-auth"
        return ConnectError(text, url=url, phase=phase, hint=advise("tunnel", status, facts).hint)
    if isinstance(exc, ws.ProxyError):
        text = f"The proxy {origin_of(proxy)} cannot be used: {show(str(exc))}"
        return ConnectError(text, url=url, phase="proxy", hint=advise("tunnel", 0, facts).hint)
    if isinstance(exc, ws.InvalidMessage):
        cause = exc.__cause__
        if isinstance(cause, EOFError):
            via = f" through the proxy {origin_of(proxy)}" if proxy else ""
            text = f"{host} hung up instead of answering the WebSocket upgrade{via}"
            return ConnectError(text, url=url, phase="upgrade", hint=_line("not upgraded", facts))
        if old := _OLD_ANSWER.search(str(cause)):
            return _refused_by_http_1_0(int(old[1]), url, facts)
        detail = show(str(cause or exc), 80)
        text = f"{host} does not answer like an HTTP server: {detail}"
        return ProtocolError(text, frame=detail, hint=_line("not HTTP", facts))
    if isinstance(exc, ws.SecurityError):
        text = f"{host} sent an answer too large to be a WebSocket upgrade"
        return ProtocolError(text, hint=_line("bad answer", facts))
    if isinstance(exc, ws.InvalidProxy) or (proxy and type(exc) is ValueError):
        # The library's text quotes the URL, and with it the password.
        return ConfigError(
            f"The proxy {origin_of(proxy)} cannot be used",
            hint="Write HTTPS_PROXY or HTTP_PROXY as http://[user:password@]host:port.",
        )
    if isinstance(exc, ws.InvalidURI):
        return ConfigError(f"{show(exc.uri)} is not a WebSocket URL", setting="PREFECT_API_URL")
    if isinstance(exc, ws.InvalidHandshake):
        text = f"{host} accepted the upgrade wrongly: {show(str(exc))}"
        return ProtocolError(text, hint=_line("bad answer", facts))
    if isinstance(exc, asyncio.TimeoutError):  # no OSError before Python 3.11
        exc = TimeoutError()
    if isinstance(exc, OSError):
        found = explain(exc, url, proxy, facts=facts, during="the WebSocket upgrade", secrets=secrets)
        if found.phase == "certificate":
            return CertificateError(found.text, url=url, phase="tls", hint=found.advice.hint)
        return ConnectError(found.text, url=url, phase=found.phase, hint=found.advice.hint)
    if isinstance(exc, ImportError):
        return ConfigError(
            f"The proxy {origin_of(proxy)} is a SOCKS proxy, which needs one more package",
            hint="Install python-socks[asyncio] and socksio.",
        )
    if isinstance(exc, UnicodeError):
        return ConfigError(f"{show(host)} is not a host name", setting="PREFECT_API_URL")
    return ProtocolError(f"{host}: {show(str(exc)) or type(exc).__name__}", hint=_line("other", facts))


def _line(kind: str, facts: Facts) -> str:
    return advise("line", kind, facts).hint
