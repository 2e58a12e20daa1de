"""The ids that were delivered, against a plain set."""

from __future__ import annotations

import tracemalloc
from datetime import datetime, timedelta, timezone
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawlogs.delivery import seen as room
from rawlogs.delivery.seen import SeenIds, seconds
from rawlogs.models import Log

NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)


def log(number: int, second: float) -> Log:
    stamp = (NOON + timedelta(seconds=second)).isoformat()
    return Log.from_wire({"id": str(UUID(int=number)), "level": 20, "message": "m", "timestamp": stamp})


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "CHUNK", 4)


stamped = st.tuples(st.integers(0, 60), st.integers(0, 20))


@given(st.lists(st.lists(stamped, max_size=8), max_size=8))
def test_each_id_is_admitted_once(batches: list[list[tuple[int, int]]]) -> None:
    """Whatever the order, and however many share a timestamp; an id keeps its timestamp."""
    seen, known = SeenIds(), dict[int, int]()
    for batch in batches:
        logs = [log(number, known.setdefault(number, second)) for number, second in batch]
        for entry in seen.admit(logs, 0.0):
            assert known.pop(entry.id.int + 1000, None) is None
        for entry in logs:
            assert entry in seen
        assert seen.admit(logs, 0.0) == []


@given(st.dictionaries(st.integers(0, 100), st.integers(0, 20)), st.integers(0, 20), st.integers(0, 20))
def test_a_range_is_counted_half_open(entries: dict[int, int], low: int, high: int) -> None:
    """From the first moment up to, not including, the second."""
    seen = SeenIds()
    seen.admit([log(number, second) for number, second in entries.items()], 0.0)
    after, before = NOON + timedelta(seconds=low), NOON + timedelta(seconds=max(low, high))
    assert seen.count(after, before) == sum(low <= second < max(low, high) for second in entries.values())


@given(st.dictionaries(st.integers(0, 100), st.integers(0, 20)), st.integers(0, 20))
def test_what_is_saved_can_be_loaded(entries: dict[int, int], low: int) -> None:
    """Every log at or after the mark is known again."""
    seen, again = SeenIds(), SeenIds()
    logs = [log(number, second) for number, second in entries.items()]
    seen.admit(logs, 0.0)
    mark = NOON + timedelta(seconds=low)
    again.load(seen.after(mark), 0.0)
    assert [entry in again for entry in logs] == [entry.timestamp >= mark for entry in logs]


@given(st.dictionaries(st.integers(0, 100), st.integers(0, 20)), st.integers(0, 20))
def test_what_a_list_may_return_is_never_forgotten(entries: dict[int, int], low: int) -> None:
    """Only what is stamped before the mark may go."""
    seen = SeenIds()
    logs = [log(number, second) for number, second in entries.items()]
    seen.admit(logs, 0.0)
    mark = NOON + timedelta(seconds=low)
    seen.forget(mark, seconds(10.0), 10.0)
    assert all(entry in seen for entry in logs if entry.timestamp >= mark)


def test_the_oldest_arrivals_go_beyond_the_limit() -> None:
    """And it is known up to when."""
    seen = SeenIds(limit=8)
    for number in range(20):
        seen.admit([log(number, number)], float(number))
    assert len(seen) <= 12
    assert seen.forgotten is not None
    assert log(19, 19) in seen


def test_a_delivered_log_costs_few_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """24 bytes each, once packed."""
    monkeypatch.setattr(room, "CHUNK", 8192)
    seen = SeenIds()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for start in range(0, 12 * 8192, 8192):
            seen.admit([log(start + n, start + n) for n in range(8192)], 0.0)
        used = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert used / len(seen) < 30
