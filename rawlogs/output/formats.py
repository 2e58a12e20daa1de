"""Define what every format can do, and write many logs in one piece."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

from rawlogs.batch import Batch

if TYPE_CHECKING:
    from rawlogs.models import Log, Row


class Format(Protocol):
    """Turns a log into bytes."""

    def encode(self, log: Log) -> bytes:
        """Return the log as bytes that end in a newline. Never raises for what a log may hold."""
        ...


class RowFormat(Format, Protocol):
    """Turns many logs into bytes at once: it can do without logs where a batch has their frames."""

    def encode_rows(self, rows: Sequence[Row], frames: Sequence[bytes]) -> bytes:
        """Return the same bytes that ``encode`` makes of each of these logs, in one piece."""
        ...


def encode_batch(form: Format | RowFormat, logs: Iterable[Log]) -> bytes | bytearray:
    """Return all these logs in one piece, ready for one write."""
    encode_rows = getattr(form, "encode_rows", None)
    if encode_rows is not None and isinstance(logs, Batch) and logs.rows is not None:
        piece: bytes = encode_rows(logs.rows, logs.frames)
        return piece
    lines = bytearray()  # growing one buffer is three times as fast as joining a list of lines
    encode = form.encode
    for log in logs:
        lines += encode(log)
    return lines
