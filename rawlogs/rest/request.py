"""One request, and what it carries: headers, credentials, CSRF token. Nothing is sent here."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal
from uuid import uuid4

from rawlogs.untrusted import excerpt
from rawlogs.version import version

if TYPE_CHECKING:
    from rawlogs.config.settings import Settings

Credentials = Literal["none", "basic", "bearer", "custom"]
"""What kind of Authorization header goes out; ``custom`` is one of the user's own."""

_OF_THE_BODY = frozenset({"accept-encoding", "content-length", "content-type", "transfer-encoding"})
"""Headers that belong to how bodies are sent and read here, and that are not for users to set."""


_LONGEST_URL = 500


@dataclass(frozen=True, slots=True)
class RequestInfo:
    """One request, as far as the meaning of its answer depends on it.

    ``url`` may be one that a redirect named, with whatever the server has put into it: ``shown`` is what texts show.
    """

    method: str
    url: str
    credentials: Credentials = "none"
    cloud: bool = False
    secrets: tuple[str, ...] = field(default=(), repr=False)

    @property
    def shown(self) -> str:
        """The URL, without secrets."""
        return excerpt(self.url, _LONGEST_URL, self.secrets)

    def __str__(self) -> str:
        return f"{self.method} {self.shown}"


class Csrf:
    """The token of this client, where the server wants one (PREFECT_SERVER_CSRF_PROTECTION_ENABLED).

    The server wants it for everything but GET, and before all else: it asks so for a wrong path, too, and of
    one without credentials. A new token replaces the client's last one there, so whoever fetches one holds
    ``lock``. (Seen on 3.8.8.)
    """

    def __init__(self) -> None:
        self.client = str(uuid4())
        self.token: str | None = None
        self.lock = asyncio.Lock()

    @property
    def path(self) -> str:
        """Where a token is to be had."""
        return f"/csrf-token?client={self.client}"

    def headers(self) -> dict[str, str]:
        if self.token is None:
            return {}
        return {"Prefect-Csrf-Token": self.token, "Prefect-Csrf-Client": self.client}


def credentials(settings: Settings) -> Credentials:
    """What kind of Authorization header these settings send."""
    if any(name.lower() == "authorization" for name in settings.headers):
        return "custom"
    if settings.authorization is None:
        return "none"
    return "basic" if settings.authorization.startswith("Basic ") else "bearer"


def fixed_headers(settings: Settings) -> dict[bytes, bytes]:
    """The headers of every request, ready for the wire. The user's own win, also over the credentials."""
    chosen = {
        "accept": "application/json",
        "accept-encoding": "gzip",
        "user-agent": f"rawlogs/{version()}",
    }
    if settings.authorization is not None:
        chosen["authorization"] = settings.authorization
    for name, value in settings.headers.items():
        if name.lower() not in _OF_THE_BODY:
            chosen[name.lower()] = value
    return {name.encode("ascii"): value.encode("latin-1") for name, value in chosen.items()}
