"""The file that takes the logs which a receiver refuses for good: one JSON object a line."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from rawlogs.errors import ConfigError
from rawlogs.models import Log
from rawlogs.output.file import FileSink
from rawlogs.output.json import encode_object
from rawlogs.output.worker import AsyncSink


class DeadLetterFile:
    """Appends to ``path``, which its owner alone may read. Raises SinkError, and ConfigError for a device."""

    def __init__(self, path: str | Path) -> None:
        try:
            self._sink = AsyncSink(FileSink(path))
        except ConfigError as error:
            raise ConfigError(error.text, setting="--dead-letter") from error

    async def write(self, log: Log, *, reason: str, status: int, at: datetime) -> None:
        """Write one log with why it was refused. Returns when it is on the disk."""
        refused = {"at": at, "status": status, "reason": reason}
        line = encode_object({"refused": refused, "log": log.model_dump(mode="json")})
        await self._sink.write(line + b"\n")
        await self._sink.flush()

    async def close(self) -> None:
        """Close the file."""
        await self._sink.close()
