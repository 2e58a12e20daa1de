"""Between frames and meaning: what the client sends as text, what the server's payloads say. Pure; no socket."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import orjson

from rawlogs import untrusted
from rawlogs.batch import Batch
from rawlogs.models import Log, Row

EXCERPT = 120
"""How many characters of a frame that cannot be read are shown."""


@dataclass(frozen=True, slots=True)
class AuthSuccess:
    """``{"type": "auth_success"}``: the server accepted the token (or asks for none)."""


@dataclass(frozen=True, slots=True)
class AuthFailure:
    """``auth_failure``, which Prefect Cloud sends; a self-hosted server only closes with 1008."""

    reason: str


@dataclass(frozen=True, slots=True)
class LogFrame:
    """One log, as it came over the socket."""

    log: Log


@dataclass(frozen=True, slots=True)
class EventFrame:
    """One event of ``/events/out``, as its JSON object."""

    event: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class UnknownFrame:
    """A well-formed frame of a type that this version does not know; ignored by the stream."""

    type: str
    data: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class BadFrame:
    """A payload that could not be read: ``problem`` says why, ``excerpt`` shows its beginning, made printable."""

    problem: str
    excerpt: str


Frame = AuthSuccess | AuthFailure | LogFrame | EventFrame | UnknownFrame | BadFrame


def auth_message(token: str | None) -> str:
    """Return the first frame of every conversation; null where there is no token, as Prefect's own client sends it."""
    return orjson.dumps({"type": "auth", "token": token}).decode()


def filter_message(wire: Mapping[str, Any], **envelope: Any) -> str:
    """Return the second frame. Nothing acknowledges it (all versions to 3.9.1)."""
    return orjson.dumps({"type": "filter", **envelope, "filter": wire}).decode()


def decode(payload: bytes | str, *, keep: bool = False) -> Frame:
    """Return what a payload says; a BadFrame where it cannot be read. ``keep`` keeps the bytes with the log."""
    if isinstance(payload, str):
        payload = payload.encode("utf-8", "replace")
    try:
        data = untrusted.loads_lenient(payload)
    except ValueError:
        return bad_frame("not JSON", payload)
    if type(data) is not dict:
        return bad_frame("not a JSON object", payload)
    kind = data.get("type")
    if kind == "log":
        try:
            return LogFrame(Log.from_wire(data.get("log"), payload if keep else None))
        except ValueError as error:
            return bad_frame(str(error), payload)
    if kind == "event" and type(data.get("event")) is dict:
        return EventFrame(data["event"])
    if kind == "auth_success":
        return AuthSuccess()
    if kind == "auth_failure":
        return AuthFailure(str(data.get("reason") or ""))
    if type(kind) is not str:
        return bad_frame("no frame type", payload)
    return UnknownFrame(kind, data)


def decode_logs(payloads: Sequence[bytes], *, keep: bool = False) -> tuple[list[Log], list[Frame]]:
    """Return the logs of a batch in their order, and the frames among them that are no logs."""
    logs: list[Log] = []
    others: list[Frame] = []
    loads, from_wire = orjson.loads, Log.from_wire
    for payload in payloads:
        try:
            data = loads(payload)
            if data["type"] == "log":
                logs.append(from_wire(data["log"], payload if keep else None))
                continue
        except (ValueError, TypeError, KeyError):
            pass
        frame = decode(payload, keep=keep)
        if type(frame) is LogFrame:
            logs.append(frame.log)
        else:
            others.append(frame)
    return logs, others


def decode_batch(
    payloads: Sequence[bytes], *, keep: bool = False, fast: bool = True
) -> tuple[Batch, list[Frame]]:
    """Return the logs of a batch in their order, and the frames among them that are no logs.

    Payloads that are all in the form in which servers write logs are proven to be valid at once, and no log is decoded
    before somebody reads it; any other one takes the whole batch through ``decode_logs``. ``fast=False`` takes every
    batch there.
    """
    if fast and (batch := _all_canonical(payloads, keep)) is not None:
        return batch, []
    logs, others = decode_logs(payloads, keep=keep)
    return Batch(logs), others


_HEX = "[0-9a-f]"
_UUID = "-".join(_HEX * size for size in (8, 4, 4, 4, 12))
_PLAIN = r"[ !#-\[\]-~\x80-\U0010ffff]*"
_STRING = rf'{_PLAIN}(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{{4}}){_PLAIN})*'
# The last days of some months, and February 29, are left to the calendar, which the other way asks.
_DAY = r"(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8]|(?:29|30)(?<!02-..)|31(?<!0[2469]-..)(?<!11-..))"
_STAMP = rf"[12][0-9][0-9][0-9]-{_DAY}T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{{6}}Z"
_CANONICAL = (
    rf'^\{{"type":"log","log":\{{"id":"({_UUID})","created":null,"updated":null,"name":"({_STRING})",'
    rf'"level":(0|[1-9][0-9]{{0,2}}),"message":"({_STRING})","timestamp":"({_STAMP})",'
    rf'"flow_run_id":(?:null|"({_UUID})"),"task_run_id":(?:null|"({_UUID})")\}}\}}$'
)
"""A line that is a log as servers from 3.4.7 to 3.9.1 write it, valid in every part; its groups are a ``Row``."""


@lru_cache(maxsize=1)
def _canonical() -> Callable[[str], list[Row]]:
    return re.compile(
        _CANONICAL, re.MULTILINE
    ).findall  # takes milliseconds, which only a stream of logs needs


def _all_canonical(payloads: Sequence[bytes], keep: bool) -> Batch | None:
    """Return the batch, if each payload is a canonical log by itself; None if one is not, or if there is none."""
    try:
        text = b"\n".join(payloads).decode()
    except UnicodeDecodeError:
        return None
    rows = _canonical()(text)
    # No string of the pattern holds a line end, so with as many lines as payloads each payload is one whole line.
    if len(rows) != len(payloads) or text.count("\n") != len(payloads) - 1:
        return None
    return Batch.of_rows(rows, payloads, keep=keep)


def bad_frame(problem: str, payload: bytes) -> BadFrame:
    """Return a BadFrame that shows the beginning of the payload."""
    return BadFrame(problem, untrusted.excerpt(payload, EXCERPT))
