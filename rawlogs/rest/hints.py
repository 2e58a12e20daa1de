"""What a user can do about an HTTP answer: tables of hints, and what the answer itself says. Pure."""

from __future__ import annotations

from typing import Any

import orjson

from rawlogs.rest.request import Credentials, RequestInfo
from rawlogs.untrusted import excerpt, loads_lenient, without_markup

BASE_PATH = (
    "No Prefect API at this path: PREFECT_API_URL goes up to and including /api (or the base path that the "
    "server was given)."
)
NOT_PREFECT = (
    "Something other than a Prefect API answered: a login page, a proxy, or the UI (does PREFECT_API_URL "
    "lack the /api at its end?)."
)
STATUS = {
    405: BASE_PATH,
    407: "Put the proxy's credentials into HTTPS_PROXY or HTTP_PROXY (http://user:password@host:port).",
    429: "The API's rate limit is used up; on Prefect Cloud the whole account shares it.",
    502: "The proxy in front could not reach the Prefect server.",
    503: "The server, or the proxy in front of it, is not ready.",
    504: "The proxy in front got no answer from the Prefect server.",
}
_CUSTOM = "The Authorization header was the one of PREFECT_CLIENT_CUSTOM_HEADERS, which wins over all else."
_FORBIDDEN = (
    "Prefect itself answers so only for CSRF: a proxy in front of it seems to refuse. Headers for it go into "
    "PREFECT_CLIENT_CUSTOM_HEADERS."
)
_SERVER: dict[Credentials, str] = {
    "none": "Set PREFECT_API_AUTH_STRING to the server's user:password.",
    "basic": "PREFECT_API_AUTH_STRING is not what the server was started with "
    "(PREFECT_SERVER_API_AUTH_STRING).",
    "bearer": "A self-hosted server takes Basic, and PREFECT_API_KEY was sent as Bearer: set "
    "PREFECT_API_AUTH_STRING to the server's user:password.",
}
_CLOUD: dict[Credentials, str] = {
    "none": "Set PREFECT_API_KEY to an API key of this account.",
    "basic": "Prefect Cloud takes the API key, but PREFECT_API_AUTH_STRING is set and wins over "
    "PREFECT_API_KEY: unset it.",
    "bearer": "PREFECT_API_KEY was not accepted: has it expired, or is it another account's?",
}
_CLOUD_FORBIDDEN = (
    "The key may not read this workspace: check the workspace in PREFECT_API_URL and the key's role."
)
CSRF = "The server asks for a CSRF token, and did not take the one that it gave (or gave none)."
LONGEST = 2000


def auth_hint(asked: RequestInfo, status: int) -> str:
    """What to set after a 401 or 403, by what was sent to whom."""
    if asked.credentials == "custom":
        return _CUSTOM
    if not asked.cloud:
        return _SERVER[asked.credentials] if status == 401 else _FORBIDDEN
    if status == 403 and asked.credentials == "bearer":
        return _CLOUD_FORBIDDEN
    return _CLOUD[asked.credentials]


def status_hint(status: int, words: str, body: bytes) -> str | None:
    """What to check after any other status; None where its own text has to do."""
    if status == 404 and words not in ("", "Not Found"):
        # An API that knows the path says in JSON what it did not find.
        return None if body.lstrip()[:1] == b"{" else NOT_PREFECT
    return BASE_PATH if status == 404 else STATUS.get(status)


def said(body: bytes, secrets: tuple[str, ...]) -> str:
    """What an error's body says, on one line, in any of the shapes that Prefect answers with; no secrets."""
    try:
        data = loads_lenient(body)
    except ValueError:
        data = None
    words = _words(data) if isinstance(data, dict) else ""
    return quote(words or without_markup(body), secrets, LONGEST)


def _words(data: dict[str, Any]) -> str:
    head = data.get("detail") or data.get("exception_message") or ""
    details = head if isinstance(head, list) else data.get("exception_detail")
    parts = [] if isinstance(head, list) else [_text(head)]
    if isinstance(details, list):
        parts += [_complaint(item) for item in details[:5]]
    elif details:
        parts.append(_text(details))
    return " ".join(parts)


def _complaint(item: object) -> str:
    """One entry of a validator's list: where, and what."""
    if not isinstance(item, dict):
        return _text(item)
    where = item.get("loc")
    place = ".".join(_text(step) for step in where) if isinstance(where, list) else ""
    return f"{place}: {_text(item.get('msg'))};"


def _text(value: object) -> str:
    """Any JSON value as text. Not by str(), which calls itself for each level that is nested."""
    if isinstance(value, str):
        return value
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # nested deeper than that
        return "(nested too deeply)"


def quote(text: bytes | str, secrets: tuple[str, ...] = (), limit: int = 80) -> str:
    """The beginning of a foreign text, printable, on one line, without the secrets that servers echo."""
    return excerpt(text, limit, secrets)
