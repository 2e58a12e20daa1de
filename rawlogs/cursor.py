"""The cursor file: where the flushed output ended, locked, saved atomically, never guessed.

    {"rawlogs_cursor": 1, "api": URL, "filter": digest, "low": time, "started": time, "saved": time, "stamps": [...],
     "ids": hex}

``low`` is the low-water mark; ``ids`` are the logs stamped at or after it that were flushed. A restart lists from
``low`` and leaves those out, and what was stored before ``started`` (where it is given).

Its modification time tells when it was saved last, also where nothing had changed: a monitor may read it.

Beside FILE stand FILE.lock, which holds the number of the process, FILE.new while it is saved, and FILE.bad after a
reset. A path that is a symbolic link is resolved once, so all of them stand beside the file that it leads to.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, overload

import orjson

from rawlogs import files
from rawlogs.errors import CursorError
from rawlogs.log_values import parse_timestamp

VERSION = 1
LIMIT = 64 << 20
"""Bytes that a cursor file may have: about a million ids."""
_IDS = re.compile(r"[0-9a-f]*").fullmatch
_IN_USE = frozenset({errno.EACCES, errno.EAGAIN, errno.EDEADLK})
"""Error numbers by which systems say that another process holds a lock."""


class Entries(Sequence[tuple[float, str]]):
    """Delivered logs, as (timestamp in seconds, id as 32 hexadecimal digits), in 24 bytes each."""

    __slots__ = ("ids", "stamps")

    def __init__(self, stamps: array[float], ids: bytes | bytearray) -> None:
        self.stamps = stamps
        self.ids = ids
        """16 bytes each, in the order of ``stamps``."""

    @classmethod
    def of(cls, pairs: Iterable[tuple[float, str]]) -> Entries:
        """Return the entries of these pairs."""
        stamps, ids = array("d"), bytearray()
        for stamp, log_id in pairs:
            stamps.append(stamp)
            ids += bytes.fromhex(log_id)
        return cls(stamps, ids)

    def __len__(self) -> int:
        return len(self.stamps)

    @overload
    def __getitem__(self, index: int) -> tuple[float, str]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[tuple[float, str]]: ...
    def __getitem__(self, index: int | slice) -> tuple[float, str] | Sequence[tuple[float, str]]:
        if isinstance(index, slice):
            return [self[n] for n in range(len(self))[index]]
        n = range(len(self))[index]
        return self.stamps[n], self.ids[n * 16 : n * 16 + 16].hex()

    def __eq__(self, other: object) -> bool:
        return list(self) == list(other) if isinstance(other, Sequence) else NotImplemented

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True, slots=True)
class Resume:
    """The position to continue at: list from ``low``, without the logs in ``entries`` (seconds, id in hexadecimal).

    started: rows created before this are not the stream's; None: all that are stamped at or after ``low`` are.
    """

    low: datetime
    entries: Sequence[tuple[float, str]]
    saved: datetime
    started: datetime | None = None


def filter_digest(*parts: object) -> str:
    """Return a short name of a filter, so that a cursor is not used with another one."""
    return hashlib.sha256(orjson.dumps(parts, default=str, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]


def encode(
    low: datetime,
    entries: Sequence[tuple[float, str]],
    *,
    api: str,
    digest: str,
    saved: datetime,
    started: datetime | None = None,
) -> bytes:
    """Return the file's content."""
    kept = entries if isinstance(entries, Entries) else Entries.of(entries)
    return orjson.dumps(
        {
            "rawlogs_cursor": VERSION,
            "api": api,
            "filter": digest,
            "low": low.isoformat(),
            **({"started": started.isoformat()} if started is not None else {}),
            "saved": saved.isoformat(),
            "stamps": kept.stamps.tolist(),
            "ids": kept.ids.hex(),
        },
        option=orjson.OPT_APPEND_NEWLINE,
    )


def decode(content: bytes, *, api: str, digest: str) -> Resume:
    """Return what a cursor file says. Raises ValueError with the problem in words, whatever the bytes are."""
    if not content.strip():
        raise ValueError("it is empty")
    try:
        data = orjson.loads(content)
    except orjson.JSONDecodeError:
        raise ValueError("it is damaged (not JSON, or cut off)") from None
    if not isinstance(data, dict) or "rawlogs_cursor" not in data:
        raise ValueError("it is not a cursor file")
    if data["rawlogs_cursor"] != VERSION:
        raise ValueError(f"it was written by another version (format {data['rawlogs_cursor']!r})")
    if data.get("api") != api:
        raise ValueError(f"it belongs to another API ({data.get('api')})")
    if data.get("filter") != digest:
        raise ValueError("it belongs to another filter")
    return _resume(data)


def _resume(data: Mapping[str, Any]) -> Resume:
    try:
        low, saved = parse_timestamp(data["low"]), parse_timestamp(data["saved"])
        started = parse_timestamp(data["started"]) if data.get("started") is not None else None
        stamps, ids = data["stamps"], data["ids"]
        # 32 hexadecimal digits an id.
        whole = type(stamps) is list and _IDS(ids) and len(ids) == 32 * len(stamps)
        if not whole or not all(type(stamp) in (float, int) for stamp in stamps):
            raise ValueError
    except (KeyError, TypeError, ValueError):
        raise ValueError("it is damaged (fields are missing or wrong)") from None
    return Resume(low, Entries(array("d", stamps), bytes.fromhex(ids)), saved, started)


class CursorFile:
    """Cursor file, held by one process. ``api`` and ``digest`` name what it belongs to.

    ``save`` may be called from another thread than ``open``, by one thread at a time: nothing of it needs an event
    loop, and nothing but the files is changed.
    """

    def __init__(self, path: str | Path, *, api: str, digest: str) -> None:
        self.path = Path(path)
        self._file = Path(os.path.realpath(self.path))
        self._temp = self._file.with_name(self._file.name + ".new")
        self._lock_path = self._file.with_name(self._file.name + ".lock")
        self._api = api
        self._digest = digest
        self._lock: int | None = None

    def open(self, *, reset: bool = False) -> Resume | None:
        """Lock the file and read it; None where there is none yet. ``reset`` puts an unusable one aside as ``.bad``.

        A temporary file is never read: a crash may have cut it, and others may have put it there. Raises CursorError,
        also for what is no regular file; that is neither changed nor put aside.
        """
        try:
            # Before the lock: none is made beside /dev/null.
            files.refuse_special(self._file)
        except OSError as error:
            raise self._error(f"it cannot be read: {error.strerror or error}") from error
        self._acquire()
        try:
            self._discard_temp()
            return self._read(reset)
        except BaseException:
            self.close()
            raise

    def save(
        self, low: datetime, entries: Sequence[tuple[float, str]], started: datetime | None = None
    ) -> None:
        """Write a temporary file, sync it, rename it over the old one. Raises CursorError."""
        saved = datetime.now(timezone.utc)
        content = encode(low, entries, api=self._api, digest=self._digest, saved=saved, started=started)
        try:
            self._write_temp(content)
            # A rename would replace a device or a pipe by a file: what took our place meanwhile is not ours to remove.
            files.refuse_special(self._file)
            self._temp.replace(self._file)
            self._sync_folder()
        except OSError as error:
            raise self._error(f"it cannot be written: {error.strerror or error}") from error

    def close(self) -> None:
        """Release the lock."""
        if self._lock is not None:
            # The lock file stays: removing it would let two later runs lock two different files of that name.
            os.close(self._lock)
            self._lock = None

    def _discard_temp(self) -> None:
        """Delete the temporary file of a crash; one that cannot be replaced is told now, not after the first logs."""
        try:
            files.discard(self._temp)
        except OSError as error:
            problem = f"its temporary file {self._temp} is refused: {error.strerror or error}"
            raise self._error(problem, hint="Remove it, or give the cursor another name.") from error

    def _write_temp(self, content: bytes) -> None:
        handle = files.create(self._temp)
        try:
            view = memoryview(content)
            while view:
                view = view[os.write(handle, view) :]
            os.fsync(handle)
        except OSError:
            # On a full disk what was written of it would only take up room.
            with contextlib.suppress(OSError):
                self._temp.unlink()
            raise
        finally:
            os.close(handle)

    def _read(self, reset: bool) -> Resume | None:
        try:
            content = files.read(self._file, limit=LIMIT, null=False, follow=False)
            found = decode(content, api=self._api, digest=self._digest)
        except FileNotFoundError:
            return None
        except files.TooLarge as error:
            problem = str(error.strerror)
        except OSError as error:
            raise self._error(f"it cannot be read: {error.strerror or error}") from error
        except ValueError as error:
            problem = str(error)
        else:
            return None if reset else found
        if not reset:
            raise self._error(problem, hint="--reset-cursor starts anew and keeps this file as .bad.")
        try:
            self._file.replace(self._file.with_name(self._file.name + ".bad"))
        except OSError as error:
            raise self._error(f"it cannot be put aside: {error.strerror or error}") from error
        return None

    def _acquire(self) -> None:
        try:
            self._lock = files.lock(self._lock_path)
        except files.Unfit as error:
            raise self._error(
                f"its lock {self._lock_path} is refused: {error.strerror}",
                hint="Give the cursor another name, or a folder of its own.",
            ) from error
        except OSError as error:
            raise self._error(f"its folder cannot be written: {error.strerror or error}") from error
        try:
            _lock(self._lock)
        except OSError as error:
            holder = _holder(self._lock)
            self.close()
            if error.errno not in _IN_USE:
                raise self._error(f"it cannot be locked: {error.strerror or error}") from error
            raise self._error(
                f"another run uses it (process {holder or 'unknown'})",
                hint="One cursor file serves one run at a time.",
            ) from None
        with contextlib.suppress(OSError):  # a full disk; the lock holds without the number
            os.ftruncate(self._lock, 0)
            os.write(self._lock, str(os.getpid()).encode())

    def _sync_folder(self) -> None:
        # A rename is on the disk only when its folder is; Windows cannot open one.
        if os.name == "posix":
            folder = os.open(self._file.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def _error(self, problem: str, hint: str | None = None) -> CursorError:
        text = f"The cursor file {self.path} cannot be used: {problem}"
        return CursorError(text, path=str(self.path), problem=problem, hint=hint)


def _holder(handle: int) -> str:
    """Return the number of the process that holds a lock file; empty where that cannot be told."""
    if not hasattr(os, "pread"):  # Windows, where a locked file cannot be read anyway
        return ""
    return os.pread(handle, 32, 0).decode("ascii", "replace").strip()


def _lock(handle: int) -> None:
    """Lock a file. Raises OSError where another process holds the lock."""
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    else:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
