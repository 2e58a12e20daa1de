"""Wire events as they may be shown: messages whole, secrets hidden, close codes explained; and their counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rawlogs.masking import MASK, names_secret
from rawlogs.testing.redact import Redactor
from rawlogs.trace.script import TOKEN
from rawlogs.wire.events import Direction, WireEvent
from rawlogs.wire.handshake import meaning

_FRAMES = frozenset({"text", "binary", "continuation", "ping", "pong", "close"})


@dataclass(frozen=True, slots=True)
class Entry:
    """Event of the connection, without secrets.

    ``at`` is seconds since the beginning. ``event`` is the kind of a ``WireEvent``. ``data`` is what a message, a
    control frame or a refusal carried; None where there is nothing, and for the fragments of a message before its
    last, which has it whole. ``meaning`` says what a close code means from a Prefect server.
    """

    at: float
    connection: int
    direction: Direction
    event: str
    size: int | None = None
    data: str | bytes | None = field(default=None, repr=False)
    facts: Mapping[str, Any] = field(default_factory=dict, repr=False)
    meaning: str | None = None


class Transcript:
    """Turns wire events into entries, and keeps the account.

    ``secrets`` and the values of the headers named in ``own_headers`` are hidden; None shows everything.
    """

    def __init__(self, start: float, secrets: Iterable[str] | None, own_headers: Iterable[str] = ()) -> None:
        self._start = start
        self._hidden = None if secrets is None else _Hidden(secrets, own_headers)
        self._fragments: dict[Direction, list[bytes]] = {"client": [], "server": []}
        self._binary: dict[Direction, bool] = {"client": False, "server": False}
        self._closed_with: int | None = None
        self.frames: dict[Direction, int] = {"client": 0, "server": 0}
        self.payload: dict[Direction, int] = {"client": 0, "server": 0}
        self.extensions: tuple[str, ...] = ()
        self.ending: Entry | None = None

    def add(self, event: WireEvent) -> Entry:
        """Return the event as it may be shown."""
        facts = {key: value for key, value in event.facts.items() if key not in ("size", "fin")}
        size = event.facts.get("size")
        if event.kind in _FRAMES:
            self.frames[event.direction] += 1
            self.payload[event.direction] += size or 0
        if event.kind == "upgrade_ok":
            self.extensions = tuple(facts.get("extensions", ()))
        data = self._whole(event)
        explained = None
        if event.kind == "close":
            explained = self._meaning(event.direction, facts["code"], str(event.data or ""))
        if self._hidden is not None:
            data, facts = self._hidden.data(event.kind, data), self._hidden.facts(facts)
        at = max(event.at - self._start, 0.0)
        entry = Entry(at, event.connection, event.direction, event.kind, size, data, facts, explained)
        # The first of them says why it ended: the drop after a close frame is only its consequence.
        if event.direction == "server" and event.kind in ("close", "drop"):
            self.ending = self.ending or entry
        return entry

    def _whole(self, event: WireEvent) -> str | bytes | None:
        """Join a message in fragments, and show it with its last one: a secret could be cut in two by them."""
        if event.kind not in ("text", "binary", "continuation"):
            return event.data
        fin, parts = event.facts.get("fin", True), self._fragments[event.direction]
        if event.kind != "continuation":
            if fin:
                return event.data
            self._binary[event.direction] = event.kind == "binary"
            parts.clear()  # of a message that was never finished
        assert isinstance(event.data, bytes)
        parts.append(event.data)
        if not fin:
            return None
        whole = b"".join(parts)
        parts.clear()
        return whole if self._binary[event.direction] else whole.decode("utf-8", "backslashreplace")

    def _meaning(self, direction: Direction, code: int, reason: str) -> str | None:
        if direction == "client":
            self._closed_with = code
            return None
        if reason.startswith("Expected '"):  # Prefect closes with 1008 or 1002 then
            return "the server wanted another frame first"
        return "the answer to ours" if code == self._closed_with else meaning(code)


class _Hidden:
    """Hides secrets in every spelling."""

    def __init__(self, secrets: Iterable[str], own_headers: Iterable[str]) -> None:
        self._redactor = Redactor(secrets)
        self._own_headers = {name.lower() for name in own_headers}

    def data(self, kind: str, data: str | bytes | None) -> str | bytes | None:
        if isinstance(data, bytes):
            return self._redactor.binary(data)
        if isinstance(data, str):
            text = self._redactor.text(data) if kind == "close" else self._redactor.payload(data)
            # Also in what is no JSON: an auth frame that was sent wrong on purpose.
            return TOKEN.sub(lambda found: found[0].replace(found[1], MASK), text)
        return None

    def facts(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        hidden: dict[str, Any] = self._redactor.facts({k: v for k, v in facts.items() if k != "headers"})
        if "headers" in facts:
            hidden["headers"] = [[name, self._header(name, value)] for name, value in facts["headers"]]
        return hidden

    def _header(self, name: str, value: str) -> str:
        own = name.lower() in self._own_headers
        return MASK if own or names_secret(name) else self._redactor.text(value)
