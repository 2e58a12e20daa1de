"""Removes secrets, and on request log messages, from what is written. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import orjson

from rawlogs.masking import MASK, Masker, names_secret

_MESSAGES = frozenset({"message", "prefect.state-message"})


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
            if self._messages:
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
        plain = (
            value is None or isinstance(value, (bool, float)) or (type(value) is int and abs(value) < 1 << 63)
        )
        return value if plain else self.text(str(value))

    def _fact(self, name: str, value: Any) -> Any:
        if name != "headers":
            return self.facts(value)
        if isinstance(value, dict):
            return {self.text(str(key)): self._header(str(key), item) for key, item in value.items()}
        if isinstance(value, (list, tuple)) and all(isinstance(pair, (list, tuple)) for pair in value):
            return [self._pair(pair) for pair in value]
        return self.facts(value)

    def _pair(self, pair: Sequence[Any]) -> list[Any]:
        if len(pair) != 2:
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
