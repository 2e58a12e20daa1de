"""Lay out what stands before a log's text: the run's name in a column and a colour of its own, and the date. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date
from unicodedata import category, east_asian_width

from rawlogs.output.color import RESET, free_color
from rawlogs.output.escape import escape_line

NARROWEST, WIDEST = 12, 28
"""Bounds of the column of names, in cells of the screen."""
_CACHE = 1024


def column_bound(columns: int) -> int:
    """Return how wide the column of names may become on a terminal of so many columns: a quarter of it."""
    return min(max(columns // 4, NARROWEST), WIDEST)


def cells(text: str) -> int:
    """Return how many cells of a terminal the text takes: two for a wide letter or an emoji, none for a mark."""
    if text.isascii():
        return len(text)
    return sum(
        2 if east_asian_width(character) in "WF" else category(character) not in ("Mn", "Me", "Cf")
        for character in text
    )


def shorten(text: str, width: int) -> str:
    """Cut the text in its middle to ``width`` cells: names of one kind often differ in their last letters alone."""
    if cells(text) <= width:
        return text
    room = width - 1
    return f"{_fitting(text, room - room // 2)}…{_fitting(text[::-1], room // 2)[::-1]}"


class Layout:
    """Knows what was printed so far, so that all lines of an output have one layout.

    bound: cells that the column of names may take. The column is as wide as the widest name so far, and never gets
    narrower. None: names stand as they are, whole and without padding, for what is no terminal.
    today: asked for the present day where times are shown; None: no date is ever shown.
    """

    def __init__(
        self, *, bound: int | None = None, color: bool = False, today: Callable[[], date] | None = None
    ) -> None:
        self._bound = bound
        self._color = color
        self._today = today
        self._width = 0
        self._written: dict[str, str] = {}
        self._colors: dict[str, str] = {}
        self.dated = False
        """Whether times are shown with their date: from the first one on that is not of today."""

    def expect(self, names: Iterable[str]) -> None:
        """Make room for these names, before the first line needs it."""
        if self._bound is not None:
            for name in names:
                self._widen(_shown(name))

    def prefix(self, name: str) -> str:
        """Return what a line of the run of this name begins with; empty names have no prefix without a column."""
        return self._written.get(name) or self._write(name)

    def date_due(self, day: date) -> bool:
        """Return whether a time of this day is shown with its date.

        Once one was, all are: columns do not jump where a backlog ends and today begins.
        """
        if not self.dated and self._today is not None:
            self.dated = day != self._today()
        return self.dated

    def _write(self, name: str) -> str:
        shown = _shown(name)
        if self._bound is not None:
            self._widen(shown)
            # A line must not begin with a blank, as a further line of a message does.
            shown = shorten(shown, self._width) or "-"
            padding = " " * (self._width - cells(shown))
        elif not shown:
            return ""
        else:
            padding = ""
        if self._color:
            color = self._colors.get(name)
            if color is None:
                if len(self._colors) >= _CACHE:
                    self._colors.clear()
                color = self._colors[name] = free_color(name, self._colors.values())
            shown = f"{color}{shown}{RESET}"
        if len(self._written) >= _CACHE:
            self._written.clear()
        written = self._written[name] = f"{shown}{padding} | "
        return written

    def _widen(self, shown: str) -> None:
        width = min(max(cells(shown), 1), self._bound or 0)
        if width > self._width:
            self._width = width
            self._written.clear()


def _shown(name: str) -> str:
    # A run may have any name: with blanks in front a first line would look like a further one.
    return escape_line(name.strip())


def _fitting(text: str, width: int) -> str:
    """Return the beginning of the text that fits into ``width`` cells."""
    taken = 0
    for end, character in enumerate(text):
        taken += cells(character)
        if taken > width:
            return text[:end]
    return text
