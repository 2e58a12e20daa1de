"""What crosses a wire, as a value: one noun for those who watch (``trace``) and who write it down (``record``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Direction = Literal["client", "server"]


@dataclass(frozen=True, slots=True)
class WireEvent:
    """One thing that one side of a connection did.

    ``at`` is monotonic seconds; ``connection`` numbers the connections of one stream from 0. ``kind`` is one of
    ``upgrade`` (client; facts: path, headers), ``upgrade_ok`` and ``refused`` (server; facts: status, headers,
    subprotocol), ``text``, ``binary``, ``continuation``, ``ping``, ``pong``, ``close`` (facts: code; data: the reason),
    ``drop`` (the line was cut), ``request`` (facts: method, path, headers) and ``response`` (facts: status, headers;
    data: the body). ``data`` is None where there is nothing but facts.

    Keys are in it as they were sent: whoever shows or writes an event has to hide them.
    """

    at: float
    connection: int
    direction: Direction
    kind: str
    data: str | bytes | None = field(default=None, repr=False)
    facts: Mapping[str, Any] = field(default_factory=dict, repr=False)
