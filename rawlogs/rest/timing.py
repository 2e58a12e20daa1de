"""When to try again, and what time it is on the server. Pure: now and chance are arguments."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

from rawlogs.untrusted import http_date as http_date
from rawlogs.untrusted import retry_after as retry_after

BASE = 0.5
CAP = 30.0
LAST_YEAR = 9000
"""A clock that is later than this is none: to count on from it would leave the calendar."""
TOLERANCE = 2.0
"""The Date header has whole seconds and is a little old: a skew up to this many seconds is none."""

DATE_AGE = 2.0
"""Seconds: uvicorn, which serves Prefect, writes the Date anew once a second, in whole seconds (0.30 to 0.38)."""


def delay(retry: int, floor: float | None, rng: random.Random) -> float:
    """Seconds before retry number ``retry`` (from 0): full jitter on top of ``floor``.

    The jitter is at most 0.5 s, then 1 s, 2 s, and so on up to 30 s.
    """
    return (floor or 0.0) + rng.uniform(0.0, min(CAP, BASE * 2.0 ** min(retry, 16)))


def skew(date: str | None, now: datetime, elapsed: float) -> float | None:
    """Seconds from our clock to the server's, by an answer that came ``now``, ``elapsed`` after asking.

    The Date header is taken as the middle of its second, written in the middle of that time. 0.0 up to two
    seconds; None where the answer took too long to tell, or has no Date that a clock can show.
    """
    moment = _clock_of(date)
    if moment is None or elapsed > 2 * TOLERANCE:
        return None
    middle = now - timedelta(seconds=elapsed / 2)
    found = (moment - middle).total_seconds() + 0.5
    least = (moment - now).total_seconds()
    # An answer that took seconds may have an old Date: that alone is no sign of another clock.
    explained = least <= 0.0 <= least + DATE_AGE + elapsed
    return found if abs(found) > TOLERANCE and not explained else 0.0


def offset_bounds(date: str | None, now: datetime, elapsed: float) -> tuple[float, float] | None:
    """Return the least and the greatest number of seconds by which the server's clock can be ahead of ours.

    By the Date header of an answer that came ``now``, ``elapsed`` seconds after asking: whole seconds, up to DATE_AGE
    old. None where there is no Date that a clock can show.
    """
    moment = _clock_of(date)
    if moment is None:
        return None
    least = (moment - now).total_seconds()
    return least, least + DATE_AGE + elapsed


def _clock_of(date: str | None) -> datetime | None:
    """What a server's clock showed; None where it says nothing, or what no clock shows."""
    moment = http_date(date) if date else None
    return moment if moment is not None and 1970 <= moment.year <= LAST_YEAR else None
