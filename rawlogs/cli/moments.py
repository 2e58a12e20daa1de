"""Moments as the command takes them: ``10m``, ``2h``, ``1d``, UNIX time, or RFC 3339; see ``rawlogs.durations``."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import click

from rawlogs.durations import parse_duration as parse_duration
from rawlogs.durations import parse_moment

if TYPE_CHECKING:
    _Moments = click.ParamType[datetime | timedelta]
else:  # before click 8.2 it cannot be subscripted
    _Moments = click.ParamType


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
