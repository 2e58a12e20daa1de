"""Append logs to a file: rotation is followed, and no line is left torn."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

from rawlogs import files
from rawlogs.errors import ConfigError, SinkError
from rawlogs.output.sink import Sink

# Pipes, terminals and some network file systems have nothing to synchronise, and say so with one of these.
_NO_SYNC = frozenset((errno.EINVAL, errno.EROFS, errno.ENOTSUP, errno.ENOSYS))
_sync = getattr(os, "fdatasync", os.fsync)


class FileSink(Sink):
    """Appends to ``path``, creating it readable by its owner alone: logs tell a lot.

    ``flush`` returns when the bytes are on the disk, so do it before a cursor is saved and not after every
    batch. ``offset`` is the file's size after the last whole write: what a cursor may keep. ``truncate_to``
    takes such an offset back: what was written after the cursor was saved, torn or whole, will be delivered
    again and is cut off (``cut`` says how many bytes), unless the file is shorter or has no line end there,
    so another file by now. Without it a torn last line is ended, so that it cannot swallow the next log. A
    write that fails half-way is cut back at once. Pipes and devices are written to as they are.

    Raises SinkError where the file cannot be opened, ConfigError where it is nothing that can be written to.
    """

    def __init__(self, path: str | os.PathLike[str], *, truncate_to: int | None = None) -> None:
        self._file_path = Path(path)
        self.cut = 0
        self.offset = 0
        self._identity: tuple[int, int] | None = None
        try:
            opened = self._open(truncate_to)
        except SinkError as error:
            if isinstance(error.__cause__, files.Unfit):
                # Nothing that may pass, as a full disk does: another file has to be named.
                raise ConfigError(error.text, setting="--output-file") from error.__cause__
            raise
        super().__init__(opened, path=str(path))

    def write(self, lines: bytes | bytearray) -> None:
        """Write all of these bytes, to a new file if ``path`` has been moved, deleted or replaced."""
        self._refuse_closed()
        if self._identity is not None and self._identity != _identity_at(self._file_path):
            self.reopen()
        try:
            super().write(lines)
        except SinkError:
            self._cut_back(len(lines))
            raise
        if self._identity is not None:
            self.offset = os.fstat(self._fd).st_size

    def flush(self) -> None:
        """Return when all that was written is on the disk."""
        super().flush()
        self._refuse_closed()
        try:
            _sync(self._fd)
        except OSError as error:
            if error.errno not in _NO_SYNC:
                raise self._failure(error) from error

    def reopen(self) -> None:
        """Close the file and open ``path`` anew, as after a rotation. Not while a write is on its way."""
        opened = self._open(None)
        self.close()
        self._fd = opened

    def close(self) -> None:
        """Close the file; writing to it fails from now on."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            with suppress(OSError):
                os.close(fd)

    def _refuse_closed(self) -> None:
        if self._fd < 0:
            raise SinkError(f"cannot write to {self.path}: it was closed", path=self.path)

    def _open(self, truncate_to: int | None) -> int:
        path = self._file_path
        try:
            fd = files.append(path)
        except OSError as error:
            raise SinkError(
                f"cannot open {path}: {error.strerror}",
                path=str(path),
                hint="Create the folder first." if isinstance(error, FileNotFoundError) else None,
            ) from error
        try:
            self._settle(fd, truncate_to)
        except OSError as error:
            os.close(fd)
            raise SinkError(f"cannot write to {path}: {error.strerror}", path=str(path)) from error
        return fd

    def _settle(self, fd: int, truncate_to: int | None) -> None:
        """Learn which file this is and bring its end in order."""
        state = os.fstat(fd)
        if not stat.S_ISREG(state.st_mode):
            self._identity = None
            return
        self._identity = (state.st_dev, state.st_ino)
        size = state.st_size
        if truncate_to is not None and 0 <= truncate_to < size and _ends_line(self._file_path, truncate_to):
            os.ftruncate(fd, truncate_to)
            self.cut = size - truncate_to
        elif not _ends_line(self._file_path, size):
            os.write(fd, b"\n")
        self.offset = os.fstat(fd).st_size

    def _cut_back(self, attempted: int) -> None:
        """Take away the beginning of a write that failed, if nobody else has written since."""
        if self._identity is None:
            return
        with suppress(OSError):
            size = os.fstat(self._fd).st_size
            if self.offset < size <= self.offset + attempted:
                os.ftruncate(self._fd, self.offset)


def _identity_at(path: Path) -> tuple[int, int] | None:
    try:
        state = path.stat()
    except OSError:
        return None
    return (state.st_dev, state.st_ino)


def _ends_line(path: Path, offset: int) -> bool:
    """Return whether a line ends at this offset; yes where the file may not be read."""
    if offset == 0:
        return True
    try:
        with path.open("rb") as file:
            file.seek(offset - 1)
            return file.read(1) == b"\n"
    except OSError:
        return True
