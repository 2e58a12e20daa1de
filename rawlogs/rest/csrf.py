"""The CSRF token of one client, for servers with PREFECT_SERVER_CSRF_PROTECTION_ENABLED.

No ``httpx.Auth``: between two requests that reads the whole answer, however large a server makes it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

from rawlogs.errors import HistoryError

_LONGEST_TOKEN = 1000


class Csrf:
    """Required for every non-GET request, and checked before routing and authentication (seen on 3.8.8)."""

    def __init__(self) -> None:
        self._client = str(uuid4())
        self._lock = asyncio.Lock()
        self.token: str | None = None

    def headers(self) -> dict[str, str]:
        """Return the headers that carry the token; none while there is no token."""
        if self.token is None:
            return {}
        return {"Prefect-Csrf-Token": self.token, "Prefect-Csrf-Client": self._client}

    async def renew(self, used: str | None, get: Callable[[str], Awaitable[Any]]) -> bool:
        """Fetch a token by ``get(path)``, unless another task has since ``used`` was read. Return True if there is one.

        Raises what ``get`` raises.
        """
        # The server forgets a client's last token when it gives a new one, so two tasks must not fetch at once.
        async with self._lock:
            if self.token != used:
                return True
            self.token = None
            try:
                answer = await get(f"/csrf-token?client={self._client}")
            except HistoryError as error:
                # 422: CSRF protection is disabled, so the 403 came from elsewhere.
                if error.status != 422:
                    raise
                return False
            token = answer.get("token") if isinstance(answer, dict) else None
            # What no header can hold is no token of Prefect's.
            self.token = token if isinstance(token, str) and _fits_header(token) else None
            return self.token is not None


def _fits_header(token: str) -> bool:
    return 0 < len(token) <= _LONGEST_TOKEN and token.isascii() and token.isprintable()
