"""When to try again, and what time it is on the server. Pure: now and chance are arguments."""

from __future__ import annotations

import email.utils
import random
from datetime import datetime, timedelta, timezone

BASE = 0.5
CAP = 30.0
MAX_RETRY_AFTER = 300.0
TOLERANCE = 2.0
"""The Date header has whole seconds and is a little old: a skew up to this many seconds is none."""


def delay(retry: int, floor: float | None, rng: random.Random) -> float:
    """Seconds before retry number ``retry`` (from 0): full jitter on top of ``floor``.

    The jitter is at most 0.5 s, then 1 s, 2 s, and so on up to 30 s.
    """
    return (floor or 0.0) + rng.uniform(0.0, min(CAP, BASE * 2.0 ** min(retry, 16)))


def retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds from a Retry-After header (seconds or an HTTP date), from 0 to 300; None for nothing usable."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        moment = http_date(value)
        if moment is None:
            return None
        seconds = (moment - now).total_seconds()
    return None if seconds != seconds else min(max(seconds, 0.0), MAX_RETRY_AFTER)


def skew(date: str | None, now: datetime, elapsed: float) -> float | None:
    """Seconds from our clock to the server's, by an answer that came ``now``, ``elapsed`` after asking.

    The Date header is taken as the middle of its second, written in the middle of that time. 0.0 up to two
    seconds; None where the answer took too long to tell, or has no Date.
    """
    moment = http_date(date) if date else None
    if moment is None or elapsed > 2 * TOLERANCE:
        return None
    middle = now - timedelta(seconds=elapsed / 2)
    found = (moment - middle).total_seconds() + 0.5
    return found if abs(found) > TOLERANCE else 0.0


def http_date(value: str) -> datetime | None:
    """An aware datetime from an HTTP date; None where it is none."""
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
