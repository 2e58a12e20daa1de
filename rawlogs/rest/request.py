"""One request: what its answer's meaning depends on, and the headers of every request. Nothing is sent here."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from rawlogs.advice import NO_FACTS, Advice, Facts, advise
from rawlogs.untrusted import excerpt
from rawlogs.version import user_agent

if TYPE_CHECKING:
    from rawlogs.config.settings import Settings

_OF_THE_BODY = frozenset({"accept-encoding", "content-length", "content-type", "transfer-encoding"})
"""Headers that belong to how bodies are sent and read here, and that are not for users to set."""
_LONGEST_URL = 500


@dataclass(frozen=True, slots=True)
class RequestInfo:
    """One request, as far as the meaning of its answer depends on it.

    ``url`` may be one that a redirect named, with whatever the server has put into it; texts show ``shown``.
    """

    method: str
    url: str
    facts: Facts = NO_FACTS
    secrets: tuple[str, ...] = field(default=(), repr=False)

    @property
    def shown(self) -> str:
        """The URL, without secrets."""
        return excerpt(self.url, _LONGEST_URL, self.secrets)

    def __str__(self) -> str:
        return f"{self.method} {self.shown}"

    def quote(self, text: bytes | str, limit: int = 80) -> str:
        """Return the beginning of what the server said, printable, on one line, without the secrets that it echoes."""
        return excerpt(text, limit, self.secrets)

    def advise(self, channel: str, code: int | str | None, **facts: str) -> Advice:
        """Return cause and fix of a failure of this request."""
        return advise(channel, code, replace(self.facts, **{"url": self.shown, **facts}))  # type: ignore[arg-type]


def fixed_headers(settings: Settings) -> dict[bytes, bytes]:
    """Return the headers of every request, encoded. The user's own replace the others, the credentials included."""
    chosen = {"accept": "application/json", "accept-encoding": "gzip", "user-agent": user_agent()}
    if settings.authorization is not None:
        chosen["authorization"] = settings.authorization
    for name, value in settings.headers.items():
        if name.lower() not in _OF_THE_BODY:
            chosen[name.lower()] = value
    return {name.encode("ascii"): value.encode("latin-1") for name, value in chosen.items()}
