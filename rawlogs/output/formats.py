"""What every format can do, and many logs in one piece."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rawlogs.models import Log


class Format(Protocol):
    """Turns a log into bytes."""

    def encode(self, log: Log) -> bytes:
        """The log as bytes that end in a newline. Never raises for what a log may hold."""
        ...


def encode_batch(form: Format, logs: Iterable[Log]) -> bytearray:
    """All these logs in one piece, ready for one write."""
    lines = bytearray()  # growing one buffer is three times as fast as joining a list of lines
    encode = form.encode
    for log in logs:
        lines += encode(log)
    return lines
