r"""The syntax of ``.env`` files, as python-dotenv 1.2 reads them for Prefect.

    NAME=value                  white space around both is left out; a value ends before " #"
    export NAME=value           the same
    'NAME' = 'it\'s'            single quotes: \\ and \' are escapes, line breaks are kept
    NAME="two\nlines"           double quotes: \" \a \b \f \n \r \t \v as well
    NAME                        no value at all, which is not the empty value of NAME=
    NAME=${OTHER} ${X:-default} names above in the file, else the environment; inside all quotes too
    # comment

What the names mean is not known here.
"""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

_BLANK_LINES = re.compile(r"\s*")
_SPACE = re.compile(r"[^\S\r\n]*")
_EXPORT = re.compile(r"(?:export[^\S\r\n]+)?")
_QUOTED_NAME = re.compile(r"'([^']+)'")
_NAME = re.compile(r"([^=#\s]+)")
_EQUALS = re.compile(r"=([^\S\r\n]*)")
_SINGLE = re.compile(r"'((?:\\.|[^'\\])*)'", re.DOTALL)
_DOUBLE = re.compile(r'"((?:\\.|[^"\\])*)"', re.DOTALL)
_PLAIN = re.compile(r"([^\r\n]*)")
_END = re.compile(r"(?:[^\S\r\n]*#[^\r\n]*)?[^\S\r\n]*(?:\r\n|\n|\r|\Z)")
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\n|\r)?")

_COMMENT = re.compile(r"\s+#.*")
_IN_SINGLE = re.compile(r"\\([\\'])")
_IN_DOUBLE = re.compile(r"\\([\\'\"abfnrtv])")
_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}

LONGEST = 1 << 17
"""How many characters a value may have once its names are replaced: more than Linux takes into an environment.
Without a limit forty lines of ``A=${A}${A}`` would fill any memory."""


@dataclass(frozen=True, slots=True)
class DotEnv:
    """``values`` has the last value of each name (None: it stands alone); ``bad_lines`` were skipped."""

    values: Mapping[str, str | None] = field(repr=False)
    bad_lines: tuple[int, ...] = ()


def parse(text: str, environ: Mapping[str, str]) -> DotEnv:
    """Read the text of a ``.env`` file; ``${NAME}`` takes from ``environ`` what the file does not have."""
    scanner = _Scanner(text.removeprefix("\ufeff"))
    values: dict[str, str | None] = {}
    names = ChainMap(values, cast("dict[str, str | None]", environ))
    bad_lines: list[int] = []
    while scanner.to_entry():
        start = scanner.at
        try:
            name, value = scanner.entry()
            if name is not None:
                values[name] = None if value is None else _interpolated(value, names)
        except _TooLong:
            bad_lines.append(scanner.line(start))
        except _Unreadable:
            bad_lines.append(scanner.line(start))
            # From where it failed, not from where the entry began: a quoted value may have taken whole lines.
            scanner.take(_LINE)
    return DotEnv(values, tuple(bad_lines))


def _interpolated(value: str, names: Mapping[str, str | None]) -> str:
    """The value with each ``${NAME}`` and ``${NAME:-default}`` replaced; what looks otherwise stays as it is."""
    parts: list[str] = []
    done, start, end = 0, value.find("${"), -1
    while start >= 0 and (end := end if end > start else value.find("}", start)) >= 0:
        if len(value) > LONGEST:
            raise _TooLong
        colon = value.find(":", start, end)
        after = start + 2
        if colon < 0 or value[colon + 1] == "-":
            default = None if colon < 0 else value[colon + 2 : end]
            name = value[start + 2 : end if colon < 0 else colon]
            parts += (value[done:start], names.get(name, default) or "")
            done = after = end + 1
        start = value.find("${", after)
    parts.append(value[done:])
    if sum(map(len, parts)) > max(LONGEST, len(value)):
        raise _TooLong
    return "".join(parts)


class _Unreadable(ValueError):
    """What stands here is not the syntax of ``.env`` files."""


class _TooLong(ValueError):
    """A value that grew beyond all measure."""


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    @property
    def at(self) -> int:
        return self._at

    def line(self, place: int) -> int:
        """The number of the line that a place is in."""
        return self._text.count("\n", 0, place) + 1

    def take(self, pattern: re.Pattern[str]) -> str:
        """Move past the pattern, which must match here; its first group, or all of it where it has none."""
        match = pattern.match(self._text, self._at)
        if match is None:
            raise _Unreadable
        self._at = match.end()
        return str(match[1] if pattern.groups else match[0])

    def sees(self, characters: str) -> bool:
        """Whether one of the characters stands here; the end of the text is none of them."""
        return self._at < len(self._text) and self._text[self._at] in characters

    def to_entry(self) -> bool:
        """Move to the next entry; False at the end of the text."""
        self.take(_BLANK_LINES)
        return self._at < len(self._text)

    def entry(self) -> tuple[str | None, str | None]:
        """The name (None: only a comment stood here) and the value (None: there was no equals sign)."""
        self.take(_EXPORT)
        name = None if self.sees("#") else self.take(_QUOTED_NAME if self.sees("'") else _NAME)
        self.take(_SPACE)
        value = None
        if self.sees("="):
            space = self.take(_EQUALS)
            # "NAME= # comment" is empty, but the # of "NAME=#value" belongs to the value
            value = "" if space and self.sees("#") else self._value()
        self.take(_END)
        return name, value

    def _value(self) -> str:
        if self.sees("'"):
            return _IN_SINGLE.sub(r"\1", self.take(_SINGLE))
        if self.sees('"'):
            return _IN_DOUBLE.sub(lambda match: _ESCAPES.get(match[1], match[1]), self.take(_DOUBLE))
        return _COMMENT.sub("", self.take(_PLAIN)).rstrip()
