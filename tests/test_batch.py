"""A batch is a sequence of logs, whether its logs were made or are still to be."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawlogs.batch import Batch, stamps_to_seconds
from rawlogs.models import Log
from rawlogs.wire.frames import decode_batch

STAMPS = ["2026-01-02T03:04:05.000002Z", "2026-01-02T03:04:05.000001Z", "2026-01-02T03:04:06.000000Z"]


def payload(number: int, stamp: str) -> bytes:
    log: dict[str, Any] = {
        "id": f"00000000-0000-4000-8000-{number:012d}",
        "created": None,
        "updated": None,
        "name": "n",
        "level": 20,
        "message": f"message {number}",
        "timestamp": stamp,
        "flow_run_id": None,
        "task_run_id": None,
    }
    return json.dumps({"type": "log", "log": log}, separators=(",", ":")).encode()


PAYLOADS = [payload(number, stamp) for number, stamp in enumerate(STAMPS)]
LOGS = [Log.from_wire(json.loads(text)["log"], text) for text in PAYLOADS]


def batch_of(kind: str) -> Batch:
    """The same three logs."""
    if kind == "logs":
        return Batch(LOGS)
    batch, others = decode_batch(PAYLOADS, keep=True)
    assert batch.rows is not None and not others
    if kind == "read":
        assert batch[0] == LOGS[0]
    return batch


@pytest.fixture(params=["logs", "rows", "read"])
def batch(request: pytest.FixtureRequest) -> Batch:
    return batch_of(request.param)


def test_it_is_a_sequence_of_its_logs(batch: Batch) -> None:
    assert len(batch) == 3
    assert [log.id_text for log in LOGS] == list(batch.ids)
    assert list(batch) == LOGS == [batch[0], batch[1], batch[-1]]
    assert [log.raw for log in batch] == PAYLOADS
    assert batch[1] is batch[1], "a log is made once"
    assert LOGS[2] in batch
    assert repr(batch) == "<Batch of 3 logs>"
    with pytest.raises(IndexError):
        batch[3]


def test_its_times_are_those_of_its_logs(batch: Batch) -> None:
    assert list(batch.seconds) == [log.timestamp.timestamp() for log in LOGS]
    assert (batch.oldest, batch.newest) == (LOGS[1].timestamp, LOGS[2].timestamp)
    assert list(batch[:2].seconds) == [log.timestamp.timestamp() for log in LOGS[:2]]


@given(
    st.lists(
        st.datetimes(datetime(1000, 1, 1))
        | st.datetimes(datetime(2026, 1, 1), datetime(2026, 1, 1, 0, 0, 3)),
        min_size=1,
    )
)
def test_stamps_are_the_seconds_that_datetime_gives(moments: list[datetime]) -> None:
    """To the last bit: they are compared with those of listed logs."""
    stamps = [moment.isoformat(timespec="microseconds") + "Z" for moment in moments]
    assert stamps_to_seconds(stamps) == [
        moment.replace(tzinfo=timezone.utc).timestamp() for moment in moments
    ]


@pytest.mark.parametrize("positions", [[], [0], [2], [0, 2], [1, 2], [0, 1, 2]])
def test_some_of_it_is_a_batch(batch: Batch, positions: list[int]) -> None:
    kept = batch.keep(positions)
    expected = [LOGS[n] for n in positions]
    assert (list(kept), list(kept.ids)) == (expected, [log.id_text for log in expected])
    assert list(kept.seconds) == [log.timestamp.timestamp() for log in expected]
    assert (kept is batch) is (len(positions) == 3)
    assert kept.frames == ([PAYLOADS[n] for n in positions] if batch.frames and positions else None)


def test_a_slice_is_a_batch(batch: Batch) -> None:
    assert [list(batch[1:]), list(batch[:0]), list(batch[::2])] == [LOGS[1:], [], LOGS[::2]]


@pytest.mark.parametrize("second", ["logs", "rows", "read", "none"])
def test_batches_joined_are_all_their_logs(batch: Batch, second: str) -> None:
    other = Batch([]) if second == "none" else batch_of(second)
    joined = Batch.joined([batch, other])
    assert list(joined) == LOGS + list(other)
    assert list(joined.ids) == list(batch.ids) + list(other.ids)
    assert [log.raw for log in joined] == PAYLOADS + [log.raw for log in other]
    assert (joined.rows is None) is (batch.rows is None or (other.rows is None and len(other) > 0))


def test_no_batches_joined_are_no_logs() -> None:
    empty = Batch.joined([])
    assert (list(empty), list(empty.seconds)) == ([], [])
    for moment in ("oldest", "newest"):
        with pytest.raises(ValueError):
            getattr(empty, moment)
