"""What a server tells about itself. Any question may stay unanswered: that is None, and no error."""

from __future__ import annotations

import re
from typing import Any, Protocol

from rawlogs.errors import AuthError, HistoryError

_VERSION = re.compile(r"[\w.+!-]{1,80}", re.ASCII)


class Getter(Protocol):
    """What these questions need of the REST client."""

    async def get(self, path: str, *, retries: int | None = None) -> Any: ...


async def version(rest: Getter) -> str | None:
    """Return the Prefect version ("3.8.8"). Not from ``/version``, which says "0.8.4" on every server seen."""
    answer = await _ask(rest, "/admin/version")
    return answer if isinstance(answer, str) and _VERSION.fullmatch(answer) else None


async def log_streaming(rest: Getter) -> tuple[bool, bool] | None:
    """Return whether the server hands logs out, and whether it publishes what comes in; it streams only with both.

    Both are off by default (3.4.7 to 3.9.1), and the socket then looks like one with nothing to say. With
    several server processes this is true of the one that answered. None where there is no answer (Prefect
    Cloud need not give one) or no such setting (before 3.4.7).
    """
    settings = await _ask(rest, "/admin/settings")
    for step in ("server", "logs"):
        settings = settings.get(step) if isinstance(settings, dict) else None
    if not isinstance(settings, dict):
        return None
    out, publishing = settings.get("stream_out_enabled"), settings.get("stream_publishing_enabled")
    if not (isinstance(out, bool) and isinstance(publishing, bool)):
        return None
    return out, publishing


async def _ask(rest: Getter, path: str) -> Any:
    try:
        return await rest.get(path, retries=0)
    except (HistoryError, AuthError):
        return None
