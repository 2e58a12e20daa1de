"""Sent against received."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawlogs.errors import ConfigError
from rawlogs.testing.compare import compare, ids


def test_each_kind_of_difference_is_told() -> None:
    """Missing, repeated, unknown, and out of order."""
    result = compare(["a", "b", "c", "d"], ["b", "a", "b", "x", "d"])
    assert (result.missing, result.repeated, result.unknown, result.reordered) == (("c",), ("b",), ("x",), 1)
    assert not result.complete


@given(st.lists(st.integers().map(str), unique=True), st.randoms())
def test_a_shuffled_whole_is_complete(sent: list[str], random: object) -> None:
    """The order is told, not judged."""
    received = list(sent)
    random.shuffle(received)  # type: ignore[attr-defined]
    assert compare(sent, received).complete


def test_ids_are_found_in_logs_frames_and_bare_lines() -> None:
    """What any of the outputs writes."""
    lines = [b'{"id":"a"}', b'{"type":"log","log":{"id":"b"}}', b'"c"', b"d", b""]
    assert list(ids(lines, "f")) == ["a", "b", "c", "d"]


@pytest.mark.parametrize("line", [b"{", b"{}", b'{"id":1}', b'{"type":"log","log":[]}'])
def test_a_line_without_an_id_is_named(line: bytes) -> None:
    """ConfigError with file and line."""
    with pytest.raises(ConfigError, match="f, line 2"):
        list(ids([b"a", line], "f"))
