"""What the server's clock shows, by the Date header of its answers. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from rawlogs.untrusted import http_date

LAST_YEAR = 9000
"""A clock that is later than this is none: to count on from it would leave the calendar."""
TOLERANCE = 2.0
"""The Date header has whole seconds and is a little old: a skew up to this many seconds is none."""

DATE_AGE = 2.0
"""Seconds: uvicorn, which serves Prefect, writes the Date anew once a second, in whole seconds (0.30 to 0.38)."""


def skew(date: str | None, now: datetime, elapsed: float) -> float | None:
    """Return the seconds from our clock to the server's, by an answer that came ``now``, ``elapsed`` after asking.

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
    """Return what a Date header shows; None where there is none, or what no clock shows."""
    moment = http_date(date) if date else None
    return moment if moment is not None and 1970 <= moment.year <= LAST_YEAR else None
