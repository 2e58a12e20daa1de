"""The cursor file and its damages (rows 116 to 122 of docs/faults.md); ``cursors/`` has one file for each."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from threading import Thread
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from listing import admit

from rawlogs.cursor import LIMIT, CursorFile, Resume, decode, encode, filter_digest
from rawlogs.errors import CursorError
from rawlogs.models import BEGINNING, END, Log
from rawlogs.seen import SeenIds

API, DIGEST = "http://host/api", filter_digest({})
LOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
SAVED = LOW + timedelta(hours=1)
ENTRIES = [(LOW.timestamp() + 1, "0" * 31 + "1"), (LOW.timestamp() + 2.5, "0" * 31 + "2")]
CURSORS = Path(__file__).parent / "cursors"
WHOLE = (CURSORS / "whole").read_bytes()


def cursor(path: Path, **other: str) -> CursorFile:
    return CursorFile(path, **{"api": API, "digest": DIGEST, **other})


def opened(path: Path, *, reset: bool = False) -> Resume | None:
    """What a run finds there that ends at once."""
    held = cursor(path)
    try:
        return held.open(reset=reset)
    finally:
        held.close()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# The file's content


def test_the_bytes_on_disk_are_those_of_version_1() -> None:
    """A file of today is read by every later version, or refused by its number."""
    assert encode(LOW, ENTRIES, api=API, digest=DIGEST, saved=SAVED) == WHOLE
    assert decode(WHOLE, api=API, digest=DIGEST) == Resume(LOW, ENTRIES, SAVED)


moments = st.datetimes(
    BEGINNING.replace(tzinfo=None), END.replace(tzinfo=None), timezones=st.just(timezone.utc)
)
entries = st.lists(st.tuples(moments.map(datetime.timestamp), st.uuids().map(lambda found: found.hex)))


@given(moments, entries, st.text(st.characters(exclude_categories=["Cs"])), moments)
def test_what_is_encoded_is_decoded(
    low: datetime, entries: list[tuple[float, str]], api: str, saved: datetime
) -> None:
    """To the microsecond, and every id."""
    content = encode(low, entries, api=api, digest=DIGEST, saved=saved)
    assert decode(content, api=api, digest=DIGEST) == Resume(low, entries, saved)


@given(st.lists(st.tuples(st.uuids(), moments), unique_by=lambda entry: entry[0]))
def test_what_was_flushed_is_known_after_a_restart(logs: list[tuple[Any, datetime]]) -> None:
    """From the stream's ids into the file and back."""
    flushed = [Log(id=log_id, level=20, message="m", timestamp=stamp) for log_id, stamp in logs]
    before, after = SeenIds(), SeenIds()
    admit(before, flushed, 0.0)
    content = encode(LOW, before.after(LOW), api=API, digest=DIGEST, saved=SAVED)
    after.load(decode(content, api=API, digest=DIGEST).entries, 0.0)
    assert [log in after for log in flushed] == [log.timestamp >= LOW for log in flushed]


def test_a_filter_has_one_name_and_another_filter_another() -> None:
    """Whatever the order of its fields."""
    assert filter_digest({"a": 1, "b": [2]}, ["x"]) == filter_digest({"b": [2], "a": 1}, ["x"])
    assert filter_digest({"a": 1}, ["x"]) != filter_digest({"a": 1}, ["y"])
    assert re.fullmatch("[0-9a-f]{16}", filter_digest(LOW))


# Saving and going on


@pytest.mark.fault(116)
def test_a_missing_file_is_a_first_run(tmp_path: Path) -> None:
    """None, and nothing is written but the lock."""
    assert opened(tmp_path / "c") is None
    assert names(tmp_path) == ["c.lock"]


def test_what_was_saved_last_is_where_to_go_on(tmp_path: Path) -> None:
    """Mark and ids, and when it was; no temporary file is left."""
    first = cursor(tmp_path / "c")
    first.open()
    first.save(LOW, [])
    first.save(LOW + timedelta(seconds=1), ENTRIES)
    first.close()
    again = opened(tmp_path / "c")
    assert again is not None
    assert (again.low, list(again.entries)) == (LOW + timedelta(seconds=1), ENTRIES)
    assert abs(datetime.now(timezone.utc) - again.saved) < timedelta(minutes=1)
    assert names(tmp_path) == ["c", "c.lock"]


def test_the_file_is_the_user_s_alone(tmp_path: Path) -> None:
    """Whatever the umask, and whatever mode an older file had."""
    (tmp_path / "c").write_bytes(WHOLE)
    (tmp_path / "c").chmod(0o644)
    held = cursor(tmp_path / "c")
    umask = os.umask(0)
    try:
        held.open()
        held.save(LOW, ENTRIES)
    finally:
        os.umask(umask)
        held.close()
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("c", "c.lock")] == [0o600, 0o600]


def test_a_path_may_be_relative_to_the_folder_of_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Text or path."""
    monkeypatch.chdir(tmp_path)
    held = CursorFile("c", api=API, digest=DIGEST)
    held.open()
    held.save(LOW, [])
    held.close()
    assert names(tmp_path) == ["c", "c.lock"]


# Damages


DAMAGES = {
    "empty": "it is empty",
    "half-written": "it is damaged (not JSON, or cut off)",
    "garbage": "it is damaged (not JSON, or cut off)",
    "another-json": "it is not a cursor file",
    "another-version": "it was written by another version (format 2)",
    "another-server": "it belongs to another API (http://elsewhere/api)",
    "another-filter": "it belongs to another filter",
    "an-id-cut": "it is damaged (fields are missing or wrong)",
    "an-id-of-spaces": "it is damaged (fields are missing or wrong)",
    "a-mark-missing": "it is damaged (fields are missing or wrong)",
}


def test_every_damaged_file_is_in_the_table() -> None:
    """And every row has its file."""
    assert names(CURSORS) == sorted([*DAMAGES, "whole"])


@pytest.mark.fault(117)
@pytest.mark.parametrize("damage", DAMAGES)
def test_an_unusable_file_is_refused_and_kept(tmp_path: Path, damage: str) -> None:
    """With path and problem; --reset-cursor starts anew and keeps it as .bad."""
    path, content = tmp_path / "c", (CURSORS / damage).read_bytes()
    path.write_bytes(content)
    with pytest.raises(CursorError) as refused:
        opened(path)
    assert (refused.value.path, refused.value.problem) == (str(path), DAMAGES[damage])
    assert "--reset-cursor" in str(refused.value)
    assert path.read_bytes() == content
    assert opened(path, reset=True) is None
    assert (tmp_path / "c.bad").read_bytes() == content
    assert opened(path) is None


def test_a_reset_leaves_a_usable_file_until_it_is_saved_over(tmp_path: Path) -> None:
    """A run that fails at once has cost nothing."""
    (tmp_path / "c").write_bytes(WHOLE)
    assert opened(tmp_path / "c", reset=True) is None
    assert (tmp_path / "c").read_bytes() == WHOLE
    assert names(tmp_path) == ["c", "c.lock"]


@pytest.mark.fault(117)
def test_a_file_cut_anywhere_is_refused() -> None:
    """Never an earlier or later position."""
    for size in range(len(WHOLE.rstrip())):
        with pytest.raises(ValueError, match=r"it is (empty|damaged)"):
            decode(WHOLE[:size], api=API, digest=DIGEST)


@given(st.integers(0, len(WHOLE) - 2), st.integers(1, 255))
def test_a_flipped_byte_is_refused_or_changes_one_value(place: int, flip: int) -> None:
    """Nothing but a ValueError, and the number of ids stays."""
    content = bytearray(WHOLE)
    content[place] ^= flip
    try:
        found = decode(bytes(content), api=API, digest=DIGEST)
    except ValueError as error:
        assert str(error).startswith("it ")
    else:
        assert len(found.entries) == len(ENTRIES)


@given(st.binary(max_size=200) | st.text(max_size=100).map(lambda text: text.encode("utf-8", "replace")))
def test_nothing_but_a_value_error_comes_of_any_bytes(content: bytes) -> None:
    """Whatever the file holds."""
    with pytest.raises(ValueError, match="it "):
        decode(content, api=API, digest=DIGEST)


json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=200)
@given(st.dictionaries(st.sampled_from(["low", "saved", "stamps", "ids"]), json, min_size=1))
def test_nothing_but_a_value_error_comes_of_wrong_fields(fields: dict[str, Any]) -> None:
    """One wrong field in a file of the right version, API and filter is enough."""
    data = {**orjson.loads(WHOLE), **fields}
    try:
        content = orjson.dumps(data)
    except TypeError:  # a lone surrogate
        return
    try:
        found = decode(content, api=API, digest=DIGEST)
    except ValueError as error:
        assert str(error) == "it is damaged (fields are missing or wrong)"
    else:
        assert all(re.fullmatch("[0-9a-f]{32}", log_id) for _, log_id in found.entries)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        pytest.param("stamps", "", id="stamps as text"),
        pytest.param("stamps", {}, id="stamps as an object"),
        pytest.param("stamps", [True, 1.0], id="a truth value for a stamp"),
        pytest.param("ids", "AB" * 32, id="ids that no log has"),
        pytest.param("ids", ["0" * 32, "0" * 32], id="ids as a list"),
        pytest.param("low", 17, id="a mark as a number"),
        pytest.param("saved", "yesterday", id="a time in words"),
    ],
)
def test_a_field_of_another_type_is_refused(field: str, value: object) -> None:
    """Also where it has the right length."""
    content = orjson.dumps({**orjson.loads(WHOLE), field: value})
    with pytest.raises(ValueError, match="fields are missing or wrong"):
        decode(content, api=API, digest=DIGEST)


# Crashes, other runs, other folders


@pytest.mark.fault(118)
@pytest.mark.parametrize(
    ("main", "temporary", "expected"),
    [
        pytest.param(0, 1, 0, id="a newer whole temporary file"),
        pytest.param(1, 0, 1, id="an older one"),
        pytest.param(0, 2000, 0, id="one from the future, which somebody has forged"),
        pytest.param(0, b"{", 0, id="a broken one"),
        pytest.param(0, b"", 0, id="an empty one"),
        pytest.param(None, 1, None, id="a crash while it was saved for the first time"),
        pytest.param(None, b"{", None, id="or before that"),
    ],
)
def test_a_crash_came_between_writing_and_renaming(
    tmp_path: Path, main: int | bytes | None, temporary: int | bytes | None, expected: int | None
) -> None:
    """The last whole file counts, which is a second older at most. Numbers are the days at which one was saved."""
    for name, content in (("c", main), ("c.new", temporary)):
        if isinstance(content, int):
            day = LOW + timedelta(days=content)
            content = encode(day, ENTRIES, api=API, digest=DIGEST, saved=day)
        if content is not None:
            (tmp_path / name).write_bytes(content)
    found = opened(tmp_path / "c")
    assert (found and found.low) == (None if expected is None else LOW + timedelta(days=expected))
    assert not (tmp_path / "c.new").exists()


def test_what_a_crash_left_is_overwritten_by_the_next_save(tmp_path: Path) -> None:
    """However long it was."""
    (tmp_path / "c.new").write_bytes(b"x" * 10_000)
    held = cursor(tmp_path / "c")
    held.open()
    held.save(LOW, ENTRIES)
    held.close()
    found = opened(tmp_path / "c")
    assert found is not None
    assert found.low == LOW
    assert names(tmp_path) == ["c", "c.lock"]


@pytest.mark.fault(119)
def test_another_run_holds_the_lock(tmp_path: Path) -> None:
    """At once, with its process id; when it has ended, even by SIGKILL, the file is free."""
    script = (
        "import sys; from rawlogs.cursor import CursorFile\n"
        f"c = CursorFile({str(tmp_path / 'c')!r}, api={API!r}, digest={DIGEST!r}); c.open()\n"
        "print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(CursorError) as refused:
            opened(tmp_path / "c")
        other.kill()
    assert refused.value.problem == f"another run uses it (process {other.pid})"
    assert refused.value.hint == "One cursor file serves one run at a time."
    assert opened(tmp_path / "c") is None


def test_one_process_may_not_hold_it_twice(tmp_path: Path) -> None:
    """Two streams of one program would overwrite each other's position."""
    first = cursor(tmp_path / "c")
    first.open()
    with pytest.raises(CursorError, match=f"process {os.getpid()}"):
        opened(tmp_path / "c")
    first.close()
    first.close()
    assert opened(tmp_path / "c") is None


def test_a_refused_file_is_not_held(tmp_path: Path) -> None:
    """It can be looked at, and another run may reset it."""
    (tmp_path / "c").write_bytes(b"{")
    held = cursor(tmp_path / "c")
    with pytest.raises(CursorError):
        held.open()
    assert opened(tmp_path / "c", reset=True) is None


def test_a_file_system_without_locks_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No other run is to blame."""

    def no_locks(handle: int, operation: int) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr("fcntl.flock", no_locks)
    with pytest.raises(CursorError, match="it cannot be locked: No locks available"):
        opened(tmp_path / "c")


@pytest.mark.fault(120)
def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """At the start, and while streaming; the run goes on saving where it can be written again."""
    (tmp_path / "file").write_text("")
    with pytest.raises(CursorError, match="its folder cannot be written: Not a directory"):
        opened(tmp_path / "file" / "c")
    folder = tmp_path / "folder"
    folder.mkdir()
    held = cursor(folder / "c")
    held.open()
    folder.rename(tmp_path / "moved")
    with pytest.raises(CursorError, match="it cannot be written: No such file or directory") as refused:
        held.save(LOW, [])
    assert refused.value.path == str(folder / "c")
    (tmp_path / "moved").rename(folder)
    held.save(LOW, [])
    held.close()
    assert names(folder) == ["c", "c.lock"]


def test_a_full_disk_leaves_the_last_whole_file(tmp_path: Path) -> None:
    """The temporary file is what breaks, and it does not stay."""
    resource = pytest.importorskip("resource")
    held = cursor(tmp_path / "c")
    held.open()
    held.save(LOW, ENTRIES)
    whole = (tmp_path / "c").read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(CursorError, match="it cannot be written: File too large"):
            held.save(LOW + timedelta(seconds=1), ENTRIES)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        held.close()
    assert (tmp_path / "c").read_bytes() == whole
    assert names(tmp_path) == ["c", "c.lock"]


def test_what_could_not_be_saved_over_is_told_at_the_start(tmp_path: Path) -> None:
    """Not after the first logs."""
    (tmp_path / "c.new").symlink_to(tmp_path / "victim")
    with pytest.raises(CursorError, match=r"its temporary file .*c\.new is refused: it is a symbolic link"):
        opened(tmp_path / "c")
    assert (tmp_path / "c.new").is_symlink()


def test_a_folder_in_its_place_is_told(tmp_path: Path) -> None:
    """When it is read, and when it is to be saved over."""
    (tmp_path / "c").mkdir()
    with pytest.raises(CursorError, match="it cannot be read: Is a directory"):
        opened(tmp_path / "c")
    with pytest.raises(CursorError, match="it cannot be written: Is a directory"):
        cursor(tmp_path / "c").save(LOW, [])


def test_a_path_that_is_a_link_is_the_file_that_it_leads_to(tmp_path: Path) -> None:
    """Lock, temporary file and what is saved are there; two names of one file are one cursor."""
    real, other = tmp_path / "real", tmp_path / "other"
    real.mkdir()
    other.mkdir()
    (other / "link").symlink_to(real / "c")
    held = cursor(other / "link")
    held.open()
    held.save(LOW, ENTRIES)
    assert (names(real), names(other)) == (["c", "c.lock"], ["link"])
    assert (other / "link").is_symlink()
    with pytest.raises(CursorError, match="another run uses it"):
        opened(real / "c")
    held.close()
    found = opened(real / "c")
    assert found is not None
    assert list(found.entries) == ENTRIES


def test_a_link_that_is_changed_meanwhile_changes_nothing(tmp_path: Path) -> None:
    """It was resolved when the run began."""
    (tmp_path / "link").symlink_to(tmp_path / "c")
    held = cursor(tmp_path / "link")
    held.open()
    (tmp_path / "link").unlink()
    (tmp_path / "link").symlink_to(tmp_path / "victim")
    held.save(LOW, ENTRIES)
    held.close()
    assert names(tmp_path) == ["c", "c.lock", "link"]


def test_it_is_saved_from_another_thread(tmp_path: Path) -> None:
    """While the thread that opened it does something else."""
    held = cursor(tmp_path / "c")
    held.open()
    saving = Thread(target=held.save, args=(LOW, ENTRIES))
    saving.start()
    saving.join()
    held.close()
    found = opened(tmp_path / "c")
    assert found is not None
    assert list(found.entries) == ENTRIES


def test_a_file_beyond_all_measure_is_not_read(tmp_path: Path) -> None:
    """--reset-cursor puts it aside like any other that cannot be used."""
    with (tmp_path / "c").open("wb") as file:
        file.truncate(LIMIT + 1)
    with pytest.raises(CursorError, match="it is larger than 64 MiB"):
        opened(tmp_path / "c")
    assert opened(tmp_path / "c", reset=True) is None
    assert names(tmp_path) == ["c.bad", "c.lock"]


def test_a_bad_file_that_cannot_be_put_aside_is_told(tmp_path: Path) -> None:
    """And nothing is lost."""
    (tmp_path / "c").write_bytes(b"{")
    (tmp_path / "c.bad").mkdir()
    with pytest.raises(CursorError, match="it cannot be put aside: Is a directory"):
        opened(tmp_path / "c", reset=True)
    assert (tmp_path / "c").read_bytes() == b"{"
