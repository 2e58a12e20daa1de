"""Decide whether to use colour, and which one: of the 16 that every terminal knows and themes adapt."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Literal
from zlib import crc32

ColorMode = Literal["auto", "always", "never"]

RESET = "\x1b[0m"
DIM = "\x1b[2m"
RED = "\x1b[31m"
YELLOW = "\x1b[33m"
_LEVELS = ((50, "\x1b[1;91m"), (40, RED), (30, YELLOW), (20, "\x1b[36m"))
_DEBUG = "\x1b[34m"
# Neither red nor yellow, which mean something, nor black and white, which may be the background.
_NAMES = tuple(f"\x1b[{code}m" for code in (32, 34, 35, 36, 92, 94, 95, 96))


def want_color(mode: ColorMode, stream_isatty: bool, environ: Mapping[str, str]) -> bool:
    """Return whether to colour: the flag decides; on "auto" the environment; where it sets nothing, the terminal.

    The first of these that is set decides: NO_COLOR, FORCE_COLOR ("0" and "false" mean no), CLICOLOR_FORCE, TERM=dumb,
    CLICOLOR=0. An empty variable counts as not set.
    """
    if mode != "auto":
        return mode == "always"
    if environ.get("NO_COLOR"):
        return False
    forced = environ.get("FORCE_COLOR")
    if forced:
        return forced.lower() not in ("0", "false")
    if environ.get("CLICOLOR_FORCE", "0") not in ("", "0"):
        return True
    if environ.get("TERM") == "dumb" or environ.get("CLICOLOR") == "0":
        return False
    return stream_isatty


def level_color(level: int) -> str:
    """Return the colour of a level; one between two named levels has the lower one's."""
    for lowest, color in _LEVELS:
        if level >= lowest:
            return color
    return _DEBUG


def name_color(name: str) -> str:
    """Return a colour for a name: the same one in every process and on every machine."""
    return _NAMES[crc32(name.encode("utf-8", "surrogatepass")) % len(_NAMES)]


def free_color(name: str, taken: Collection[str]) -> str:
    """Return the colour of the name, or the next one that is not taken; its own again where all are."""
    first = _NAMES.index(name_color(name))
    free = (color for color in _NAMES[first:] + _NAMES[:first] if color not in taken)
    return next(free, _NAMES[first])
