"""Prefect's own search syntax for logs (``text.query``), as a predicate. Pure: no server is asked.

| query | matches a log whose "message logger-name" |
| --- | --- |
| ``a b`` | has ``a`` or ``b`` |
| ``"a b"`` | has the phrase; inside it a quote is ``\\"`` and a backslash may be ``\\\\`` |
| ``-a``, ``!a``, ``-"a b"`` | does not have it |
| ``+a``, ``+"a b"`` | has it, whatever else it has |
| blank, ``+``, ``""`` | is any log |

A word matches anywhere, also inside another word. The three groups must all agree: ``+timeout after`` needs
both. A sign before a space is dropped (``- x`` is the plain word ``x``), ``'`` is a letter like others, and a
quote that is never closed reaches to the end. All this as Prefect 3.4.20 to 3.8.8 parse it.

Case is ignored in every alphabet. A server on Postgres does the same; one on SQLite ignores the case of ASCII
letters only, and would not find ``ÉCOLE`` for ``école``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from rawlogs.errors import ConfigError

MAX_QUERY = 200
"""The longest query that Prefect's API takes, in characters."""

_TERM = re.compile(
    r"""
      [-!+] (?= \s | \Z )                            # a sign alone says nothing
    | (?P<sign> [-!+] )?
      (?: " (?P<phrase> (?: \\. | [^"\\] )* \\? ) "?
        | (?P<word> [^\s"]+ ) )
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r'\\(["\\])')


@dataclass(frozen=True, slots=True)
class TextQuery:
    """Terms of a query: one of ``include``, all of ``require``, none of ``exclude`` must be there."""

    include: tuple[str, ...] = ()
    require: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    @classmethod
    def parse(cls, query: str) -> TextQuery:
        """Return the terms of a query. Any text is one; ConfigError only where it is longer than 200 characters."""
        if len(query) > MAX_QUERY:
            raise ConfigError(
                f"The text query is {len(query)} characters long; Prefect takes at most {MAX_QUERY}",
                setting="text",
                hint="A regular expression (--include, --exclude) may be longer.",
            )
        groups: dict[str, list[str]] = {"": [], "+": [], "-": [], "!": []}
        for term in _TERM.finditer(query):
            text = term["word"] or _ESCAPE.sub(r"\1", term["phrase"] or "")
            if text.strip():
                groups[term["sign"] or ""].append(text.casefold())
        return cls(tuple(groups[""]), tuple(groups["+"]), tuple(groups["-"] + groups["!"]))

    def matches(self, message: str, logger: str) -> bool:
        """Return whether a log with that message and logger name is one that the query asks for."""
        text = f"{message} {logger}".casefold()
        return (
            (not self.include or any(term in text for term in self.include))
            and all(term in text for term in self.require)
            and not any(term in text for term in self.exclude)
        )
