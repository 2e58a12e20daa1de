"""The ids that were delivered, against a plain dictionary."""

from __future__ import annotations

import tracemalloc
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from listing import admit

from rawlogs import seen as room
from rawlogs.batch import Batch
from rawlogs.models import BEGINNING, END, Log
from rawlogs.seen import SeenIds, seconds
from rawlogs.wire.frames import decode_batch

NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)
MOMENTS = [NOON + timedelta(seconds=second) for second in range(12)]
MOMENTS += [
    NOON + timedelta(microseconds=1),
    NOON + timedelta(seconds=3, microseconds=999_999),
    BEGINNING,
    END,
]


def log(number: int, moment: datetime) -> Log:
    data = {"id": str(UUID(int=number)), "level": 20, "message": "m"}
    return Log.from_wire({**data, "timestamp": moment.isoformat()})


def batch_of(logs: list[Log]) -> Batch:
    """As they come through the socket: with their timestamps as texts, where these can be."""
    frames = [
        orjson.dumps(
            {
                "type": "log",
                "log": {
                    "id": log.id_text,
                    "created": None,
                    "updated": None,
                    "name": "n",
                    "level": 20,
                    "message": "m",
                    "timestamp": log.timestamp.isoformat(timespec="microseconds")[:-6] + "Z",
                    "flow_run_id": None,
                    "task_run_id": None,
                },
            }
        )
        for log in logs
    ]
    batch, others = decode_batch(frames)
    assert not others
    return batch


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "CHUNK", 4)


class Both:
    """The room and a plain dictionary of the same logs: number to (timestamp, when it was admitted)."""

    def __init__(self) -> None:
        self.seen = SeenIds()
        self.known: dict[int, tuple[datetime, float]] = {}
        self.stamps: dict[int, datetime] = {}  # a log keeps its timestamp for ever
        self.now = 100.0

    def logs(self, batch: list[tuple[int, datetime]]) -> list[Log]:
        return [log(number, self.stamps.setdefault(number, moment)) for number, moment in batch]

    def admit_batch(self, batch: list[tuple[int, datetime]]) -> None:
        self.now += 1.0
        logs = self.logs(batch)
        before = set(self.known)
        places = self.seen.admit_batch(batch_of(logs), lambda: self.now)
        assert places == sorted(places)
        new = list(dict.fromkeys(entry.id.int for entry in logs if entry.id.int not in before))
        assert [logs[place].id.int for place in places] == new
        self.known |= {number: (self.stamps[number], self.now) for number in new}

    def forget(self, mark: datetime, ago: int) -> None:
        """What went has to have been stamped and admitted before these; nothing has to go."""
        self.now += 1.0
        arrived = self.now - ago
        self.seen.forget(mark, seconds(arrived), self.now)
        for number, (stamp, when) in list(self.known.items()):
            if log(number, stamp) not in self.seen:
                assert stamp < mark and when < arrived
                del self.known[number]

    def restart(self, mark: datetime) -> None:
        """Saved from a mark on, and loaded into another one."""
        self.now += 1.0
        saved = self.seen.after(mark)
        self.seen = SeenIds()
        self.seen.load(saved, self.now)
        self.known = {number: (kept[0], self.now) for number, kept in self.known.items() if kept[0] >= mark}

    def expect_the_same(self) -> None:
        assert len(self.seen) == len(self.known)
        for number, stamp in self.stamps.items():
            assert (log(number, stamp) in self.seen) is (number in self.known)
        for low, high in [(NOON, MOMENTS[5]), (MOMENTS[3], MOMENTS[4]), (BEGINNING, END), (MOMENTS[6], NOON)]:
            expected = sum(low <= stamp < high for stamp, _ in self.known.values())
            assert self.seen.count(low, high) == expected
        after = {
            (stamp.timestamp(), UUID(int=n).hex) for n, (stamp, _) in self.known.items() if stamp >= NOON
        }
        assert set(self.seen.after(NOON)) == after


moments = st.sampled_from(MOMENTS)
batches = st.lists(st.tuples(st.integers(0, 40), moments), max_size=9)
acts = st.lists(
    st.one_of(
        st.tuples(st.just("admit_batch"), batches),
        st.tuples(st.just("admit_batch"), batches),
        st.tuples(st.just("forget"), moments, st.integers(-1, 20)),
        st.tuples(st.just("restart"), moments),
    ),
    max_size=12,
)


@given(acts)
def test_it_knows_what_a_dictionary_knows(acts: list[tuple[Any, ...]]) -> None:
    """Whatever is admitted, forgotten, saved and loaded, in any order and with any timestamps."""
    both = Both()
    for name, *values in acts:
        getattr(both, name)(*values)
        both.expect_the_same()


def test_one_log_twice_in_a_batch_is_one_log() -> None:
    """The first of them."""
    seen = SeenIds()
    assert [entry.id.int for entry in admit(seen, [log(1, NOON), log(2, NOON), log(1, NOON)], 0.0)] == [1, 2]


def test_one_log_twice_in_a_batch_by_column_is_one_position() -> None:
    """The first of them, also where nothing else was ever admitted."""
    seen = SeenIds()
    batch = Batch([log(1, NOON), log(2, NOON), log(1, NOON)])
    assert [seen.admit_batch(batch, lambda: 0.0) for _ in range(2)] == [[0, 1], []]
    assert seen.admit_batch(Batch([]), lambda: 0.0) == []


def test_thousands_of_one_timestamp_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where one id is found astride two others."""
    monkeypatch.setattr(room, "CHUNK", 3)
    seen = SeenIds()
    astride = [0x1_0000_0002 << 64, 3 << 64, 4]
    admit(seen, [log(number, NOON) for number in astride], 0.0)
    assert log(0x2_0000_0000_0000_0000_0000_0000, NOON) not in seen
    between = bytes.fromhex(UUID(int=astride[1]).hex + UUID(int=astride[2]).hex)[8:24]
    assert log(int.from_bytes(between, "big"), NOON) not in seen
    assert all(log(number, NOON) in seen for number in astride)


def test_a_quiet_stream_forgets_too() -> None:
    """Its ids would never fill a chunk."""
    seen = SeenIds()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "CHUNK", 8192)
        for number in range(300):
            admit(seen, [log(number, NOON + timedelta(seconds=number))], float(number))
        late = NOON + timedelta(seconds=400)
        seen.forget(late, seconds(0.0), 400.0)
        assert len(seen) == 300
        seen.forget(late, seconds(401.0), 500.0)
        assert len(seen) == 0


def test_the_oldest_arrivals_go_beyond_the_limit() -> None:
    """And it is known up to when; the newest chunk stays, whatever the limit."""
    seen = SeenIds(limit=8)
    assert seen.forgotten is None
    for number in range(20):
        admit(seen, [log(number, MOMENTS[-number % 12])], float(number))
    assert len(seen) == 8
    assert seen.forgotten == 11.0
    assert [log(number, MOMENTS[-number % 12]) in seen for number in (11, 12)] == [False, True]
    tiny = SeenIds(limit=1)
    admit(tiny, [log(number, NOON) for number in range(5)], 0.0)
    assert len(tiny) == 5


@settings(max_examples=20)
@given(st.lists(st.integers(0, 2**128 - 1), min_size=1, max_size=12, unique=True))
def test_ids_of_any_version_are_kept_whole(numbers: list[int]) -> None:
    """128 bits, in and out."""
    seen = SeenIds()
    admit(seen, [log(number, NOON) for number in numbers], 0.0)
    assert sorted(text for _, text in seen.after(NOON)) == sorted(UUID(int=n).hex for n in numbers)


def test_two_hundred_thousand_ids_cost_few_bytes_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """24 each, once packed."""
    monkeypatch.setattr(room, "CHUNK", 8192)
    seen = SeenIds()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for start in range(0, 25 * 8192, 8192):
            moment = NOON + timedelta(seconds=start)
            admit(seen, [log_of(start + n, moment) for n in range(8192)], 0.0)
        used = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert len(seen) == 204_800
    assert used / len(seen) < 30


def log_of(number: int, moment: datetime) -> Log:
    """The same, made without much ado."""
    row = {"id": f"00000000-0000-0000-0000-{number:012x}", "level": 20, "message": "m"}
    return Log.from_wire({**row, "timestamp": moment.isoformat()})
