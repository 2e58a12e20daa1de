"""Who may read what: one hook for every way to the browser, which denies until it is given."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from rawlogs.relay.query import Query

T = TypeVar("T")
Authorize = Callable[[T, Query], bool | Awaitable[bool]]
"""Called with the request (or scope) and the query, before anything is read; True lets the reader in."""


async def allowed(authorize: Callable[[Any, Query], Any] | None, who: Any, query: Query) -> bool:
    """Whether the hook says exactly True; without a hook nobody is let in."""
    if authorize is None:
        return False
    answer = authorize(who, query)
    if inspect.isawaitable(answer):
        answer = await answer
    return answer is True
