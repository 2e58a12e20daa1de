"""Times and durations as the command takes them; the grammar is that of ``rawlogs.durations``."""

from __future__ import annotations

from datetime import datetime, timedelta
from math import isfinite
from typing import TYPE_CHECKING, Any

import click

from rawlogs.durations import parse_duration as parse_duration
from rawlogs.durations import parse_moment

if TYPE_CHECKING:
    _Moments = click.ParamType[datetime | timedelta]
    _Seconds = click.ParamType[float]
    _Durations = click.ParamType[timedelta]
else:  # before click 8.2 it cannot be subscripted
    _Moments = _Seconds = _Durations = click.ParamType


class Moment(_Moments):
    """A duration (how long ago), or a time; one without a zone is local."""

    name = "moment"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime | timedelta:
        if isinstance(value, (datetime, timedelta)):
            return value
        try:
            return parse_moment(str(value), local=True)
        except ValueError as error:
            self.fail(f"{error}.", param, ctx)


class Seconds(_Seconds):
    """A number of seconds, or a duration such as ``10m``; neither nan nor inf, for which a wait would never end."""

    name = "seconds"

    def __init__(self, *, least: float = 0.0, more_than: float | None = None) -> None:
        self._least = least
        self._more_than = more_than

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = value if isinstance(value, float) else self._read(str(value), param, ctx)
        if self._more_than is not None and not number > self._more_than:
            self.fail(f"{value!r} is not more than {self._more_than:g}.", param, ctx)
        if number < self._least:
            self.fail(f"{value!r} is less than {self._least:g}.", param, ctx)
        return number

    def _read(self, text: str, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            number = float(text)
        except ValueError:
            number = None
        try:
            if number is None or abs(number) >= 1e9:  # the grammar's own bound: a UNIX time is no duration
                number = parse_duration(text).total_seconds()
        except ValueError as error:
            self.fail(f"{error}.", param, ctx)
        if not isfinite(number):
            self.fail(f"{text!r} is no number of seconds.", param, ctx)
        return number


class FiniteRange(click.FloatRange):
    """A number within bounds that is neither nan, which no bound stops, nor inf."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number: float = super().convert(value, param, ctx)
        if not isfinite(number):
            self.fail(f"{value!r} is no number to count with.", param, ctx)
        return number


class Duration(_Durations):
    """A duration such as ``90s``, ``10m``, ``1h30m``; a bare number is seconds."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        if isinstance(value, timedelta):
            return value
        try:
            return parse_duration(str(value))
        except ValueError as error:
            self.fail(f"{error}.", param, ctx)
