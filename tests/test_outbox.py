"""Where delivered logs wait for the reader."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta, timezone
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawlogs.batch import Batch
from rawlogs.delivery.outbox import Outbox
from rawlogs.models import Log

NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)


def logs(count: int, first: int = 0) -> Batch:
    stamps = [NOON + timedelta(seconds=first + n) for n in range(count)]
    return Batch(
        [
            Log(id=UUID(int=first + n), level=20, message="m", timestamp=stamp)
            for n, stamp in enumerate(stamps)
        ]
    )


@given(st.lists(st.integers(0, 5), max_size=20), st.integers(1, 10))
async def test_what_is_put_in_comes_out_in_order_and_once(sizes: list[int], size: int) -> None:
    """Whatever the batches; an empty one is none."""
    box, first, wanted = Outbox(size), 0, []
    for count in sizes:
        batch = logs(count, first)
        box.put(batch)
        wanted += batch
        first += count
        assert (len(box), box.full, box.roomy) == (first, first >= size, first * 2 <= size)
    box.close()
    got = []
    while (taken := await box.take()) is not None:
        assert taken
        got += taken
    assert (got, len(box)) == (wanted, 0)


async def test_a_reader_waits_for_the_first_log() -> None:
    """And is woken by it."""
    box = Outbox(10)
    reader = asyncio.create_task(box.take())
    await asyncio.sleep(0)
    assert not reader.done()
    batch = logs(1)
    box.put(batch)
    assert await reader == batch


async def test_whoever_fills_it_waits_until_it_is_half_empty() -> None:
    """Not only until there is room for one: a list page is hundreds of logs."""
    box = Outbox(4)
    for n in range(4):
        box.put(logs(1, n))
    filler = asyncio.create_task(box.room())
    for left in (3, 2):
        await asyncio.sleep(0)
        assert not filler.done()
        await box.take()
        assert len(box) == left
    await filler


async def test_the_reader_gets_what_waits_before_the_error() -> None:
    """And the error every time it asks again."""
    box, batch = Outbox(10), logs(2)
    box.put(batch)
    box.close(ValueError("over"))
    box.close(KeyError("a later one does not count"))
    assert await box.take() == batch
    for _ in range(2):
        with pytest.raises(ValueError, match="over"):
            await box.take()


async def test_closing_wakes_the_reader() -> None:
    """With None, for ever."""
    box = Outbox(10)
    reader = asyncio.create_task(box.take())
    await asyncio.sleep(0)
    box.close()
    assert await reader is None
    assert await box.take() is None


def test_the_oldest_that_waits_is_known() -> None:
    """Of all batches; None where nothing waits."""
    box = Outbox(10)
    assert box.oldest() is None
    box.put(logs(2, 5))
    box.put(logs(2, 1))
    assert box.oldest() == NOON + timedelta(seconds=1)


# Handing a batch through, without waking the reader


async def waiting(box: Outbox) -> asyncio.Task[Batch | None]:
    """A reader that waits for its next batch."""
    task = asyncio.ensure_future(box.take())
    await asyncio.sleep(0)
    return task


async def test_a_batch_is_handed_through_while_the_reader_waits() -> None:
    """The reader is not woken, and the box stays empty."""
    box, through = Outbox(10), []
    box.through = lambda batch: not through.append(batch)
    reader = await waiting(box)
    box.put(logs(2))
    box.put(logs(0))
    box.put(logs(1, 2))
    await asyncio.sleep(0)
    assert [list(batch.ids) for batch in through] == [list(logs(2).ids), list(logs(1, 2).ids)]
    assert (len(box), reader.done()) == (0, False)
    reader.cancel()


async def test_what_is_not_taken_wakes_the_reader_and_so_does_what_comes_behind_it() -> None:
    """Nothing overtakes: once a batch waits in the box, nothing is handed through."""
    box, offered = Outbox(10), []
    box.through = lambda batch: bool(offered.append(batch))
    reader = await waiting(box)
    box.put(logs(2))
    box.through = lambda batch: not offered.append(batch)
    box.put(logs(1, 2))
    assert list(await reader or ()) == list(logs(2))
    assert list(await box.take() or ()) == list(logs(1, 2))
    assert len(offered) == 1


async def test_nothing_is_handed_through_while_the_reader_is_busy() -> None:
    """It has a batch in its hands, which comes first."""
    box, offered = Outbox(10), []
    box.through = lambda batch: not offered.append(batch)
    box.put(logs(1))
    assert list(await box.take() or ()) == list(logs(1))
    box.put(logs(1, 1))
    assert (offered, len(box)) == ([], 1)
