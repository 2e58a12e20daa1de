"""Moments as people type them: ``10m``, ``2h``, ``1d``, or RFC 3339."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import click

from rawlogs.models import parse_timestamp

if TYPE_CHECKING:
    _Moments = click.ParamType[datetime | timedelta]
else:  # before click 8.2 it cannot be subscripted
    _Moments = click.ParamType

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_AGO = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")


def parse_duration(text: str) -> timedelta:
    """``90s``, ``10m``, ``1h30m``, ``2d``; a bare number is seconds. ValueError otherwise."""
    compact = text.strip().lower().replace(" ", "")
    if re.fullmatch(r"\d+(\.\d+)?", compact):
        return timedelta(seconds=float(compact))
    if not compact or _AGO.sub("", compact):
        raise ValueError
    return sum(
        (timedelta(**{_UNITS[unit]: float(number)}) for number, unit in _AGO.findall(compact)), timedelta()
    )


class Moment(_Moments):
    """A duration (how long ago), or an RFC 3339 time; a time without a zone is local."""

    name = "moment"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime | timedelta:
        if isinstance(value, (datetime, timedelta)):
            return value
        text = str(value).strip()
        try:
            return parse_duration(text)
        except (ValueError, OverflowError):
            pass
        try:
            bare = datetime.fromisoformat(text)
        except ValueError:
            bare = None
        try:
            if bare is not None and bare.tzinfo is None:
                return bare.astimezone()
            return parse_timestamp(text)
        except (ValueError, OverflowError):
            self.fail(f"{text!r} is neither a duration (10m, 2h, 1d) nor an RFC 3339 time.", param, ctx)
