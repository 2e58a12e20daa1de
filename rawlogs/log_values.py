"""Levels and timestamps of logs, and their JSON. Pure; no pydantic."""

from __future__ import annotations

import re
import sys
from datetime import datetime, timedelta, timezone
from typing import Any

import orjson

LEVEL_NAMES = {10: "DEBUG", 20: "INFO", 30: "WARNING", 40: "ERROR", 50: "CRITICAL"}
_LEVEL_NUMBERS = {name: number for number, name in LEVEL_NAMES.items()} | {
    "NOTSET": 0,
    "WARN": 30,
    "FATAL": 50,
}
_UTC = timezone.utc
_EPOCH = datetime(1970, 1, 1, tzinfo=_UTC)
_MICROSECOND = timedelta(microseconds=1)


def level_name(level: int) -> str:
    """Return the name of a level number as ``logging`` has it: ``INFO`` for 20, ``Level 25`` for an unknown one."""
    return LEVEL_NAMES.get(level) or f"Level {level}"


def level_number(level: str | int) -> int:
    """Return the number of a level given by name (any case) or number. Raises ValueError with the known names."""
    if isinstance(level, bool):  # True would be taken for level 1
        raise ValueError("a level is a name or a number, not true or false")
    if isinstance(level, int):
        return level
    text = level.strip()
    try:
        return _LEVEL_NUMBERS[text.upper()] if text.upper() in _LEVEL_NUMBERS else int(text)
    except ValueError:
        known = ", ".join(LEVEL_NAMES.values())
        raise ValueError(f"unknown level {text[:40]!r}: use one of {known}, or a number") from None


if sys.version_info >= (3, 11):
    _parse_iso = datetime.fromisoformat
else:  # Python 3.10
    _ISO = re.compile(
        r"(\d{4}-\d\d-\d\d[ Tt]\d\d:\d\d)(:\d\d)?(?:[.,](\d+))?(?:(Z)|([+-]\d\d)(?::?(\d\d))?)?", re.ASCII
    )

    def _parse_iso(text: str) -> datetime:
        # fromisoformat of Python 3.10 knows neither "Z" nor "+0200", nor fractions other than 3 or 6 digits.
        found = _ISO.fullmatch(text)
        if found is None:
            return datetime.fromisoformat(text)
        minute, second, fraction, zulu, hours, minutes = found.groups()
        offset = "+00:00" if zulu else f"{hours}:{minutes or '00'}" if hours else ""
        return datetime.fromisoformat(
            f"{minute}{second or ':00'}.{(fraction or '')[:6].ljust(6, '0')}{offset}"
        )


def parse_timestamp(text: str) -> datetime:
    """Return an aware datetime in UTC from the wire's ISO 8601; a naive text is read as UTC. Raises ValueError.

    An instant that UTC's calendar has no year for (the first and the last hours of all, with an offset) keeps its
    offset.
    """
    moment = _parse_iso(text)
    if moment.tzinfo is _UTC:  # nearly always; a comparison is cheaper than astimezone
        return moment
    if moment.tzinfo is None:
        return moment.replace(tzinfo=_UTC)
    try:
        return moment.astimezone(_UTC)
    except OverflowError:
        return moment


def rfc3339(moment: datetime) -> str:
    """Return the moment as text, in UTC with a "Z", as Prefect and orjson write it."""
    return moment.isoformat().replace("+00:00", "Z")


def micros(moment: datetime) -> int:
    """Return an aware datetime as microseconds since 1970."""
    return (moment - _EPOCH) // _MICROSECOND


def to_json(value: dict[str, Any], option: int = 0) -> bytes:
    """Return a dict of JSON values, UUIDs and datetimes as JSON. Raises TypeError for anything else."""
    option |= orjson.OPT_UTC_Z
    try:
        return orjson.dumps(value, _plain, option)
    except TypeError:
        # Perhaps a lone surrogate: what this package decodes has none, a dict from elsewhere may.
        return orjson.dumps(_without_surrogates(value), _plain, option)


def _plain(value: object) -> str:
    if isinstance(value, datetime):  # of a class derived from it, as Prefect's timestamps may be
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} is no part of a log")


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_surrogates(item) for item in value]
    return value
