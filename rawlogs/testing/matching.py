"""When two requests are the same to a cassette, whoever sent them and whenever. Pure.

Two WebSockets are the same by their path and filter message, two requests by method, path, query and body. What differs
from run to run is left out: credentials, moments in time, the order of a list of ids, and parts of a filter that say
nothing (null, or the operator ``and_``). Every moment counts as the same, and a filter's time range as none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import orjson

from rawlogs.models import parse_timestamp
from rawlogs.testing.redact import Redactor

LISTS = "/logs/filter"
_RANGES = ("timestamp", "occurred")
_MOMENT = "<moment>"
_REDACTOR = Redactor()


def conversation(path: str, frame: str | bytes) -> str:
    """The key of a WebSocket: its path below the API's base path, and its filter message."""
    message = _json(frame)
    if not isinstance(message, Mapping):
        return _key("socket", path, str(frame))
    chosen = _choice(message.get("filter"))
    return _key("socket", path, {**_plain(message), "filter": chosen})


def question(method: str, target: str, content: str | bytes | None) -> str:
    """The key of a request: ``target`` is its path below the API's base path, with its query."""
    return _key(method, *_place(target), _plain(_body(content)))


def exactly(method: str, target: str, content: str | bytes | None) -> str:
    """The same, but with the moments that it names."""
    return _key(method, *_place(target), _body(content))


def choice(frame_or_body: str | bytes | None, part: str) -> str:
    """The key of which logs are asked for: the filter in a filter message (``filter``) or a list's body (``logs``)."""
    message = _json(frame_or_body)
    return _key(_choice(message.get(part) if isinstance(message, Mapping) else None))


def _choice(chosen: Any) -> Any:
    kept = (
        {name: part for name, part in chosen.items() if name not in _RANGES}
        if isinstance(chosen, dict)
        else {}
    )
    return _plain(kept)


def _place(target: str) -> tuple[str, list[tuple[str, str]]]:
    try:
        parts = urlsplit(target)
    except ValueError:  # a recording may hold anything
        return target, []
    if parts.path == "/csrf-token":  # asked for under a new name each time
        return parts.path, []
    return unquote(parts.path), sorted(parse_qsl(parts.query, keep_blank_values=True))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        said = {name: _plain(item) for name, item in value.items() if (name, item) != ("operator", "and_")}
        return {name: item for name, item in said.items() if item is not None}
    if isinstance(value, list):
        items = [_plain(item) for item in value]
        return sorted(items) if all(isinstance(item, str) for item in items) else items
    return _MOMENT if isinstance(value, str) and _is_moment(value) else value


def _is_moment(text: str) -> bool:
    # "2026" alone is a number to some readers of times; a moment has a date and a time.
    if len(text) < 19 or text[4:5] != "-" or text[10:11] not in ("T", " "):
        return False
    try:
        parse_timestamp(text)
    except ValueError:
        return False
    return True


def _body(content: str | bytes | None) -> Any:
    """The JSON of a body as a recording keeps it: the token of a body is masked there."""
    if not content:
        return None
    text = content if isinstance(content, str) else content.decode("utf-8", "backslashreplace")
    text = _REDACTOR.payload(text)
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


def _json(content: str | bytes | None) -> Any:
    try:
        return orjson.loads(content) if content else None
    except orjson.JSONDecodeError:
        return None


def _key(*parts: Any) -> str:
    return orjson.dumps(parts, option=orjson.OPT_SORT_KEYS).decode()
