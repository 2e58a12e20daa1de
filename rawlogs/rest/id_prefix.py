"""The beginning of a run's id, as people copy it: found by halving, as the API has no filter for it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from uuid import UUID

SHORTEST = 6
"""Hex digits that a beginning must have; fewer would be as likely a name, or match by chance."""
_PREFIX = re.compile(r"[0-9a-fA-F]{6,8}|[0-9a-fA-F]{8}-[0-9a-fA-F-]*")
_SHOWN = 20

Ids = Callable[[int, int], Awaitable[list[UUID]]]
"""Is given an offset and a limit; returns ids of the whole list, which falls."""


def id_prefix(text: str) -> str | None:
    """Return the hex digits of what may be the beginning of an id; None for anything else."""
    digits = text.replace("-", "").lower()
    return digits if _PREFIX.fullmatch(text) and len(digits) < 32 else None


async def ids_with(prefix: str, ids: Ids) -> list[UUID]:
    """Return the ids that begin with these hex digits, 20 at most, with about 2 log n requests for n runs."""
    greatest = UUID(prefix.ljust(32, "f"))

    async def above(offset: int) -> bool:
        """Tell whether the id there is greater than all that begin so."""
        found = await ids(offset, 1)
        return bool(found) and found[0] > greatest

    low, high = 0, 1  # ids before ``low`` are above, those from ``high`` on are not
    if await above(0):
        while await above(high):
            low, high = high, high * 2
        low += 1
        while low < high:
            middle = (low + high) // 2
            if await above(middle):
                low = middle + 1
            else:
                high = middle
    # Runs that were made meanwhile have moved the others down a little: look around the place.
    around = await ids(max(low - 5, 0), _SHOWN + 10)
    return [one for one in around if one.hex.startswith(prefix)][:_SHOWN]
