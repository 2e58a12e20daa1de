"""Levels and search texts as the command takes them: what the server would refuse is said of what was typed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rawlogs.log_values import level_number

if TYPE_CHECKING:
    _Levels = click.ParamType[int]
    _Texts = click.ParamType[str]
else:  # before click 8.2 it cannot be subscripted
    _Levels = _Texts = click.ParamType

LONGEST_QUERY = 200
"""Characters of a search text that Prefect takes."""


class Level(_Levels):
    """A level by its name, in any case, or by its number."""

    name = "level"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            number = level_number(str(value))
        except ValueError as error:
            self.fail(f"{error}.", param, ctx)
        if not -(2**31) <= number < 2**31:  # a database's integer
            self.fail(f"{value!r} is no level that a log can have.", param, ctx)
        return number


class SearchText(_Texts):
    """A search in Prefect's syntax."""

    name = "search"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value)
        if len(text) > LONGEST_QUERY:
            self.fail(f"it has {len(text)} characters; Prefect takes {LONGEST_QUERY} at most.", param, ctx)
        return text
