"""Decides when two requests are the same to a cassette, whoever sends them and whenever. Pure.

Two WebSockets are the same by path and filter message, two requests by method, path, query and body. What differs from
run to run is left out of these keys: credentials, moments in time, the order of a list of ids, and parts of a filter
without effect (null, or the operator ``and_``). Any moment equals any other, and a filter's time range equals none.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import orjson

from rawlogs.log_values import parse_timestamp
from rawlogs.testing.model.rest import json_object
from rawlogs.testing.redact import Redactor

LISTS = "/logs/filter"
_RANGES = ("timestamp", "occurred")
_MOMENT = "<moment>"
_REDACTOR = Redactor()


def websocket_key(path: str, frame: str | bytes) -> str:
    """Return the key of a WebSocket: its path below the API's base path, and its filter message."""
    message = json_object(frame)
    if message is None:
        return _key("socket", path, str(frame))
    return _key("socket", path, {**_plain(message), "filter": _without_times(message.get("filter"))})


def request_key(method: str, target: str, content: str | bytes | None) -> str:
    """Return the key of a request; ``target`` is its path below the API's base path, with its query."""
    return _key(method, *_path_and_query(target), _plain(_body(content)))


def exact_key(method: str, target: str, content: str | bytes | None) -> str:
    """Return the key of a request with the moments that it names."""
    return _key(method, *_path_and_query(target), _body(content))


def filter_key(message: str | bytes | None, part: str) -> str:
    """Return the key of the filter in a filter message (part ``filter``) or in a list's body (part ``logs``)."""
    return _key(_without_times((json_object(message) or {}).get(part)))


def _without_times(chosen: Any) -> Any:
    parts = chosen if isinstance(chosen, dict) else {}
    return _plain({name: part for name, part in parts.items() if name not in _RANGES})


def _path_and_query(target: str) -> tuple[str, list[tuple[str, str]]]:
    try:
        parts = urlsplit(target)
    except ValueError:  # a recording can hold any text
        return target, []
    if parts.path == "/csrf-token":  # its query names the client, whose id is new in each run
        return parts.path, []
    return unquote(parts.path), sorted(parse_qsl(parts.query, keep_blank_values=True))


def _plain(value: Any) -> Any:
    """Return a value without what differs from run to run."""
    if isinstance(value, dict):
        parts = {name: _plain(item) for name, item in value.items() if (name, item) != ("operator", "and_")}
        return {name: item for name, item in parts.items() if item is not None}
    if isinstance(value, list):
        # A list of ids is a set: clients send it in any order.
        items = [_plain(item) for item in value]
        return sorted(items) if all(isinstance(item, str) for item in items) else items
    return _MOMENT if isinstance(value, str) and _is_moment(value) else value


def _is_moment(text: str) -> bool:
    # A year or a date alone may be a name: a moment has a date and a time.
    if len(text) < 19 or text[4:5] != "-" or text[10:11] not in ("T", " "):
        return False
    try:
        parse_timestamp(text)
    except ValueError:
        return False
    return True


def _body(content: str | bytes | None) -> Any:
    """Return the JSON of a body as a recording keeps it: with secrets masked."""
    if not content:
        return None
    text = content if isinstance(content, str) else content.decode("utf-8", "backslashreplace")
    text = _REDACTOR.payload(text)
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


def _key(*parts: Any) -> str:
    return orjson.dumps(parts, option=orjson.OPT_SORT_KEYS).decode()
