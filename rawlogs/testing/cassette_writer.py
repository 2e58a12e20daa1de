"""Writes a cassette beside the old one, and replaces the old one once the new one is whole."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from rawlogs import files
from rawlogs.errors import SinkError
from rawlogs.testing.recording import Recorder, Recording
from rawlogs.wire.events import WireEvent


class CassetteWriter:
    """Writes wire events to a temporary file; ``keep`` makes it the cassette, ``discard`` removes it.

    Nothing is created before the first event.

    before: what the cassette holds already, perhaps nothing; new events are appended to it.
    problem: why an event could not be written; None where all were.
    """

    def __init__(self, path: Path, *, secrets: Iterable[str], before: Recording) -> None:
        self._path = path
        self._part = path.with_name(f".{path.name[:80]}.{uuid4().hex[:8]}.part")
        self._secrets = tuple(secrets)
        self._before = before
        self._recorder: Recorder | None = None
        self._shift = 0.0
        self._first_number = max((event.connection + 1 for event in before.events), default=0)
        self.problem: str | None = None

    def __call__(self, event: WireEvent) -> None:
        """Write one event; after a failure nothing more is written."""
        if self.problem is not None:
            return
        try:
            self._write(event)
        except (OSError, SinkError) as error:
            self.problem = error.text if isinstance(error, SinkError) else str(error)

    def _write(self, event: WireEvent) -> None:
        if self._recorder is None:
            # New events follow on the old ones, as if no time had passed between the two sessions.
            self._shift = self._before.duration - event.at
            self._recorder = self._open()
        number = self._first_number + event.connection
        self._recorder(replace(event, at=event.at + self._shift, connection=number))

    def _open(self) -> Recorder:
        self._part.parent.mkdir(parents=True, exist_ok=True)
        before = self._before
        recorder = Recorder(
            self._part,
            secrets=self._secrets,
            api_url=before.api_url,
            prefect_version=before.prefect_version,
            created=before.created if before.events else None,  # a new cassette begins with its first event
        )
        for event in before.events:
            recorder(event)
        return recorder

    @property
    def recorded(self) -> int:
        """The number of new events that were written."""
        return self._recorder.events - len(self._before.events) if self._recorder is not None else 0

    def keep(self) -> None:
        """Replace the cassette by what was recorded, in one step. Raises SinkError where it cannot be written."""
        if self._recorder is None:
            return
        self._recorder.close()
        try:
            files.refuse_special(self._path)  # a rename would replace a device by a file
            self._part.replace(self._path)
        except OSError as error:
            self._part.unlink(missing_ok=True)
            raise SinkError(f"Cannot write the cassette: {error}", path=os.fspath(self._path)) from error

    def discard(self) -> None:
        """Remove what was recorded; the old cassette stays."""
        if self._recorder is not None:
            self._recorder.close()
            self._part.unlink(missing_ok=True)
