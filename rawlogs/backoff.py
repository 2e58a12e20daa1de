"""The delay before another try: one rule for the socket and for REST. Pure."""

from __future__ import annotations

import random

BASE = 0.5
CAP = 30.0
TRANSIENT_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
"""HTTP statuses after which the same request may succeed later."""


def delay(attempt: int, floor: float | None, rng: random.Random) -> float:
    """Return the seconds before try ``attempt`` (from 0): full jitter on top of ``floor`` seconds.

    The jitter is at most 0.5 s, then 1 s, 2 s, and so on up to 30 s.
    """
    return (floor or 0.0) + rng.uniform(
        0.0, min(CAP, BASE * 2.0 ** min(attempt, 16))
    )  # 2.0 ** 1024 overflows
