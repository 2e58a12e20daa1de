"""Reads what a recording holds: WebSocket sessions, REST exchanges, logs. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from rawlogs.log_values import micros, parse_timestamp, rfc3339
from rawlogs.masking import MASK
from rawlogs.testing.model.logs import Entry
from rawlogs.testing.model.rest import Answer, json_object, json_value
from rawlogs.testing.redact import as_bytes
from rawlogs.wire.events import WireEvent

_OF_THE_CONNECTION = frozenset(
    {"connection", "content-encoding", "content-length", "date", "server", "transfer-encoding"}
)
"""Headers of a recorded answer that are not sent again: they describe how it was sent then."""
_FRAMES = ("text", "binary")


@dataclass(frozen=True, slots=True, eq=False)
class Session:
    """One recorded WebSocket: the path that the client asked for, and all events, the upgrade first."""

    path: str
    events: Sequence[WireEvent]

    @property
    def filter(self) -> str | bytes | None:
        """The client's filter message; None where the session ended before it."""
        sent = (event.data for event in self.events if event.direction == "client" and event.kind in _FRAMES)
        return next((data for data in sent if data is not None and kind_of(data) == "filter"), None)

    @property
    def ended_by_server(self) -> bool:
        """True if the server closed or cut it; False where the client did, or neither."""
        ends = [event.direction for event in self.events if event.kind in ("close", "drop")]
        return bool(ends) and ends[0] == "server"


@dataclass(frozen=True, slots=True)
class RecordedExchange:
    """One recorded request and its answer. ``target`` is the request's path with its query."""

    method: str
    target: str
    content: str | bytes | None
    answer: Answer

    @property
    def path(self) -> str:
        """The path without the query."""
        return path_of(self.target)


def path_of(url: object) -> str:
    """Return the path of a recorded URL; empty for what is no URL."""
    try:
        return urlsplit(str(url)).path
    except ValueError:
        return ""


def below(target: str, api_url: str | None) -> str:
    """Return a recorded path, with its query, below the API's base path; another path stays as it is."""
    base = base_path(api_url)
    return target[len(base) :] if target.startswith(f"{base}/") else target


def base_path(api_url: str | None) -> str:
    """Return the path of the recorded API; Prefect's default where the recording names none."""
    return path_of(api_url or "").rstrip("/") or "/api"


def sessions(events: Sequence[WireEvent]) -> list[Session]:
    """Return the recorded WebSockets in the order in which they began."""
    current: dict[int, list[WireEvent]] = {}
    found: list[Session] = []
    for event in events:
        if event.kind == "upgrade":
            current[event.connection] = [event]
            path = unquote(path_of(event.facts.get("path", "")))
            found.append(Session(path, current[event.connection]))
        # REST exchanges are numbered like connections; `exchanges` reads them.
        elif event.connection in current and event.kind not in ("request", "response"):
            current[event.connection].append(event)
    return found


def exchanges(events: Sequence[WireEvent]) -> Iterator[RecordedExchange]:
    """Yield each recorded request that was answered, in the order of the answers."""
    asked: dict[int, WireEvent] = {}
    for event in events:
        if event.kind == "request":
            asked[event.connection] = event
        elif event.kind == "response" and (request := asked.pop(event.connection, None)) is not None:
            method, target = str(request.facts.get("method", "GET")), str(request.facts.get("path", ""))
            yield RecordedExchange(method, target, request.data, _answer(event))


def logs(events: Sequence[WireEvent]) -> tuple[list[Entry], list[tuple[float, Entry]]]:
    """Return the logs that only the REST list showed, and those that were streamed with the second of each."""
    listed: dict[str, Entry] = {}
    for exchange in exchanges(events):
        is_list = exchange.method == "POST" and exchange.path.endswith("/logs/filter")
        rows = exchange.answer.body
        for row in rows if is_list and isinstance(rows, list) else ():
            if (entry := entry_of(row)) is not None:
                # A log is the same in every answer: the first one is enough.
                listed.setdefault(entry.id, entry)
    streamed: dict[str, tuple[float, Entry]] = {}
    for event in events:
        sent = event.direction == "server" and event.kind in _FRAMES
        if sent and (entry := entry_of(payload_of(event.data), listed)) is not None:
            streamed.setdefault(entry.id, (event.at, entry))
    return [entry for id, entry in listed.items() if id not in streamed], list(streamed.values())


def entry_of(log: Any, listed: Mapping[str, Entry] | None = None) -> Entry | None:
    """Return a recorded log as the store holds it, with the dates of its listed row; None for what is no log."""
    try:
        moment = parse_timestamp(log["timestamp"])
        texts = {"id": str(log["id"]), "message": str(log["message"]), "name": str(log.get("name", ""))}
        runs = {key: log.get(key) for key in ("flow_run_id", "task_run_id")}
        row = {**log, **texts, **runs, "level": int(log["level"])}
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    if listed is not None and row["id"] in listed:
        row = listed[row["id"]].row
    stored = rfc3339(moment)
    dates = {key: row.get(key) or stored for key in ("created", "updated")}  # a live frame has null in both
    return Entry({**row, **dates, "timestamp": stored}, micros(moment), log["timestamp"])


def payload_of(data: str | bytes | None) -> Any:
    """Return the log or the event in a frame; None for any other frame."""
    value = json_object(data) or {}
    return value.get("log", value.get("event"))


def id_of(payload: Any) -> str | None:
    """Return the id of a log or an event; None where it has none."""
    id = payload.get("id") if isinstance(payload, Mapping) else None
    return id if isinstance(id, str) else None


def kind_of(data: str | bytes) -> str:
    """Return the type that a frame names; empty where it names none."""
    return str((json_object(data) or {}).get("type", ""))


def integer(value: Any, default: int) -> int:
    """Return an int as it is, and the default for any other value."""
    return value if type(value) is int else default


def _answer(event: WireEvent) -> Answer:
    pairs = event.facts.get("headers") or ()
    pairs = pairs.items() if isinstance(pairs, Mapping) else pairs
    headers = {
        str(pair[0]).lower(): str(pair[1])
        for pair in pairs
        if isinstance(pair, (list, tuple))
        and len(pair) == 2
        and pair[1] != MASK  # a secret is not sent as ***
    }
    return Answer(
        json_value(event.data),
        integer(event.facts.get("status"), 200),
        {name: value for name, value in headers.items() if name not in _OF_THE_CONNECTION},
        raw=as_bytes(event.data),
    )
