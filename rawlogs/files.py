"""Open every file that a user names, or that lies beside such a one, after a look at what it is.

| function | for | link | pipe (FIFO) | character device | folder, socket, disk |
| --- | --- | --- | --- | --- | --- |
| `read` | settings, recordings, cursors | followed | refused, or with a time limit | only the null device | refused |
| `append` | output | followed | where somebody reads it | written to | refused |
| `replace` | recordings | followed | where somebody reads it | written to | refused |
| `create` | what will be renamed over a cursor | refused | refused | refused | refused |
| `lock` | what says that a cursor is in use | refused | refused | refused | refused |

Nothing that is refused was changed before: neither its mode nor its content nor its name. Opening never waits, as it
does for a pipe without a partner otherwise. All functions raise OSError; what is refused for its kind is ``Unfit``,
whose ``strerror`` says in words what it is. Windows knows neither the flags nor the owners: there only the kind counts.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

SETTINGS_LIMIT = 1 << 20
"""Bytes that a file of settings may have."""
PIPE_PATIENCE = 2.0
"""Seconds that a pipe with settings may be silent (password managers write at once), and that a reader may be late."""
_LOOK_AGAIN = 0.02
_MODE = 0o600
_LOCK_LONGEST = 32
_CHUNK = 1 << 16
_BINARY = getattr(os, "O_BINARY", 0)
_SAFE = _BINARY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_NONBLOCK", 0)
_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
_NOT_READ = "it is a pipe that nobody reads"

_KINDS: tuple[tuple[Callable[[int], bool], str], ...] = (
    (stat.S_ISLNK, "it is a symbolic link"),
    (stat.S_ISFIFO, "it is a pipe, not a file"),
    (stat.S_ISCHR, "it is a device, not a file"),
    (stat.S_ISBLK, "it is a disk, not a file"),
    (stat.S_ISSOCK, "it is a socket, not a file"),
)


class Unfit(OSError):
    """Refusal of a file for its kind, its owner, its size, or what it holds."""

    def __init__(self, problem: str, path: str | os.PathLike[str]) -> None:
        super().__init__(errno.EINVAL, problem, os.fspath(path))


class TooLarge(Unfit):
    """Refusal of a file with more bytes than its use allows."""


def read(
    path: str | os.PathLike[str],
    *,
    limit: int | None,
    pipe: float | None = None,
    null: bool = True,
    follow: bool = True,
) -> bytes:
    """Return what a file holds, at most ``limit`` bytes (None: any number).

    ``pipe`` is how many seconds a pipe may be silent (None: pipes are refused), ``null`` whether the null device counts
    as an empty file, ``follow`` whether a symbolic link is followed. Raises TooLarge beyond the limit.
    """

    def fits(state: os.stat_result) -> None:
        if stat.S_ISFIFO(state.st_mode) and pipe is not None:
            return
        if not (null and _is_null(state)):
            _refuse_special(state, path)

    # Before it is opened: opening some devices does something already.
    fits(_look(path, follow=follow))
    handle = _open(path, os.O_RDONLY | (0 if follow else _NOFOLLOW))
    try:
        state = os.fstat(handle)
        fits(state)  # again, since another file may have taken its place
        if stat.S_ISFIFO(state.st_mode):
            return _read_pipe(handle, path, limit, pipe or 0.0)
        with open(handle, "rb", closefd=False) as file:
            content = file.read(-1 if limit is None else limit + 1)
        _check_size(content, path, limit)
        return content
    finally:
        os.close(handle)


def append(path: str | os.PathLike[str]) -> int:
    """Return a descriptor that appends to ``path``, which is created with mode 0600 where it is missing."""
    return _open_output(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def replace(path: str | os.PathLike[str]) -> int:
    """Return a descriptor that writes ``path`` from its start, with mode 0600, whatever it held and had before.

    Only a regular file is emptied and changed. A path to the regular file that is standard output or standard error
    (``/dev/stdout`` after a redirection) goes on where that stream is: it was made by a shell, and not for this alone.
    """
    handle = _open_output(path, os.O_WRONLY | os.O_CREAT)
    try:
        state = os.fstat(handle)
        if stat.S_ISREG(state.st_mode):
            if (own := _standard_stream(state)) is not None:
                os.close(handle)
                return own
            if hasattr(os, "fchmod"):
                os.fchmod(handle, _MODE)
            os.ftruncate(handle, 0)
    except OSError:
        os.close(handle)
        raise
    return handle


def create(path: Path) -> int:
    """Return a descriptor of a new file, mode 0600. What a crash has left there is deleted, never read.

    Raises Unfit for what stands there and is no regular file, or neither ours nor the owner's of the folder.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NOFOLLOW
    try:
        return _open(path, flags)
    except FileExistsError:
        discard(path)
        return _open(path, flags)


def discard(path: Path) -> None:
    """Delete what a crash has left there, if anything. Raises Unfit as ``create`` does."""
    with suppress(FileNotFoundError):
        _refuse_foreign(os.lstat(path), path)
        path.unlink()


def lock(path: Path) -> int:
    """Return a descriptor of a lock file to read and write, which is created with mode 0600 where it is missing.

    Raises Unfit for a link, for anything but a regular file, for a file of another user (unless it is the owner of the
    folder, who may exchange every file in it anyway), and for one that holds anything but a process number.
    """
    try:
        return _open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _NOFOLLOW)
    except FileExistsError:
        pass
    _refuse_foreign(os.lstat(path), path)
    handle = _open(path, os.O_RDWR | _NOFOLLOW)
    try:
        state = os.fstat(handle)
        _refuse_foreign(state, path)
        if state.st_nlink > 1:
            raise Unfit("it is another file as well (a hard link)", path)
        # A cursor called "poetry" would have "poetry.lock" for its lock. (Windows cannot read what is locked.)
        if hasattr(os, "pread") and not _is_number(os.pread(handle, _LOCK_LONGEST + 1, 0)):
            raise Unfit("it is not a lock file of rawlogs", path)
    except OSError:
        os.close(handle)
        raise
    return handle


def refuse_special(path: str | os.PathLike[str], *, follow: bool = False) -> None:
    """Raise Unfit for anything but a regular file, IsADirectoryError for a folder; what is missing is fine."""
    with suppress(FileNotFoundError, NotADirectoryError):
        _refuse_special(_look(path, follow=follow), path)


def _look(path: str | os.PathLike[str], *, follow: bool = True) -> os.stat_result:
    try:
        return Path(path).stat(follow_symlinks=follow)
    except ValueError as error:  # a NUL, or a surrogate that stands for no byte
        raise Unfit("its name has a character that no file name has", path) from error


def _open(path: str | os.PathLike[str], flags: int) -> int:
    try:
        return os.open(path, flags | _SAFE, _MODE)
    except OSError as error:
        _explain(error, path)


def _explain(error: OSError, path: str | os.PathLike[str]) -> NoReturn:
    """Raise an Unfit for what the system refuses for its kind, else the error itself."""
    if error.errno == errno.ELOOP:
        raise Unfit("it is a symbolic link, or one that leads to itself", path) from error
    if error.errno == errno.ENXIO:  # a pipe without a reader, a socket, a device without its driver
        mode = _look(path).st_mode
        raise Unfit(_NOT_READ if stat.S_ISFIFO(mode) else _kind(mode), path) from error
    raise error


def _open_output(path: str | os.PathLike[str], flags: int) -> int:
    def fits(state: os.stat_result) -> None:
        if not (stat.S_ISFIFO(state.st_mode) or stat.S_ISCHR(state.st_mode)):
            _refuse_special(state, path)

    with suppress(FileNotFoundError):
        fits(_look(path))
    handle = _open_for_reader(path, flags)
    try:
        fits(os.fstat(handle))
        if hasattr(os, "set_blocking"):
            os.set_blocking(handle, True)  # only the opening must not wait
    except OSError:
        os.close(handle)
        raise
    return handle


def _open_for_reader(path: str | os.PathLike[str], flags: int) -> int:
    """Open a file for writing; where it is a pipe, wait a moment for its reader, which may be starting just now."""
    end = time.monotonic() + PIPE_PATIENCE
    while True:
        try:
            return _open(path, flags)
        except Unfit as error:
            if error.strerror != _NOT_READ or time.monotonic() >= end:
                raise
        time.sleep(_LOOK_AGAIN)


def _standard_stream(state: os.stat_result) -> int | None:
    """Return another descriptor of standard output or standard error, if one of them is this file."""
    for stream in (1, 2):
        with suppress(OSError):
            if os.path.samestat(os.fstat(stream), state):
                return os.dup(stream)
    return None


def _kind(mode: int) -> str:
    """Return what a file is that is neither a regular file nor a folder, in words."""
    return next((words for fits, words in _KINDS if fits(mode)), "it is not a regular file")


def _is_null(state: os.stat_result) -> bool:
    if not stat.S_ISCHR(state.st_mode):
        return False
    with suppress(OSError):
        return Path(os.devnull).stat().st_rdev == state.st_rdev
    return False


def _refuse_special(state: os.stat_result, path: str | os.PathLike[str]) -> None:
    if stat.S_ISDIR(state.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    if not stat.S_ISREG(state.st_mode):
        raise Unfit(_kind(state.st_mode), path)


def _refuse_foreign(state: os.stat_result, path: Path) -> None:
    _refuse_special(state, path)
    if hasattr(os, "geteuid") and state.st_uid not in {os.geteuid(), path.parent.stat().st_uid}:
        raise Unfit(f"it belongs to another user (number {state.st_uid})", path)


def _is_number(content: bytes) -> bool:
    return len(content) <= _LOCK_LONGEST and (not content or content.strip().isdigit())


def _check_size(content: bytes | bytearray, path: str | os.PathLike[str], limit: int | None) -> None:
    if limit is not None and len(content) > limit:
        raise TooLarge(f"it is larger than {limit >> 20} MiB", path)


def _read_pipe(handle: int, path: str | os.PathLike[str], limit: int | None, patience: float) -> bytes:
    """Read until the writer has closed the pipe; each part of it has to come within ``patience`` seconds."""
    import select

    content = bytearray()
    while select.select([handle], [], [], patience)[0]:
        try:
            part = os.read(handle, _CHUNK)
        except BlockingIOError:
            continue
        if not part:
            return bytes(content)
        content += part
        _check_size(content, path, limit)
    raise Unfit(f"it is a pipe, and nobody wrote to it within {patience:g} s", path)
