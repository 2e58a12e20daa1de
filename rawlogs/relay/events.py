"""What a reader is handed, and its two encodings: Server-Sent Events and JSON frames. Each log is encoded once.

JSON has no line ends in it (``rawlogs.output.json`` escapes all that some reader takes for one), so one ``data:`` line
holds it and no log can forge an event.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from rawlogs.batch import Batch
from rawlogs.models import Log
from rawlogs.output.json import JsonFormat, encode_object
from rawlogs.relay.cursor import Cursor

_FORMAT = JsonFormat()


class LogEvent:
    """A log. ``json`` is shared by all readers; so are ``sse`` and ``frame``, whose id is the cursor."""

    kind: Literal["log"] = "log"
    __slots__ = ("_frame", "_json", "_sse", "cursor", "log", "seq")

    def __init__(self, log: Log, cursor: Cursor, seq: int = 0, json: bytes | None = None) -> None:
        self.log = log
        self.cursor = cursor
        self.seq = seq
        self._json = json
        self._sse: bytes | None = None
        self._frame: str | None = None

    def at(self, cursor: Cursor) -> LogEvent:
        """Return the same log with another cursor; the encoded log is shared."""
        return LogEvent(self.log, cursor, self.seq, self.json)

    @property
    def json(self) -> bytes:
        """Return the log as one JSON object."""
        if self._json is None:
            self._json = _FORMAT.encode(self.log)[:-1]
        return self._json

    @property
    def sse(self) -> bytes:
        """Return the whole event as Server-Sent Events have it."""
        if self._sse is None:
            self._sse = b"id: %s\nevent: log\ndata: %s\n\n" % (self.cursor.text.encode(), self.json)
        return self._sse

    @property
    def frame(self) -> str:
        """Return the whole event as one JSON object, for a WebSocket."""
        if self._frame is None:
            self._frame = f'{{"type":"log","id":"{self.cursor.text}","log":{self.json.decode()}}}'
        return self._frame

    def __repr__(self) -> str:
        return f"<LogEvent {self.cursor.text} {self.log!r}>"


def encoded(logs: Batch) -> Sequence[bytes | None]:
    """Return the ``LogEvent.json`` of each log, taken from the payloads; None for each where these are not proven."""
    if logs.rows is None or logs.frames is None:
        return [None] * len(logs)
    return _FORMAT.encode_rows(logs.rows, logs.frames).split(b"\n")[:-1]


class _ControlEvent:
    """What is not a log: the fields of ``facts`` in both encodings. No cursor: a returning reader begins anew."""

    __slots__ = ()
    kind: str
    cursor: Cursor | None

    def facts(self) -> dict[str, Any]:
        raise NotImplementedError

    @property
    def sse(self) -> bytes:
        mark = f"id: {self.cursor.text}\n" if self.cursor is not None else ""
        head = f"{mark}event: {self.kind}\ndata: ".encode()
        return head + encode_object(self.facts()) + b"\n\n"

    @property
    def frame(self) -> str:
        mark = self.cursor.text if self.cursor is not None else None
        return encode_object({"type": self.kind, "id": mark, **self.facts()}).decode()


GapReason = Literal["behind", "upstream", "history"]
"""The reader was too slow; the upstream stands still; the list does not answer."""


@dataclass(frozen=True)
class GapEvent(_ControlEvent):
    """Logs are missing from here on (``open``), or have all been sent by now (not ``open``).

    ``since`` is the moment from which something may be missing (None: not known). ``recovered`` counts what was listed
    instead. ``retry``: seconds until the next try, None where nothing has to be waited for. ``text`` is for people.
    """

    cursor: Cursor | None
    reason: GapReason
    open: bool
    text: str
    since: datetime | None = None
    recovered: int = 0
    retry: float | None = None
    trouble: str | None = None
    kind = "gap"

    def facts(self) -> dict[str, Any]:
        return {
            "reason": self.reason,
            "open": self.open,
            "text": self.text,
            "since": self.since,
            "recovered": self.recovered,
            "retry": self.retry,
            "trouble": self.trouble,
        }


@dataclass(frozen=True)
class StateEvent(_ControlEvent):
    """A flow run that was asked for is in this state now (each is told once at the start)."""

    cursor: Cursor | None
    flow_run_id: str
    name: str
    state_type: str | None
    state_name: str | None
    terminal: bool
    kind = "state"

    def facts(self) -> dict[str, Any]:
        return {
            "flow_run_id": self.flow_run_id,
            "name": self.name,
            "state_type": self.state_type,
            "state_name": self.state_name,
            "terminal": self.terminal,
        }


@dataclass(frozen=True)
class EndEvent(_ControlEvent):
    """All runs that were asked for have ended and the list has nothing more of them; the last event."""

    cursor: Cursor
    states: dict[str, str | None]
    kind = "end"

    def facts(self) -> dict[str, Any]:
        return {"reason": "runs ended", "states": self.states}


Event = LogEvent | GapEvent | StateEvent | EndEvent
