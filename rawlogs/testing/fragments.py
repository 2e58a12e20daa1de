"""Masks secrets that are cut in two by the fragments of a WebSocket message. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from rawlogs.testing.redact import Redactor
from rawlogs.wire.events import Direction, WireEvent

_STARTS = frozenset({"text", "binary"})

Ready = tuple[WireEvent, bool]
"""An event, and whether its secrets are masked already."""


class Fragments:
    """Holds back the events of a connection while one of its messages is not whole; returns them in their order."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._held: dict[int, list[WireEvent]] = {}
        self._open: dict[int, set[Direction]] = {}

    def add(self, event: WireEvent) -> list[Ready]:
        """Take an event; return those that can be written now."""
        number = event.connection
        unfinished = self._open.setdefault(number, set())
        if event.kind in _STARTS and not event.facts.get("fin", True):
            unfinished.add(event.direction)
        elif event.kind == "continuation" and event.facts.get("fin", True):
            unfinished.discard(event.direction)
        held = self._held.setdefault(number, [])
        held.append(event)
        if unfinished:
            return []
        del self._held[number]
        return self._whole(held)

    def rest(self) -> Iterator[Ready]:
        """Yield the events of messages that never became whole."""
        for number in list(self._held):
            yield from self._whole(self._held.pop(number))

    def _whole(self, events: list[WireEvent]) -> list[Ready]:
        found = [(event, False) for event in events]
        for direction in ("client", "server"):
            message: list[int] = []
            for index, event in enumerate(events):
                if event.direction != direction or event.kind not in (*_STARTS, "continuation"):
                    continue
                message.append(index)
                if event.facts.get("fin", True):
                    self._hide(found, message)
                    message = []
            self._hide(found, message)
        return found

    def _hide(self, events: list[Ready], indexes: list[int]) -> None:
        """Mask secrets in the joined message; where that changes its length, the last fragment gets all of it."""
        if len(indexes) < 2:
            return
        sizes = [len(_bytes(events[index][0].data)) for index in indexes]
        whole = b"".join(_bytes(events[index][0].data) for index in indexes)
        hidden = self._redactor.binary(whole)
        if len(hidden) != len(whole):
            sizes = [0] * (len(indexes) - 1) + [len(hidden)]
        done = 0
        for index, size in zip(indexes, sizes, strict=True):
            events[index] = replace(events[index][0], data=hidden[done : done + size]), True
            done += size


def _bytes(data: str | bytes | None) -> bytes:
    return data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data or b""
