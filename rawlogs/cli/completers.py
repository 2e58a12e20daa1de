"""What Tab offers without a server: the words that an option takes."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import click

MOST = 50
"""How many names are offered at most."""
_SAFE = re.compile(r"[\w.@%+:=][\w.@%+:=/-]*")
"""Names that a shell takes as one word, without a meaning of its own. Others are not offered: a run may be named
``$(command)``, and what bash inserts is run on Enter."""


def levels(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return Prefect's levels that begin so, in whatever case."""
    names = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
    return [name for name in names if name.startswith(incomplete.upper())]


def profiles(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return the names of the profiles in Prefect's file."""
    from rawlogs.config.sources import profile_names

    with suppress(Exception):
        return fitting(profile_names(os.environ, Path.cwd()), incomplete)
    return []


def fitting(names: Iterable[str], incomplete: str) -> list[str]:
    """Return the names that begin so and are safe in every shell."""
    found = [name for name in dict.fromkeys(names) if name.startswith(incomplete) and _SAFE.fullmatch(name)]
    return found[:MOST]
