"""A file that logs are appended to: rotated, deleted, torn, full."""

from __future__ import annotations

import os
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rawlogs.errors import SinkError
from rawlogs.output.file import FileSink

needs_posix = pytest.mark.skipif(os.name != "posix", reason="modes, limits and named pipes of POSIX")


@needs_posix
def test_a_new_file_is_its_owners_alone(tmp_path: Path) -> None:
    """Logs tell a lot: nobody else may read them."""
    sink = FileSink(tmp_path / "log")
    sink.close()
    assert stat.S_IMODE((tmp_path / "log").stat().st_mode) == 0o600


def test_lines_are_appended_and_counted(tmp_path: Path) -> None:
    """What was there stays; the offset is the file's size after each whole write."""
    path = tmp_path / "log"
    path.write_bytes(b"old\n")
    sink = FileSink(path)
    assert (sink.offset, sink.cut) == (4, 0)
    sink.write(b"new\n")
    sink.flush()
    assert (sink.offset, path.read_bytes()) == (8, b"old\nnew\n")
    sink.close()
    sink.close()
    with pytest.raises(SinkError, match=r"cannot write to .*: it was closed"):
        sink.write(b"x\n")
    with pytest.raises(SinkError, match=r"cannot write to .*: it was closed"):
        sink.flush()


@pytest.mark.parametrize(
    ("before", "truncate_to", "after", "cut"),
    [
        pytest.param(b"one\ntwo\nthr", 8, b"one\ntwo\n", 3, id="a torn line"),
        pytest.param(b"one\ntwo\nthree\n", 4, b"one\n", 10, id="whole lines that will come again"),
        pytest.param(b"one\ntw", 0, b"", 6, id="everything"),
        pytest.param(b"one\ntwo\n", 8, b"one\ntwo\n", 0, id="nothing to cut"),
        pytest.param(b"one\n", 8, b"one\n", 0, id="a shorter file is another file"),
        pytest.param(b"other content\n", 8, b"other content\n", 0, id="no line end there: another file"),
        pytest.param(b"one\ntw", 3, b"one\ntw\n", 0, id="another file with a torn line"),
        pytest.param(b"one\ntw", None, b"one\ntw\n", 0, id="a torn line, no offset known: ended"),
        pytest.param(b"one\n", -1, b"one\n", 0, id="no such offset"),
        pytest.param(b"", None, b"", 0, id="an empty file"),
    ],
)
def test_the_end_of_the_file_is_brought_in_order(
    tmp_path: Path, before: bytes, truncate_to: int | None, after: bytes, cut: int
) -> None:
    """A torn last line never swallows the next log, and no foreign file is cut."""
    path = tmp_path / "log"
    path.write_bytes(before)
    sink = FileSink(path, truncate_to=truncate_to)
    assert (path.read_bytes(), sink.cut, sink.offset) == (after, cut, len(after))
    sink.write(b"next\n")
    assert path.read_bytes() == after + b"next\n"
    sink.close()


def moved(path: Path) -> None:
    path.rename(path.with_suffix(".1"))


def moved_and_made_anew(path: Path) -> None:
    moved(path)
    path.write_bytes(b"")


@needs_posix
@pytest.mark.parametrize("rotate", [moved, moved_and_made_anew, Path.unlink])
def test_a_rotated_file_is_followed_by_itself(tmp_path: Path, rotate: Callable[[Path], None]) -> None:
    """The next batch goes to the path, not to where the old file has gone."""
    path = tmp_path / "log"
    sink = FileSink(path)
    sink.write(b"one\n")
    rotate(path)
    sink.write(b"two\n")
    sink.flush()
    assert path.read_bytes() == b"two\n"
    assert sink.offset == 4
    sink.close()


@needs_posix
def test_reopening_makes_the_new_file_at_once(tmp_path: Path) -> None:
    """What SIGHUP asks for after a rotation."""
    path = tmp_path / "log"
    sink = FileSink(path)
    sink.write(b"one\n")
    moved(path)
    sink.reopen()
    assert path.read_bytes() == b""
    assert (tmp_path / "log.1").read_bytes() == b"one\n"
    sink.close()


def test_a_file_that_was_emptied_is_written_from_its_start(tmp_path: Path) -> None:
    """Rotation by copy and truncate leaves no hole of NULs."""
    path = tmp_path / "log"
    sink = FileSink(path)
    sink.write(b"one\n")
    os.truncate(path, 0)
    sink.write(b"two\n")
    assert (path.read_bytes(), sink.offset) == (b"two\n", 4)
    sink.close()


@pytest.mark.parametrize(
    ("name", "text", "hint"),
    [
        pytest.param("missing/log", "No such file or directory", "Create the folder first.", id="no folder"),
        pytest.param("", "Is a directory", None, id="a folder"),
    ],
)
@needs_posix
def test_a_path_that_cannot_be_opened_is_named(
    tmp_path: Path, name: str, text: str, hint: str | None
) -> None:
    """The path, the reason and what to try."""
    path = tmp_path / name
    with pytest.raises(SinkError) as caught:
        FileSink(path)
    assert (caught.value.path, caught.value.text, caught.value.hint) == (
        str(path),
        f"cannot open {path}: {text}",
        hint,
    )


@needs_posix
def test_a_folder_that_vanished_is_an_error_of_the_next_write(tmp_path: Path) -> None:
    """The logs have no place to go, and that is said."""
    path = tmp_path / "sub" / "log"
    path.parent.mkdir()
    sink = FileSink(path)
    path.unlink()
    path.parent.rmdir()
    with pytest.raises(SinkError, match=r"cannot open .*: No such file or directory"):
        sink.write(b"x\n")
    sink.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_a_full_disk_is_an_error_that_names_the_file() -> None:
    """A device has no offset and nothing to cut back."""
    sink = FileSink("/dev/full")
    with pytest.raises(SinkError, match=r"cannot write to /dev/full: No space left on device") as caught:
        sink.write(b"x\n")
    assert caught.value.path == "/dev/full"
    sink.flush()
    sink.close()


@contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    """A file size limit: it stands in for the disk that fills up in the middle of a batch."""
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@needs_posix
def test_a_write_that_fails_half_way_leaves_no_torn_line(tmp_path: Path) -> None:
    """What of the batch had room is cut back, and what comes later begins on a line of its own."""
    path = tmp_path / "log"
    sink = FileSink(path)
    sink.write(b"whole line\n")
    with no_file_beyond(20), pytest.raises(SinkError, match=r"cannot write to .*: File too large"):
        sink.write(b"a line that does not fit\n")
    assert path.read_bytes() == b"whole line\n"
    sink.write(b"later\n")
    assert path.read_bytes() == b"whole line\nlater\n"
    sink.close()


@needs_posix
def test_a_failed_write_cuts_off_nothing_of_another_writer(tmp_path: Path) -> None:
    """If more was added than we tried to write, it is not ours to cut."""
    path = tmp_path / "log"
    sink = FileSink(path)
    path.write_bytes(b"of another writer\n")
    with no_file_beyond(18), pytest.raises(SinkError):
        sink.write(b"ours\n")
    assert path.read_bytes() == b"of another writer\n"
    sink.close()


@needs_posix
def test_a_torn_line_that_cannot_be_ended_is_an_error(tmp_path: Path) -> None:
    """The disk is still full at the restart."""
    path = tmp_path / "log"
    path.write_bytes(b"torn")
    with no_file_beyond(4), pytest.raises(SinkError, match=r"cannot write to .*: File too large"):
        FileSink(path)


@needs_posix
def test_a_disk_that_fails_to_keep_the_bytes_is_an_error_of_flush(tmp_path: Path) -> None:
    """The cursor must not be saved then. A descriptor closed behind our back stands in for the disk."""
    sink = FileSink(tmp_path / "log")
    sink.write(b"x\n")
    os.close(sink._fd)
    with pytest.raises(SinkError, match=r"cannot write to .*: Bad file descriptor"):
        sink.flush()
    sink.close()


@needs_posix
def test_a_file_that_may_only_be_written_is_appended_to(tmp_path: Path) -> None:
    """Whether its last line is torn cannot be seen."""
    path = tmp_path / "log"
    path.write_bytes(b"one\n")
    path.chmod(0o222)
    with as_somebody(tmp_path):
        sink = FileSink(path)
        sink.write(b"two\n")
        sink.close()
    path.chmod(0o600)
    assert path.read_bytes() == b"one\ntwo\n"


@contextmanager
def as_somebody(folder: Path) -> Iterator[None]:
    """Not root, who may read everything. Every folder on the way to that one is open to all meanwhile."""
    if os.geteuid() != 0:
        yield
        return
    shut = [
        (each, each.stat().st_mode) for each in (folder, *folder.parents) if not each.stat().st_mode & 0o001
    ]
    for each, mode in shut:
        each.chmod(mode | 0o011)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
        for each, mode in shut:
            each.chmod(mode)


@pytest.mark.skipif(sys.platform != "linux", reason="named pipes that open in this order")
def test_a_named_pipe_can_be_written_to(tmp_path: Path) -> None:
    """Flushing it is nothing to fail at, and there is no rotation to look for."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(path.read_bytes()))
    reader.start()
    sink = FileSink(path)
    sink.write(b"log\n")
    sink.flush()
    sink.close()
    reader.join()
    assert (got, sink.offset) == ([b"log\n"], 0)
