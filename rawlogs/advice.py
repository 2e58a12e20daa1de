"""Causes and fixes of failures: one table for errors, which know little, and for the doctor, which knows more. Pure.

Errors show ``advise(...).hint``; the doctor shows cause and fix on lines of their own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Literal, NamedTuple

from rawlogs.errors import ConnectError, GaveUp, ProtocolError, RawlogsError, UpgradeRefused
from rawlogs.version import release

DOCTOR = "`rawlogs doctor` checks each step."
STREAM_SETTINGS = (
    "PREFECT_SERVER_LOGS_STREAM_OUT_ENABLED=true and PREFECT_SERVER_LOGS_STREAM_PUBLISHING_ENABLED=true"
)
AUTH_SETTING = "PREFECT_API_AUTH_STRING"
KEY_SETTING = "PREFECT_API_KEY"
FIRST_WITH_LOGS = (3, 4, 7)
"""The first Prefect with ``/logs/out``."""
FIRST_WITH_LEGACY = (3, 6, 14)
"""The first Prefect that accepts a client without the subprotocol, where authentication is off."""

Credentials = Literal["none", "basic", "bearer", "custom"]
"""The kind of Authorization header that REST sends; ``custom`` is one of the user's own headers."""


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts about a server that decide which advice fits.

    ``rest``: REST answers as Prefect does (None: not tried). ``authenticated``: the server requires credentials
    (None: unknown). ``body``: the beginning of the answer's body. ``token``: the setting that the socket's token
    came from (None: no token; empty: a token of unknown origin).
    """

    url: str = ""
    cloud: bool = False
    sent: Credentials = "none"
    token: str | None = None
    rest: bool | None = None
    version: str = ""
    authenticated: bool | None = None
    body: str = ""
    location: str = ""

    @property
    def too_old(self) -> bool:
        """True where the server's version is known and has no live logs."""
        # release() leaves out what makes 3.4.7rc1 older than 3.4.7.
        early = re.match(r"3\.4\.7\.?[a-z]", self.version) is not None
        return early or (release(self.version) or FIRST_WITH_LOGS) < FIRST_WITH_LOGS

    @property
    def needs_subprotocol(self) -> bool:
        """True where the server answers 403 to a client without the subprotocol."""
        return self.authenticated is True or (release(self.version) or FIRST_WITH_LEGACY) < FIRST_WITH_LEGACY

    @property
    def html(self) -> bool:
        return self.body.lstrip()[:1] == "<"

    @property
    def is_prefects_404(self) -> bool:
        return self.body.replace(" ", "") == '{"detail":"NotFound"}'


NO_FACTS = Facts()


@dataclass(frozen=True, slots=True)
class Advice:
    """The cause of a failure, and what to do about it (None: nothing is known)."""

    cause: str
    fix: str | None = None

    @property
    def hint(self) -> str:
        """Cause and fix as the hint of an error."""
        return f"{self.cause} {self.fix} {DOCTOR}" if self.fix else f"{self.cause} {DOCTOR}"


class Row(NamedTuple):
    """``codes`` is a status, an errno's name or a kind of failure; an empty tuple fits any."""

    channels: str
    codes: Sequence[int | str]
    when: Callable[[Facts], bool]
    cause: str
    fix: str


def advise(channel: str, code: int | str | None, facts: Facts = NO_FACTS) -> Advice:
    """Return the cause and fix of the first row that fits.

    channel: upgrade, rest (HTTP statuses), tunnel (a proxy's status), dns, tcp, tls, certificate (OpenSSL's verify
    codes), token (the reason of a refused token), or line (a connection that ends or stays silent).
    """
    row = next(
        row
        for row in TABLE
        if channel in row.channels.split() and (not row.codes or code in row.codes) and row.when(facts)
    )
    texts = [row.cause, row.fix]
    for fact in fields(facts):
        texts = [text.replace(f"{{{fact.name}}}", str(getattr(facts, fact.name))) for text in texts]
    return Advice(*texts)


def _always(_: Facts) -> bool:
    return True


_NGINX = (
    "Let it pass WebSockets on; in nginx: proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; "
    'proxy_set_header Connection "upgrade";'
)
_WRONG_PATH = (
    "No Prefect API answers at {url}: the API is at another path.",
    "PREFECT_API_URL goes up to and including /api, or the base path that the server was given "
    "(PREFECT_SERVER_API_BASE_PATH).",
)
_NOT_PREFECT = (
    "Something other than a Prefect API answered with a web page: a login page, a captive portal, or the UI.",
    "Open {url} in a browser and see who answers. A proxy that asks for a login needs a way around it for the "
    "API, or a header (PREFECT_CLIENT_CUSTOM_HEADERS); a UI means that /api is missing at the URL's end.",
)
_STRIPPED = "A proxy in between strips the header Sec-WebSocket-Protocol"
_KEEP_HEADER = "Let the proxy pass Sec-WebSocket-Protocol on unchanged, in the request and in the answer."
_NO_WAY = "Check the network, the VPN and the address."
_USE_PASSWORD = "Set PREFECT_API_AUTH_STRING to the server's user:password."
_NAME_CA = "Name the CA in PREFECT_API_SSL_CERT_FILE (--cacert FILE)"
_SKIP_CHECK = "or skip the check with PREFECT_API_TLS_INSECURE_SKIP_VERIFY=true (-k)."
_TLS_PORT = "If it speaks TLS, use https:// in PREFECT_API_URL."

# fmt: off
TABLE: tuple[Row, ...] = (
    # An HTTP status instead of 101, and an HTTP status of REST that is no success (or a success without JSON).
    # What is said of Prefect was seen on 3.4.0 to 3.9.1.
    Row("upgrade", (), lambda f: f.too_old,
        "The server is Prefect {version}, and live logs came with 3.4.7.",
        f"Upgrade the server to 3.4.7 or later and set {STREAM_SETTINGS} there; until then rawlogs reads the logs "
        "over REST."),
    Row("rest upgrade", ("loop",), _always,
        "Something in front of Prefect redirects each request to the next.",
        "Check PREFECT_API_URL, and the rules of the proxy in front of Prefect."),
    Row("rest upgrade", (301, 302, 303, 307, 308), _always,
        "The address leads elsewhere: {location}. A redirect to another origin is not followed; one to a login page "
        "ends at the login.",
        "If the API has moved there, name it in PREFECT_API_URL."),
    Row("rest upgrade", (200,), lambda f: f.html, *_NOT_PREFECT),
    Row("upgrade", (200,), _always,
        "Something answered the upgrade as if it were a plain request: a proxy or a cache that knows no WebSockets.",
        _NGINX),
    Row("rest", (200,), _always, "The answer is not what Prefect answers.", "See who answers at {url}."),
    Row("rest", (403,), lambda f: "csrf" in f.body.lower(),
        "The server wants a CSRF token, and did not take the one that it gave (or gave none).",
        "Let the proxy pass the headers Prefect-Csrf-Token and Prefect-Csrf-Client on; several server processes "
        "need one common database."),
    Row("upgrade", (401,), lambda f: f.sent == "custom",
        "A proxy in front of Prefect did not accept the Authorization header of PREFECT_CLIENT_CUSTOM_HEADERS "
        "(Prefect itself never answers an upgrade with 401).",
        "Correct that header."),
    Row("upgrade", (401,), _always,
        "A proxy in front of Prefect wants credentials of its own (Prefect itself never answers an upgrade with 401).",
        "Give them with PREFECT_CLIENT_CUSTOM_HEADERS or -H 'Authorization: Basic ...'."),
    Row("rest", (401, 403), lambda f: f.sent == "custom",
        "The Authorization header of PREFECT_CLIENT_CUSTOM_HEADERS, which wins over all else, was not accepted.",
        "Correct it, or leave it out and set PREFECT_API_AUTH_STRING or PREFECT_API_KEY."),
    Row("rest", (401, 403), lambda f: f.cloud and f.sent == "basic",
        "Prefect Cloud takes an API key, but PREFECT_API_AUTH_STRING is set and wins over PREFECT_API_KEY.",
        "Unset PREFECT_API_AUTH_STRING."),
    Row("rest", (401, 403), lambda f: f.cloud and f.sent == "none",
        "Prefect Cloud wants an API key, and none is set.", "Set PREFECT_API_KEY to a key of this account."),
    Row("rest", (401,), lambda f: f.cloud,
        "The API key was not accepted: it has expired, was revoked, or belongs to another account.",
        "Set PREFECT_API_KEY to a key of this account (`prefect cloud login` makes one)."),
    Row("rest", (403,), lambda f: f.cloud,
        "The key may not read this workspace, or the account is closed to the public address (PrivateLink).",
        "Check the workspace in PREFECT_API_URL and the key's role in it."),
    Row("rest", (401,), lambda f: f.html,
        "A proxy in front of Prefect wants credentials of its own (Prefect itself answers 401 in JSON).",
        "Give them with PREFECT_CLIENT_CUSTOM_HEADERS or -H 'Authorization: Basic ...'."),
    Row("rest", (401,), lambda f: f.sent == "none",
        "The server wants an auth string, and none is set.", _USE_PASSWORD),
    Row("rest", (401,), lambda f: f.sent == "bearer",
        "A self-hosted server takes PREFECT_API_AUTH_STRING, but PREFECT_API_KEY was sent.",
        "Set PREFECT_API_AUTH_STRING to the server's user:password, and unset PREFECT_API_KEY."),
    Row("rest", (401,), _always,
        "PREFECT_API_AUTH_STRING is not the server's.",
        "Set it to what the server was started with (PREFECT_SERVER_API_AUTH_STRING)."),
    Row("rest", (403,), _always,
        "A proxy, balancer or firewall in front of Prefect refuses (Prefect itself answers 403 only for CSRF).",
        "Allow these requests there, or give what it wants with PREFECT_CLIENT_CUSTOM_HEADERS."),
    Row("upgrade", (403,), lambda f: f.cloud,
        "Prefect Cloud, or something in front of it, refuses: an account with PrivateLink is closed to the public "
        "address, or the key may not see flows.",
        "Use the private address if the account has one, and check the key's role in the workspace."),
    Row("upgrade", (403,), lambda f: f.rest is False, *_WRONG_PATH),
    Row("upgrade", (403,), lambda f: bool(f.body),
        "A proxy, balancer or firewall in front of Prefect refuses WebSockets (Prefect's own 403 has no text).",
        "Allow WebSockets to {url} there."),
    Row("upgrade", (403,), lambda f: f.needs_subprotocol,
        f"{_STRIPPED}, without which this server refuses a client.", _KEEP_HEADER),
    Row("upgrade", (403,), lambda f: bool(f.version),
        "A proxy in front of Prefect refuses WebSockets, or sends them to another path than {url}.",
        "Allow WebSockets there, with the path unchanged (Prefect also answers 403 for a path that is no WebSocket)."),
    Row("upgrade", (403,), _always,
        "This path is no WebSocket (is the API under another base path?), the server is older than 3.4.7, or a proxy "
        "refuses the path /logs/out or strips the header Sec-WebSocket-Protocol.",
        f"Check PREFECT_API_URL and the proxy. A server from 3.4.7 on also needs {STREAM_SETTINGS}."),
    Row("upgrade", (404,), lambda f: f.rest is True and f.is_prefects_404,
        "The upgrade reached Prefect as a plain GET: a proxy in between drops the headers Upgrade and Connection.",
        _NGINX),
    Row("upgrade", (404,), lambda f: f.rest is True,
        "A proxy in front of Prefect answers 404 to WebSocket upgrades only: it has no route for them.",
        f"Add a route for {{url}}. {_NGINX}"),
    Row("upgrade", (404,), lambda f: f.rest is None,
        "No Prefect API answers at {url}, or a proxy drops the headers Upgrade and Connection.",
        f"Check PREFECT_API_URL. If a proxy is in front: {_NGINX}"),
    Row("rest", (404, 405), lambda f: f.html, *_NOT_PREFECT),
    Row("rest upgrade", (404, 405), _always, *_WRONG_PATH),
    Row("rest upgrade tunnel", (407,), _always,
        "The proxy wants credentials.",
        "Put them into HTTPS_PROXY or HTTP_PROXY (http://user:password@host:port)."),
    Row("rest upgrade", (400,), lambda f: "HTTPS port" in f.body,
        "This port speaks TLS, but PREFECT_API_URL begins with http://.", "Use https:// in PREFECT_API_URL."),
    Row("upgrade", (400, 426), _always,
        "A proxy in between does not pass the WebSocket upgrade on: it speaks HTTP/1.0 to the server, or drops the "
        "headers Upgrade and Connection.",
        _NGINX),
    Row("rest upgrade", (429,), _always,
        "The rate limit is used up.", "Wait a little; on Prefect Cloud the account shares it."),
    Row("upgrade", (502,), lambda f: f.rest is True,
        "The proxy in front sends WebSockets to an address where no Prefect server answers them.",
        "Send WebSockets to the same server as the rest of the API."),
    Row("rest upgrade", (502,), _always,
        "The proxy in front cannot reach the Prefect server.",
        "Is the server running, and does the proxy know its right address and port?"),
    Row("rest upgrade", (503,), _always,
        "The server, or the proxy in front of it, is not ready.",
        "Try again in a moment; `rawlogs tail --wait` waits for it."),
    Row("rest upgrade", (504,), _always,
        "The proxy in front got no answer from the Prefect server in time.",
        "Is the server overloaded, and does the proxy pass WebSockets on?"),
    Row("rest upgrade", range(500, 600), _always, "The server failed while it answered.", "Its log says why."),
    Row("upgrade", (), _always,
        "The answer is not one that Prefect gives to an upgrade.", "See who answers at {url}."),
    Row("rest", (), _always, "The answer is not one that Prefect gives.", "See who answers at {url}."),
    # A proxy's answer to CONNECT; 0 is no HTTP at all.
    Row("tunnel", (0,), _always,
        "What listens there is no HTTP proxy.", "Check the proxy's address and port."),
    Row("tunnel", (), _always,
        "The proxy does not let connections to this server through, or cannot reach it.",
        "Ask for it to be allowed, or list the host in NO_PROXY to go without the proxy."),
    # Names and TCP
    Row("dns", ("EAI_NONAME",), _always,
        "There is no such name.",
        "Check the host in PREFECT_API_URL (or in the proxy setting) for a typing error; inside a company, is the VPN "
        "up?"),
    Row("dns", ("EAI_AGAIN",), _always,
        "The resolver itself does not answer, or knows no such name now: no network, or no DNS.",
        "Check the network and the DNS of this machine (or container), then the name."),
    Row("dns", (), _always, "The name cannot be resolved.", "Check the host, and the DNS of this machine."),
    Row("tcp", ("ECONNREFUSED",), _always,
        "Nothing listens on this port.",
        "Is the server running there, and is the port in PREFECT_API_URL right? In a container localhost is the "
        "container itself."),
    Row("tcp", ("ETIMEDOUT",), _always,
        "No answer at all: a firewall that drops, or a machine that is off.",
        "Ask for the way to be opened, or check the address."),
    Row("tcp", ("EHOSTUNREACH",), _always, "There is no way to this machine.", _NO_WAY),
    Row("tcp", ("ENETUNREACH",), _always, "There is no way to this network.", _NO_WAY),
    Row("tcp", (), _always, "No TCP connection.", "Check the address, the port and what lies in between."),
    # TLS, and OpenSSL's verify codes
    Row("tls", ("plain",), _always,
        "This port seems to speak plain HTTP, but PREFECT_API_URL begins with https://.",
        "Use http:// instead of https:// in PREFECT_API_URL."),
    Row("tls", (), _always,
        "What listens there does not speak TLS, or no version of it that is accepted here.",
        "Check host and port of PREFECT_API_URL; an old server may need a newer TLS."),
    Row("certificate", (9,), _always,
        "The certificate is not valid yet.", "Is this machine's clock right? Else the certificate is at fault."),
    Row("certificate", (10,), _always,
        "The certificate has expired.", "Renew it on the server. (Is this machine's clock right?)"),
    Row("certificate", (18,), _always,
        "The certificate is self-signed, so no CA confirms it.",
        f"Name it in PREFECT_API_SSL_CERT_FILE (--cacert FILE), {_SKIP_CHECK}"),
    Row("certificate", (19,), _always,
        "The certificate comes from a CA that is not trusted here, a company's own for example.",
        f"{_NAME_CA}, {_SKIP_CHECK}"),
    Row("certificate", (20, 21), _always,
        "The certificate's issuer is not known here: a company's own CA, or the server does not send its "
        "intermediate certificates.",
        f"{_NAME_CA}, or let the server send its whole chain."),
    Row("certificate", (62,), _always,
        "The certificate is for another host name.",
        "Use one of its names in PREFECT_API_URL, or give the server a certificate for this one."),
    Row("certificate", (64,), _always,
        "The certificate is for another address.",
        "Use a name that it is for in PREFECT_API_URL, or give the server a certificate for this address."),
    Row("certificate", (), _always,
        "The certificate is not accepted.", f"{_NAME_CA}, or let the server send its whole chain."),
    # A refused token: "none" where the server says that it got no token
    Row("token", ("none",), _always, "The server wants an auth string, and none is set.", _USE_PASSWORD),
    Row("token", (), lambda f: f.token is None,
        "No credentials are set.",
        "Set PREFECT_API_KEY (Prefect Cloud) or PREFECT_API_AUTH_STRING (a server with a password)."),
    Row("token", (), lambda f: f.token == "",
        "The server did not accept the token.",
        "Check PREFECT_API_AUTH_STRING (a server with a password) or PREFECT_API_KEY (Prefect Cloud)."),
    Row("token", (), lambda f: f.cloud,
        "Prefect Cloud did not accept {token}: expired, revoked, another account's, or without the right to see "
        "flows.",
        "Set PREFECT_API_KEY to a key of this account."),
    Row("token", (), lambda f: f.token == KEY_SETTING,
        "A self-hosted server takes PREFECT_API_AUTH_STRING, but PREFECT_API_KEY was sent.",
        "Set PREFECT_API_AUTH_STRING to the server's user:password, and unset PREFECT_API_KEY."),
    Row("token", (), _always,
        "PREFECT_API_AUTH_STRING is not the server's.",
        "Set it to what the server was started with (PREFECT_SERVER_API_AUTH_STRING): user:password as it stands, "
        "not in base64."),
    # A connection that was opened, and ends or stays silent
    Row("line", ("not upgraded",), lambda f: f.rest is True,
        "REST is answered, but not the WebSocket upgrade: a proxy or firewall in between swallows it.",
        f"Let it pass WebSockets on to {{url}}. {_NGINX}"),
    Row("line", ("not upgraded",), lambda f: f.url.startswith(("ws:", "http:")),
        "What listens there hangs up on HTTP: it speaks TLS or another protocol, or the server is stopping.",
        f"{_TLS_PORT} Else check host and port, and look at the server's log."),
    Row("line", ("not upgraded",), _always,
        "The server, or a proxy in between, hangs up: it is stopping, or another protocol is spoken there.",
        "Check host and port of PREFECT_API_URL, and look at the server's log."),
    Row("line", ("silent",), _always,
        "The server hangs, or a firewall or proxy in between drops what is sent to it.",
        "Check host and port of PREFECT_API_URL; if they are right, look at the server's log."),
    Row("line", ("no HTTP",), _always,
        "The port is open, but what listens there does not answer as an HTTP server does: another program, or a "
        "server (or proxy) that hangs.",
        "Check host and port of PREFECT_API_URL; if they are right, look at the server's log."),
    Row("line", ("not HTTP",), _always,
        "What listens there does not answer as an HTTP server does: it speaks TLS, or is another program.",
        f"{_TLS_PORT} Else check host and port."),
    Row("line", ("no auth",), _always,
        "The WebSocket was accepted, but the auth message was not answered: the server failed, is stopping, or a proxy "
        "in between holds messages back.",
        "Try again; then look at the server's log."),
    Row("line", ("idle",), _always,
        "A proxy, balancer or firewall in between cuts connections on which nothing is sent for a while.",
        "Raise its idle timeout well above 20 s, the interval of the pings: proxy_read_timeout 1h in nginx, timeout "
        "tunnel 1h in haproxy."),
    Row("line", ("bad answer",), _always,
        "Something in between answers the upgrade in Prefect's stead, or this is no Prefect server.",
        "See who answers at {url}, and whether a proxy changes the answer's headers."),
    Row("line", ("no subprotocol",), _always, f"{_STRIPPED}.", _KEEP_HEADER),
    Row("line", (), _always,
        "Something between here and the server does not let a WebSocket through.",
        "Look at the proxies and firewalls in between."),
)
# fmt: on
"""Read from the top: the first row that fits counts. A name in braces stands for a fact."""


# Logs do not come live

LIST_INSTEAD = "following its REST list instead."


def streaming_is_off() -> str:
    """Return what to tell where the server's settings say that it does not stream."""
    return (
        f"The server does not stream logs live (its log streaming is off, which is Prefect's default); {LIST_INSTEAD} "
        f"For live logs set {STREAM_SETTINGS} on the server. {DOCTOR}"
    )


def socket_refused(error: RawlogsError, version: str | None) -> str:
    """Return what to tell where the socket cannot be had. ``version`` is the server's (None: it does not say)."""
    # The last try says why; GaveUp itself only how often.
    if isinstance(error, GaveUp) and isinstance(error.__cause__, RawlogsError):
        error = error.__cause__
    url = getattr(error, "url", "") or "the path /logs/out"
    facts = Facts(rest=True, version=version or "", url=url, body=getattr(error, "body", ""))
    if isinstance(error, UpgradeRefused) or facts.too_old:
        advice = advise("upgrade", getattr(error, "status", None), facts)
    elif isinstance(error, ProtocolError) and "subprotocol" in error.text:
        advice = advise("line", "no subprotocol", facts)
    else:
        # Hung up on the auth message: the upgrade before it had passed.
        kind = "not upgraded" if isinstance(error, ConnectError) and error.phase != "auth" else "other"
        advice = advise("line", kind, facts)
    return f"The server does not stream logs live ({error.text}); {LIST_INSTEAD} {advice.hint}"


def partly_live(live: int, listed: int) -> str:
    """Return what to tell where audits found logs that the socket had not shown.

    ``live`` and ``listed`` logs came over each since the last time.
    """
    if not live:
        return (
            f"The server does not stream logs live (nothing comes over the socket); {LIST_INSTEAD} "
            f"For live logs set {STREAM_SETTINGS} on the server. {DOCTOR}"
        )
    return (
        f"The socket shows only a part of the logs (some logs do not reach it: {listed} of {live + listed} came only "
        "by the list); asking the list often beside it. Several server processes or replicas need one message broker "
        "for all: with the default in-memory broker each streams only what it received itself. Set "
        "PREFECT_MESSAGING_BROKER=prefect_redis.messaging (package prefect-redis) on each of them. " + DOCTOR
    )
