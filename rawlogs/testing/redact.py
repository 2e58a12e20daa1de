"""What must not be written down: keys always, what was logged where that is asked for. Pure."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote, quote_plus

import orjson

MASK = "***"
SHORTEST = 4
"""A secret of fewer characters is masked in auth frames and headers only: it would be found everywhere."""
SECRET_HEADERS = frozenset(
    {"authorization", "proxy-authorization", "cookie", "set-cookie", "prefect-csrf-token", "x-api-key"}
)
_MESSAGES = frozenset({"message", "prefect.state-message"})


class Redactor:
    """Masks secrets in whatever spelling they come, and with ``messages`` replaces what was logged.

    A message keeps its length and its line breaks; every other character becomes an ``x``.
    """

    def __init__(self, secrets: Iterable[str] = (), *, messages: bool = False) -> None:
        spellings = {
            spelling for secret in secrets if len(secret) >= SHORTEST for spelling in _spellings(secret)
        }
        self._spellings = sorted(spellings, key=len, reverse=True)
        self._messages = messages

    def text(self, text: str) -> str:
        """Any text without the secrets."""
        for spelling in self._spellings:
            text = text.replace(spelling, MASK)
        return text

    def payload(self, data: str) -> str:
        """A frame or a body: also without the token of an auth frame, and without the messages."""
        try:
            value = orjson.loads(data)
        except orjson.JSONDecodeError:
            return blank(data) if self._messages else self.text(data)
        changed = False
        if isinstance(value, dict) and isinstance(value.get("token"), str) and value["token"]:
            value["token"], changed = MASK, True
        if self._messages:
            value, changed = _map_messages(value, blank), True
        return self.text(orjson.dumps(value).decode() if changed else data)

    def binary(self, data: bytes) -> bytes:
        """The same for bytes."""
        try:
            return self.payload(data.decode()).encode()
        except UnicodeDecodeError:
            if self._messages:
                return bytes(len(data))
        for spelling in self._spellings:
            data = data.replace(spelling.encode(), MASK.encode())
        return data

    def facts(self, value: Any) -> Any:
        """Any JSON-like value without the secrets; headers by their names, as pairs or as a mapping."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(str(key)): self._fact(str(key), item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            if len(value) == 2 and all(isinstance(item, str) for item in value):
                return [self.text(value[0]), self._fact(value[0], value[1])]
            return [self.facts(item) for item in value]
        plain = (
            value is None or isinstance(value, (bool, float)) or (type(value) is int and abs(value) < 1 << 63)
        )
        return value if plain else self.text(str(value))

    def _fact(self, name: str, value: Any) -> Any:
        return MASK if name.lower() in SECRET_HEADERS else self.facts(value)


def blank(text: str) -> str:
    """A text of the same length and lines that says nothing."""
    return "".join("\n" if character == "\n" else "x" for character in text)


def _map_messages(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, dict):
        return {
            key: change(item) if key in _MESSAGES and isinstance(item, str) else _map_messages(item, change)
            for key, item in value.items()
        }
    return [_map_messages(item, change) for item in value] if isinstance(value, list) else value


def _spellings(secret: str) -> set[str]:
    encoded = secret.encode("utf-8", "surrogatepass")
    return {
        secret,
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        base64.b64encode(encoded).decode(),
        quote(encoded, safe=""),
        quote_plus(encoded),
    }
