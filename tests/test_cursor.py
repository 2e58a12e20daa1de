"""The cursor file and its damages (rows 116 to 122 of docs/faults.md)."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawlogs.delivery.cursor import CursorFile, decode, encode, filter_digest
from rawlogs.errors import CursorError

API, DIGEST = "http://host/api", filter_digest({})
LOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
ENTRIES = [(LOW.timestamp() + 1, "0" * 31 + "1"), (LOW.timestamp() + 2.5, "0" * 31 + "2")]
WHOLE = encode(LOW, ENTRIES, api=API, digest=DIGEST, saved=LOW)


def cursor(path: Path, **other: str) -> CursorFile:
    return CursorFile(path, **{"api": API, "digest": DIGEST, **other})


def test_fault_116_a_missing_file_is_a_first_run(tmp_path: Path) -> None:
    """None, and the lock is held."""
    assert cursor(tmp_path / "c").open() is None


def test_what_was_saved_is_where_to_go_on(tmp_path: Path) -> None:
    """Mark and ids; the file is the user's alone."""
    first = cursor(tmp_path / "c")
    first.open()
    first.save(LOW, ENTRIES)
    first.close()
    again = cursor(tmp_path / "c").open()
    assert again is not None
    assert (again.low, list(again.entries)) == (LOW, ENTRIES)
    assert (tmp_path / "c").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(b"", "it is empty", id="empty"),
        pytest.param(WHOLE[: len(WHOLE) // 2], "cut off", id="half written"),
        pytest.param(b"\x00\xffgarbage", "not JSON", id="garbage"),
        pytest.param(b"[]", "not a cursor file", id="another JSON"),
        pytest.param(WHOLE.replace(b'cursor":1', b'cursor":9'), "another version", id="another version"),
        pytest.param(WHOLE.replace(b"http://host", b"http://elsewhere"), "another API", id="another server"),
        pytest.param(WHOLE.replace(DIGEST.encode(), b"x"), "another filter", id="another filter"),
        pytest.param(WHOLE.replace(b"0001", b"000"), "fields are missing or wrong", id="an id cut"),
    ],
)
def test_fault_117_an_unusable_file_is_refused_and_kept(tmp_path: Path, content: bytes, words: str) -> None:
    """With path and problem; --reset-cursor starts anew and keeps it as .bad."""
    path = tmp_path / "c"
    path.write_bytes(content)
    with pytest.raises(CursorError, match=words) as refused:
        cursor(path).open()
    assert refused.value.path == str(path)
    assert path.read_bytes() == content
    assert cursor(path).open(reset=True) is None
    assert (tmp_path / "c.bad").read_bytes() == content


@pytest.mark.parametrize("size", range(1, len(WHOLE) - 1, 7))
def test_fault_117_a_file_cut_anywhere_is_refused(size: int) -> None:
    """Never an earlier or later position."""
    with pytest.raises(ValueError, match="it is"):
        decode(WHOLE[:size], api=API, digest=DIGEST)


def test_fault_118_a_newer_whole_temporary_file_wins(tmp_path: Path) -> None:
    """A crash came between writing and renaming it; a broken one is ignored."""
    later = datetime(2026, 1, 2, tzinfo=timezone.utc)
    (tmp_path / "c").write_bytes(WHOLE)
    (tmp_path / "c.new").write_bytes(encode(later, [], api=API, digest=DIGEST, saved=later))
    first = cursor(tmp_path / "c")
    found = first.open()
    first.close()
    assert found is not None and found.low == later
    (tmp_path / "c.new").write_bytes(b"{")
    again = cursor(tmp_path / "c").open()
    assert again is not None and again.low == LOW


def test_fault_119_another_run_holds_the_lock(tmp_path: Path) -> None:
    """At once, with its process id."""
    script = (
        "import sys; from rawlogs.delivery.cursor import CursorFile\n"
        f"c = CursorFile({str(tmp_path / 'c')!r}, api={API!r}, digest={DIGEST!r}); c.open()\n"
        "print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(CursorError, match=f"another run uses it .process {other.pid}."):
            cursor(tmp_path / "c").open()
        other.communicate("")
    assert cursor(tmp_path / "c").open() is None


def test_fault_120_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """At the start, and while streaming."""
    (tmp_path / "file").write_text("")
    with pytest.raises(CursorError, match="its folder cannot be written"):
        cursor(tmp_path / "file" / "c").open()
    held = cursor(tmp_path / "gone" / "c")
    (tmp_path / "gone").mkdir()
    held.open()
    (tmp_path / "gone").rename(tmp_path / "moved")
    with pytest.raises(CursorError, match="it cannot be written"):
        held.save(LOW, [])


@given(st.binary(max_size=200) | st.text(max_size=100))
def test_nothing_but_a_value_error_comes_of_any_bytes(content: object) -> None:
    """Whatever the file holds."""
    raw = content if isinstance(content, bytes) else str(content).encode("utf-8", "replace")
    with pytest.raises(ValueError, match="it "):
        decode(raw, api=API, digest=DIGEST)


@given(
    st.dictionaries(st.sampled_from(["low", "saved", "stamps", "ids"]), st.none() | st.integers() | st.text())
)
def test_nothing_but_a_value_error_comes_of_wrong_fields(fields: dict[str, object]) -> None:
    """Of the right version, API and filter."""
    data = {"rawlogs_cursor": 1, "api": API, "filter": DIGEST, **fields}
    try:
        content = orjson.dumps(data)
    except TypeError:
        return
    with pytest.raises(ValueError, match="it is damaged"):
        decode(content, api=API, digest=DIGEST)
