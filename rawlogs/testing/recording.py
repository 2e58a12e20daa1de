"""Writes and reads recordings: what crossed the wire, one JSON object a line.

The first line is a header::

    {"rawlogs_recording":1,"created":"2026-01-01T00:00:00Z","prefect_version":"3.8.8","api_url":"http://host/api"}

and every other line is one event::

    {"t":0.0137,"connection":0,"dir":"server","event":"text","data":"{\\"type\\":\\"auth_success\\"}"}

``t`` is seconds since the first event, ``connection`` numbers the connections, ``dir`` is client or server, ``event``
and the other keys are the kind and the facts of a ``WireEvent``; bytes are in ``data64``. Version 1.
"""

from __future__ import annotations

import base64
import binascii
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import IO, Any
from urllib.parse import urlsplit

import orjson

from rawlogs import files
from rawlogs.errors import ConfigError, SinkError
from rawlogs.log_values import parse_timestamp, rfc3339
from rawlogs.testing.model.rest import json_object
from rawlogs.testing.redact import Fragments, Redactor
from rawlogs.wire.events import WireEvent

VERSION = 1
PIPE_PATIENCE = 30.0
"""Seconds that a pipe with a recording may be silent: a program that unpacks a large one may be slow."""
_KEYS = frozenset({"t", "connection", "dir", "event", "data", "data64"})


class Recorder:
    """Writes wire events to a recording; call it with each event.

    target: a path or an open text file. A path is created with mode 0600, and an existing file is replaced; a pipe, a
        terminal or the null device is written to as it is.
    secrets: replaced by ``***`` in every spelling. The token of an auth frame and the values of headers such as
        Authorization are always replaced.
    redact: replace the messages of logs and events by placeholders of the same length.

    Every event is flushed. Raises SinkError where the recording cannot be written.
    """

    def __init__(
        self,
        target: str | os.PathLike[str] | IO[str],
        *,
        secrets: Iterable[str] = (),
        redact: bool = False,
        api_url: str | None = None,
        prefect_version: str | None = None,
        created: datetime | None = None,
    ) -> None:
        self._redactor = Redactor(secrets, messages=redact)
        self._fragments = Fragments(self._redactor)
        self._start: float | None = None
        self._owned = isinstance(target, (str, os.PathLike))
        if isinstance(target, (str, os.PathLike)):
            self._name = os.fspath(target)
            self._file = _create(self._name)
        else:
            self._name, self._file = str(getattr(target, "name", "stream")), target
        self.events = 0
        header = {"rawlogs_recording": VERSION, "created": rfc3339(created or datetime.now(timezone.utc))}
        where = api_url and self._redactor.text(_without_userinfo(api_url))
        self._write({**header, "prefect_version": prefect_version, "api_url": where})

    def __call__(self, event: WireEvent) -> None:
        """Write one event; the fragments of a message are written when it is whole, as they may cut a secret in two."""
        if self._start is None:
            self._start = event.at
        for whole, hidden in self._fragments.add(event):
            self._write_event(whole, hidden)

    def _write_event(self, event: WireEvent, hidden: bool) -> None:
        """Write one event; ``hidden``: its secrets are masked already."""
        assert self._start is not None
        at = round(event.at - self._start, 6)
        line = {"t": at, "connection": event.connection, "dir": event.direction, "event": event.kind}
        if isinstance(event.data, str):
            data = event.data.encode("utf-8", "backslashreplace").decode()  # JSON carries no lone surrogates
            # A close reason is prose; a frame's text is JSON, whose escapes could hide a secret.
            line["data"] = (self._redactor.text if event.kind == "close" else self._redactor.payload)(data)
        elif event.data is not None:
            data64 = event.data if hidden else self._redactor.binary(event.data)
            line["data64"] = base64.b64encode(data64).decode()
        # No fact may take the place of a key that a reader needs.
        facts = {key: value for key, value in event.facts.items() if key not in _KEYS}
        self._write(line | self._redactor.facts(facts))
        self.events += 1

    def close(self) -> None:
        """Write the fragments of messages that never became whole, and close the file where it was opened here."""
        try:
            for event, hidden in self._fragments.rest():
                self._write_event(event, hidden)
        finally:
            if self._owned:
                self._file.close()

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self, line: Mapping[str, Any]) -> None:
        try:
            self._file.write(orjson.dumps(line).decode() + "\n")
            self._file.flush()
        except (OSError, ValueError) as error:  # ValueError: the file is closed
            raise SinkError(f"Cannot write the recording: {error}", path=self._name) from error


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording. ``problem`` says that its last line is cut; None where it is whole."""

    created: datetime
    prefect_version: str | None
    api_url: str | None
    events: tuple[WireEvent, ...]
    problem: str | None = None

    @property
    def duration(self) -> float:
        """The seconds from the first event to the last."""
        return max((event.at for event in self.events), default=0.0)


def read(path: str | os.PathLike[str]) -> Recording:
    """Read a recording. A last line that is cut is left out, and named in ``problem``.

    Raises ConfigError, which names the line, for a file that is missing, of another version, or no recording.
    """
    name = os.fspath(path)
    try:
        lines = files.read(name, limit=None, pipe=PIPE_PATIENCE).split(b"\n")
    except OSError as error:
        raise _problem(f"Cannot read the recording {name}: {error.strerror or error}") from None
    created, prefect_version, api_url = _header(lines[0], name)
    numbered = [(number, line) for number, line in enumerate(lines[1:], start=2) if line.strip()]
    events: list[WireEvent] = []
    problem = None
    for number, line in numbered:
        try:
            events.append(_event(line))
        except ValueError as error:
            # A recorder that was killed leaves half a line at the end, and nowhere else.
            if number != numbered[-1][0] or lines[-1] != line:
                raise _problem(f"{name}, line {number}: {error}") from None
            problem = f"{name}, line {number} is cut; the {len(events)} events before it are whole"
    found = Recording(created, prefect_version, api_url, tuple(events), problem)
    try:
        found.created + timedelta(seconds=found.duration)
    except OverflowError:
        raise _problem(f"{name}: t leads to a time that no calendar has") from None
    return found


def _header(line: bytes, name: str) -> tuple[datetime, str | None, str | None]:
    """Return when the recording was made, and Prefect's version and the API's URL where it names them."""
    header = json_object(line)
    if header is None or "rawlogs_recording" not in header:
        raise _problem(f"{name}, line 1: this is not a recording of rawlogs")
    if header["rawlogs_recording"] != VERSION or isinstance(header["rawlogs_recording"], bool):
        found = str(header["rawlogs_recording"])[:20]
        raise _problem(
            f"{name}, line 1: a recording of version {found}; this rawlogs reads version {VERSION}"
        )
    try:
        created = parse_timestamp(header["created"])
    except (KeyError, TypeError, ValueError, AttributeError):
        raise _problem(f"{name}, line 1: no time of creation") from None
    version, url = (header.get(key) for key in ("prefect_version", "api_url"))
    return created, version if isinstance(version, str) else None, url if isinstance(url, str) else None


def _event(line: bytes) -> WireEvent:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        raise ValueError("no JSON") from None
    if not isinstance(value, dict):
        raise ValueError("no JSON object")
    # In Python True is an int: it is no time and no number here.
    at, connection = value.get("t"), value.get("connection")
    if isinstance(at, bool) or not isinstance(at, (int, float)) or not math.isfinite(at):
        raise ValueError("t is not a number of seconds")
    if isinstance(connection, bool) or not isinstance(connection, int):
        raise ValueError("connection is not a number")
    if value.get("dir") not in ("client", "server"):
        raise ValueError("dir is neither client nor server")
    if not isinstance(value.get("event"), str):
        raise ValueError("event is not a text")
    facts = {key: item for key, item in value.items() if key not in _KEYS}
    return WireEvent(float(at), connection, value["dir"], value["event"], _data(value), facts)


def _data(value: Mapping[str, Any]) -> str | bytes | None:
    data = value.get("data")
    if data is not None:
        if not isinstance(data, str):
            raise ValueError("data is not a text")
        return data
    encoded = value.get("data64")
    if encoded is None:
        return None
    try:
        return base64.b64decode(encoded, validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise ValueError("data64 is not base64") from None


def _problem(text: str) -> ConfigError:
    return ConfigError(text, setting="recording", hint="Recordings are written by rawlogs record.")


def _create(path: str) -> IO[str]:
    try:
        return open(files.replace(path), "w", encoding="utf-8", newline="\n")  # noqa: PTH123
    except OSError as error:
        text = f"Cannot write the recording {path}: {error.strerror or error}"
        if isinstance(error, files.Unfit):
            raise ConfigError(text, setting="recording") from error
        raise SinkError(text, path=path) from error


def _without_userinfo(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()
