"""One REST request and one answer, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson


def json_value(data: str | bytes | None) -> Any:
    """Return the JSON value; None where there is none or it is no JSON."""
    try:
        return orjson.loads(data or b"")
    except orjson.JSONDecodeError:
        return None


def json_object(data: str | bytes | None) -> dict[str, Any] | None:
    """Return the JSON object; None for any other data."""
    value = json_value(data)
    return value if isinstance(value, dict) else None


@dataclass(frozen=True, slots=True)
class RestRequest:
    """One request. ``path`` is decoded and without the API's base path; ``headers`` have lower-case names."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str] = field(repr=False)
    content: bytes = field(default=b"", repr=False)
    target: str = ""
    """The path below the base path as the client wrote it: encoded, and with its query."""
    below_base: bool = True
    """False: the path is not below the API's base path; ``path`` and ``target`` are the whole path."""

    @property
    def body(self) -> Any:
        """The decoded JSON body; None where there is none or it is no JSON."""
        return json_value(self.content)


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer. ``raw`` replaces the JSON of ``body``; ``hangs_up`` cuts the connection afterwards."""

    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    hangs_up: bool = False
    raw: bytes | None = field(default=None, repr=False)

    @property
    def content(self) -> bytes:
        """The body's bytes."""
        return orjson.dumps(self.body) if self.raw is None else self.raw
