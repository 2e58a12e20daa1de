"""The syntax of ``.env`` files, read by python-dotenv, as Prefect does; what the names mean is not known here."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import StringIO
from typing import cast

LONGEST = 1 << 17
"""Characters that a value may have once its variables are replaced: more than Linux takes into an environment.
Without a limit forty lines of ``A=${A}${A}`` would fill any memory."""
MOST_VARIABLES = 100
"""Variables that are replaced in one value; a value with more stays as it is written. The time that python-dotenv takes
grows with the square of the number of ``${`` that are not closed: 6 s for 8,000."""


@dataclass(frozen=True, slots=True)
class DotEnv:
    """``values`` has the last value of each name (None: it stands alone); ``bad_lines`` were skipped."""

    values: Mapping[str, str | None] = field(repr=False)
    bad_lines: tuple[int, ...] = ()


def parse(text: str, environ: Mapping[str, str]) -> DotEnv:
    """Read the text of a ``.env`` file; ``${NAME}`` takes from ``environ`` what the file does not have above."""
    # Most working directories have no .env.
    from dotenv.parser import parse_stream

    values: dict[str, str | None] = {}
    names = ChainMap(values, cast("dict[str, str | None]", environ))
    bad_lines: list[int] = []
    line = 1
    for binding in parse_stream(StringIO(text, newline="")):
        source = binding.original.string
        value = None if binding.value is None else _replace_variables(binding.value, names)
        if binding.error or (value is None and binding.value is not None):
            # The blank lines above an entry belong to it.
            bad_lines.append(line + source[: len(source) - len(source.lstrip())].count("\n"))
        elif binding.key is not None:
            values[binding.key] = value
        line += source.count("\n")
    return DotEnv(values, tuple(bad_lines))


def _replace_variables(value: str, names: Mapping[str, str | None]) -> str | None:
    """Return the value with each ``${NAME}`` and ``${NAME:-default}`` replaced; None if it becomes too long."""
    from dotenv.variables import parse_variables

    if value.count("${") > MOST_VARIABLES:
        return value
    replaced = "".join(atom.resolve(names) for atom in parse_variables(value))
    return replaced if len(replaced) <= max(LONGEST, len(value)) else None
