"""What a recording holds: its WebSocket sessions, its REST questions with their answers, its logs. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

import orjson

from rawlogs.masking import MASK
from rawlogs.models import parse_timestamp
from rawlogs.testing.model.logs import Entry, iso, micros
from rawlogs.testing.net.rest_exchange import Answer
from rawlogs.wire.events import WireEvent

_OF_THE_LINE = frozenset(
    {"connection", "content-encoding", "content-length", "date", "server", "transfer-encoding"}
)
_FRAMES = ("text", "binary")
_ENDS = ("close", "drop")


@dataclass(frozen=True, slots=True)
class Session:
    """One recorded WebSocket: its path as the client asked for it, and everything that was said."""

    path: str
    events: Sequence[WireEvent]

    @property
    def filter(self) -> str | bytes | None:
        """The client's filter message; None where the conversation did not get as far."""
        said = (event.data for event in self.events if event.direction == "client" and event.kind in _FRAMES)
        return next((data for data in said if data is not None and kind_of(data) == "filter"), None)

    @property
    def left(self) -> bool:
        """Whether it was the client that ended it, or nobody."""
        ends = [event.direction for event in self.events if event.kind in _ENDS]
        return not ends or ends[0] == "client"


@dataclass(frozen=True, slots=True)
class Exchanged:
    """One recorded request and its answer. ``target`` is its path with the query."""

    method: str
    target: str
    content: str | bytes | None
    answer: Answer

    @property
    def path(self) -> str:
        return path_of(self.target)


def path_of(url: object) -> str:
    """The path of a recorded URL; empty for what is no URL."""
    try:
        return urlsplit(str(url)).path
    except ValueError:
        return ""


def below(target: str, api_url: str | None) -> str:
    """A recorded path, with its query, below the API's base path; a path that is not below it stays as it is."""
    base = path_of(api_url or "").rstrip("/") or "/api"
    return target[len(base) :] if target.startswith(f"{base}/") else target


def sessions(events: Sequence[WireEvent]) -> Iterator[Session]:
    """Each recorded WebSocket, in the order of their beginning."""
    current: dict[int, list[WireEvent]] = {}
    found: list[Session] = []
    for event in events:
        if event.kind == "upgrade":
            current[event.connection] = [event]
            path = unquote(path_of(event.facts.get("path", "")))
            found.append(Session(path, current[event.connection]))
        elif event.connection in current and event.kind not in ("request", "response"):
            current[event.connection].append(event)
    return iter(found)


def exchanges(events: Sequence[WireEvent]) -> Iterator[Exchanged]:
    """Each recorded request that was answered, in the order of the answers."""
    asked: dict[int, WireEvent] = {}
    for event in events:
        if event.kind == "request":
            asked[event.connection] = event
        elif event.kind == "response" and (request := asked.pop(event.connection, None)) is not None:
            method, target = str(request.facts.get("method", "GET")), str(request.facts.get("path", ""))
            yield Exchanged(method, target, request.data, _answer(event))


def logs(events: Sequence[WireEvent]) -> tuple[list[Entry], list[tuple[float, Entry]]]:
    """The logs of a recording: those that only the REST list showed, and those that were streamed, with when."""
    listed: dict[str, Entry] = {}
    for asked in exchanges(events):
        if (
            asked.method == "POST"
            and asked.path.endswith("/logs/filter")
            and isinstance(asked.answer.body, list)
        ):
            for row in asked.answer.body:
                if (entry := entry_of(row)) is not None:
                    listed.setdefault(entry.id, entry)
    streamed: dict[str, tuple[float, Entry]] = {}
    for event in events:
        if event.direction == "server" and event.kind in _FRAMES:
            log = told(event.data) if event.data is not None else None
            if (entry := entry_of(log, listed)) is not None:
                streamed.setdefault(entry.id, (event.at, entry))
    return [entry for id, entry in listed.items() if id not in streamed], list(streamed.values())


def entry_of(log: Any, listed: Mapping[str, Entry] | None = None) -> Entry | None:
    """A recorded log as the store holds it, with the dates of its listed row; None for what is no log."""
    try:
        moment = parse_timestamp(log["timestamp"])
        row = {
            **log,
            "id": str(log["id"]),
            "level": int(log["level"]),
            "message": str(log["message"]),
            "name": str(log.get("name", "")),
            "flow_run_id": log.get("flow_run_id"),
            "task_run_id": log.get("task_run_id"),
        }
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    if listed is not None and row["id"] in listed:
        row = dict(listed[row["id"]].row)
    stored = iso(moment)
    row["timestamp"] = stored
    row["created"] = row.get("created") or stored
    row["updated"] = row.get("updated") or stored
    return Entry(row, micros(moment), log["timestamp"])


def told(data: str | bytes) -> Any:
    """The log or the event in a frame; None in any other frame."""
    value = decoded(data)
    return value.get("log", value.get("event")) if isinstance(value, dict) else None


def id_of(told: Any) -> str | None:
    """The id of a log or an event, where it has one."""
    id = told.get("id") if isinstance(told, Mapping) else None
    return id if isinstance(id, str) else None


def kind_of(data: str | bytes) -> str:
    """The type of a frame; empty where it has none."""
    value = decoded(data)
    return str(value.get("type", "")) if isinstance(value, dict) else ""


def decoded(data: str | bytes | None) -> Any:
    """The JSON value; None where there is none."""
    try:
        return orjson.loads(data) if data is not None else None
    except orjson.JSONDecodeError:
        return None


def integer(value: Any, default: int) -> int:
    """The number itself, and the default for anything else."""
    return value if type(value) is int else default


def _answer(event: WireEvent) -> Answer:
    pairs = event.facts.get("headers") or ()
    pairs = pairs.items() if isinstance(pairs, Mapping) else pairs
    headers = {
        str(pair[0]).lower(): str(pair[1])
        for pair in pairs
        if isinstance(pair, (list, tuple)) and len(pair) == 2 and pair[1] != MASK
    }
    raw = event.data.encode() if isinstance(event.data, str) else event.data or b""
    return Answer(
        decoded(event.data),
        integer(event.facts.get("status"), 200),
        {name: value for name, value in headers.items() if name not in _OF_THE_LINE},
        raw=raw,
    )
