"""Durations and moments as people write them: one grammar for the command, the library and the relay. Pure.

| written | read as |
| --- | --- |
| `90s`, `10m`, `1h30m`, `1.5d`, `2w` | a duration: so long ago |
| a number of up to nine digits, but eight | a duration in seconds |
| eight digits | a date: `20261120` |
| a number of ten digits or more | UNIX time in seconds; with 13 digits in milliseconds |
| `2026-11-20`, `2026-11-20T10:00:00Z`, `... +01:00` | RFC 3339 |

Dates and times without a zone are local, or UTC, as the caller says.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

from rawlogs.errors import ConfigError
from rawlogs.log_values import parse_timestamp
from rawlogs.untrusted import shown

LONGEST = timedelta(days=700_000)
"""About 1,900 years: counted back from now, the calendar has nothing that is older."""
_LONGEST_TEXT = 100  # characters; what is longer is no moment, and would only take time
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)([smhdw])")
_DURATION = re.compile(rf"(?:{_PART.pattern})+")
_NUMBER = re.compile(r"([0-9]+)(\.[0-9]+)?")
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def parse_duration(text: str) -> timedelta:
    """Return the duration that a text names; a bare number is seconds.

    Raises ValueError, whose text says why, also for a duration that is longer than the calendar.
    """
    compact = "".join(text.lower().split())
    if len(text) > _LONGEST_TEXT or not (_NUMBER.fullmatch(compact) or _DURATION.fullmatch(compact)):
        raise ValueError(f"{text[:40]!r} is no duration (90s, 10m, 1h30m, 2d)")
    parts = _PART.findall(compact) or [(compact, "s")]  # a bare number
    try:
        length = sum((timedelta(**{_UNITS[unit]: float(number)}) for number, unit in parts), timedelta())
    except OverflowError:
        length = timedelta.max
    if length > LONGEST:
        raise ValueError(f"{text[:40]!r} is longer than the calendar")
    return length


def parse_moment(text: str, *, local: bool = False) -> datetime | timedelta:
    """Return the moment that a text names, aware, or a duration: so long ago.

    local: whether a time without a zone is that of this machine; else it is UTC. Raises ValueError, whose text says
    why.
    """
    written = text.strip()
    if number := _NUMBER.fullmatch(written):
        digits, fraction = number[1], number[2]
        if len(digits) >= 10:  # as a duration 31 years and more
            return _unix_time(digits, fraction)
        if len(digits) == 8 and not fraction:
            return _zoned(_date(written), local)
    elif len(written) <= _LONGEST_TEXT and not _DURATION.fullmatch("".join(written.lower().split())):
        return _time(written, local)
    return parse_duration(written)


def moment(value: object, now: datetime, *, name: str) -> datetime:
    """Return the moment that the argument ``name`` gives: a datetime, a duration before ``now``, or either as text.

    Raises ConfigError that names the argument.
    """
    try:
        given = parse_moment(value) if isinstance(value, str) else value
        if isinstance(given, timedelta):
            return now - given
    except OverflowError:
        problem = f"{shown(value)} is longer than the calendar"
    except ValueError as error:
        problem = str(error)
    else:
        if isinstance(given, datetime):
            return given
        problem = f"{shown(value)} is neither a datetime, nor a timedelta, nor text"
    raise ConfigError(f"{name}: {problem}", setting=name, hint=_HOW)


def seconds(value: object, *, name: str) -> float:
    """Return the seconds that the argument ``name`` gives: a finite number, a timedelta, or text such as ``10m``.

    Raises ConfigError that names the argument.
    """
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, str):
        try:
            return parse_duration(value).total_seconds()
        except ValueError as error:
            raise ConfigError(f"{name}: {error}", setting=name) from None
    # Nan is neither less nor more than anything, and a wait for it would never end.
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if number and abs(value) <= LONGEST.total_seconds():  # type: ignore[arg-type]
        return value  # type: ignore[return-value]
    raise ConfigError(f"{name}: {shown(value)} is no number of seconds", setting=name)


_HOW = 'Give a datetime with a time zone, a timedelta, or text: "10m", "2026-11-20T10:00:00Z".'


def _unix_time(digits: str, fraction: str | None) -> datetime:
    if len(digits) > 13:
        raise ValueError(f"{digits[:40]!r} is no UNIX time: ten digits are seconds, 13 are milliseconds")
    unit = timedelta(milliseconds=1) if len(digits) == 13 else timedelta(seconds=1)
    try:
        return _EPOCH + int(digits) * unit + float(fraction or 0) * unit
    except OverflowError:
        raise ValueError(f"{digits!r} as UNIX time is a year that the calendar has not") from None


def _date(digits: str) -> datetime:
    try:
        return datetime(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        raise ValueError(f"{digits!r} is no date of the calendar; {digits}s is a duration") from None


def _time(text: str, local: bool) -> datetime:
    try:
        bare = datetime.fromisoformat(text)
    except ValueError:  # Python 3.10 does not know all that parse_timestamp reads
        bare = None
    if bare is not None and bare.tzinfo is None:
        return _zoned(bare, local)
    try:
        return parse_timestamp(text)
    except ValueError:
        raise ValueError(
            f"{text[:40]!r} is neither a duration (10m, 2h, 1d) nor a time (RFC 3339, or UNIX time of ten digits "
            "or more)"
        ) from None


def _zoned(bare: datetime, local: bool) -> datetime:
    if not local:
        return bare.replace(tzinfo=timezone.utc)
    try:
        return bare.astimezone()
    except (ValueError, OverflowError, OSError):  # the first and the last hours of the calendar
        raise ValueError(f"{bare.isoformat()} is no local time") from None
