"""Removes secrets, and on request log messages, from what is written, also where fragments cut them in two. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import orjson

from rawlogs.masking import MASK, Masker, names_secret
from rawlogs.wire.events import Direction, WireEvent

_MESSAGES = frozenset({"message", "prefect.state-message"})
_FRAMES = frozenset({"text", "binary", "continuation"})
Ready = tuple[WireEvent, bool]
"""An event, and whether its secrets are masked already."""


class Redactor:
    """Masks secrets in any spelling, and with ``messages`` replaces the messages of logs and events.

    A message keeps its length and its line breaks; every other character becomes an ``x``.
    """

    def __init__(self, secrets: Iterable[str] = (), *, messages: bool = False) -> None:
        self._masker = Masker(secrets)
        self._messages = messages

    def text(self, text: str) -> str:
        """Return a text without the secrets."""
        return self._masker.text(text)

    def payload(self, data: str) -> str:
        """Return a frame or a body without the secrets, the token of an auth frame, and (if asked) the messages."""
        try:
            value = orjson.loads(data)
        except orjson.JSONDecodeError:
            return blank(data) if self._messages else self._masker.payload(data)
        changed = False
        # The key in an auth frame is masked also where nobody named it as a secret.
        if isinstance(value, dict) and isinstance(value.get("token"), str) and value["token"]:
            value["token"], changed = MASK, True
        if self._messages:
            value, changed = _map_messages(value, blank), True
        return self._masker.payload(orjson.dumps(value).decode() if changed else data)

    def binary(self, data: bytes) -> bytes:
        """Return the same for bytes."""
        try:
            return self.payload(data.decode()).encode()
        except UnicodeDecodeError:
            if self._messages:  # zeros: what is no text may be a message all the same
                return bytes(len(data))
        return self._masker.binary(data)

    def facts(self, value: Any) -> Any:
        """Return a JSON-like value without the secrets; ``headers``, as pairs or a mapping, are masked by name."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(str(key)): self._fact(str(key), item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.facts(item) for item in value]
        if value is None or isinstance(value, (bool, float)) or (type(value) is int and abs(value) < 1 << 63):
            return value
        return self.text(str(value))  # orjson writes no larger int, and no other type

    def _fact(self, name: str, value: Any) -> Any:
        if name != "headers":
            return self.facts(value)
        if isinstance(value, dict):
            return {self.text(str(key)): self._header(str(key), item) for key, item in value.items()}
        if isinstance(value, (list, tuple)) and all(isinstance(pair, (list, tuple)) for pair in value):
            return [self._pair(pair) for pair in value]
        return self.facts(value)

    def _pair(self, pair: Sequence[Any]) -> list[Any]:
        if len(pair) != 2:  # a recording of another program: no header, but perhaps a secret
            return [self.facts(item) for item in pair]
        return [self.facts(pair[0]), self._header(str(pair[0]), pair[1])]

    def _header(self, name: str, value: Any) -> Any:
        return MASK if names_secret(name) else self.facts(value)


def blank(text: str) -> str:
    """Return a text of the same length and lines, of ``x`` alone."""
    return "".join("\n" if character == "\n" else "x" for character in text)


def _map_messages(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, dict):
        return {
            key: change(item) if key in _MESSAGES and isinstance(item, str) else _map_messages(item, change)
            for key, item in value.items()
        }
    return [_map_messages(item, change) for item in value] if isinstance(value, list) else value


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
        if event.kind in ("text", "binary") and not event.facts.get("fin", True):
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
                if event.direction != direction or event.kind not in _FRAMES:
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
        parts = [as_bytes(events[index][0].data) for index in indexes]
        sizes = [len(part) for part in parts]
        hidden = self._redactor.binary(b"".join(parts))
        if len(hidden) != sum(sizes):
            sizes = [0] * (len(indexes) - 1) + [len(hidden)]
        done = 0
        for index, size in zip(indexes, sizes, strict=True):
            events[index] = replace(events[index][0], data=hidden[done : done + size]), True
            done += size


def as_bytes(data: str | bytes | None) -> bytes:
    """Return recorded data as the bytes that were sent."""
    return data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data or b""
