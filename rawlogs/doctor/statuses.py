"""What an HTTP status means here: tables, read from the top, the first row that fits. Pure.

What is said of Prefect was seen on 3.4.0 to 3.8.8. A name in braces stands for a fact of ``ServerFacts``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rawlogs.doctor.findings import Advice
from rawlogs.doctor.server_facts import FIRST_WITH_LEGACY, ServerFacts


@dataclass(frozen=True, slots=True)
class Row:
    """``statuses`` empty: any."""

    statuses: Sequence[int]
    when: Callable[[ServerFacts], bool]
    cause: str
    fix: str


def _always(_: ServerFacts) -> bool:
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
_STRIPS = (
    "A proxy in between strips the header Sec-WebSocket-Protocol, without which this server refuses a client.",
    "Let the proxy pass Sec-WebSocket-Protocol on unchanged, in the request and in the answer.",
)

_REDIRECT = Row(
    (301, 302, 303, 307, 308),
    _always,
    "The address leads elsewhere: {location}. A redirect to another origin is not followed, since it would be "
    "handed the key; one to a login page ends at the login.",
    "If the API has moved there, name its new address in PREFECT_API_URL.",
)
_PROXY_CREDENTIALS = Row(
    (407,),
    _always,
    "The proxy wants credentials.",
    "Put them into HTTPS_PROXY or HTTP_PROXY (http://user:password@host:port).",
)
_LIMITED = Row(
    (429,), _always, "The rate limit is used up.", "Wait a little; on Prefect Cloud the account shares it."
)
_NO_UPSTREAM = Row(
    (502,),
    _always,
    "The proxy in front cannot reach the Prefect server.",
    "Is the server running, and does the proxy know its right address and port?",
)
_NOT_READY = Row(
    (503,),
    _always,
    "The server, or the proxy in front of it, is not ready.",
    "Try again in a moment; `rawlogs tail --wait` waits for it.",
)
_TOO_LATE = Row(
    (504,),
    _always,
    "The proxy in front got no answer from the Prefect server in time.",
    "Is the server overloaded, and does the proxy pass WebSockets on?",
)
_FAILED = Row(range(500, 600), _always, "The server failed while it answered.", "Its log says why.")

UPGRADE: tuple[Row, ...] = (
    _REDIRECT,
    Row((200,), lambda k: k.html, *_NOT_PREFECT),
    Row(
        (200,),
        _always,
        "Something answered the upgrade as if it were a plain request: a proxy or a cache that knows no WebSockets.",
        _NGINX,
    ),
    Row(
        (401,),
        lambda k: k.sent == "custom",
        "A proxy in front of Prefect did not accept the Authorization header of PREFECT_CLIENT_CUSTOM_HEADERS "
        "(Prefect itself never answers an upgrade with 401).",
        "Correct that header.",
    ),
    Row(
        (401,),
        _always,
        "A proxy in front of Prefect wants credentials of its own (Prefect itself never answers an upgrade with 401).",
        "Give them with PREFECT_CLIENT_CUSTOM_HEADERS or -H 'Authorization: Basic ...'.",
    ),
    Row(
        (403,),
        lambda k: k.too_old,
        "The server is Prefect {version}, and live logs came with 3.4.7.",
        "Upgrade the server to 3.4.7 or later for live logs; until then rawlogs reads them over REST.",
    ),
    Row(
        (403,),
        lambda k: k.cloud,
        "Prefect Cloud, or something in front of it, refuses: an account with PrivateLink is closed to the public "
        "address, or the key may not see flows.",
        "Use the private address if the account has one, and check the key's role in the workspace.",
    ),
    Row((403,), lambda k: not k.rest, *_WRONG_PATH),
    Row(
        (403,),
        lambda k: bool(k.body),
        "A proxy, balancer or firewall in front of Prefect refuses WebSockets (Prefect's own 403 has no text).",
        "Allow WebSockets to {url} there.",
    ),
    Row((403,), lambda k: k.authenticated is True, *_STRIPS),
    Row((403,), lambda k: k.release is not None and k.release < FIRST_WITH_LEGACY, *_STRIPS),
    Row(
        (403,),
        _always,
        "A proxy in front of Prefect refuses WebSockets, or sends them to another path than {url}.",
        "Allow WebSockets there, with the path unchanged (Prefect also answers 403 for a path that is no WebSocket).",
    ),
    Row(
        (404,),
        lambda k: k.rest and k.prefect_says_no_such_route,
        "The upgrade reached Prefect as a plain GET: a proxy in between drops the headers Upgrade and Connection.",
        _NGINX,
    ),
    Row(
        (404,),
        lambda k: k.rest,
        "A proxy in front of Prefect answers 404 to WebSocket upgrades only: it has no route for them.",
        f"Add a route for {{url}}. {_NGINX}",
    ),
    Row((404, 405), _always, *_WRONG_PATH),
    _PROXY_CREDENTIALS,
    Row(
        (400, 426),
        _always,
        "A proxy in between does not pass the WebSocket upgrade on: it speaks HTTP/1.0 to the server, or drops the "
        "headers Upgrade and Connection.",
        _NGINX,
    ),
    _LIMITED,
    Row(
        (502,),
        lambda k: k.rest,
        "The proxy in front sends WebSockets to a place where no Prefect server answers them.",
        "Send WebSockets to the same server as the rest of the API.",
    ),
    _NO_UPSTREAM,
    _NOT_READY,
    _TOO_LATE,
    _FAILED,
    Row((), _always, "The answer is not one that Prefect gives to an upgrade.", "See who answers at {url}."),
)
"""An HTTP status instead of 101."""

REST: tuple[Row, ...] = (
    Row((200,), lambda k: k.html, *_NOT_PREFECT),
    Row((200,), _always, "The answer is not what Prefect answers.", "See who answers at {url}."),
    _REDIRECT,
    Row(
        (403,),
        lambda k: "csrf" in k.body.lower(),
        "The server wants a CSRF token, and did not take the one that it gave.",
        "Let the proxy pass the headers Prefect-Csrf-Token and Prefect-Csrf-Client on; several server processes "
        "need one common database.",
    ),
    Row(
        (401, 403),
        lambda k: k.sent == "custom",
        "The Authorization header of PREFECT_CLIENT_CUSTOM_HEADERS, which wins over all else, was not accepted.",
        "Correct it, or leave it out and set PREFECT_API_AUTH_STRING or PREFECT_API_KEY.",
    ),
    Row(
        (401, 403),
        lambda k: k.cloud and k.sent == "basic",
        "Prefect Cloud takes an API key, but PREFECT_API_AUTH_STRING is set and wins over PREFECT_API_KEY.",
        "Unset PREFECT_API_AUTH_STRING.",
    ),
    Row(
        (401,),
        lambda k: k.cloud,
        "The API key was not accepted: it has expired, was revoked, or belongs to another account.",
        "Set PREFECT_API_KEY to a key of this account (`prefect cloud login` makes one).",
    ),
    Row(
        (403,),
        lambda k: k.cloud,
        "The key may not read this workspace, or the account is closed to the public address (PrivateLink).",
        "Check the workspace in PREFECT_API_URL and the key's role in it.",
    ),
    Row(
        (401,),
        lambda k: k.sent == "none",
        "The server wants an auth string, and none is set.",
        "Set PREFECT_API_AUTH_STRING to the server's user:password.",
    ),
    Row(
        (401,),
        lambda k: k.sent == "bearer",
        "A self-hosted server takes PREFECT_API_AUTH_STRING, but PREFECT_API_KEY was sent.",
        "Set PREFECT_API_AUTH_STRING to the server's user:password, and unset PREFECT_API_KEY.",
    ),
    Row(
        (401,),
        _always,
        "PREFECT_API_AUTH_STRING is not the server's.",
        "Set it to what the server was started with (PREFECT_SERVER_API_AUTH_STRING).",
    ),
    Row(
        (403,),
        _always,
        "A proxy, balancer or firewall in front of Prefect refuses (Prefect itself answers 403 only for CSRF).",
        "Allow these requests there, or give what it wants with PREFECT_CLIENT_CUSTOM_HEADERS.",
    ),
    Row((404, 405), lambda k: k.html, *_NOT_PREFECT),
    Row((404, 405), _always, *_WRONG_PATH),
    _PROXY_CREDENTIALS,
    _LIMITED,
    _NO_UPSTREAM,
    _NOT_READY,
    _TOO_LATE,
    _FAILED,
    Row((), _always, "The answer is not one that Prefect gives.", "See who answers at {url}."),
)
"""An HTTP status of the REST API that is no success, or a success without JSON."""


def upgrade(status: int, known: ServerFacts) -> Advice:
    """An HTTP status instead of 101."""
    return _first(UPGRADE, status, known)


def rest(status: int, known: ServerFacts) -> Advice:
    """A REST answer that cannot be used."""
    return _first(REST, status, known)


def _first(rows: Sequence[Row], status: int, known: ServerFacts) -> Advice:
    row = next(row for row in rows if (not row.statuses or status in row.statuses) and row.when(known))
    return Advice(known.fill(row.cause), known.fill(row.fix))
