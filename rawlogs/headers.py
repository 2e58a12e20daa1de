"""The user's own HTTP headers: decoded, merged name by name, and checked before anything is sent."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rawlogs.errors import ConfigError
from rawlogs.sources import Source

NAME = "PREFECT_CLIENT_CUSTOM_HEADERS"

# Those of Prefect 3.8.8's socket (_internal/websockets.py) and its REST client (client/base.py), as one set.
_PROTECTED = re.compile(
    r"user-agent|host|connection|upgrade|sec-websocket-.*|prefect-csrf-(token|client)", re.IGNORECASE
)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z\-]+")
_EXAMPLE = '{"X-Name": "value"}'


@dataclass(frozen=True, slots=True)
class Headers:
    """``values`` by name; ``origin`` names the places they came from; ``notes`` tell which were left out."""

    values: Mapping[str, str] = field(repr=False)
    origin: str
    notes: tuple[str, ...] = ()


def merge(places: Sequence[Source]) -> Headers:
    """The headers of all places, the strongest place first, as Prefect merges them: name by name.

    Names that differ in case only are one name here (Prefect would send both). Headers that belong to the
    protocol or to rawlogs itself are left out. Raises ConfigError for what is no header, quoting none.
    """
    merged: dict[str, tuple[str, object, str]] = {}
    origins: list[str] = []
    for place in places:
        found = _decoded(place)
        if found is not None:
            origins.append(place.name)
            # Of names that differ in case only the last in one place counts, but never one of a weaker place.
            own = {name.lower(): (name, value, place.name) for name, value in found.items()}
            merged = {**own, **merged}
    notes = []
    values: dict[str, str] = {}
    for number, (name, value, origin) in enumerate(merged.values(), 1):
        if not _TOKEN.fullmatch(name):
            raise _bad(origin, f"the name of header {number} has a character that no header name has")
        if _PROTECTED.fullmatch(name):
            notes.append(f"the custom header {name} ({origin}) was left out: it is not for users to set")
            continue
        values[name] = _checked(value, number, origin)
    return Headers(values, " + ".join(origins) or "default", tuple(notes))


def _decoded(place: Source) -> Mapping[str, object] | None:
    """The headers of one place; None where it has none."""
    value = place.values.get(NAME)
    if isinstance(value, dict) and place.name.startswith("profile "):
        raise _bad(place.name, f"a profile holds them as JSON in a string, like '{_EXAMPLE}', not as a table")
    for _ in range(2):  # Prefect decodes a string that JSON decoded to once more
        if isinstance(value, str):
            value = _json(value, place.name)
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise _bad(place.name, "they are not a JSON object")
    return value


def _json(text: str, origin: str) -> object:
    try:
        return json.loads(text)
    except ValueError as error:
        at = getattr(error, "pos", 0) + 1
    except RecursionError:
        at = 1
    # Outside of the handler: a JSON error carries the whole text.
    raise _bad(origin, f"they are not JSON from character {at} on" if text.strip() else "the text is empty")


def _checked(value: object, number: int, origin: str) -> str:
    if not isinstance(value, str):
        raise _bad(origin, f"the value of header {number} is not a string")
    value = value.strip()
    if any((ord(c) < 32 and c != "\t") or ord(c) == 127 for c in value):
        raise _bad(
            origin, f"the value of header {number} has a line break or another control character in it"
        )
    try:
        value.encode("latin-1")
    except UnicodeEncodeError:
        fits = False
    else:
        fits = True
    if not fits:
        raise _bad(origin, f"the value of header {number} has a character that HTTP cannot carry")
    return value


def _bad(origin: str, problem: str) -> ConfigError:
    return ConfigError(
        f"{NAME} ({origin}): {problem}.",
        setting=NAME,
        hint=f"It is a JSON object of names and values, for example {_EXAMPLE} .",
    )
