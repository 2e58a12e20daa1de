"""Where live and listed logs meet: what is delivered, held, dropped, and what the ledger and the schedule are told."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from delivering import Delivery, turns

from rawlogs.batch import Batch
from rawlogs.delivery.ledger import Range
from rawlogs.delivery.merge import HOLD, LATE_PAUSE, Beginning
from rawlogs.models import BEGINNING, Log
from rawlogs.seen import SeenIds
from rawlogs.selection import Selection


class Merging(Delivery):
    """A merger at second 100 of a stream of which everything up to then was listed."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.clock.advance(100.0)
        self.list(0.0, 100.0)
        self.merger.beginning = Beginning(self.at(0.0))

    def list(self, after: float, before: float) -> None:
        """A list of that range found no row."""
        span = Range(self.at(after), self.at(before))
        self.ledger.listed(span, self.server.now(), lambda *_: 0, self.ledger.begin_list())

    def made(self, *seconds: float, text: str = "m", level: int = 20, **fields: Any) -> Batch:
        """Logs of these seconds."""
        rows = [{**self.listing.row(self.at(second)), "message": text, "level": level} for second in seconds]
        return Batch([Log.from_wire({**row, **fields}) for row in rows])

    def live(self, *seconds: float, **fields: Any) -> list[str]:
        """Let them come over the socket in one batch; their ids."""
        batch = self.made(*seconds, **fields)
        self.merger.live(batch)
        return list(batch.ids)

    def due(self) -> float:
        """Seconds until the next list."""
        return round(self.schedule._due - self.clock.monotonic(), 6)


def marks(merging: Merging) -> tuple[float, float, int]:
    return merging.low, merging.frontier, merging.ledger.open_gaps


# Live


async def test_a_live_log_is_delivered_at_once_and_once() -> None:
    """The same id again is a duplicate, in its own batch, too."""
    merging = Merging()
    batch = merging.made(100.0, 100.0)
    merging.merger.live(batch)
    merging.merger.live(Batch([*batch, *batch]))
    assert await merging.read() == list(batch.ids)
    assert (merging.stats.live, merging.stats.duplicates, merging.merger.received) == (2, 4, 6)
    assert merging.schedule.suspected_at is None


async def test_what_is_new_in_a_batch_is_delivered_and_the_rest_is_counted() -> None:
    """In order; the figures add up."""
    merging = Merging()
    known = merging.made(100.0, 100.1)
    merging.merger.live(known)
    for _ in range(2):
        new = merging.made(100.2, 100.3, 100.4)
        merging.merger.live(Batch([new[0], known[0], new[1], known[1], new[2]]))
        assert (await merging.read())[-3:] == list(new.ids)
    assert (merging.stats.live, merging.stats.duplicates) == (8, 4)


async def test_an_empty_batch_is_nothing() -> None:
    merging = Merging()
    merging.merger.live(Batch([]))
    assert (len(merging.outbox), merging.merger.received) == (0, 0)


async def test_a_live_log_that_does_not_pass_the_local_filter_is_counted_nowhere() -> None:
    """But its id is known."""
    merging = Merging(selection=Selection(exclude=["secret"]))
    merging.live(100.0, text="a secret")
    shown = merging.live(100.0, text="nothing")
    assert await merging.read() == shown
    assert merging.stats.live == 1
    assert len(merging.merger.seen) == 2


async def test_logs_behind_the_end_of_the_stream_are_left_out() -> None:
    """Those of its last moment belong to it."""
    until = Delivery().at(100.0)
    merging = Merging(until=until)
    assert [len(merging.live(second)) for second in (100.0, 100.000001)] == [1, 1]
    assert len(await merging.read()) == 1
    await merging.merger.listed(merging.made(99.0, 100.000001))
    assert len(await merging.read()) == 1


# Holding


async def test_held_logs_come_behind_the_listed_ones() -> None:
    """In their order, when they are released."""
    merging = Merging()
    merging.merger.hold()
    held = merging.live(100.0) + merging.live(99.0)
    listed = merging.made(98.0)
    await merging.merger.listed(listed)
    assert await merging.read() == list(listed.ids)
    merging.merger.release()
    assert await merging.read() == held
    later = merging.live(100.5)
    assert await merging.read() == later, "nothing is held any more"


async def test_a_hold_ends_by_itself() -> None:
    """Whatever hangs: when nothing was listed for two seconds."""
    merging = Merging()
    ending = asyncio.ensure_future(merging.merger.end_holds())
    await asyncio.sleep(0)
    merging.merger.hold()
    held = merging.live(100.0)
    await turns(lambda: len(merging.outbox))
    assert merging.clock.sleeps == [pytest.approx(HOLD)]
    assert await merging.read() == held
    ending.cancel()


async def test_a_short_hold_ends_after_its_own_time() -> None:
    merging = Merging()
    ending = asyncio.ensure_future(merging.merger.end_holds())
    merging.merger.hold(at_most=0.5)
    merging.live(100.0)
    await turns(lambda: len(merging.outbox))
    assert merging.clock.sleeps == [pytest.approx(0.5)]
    ending.cancel()


async def test_a_list_that_moves_on_prolongs_a_hold() -> None:
    """Two seconds after its last page, that is."""
    merging = Merging()
    merging.merger.hold()
    merging.live(100.0)
    merging.clock.advance(1.5)
    await merging.merger.listed(merging.made(98.0))
    ending = asyncio.ensure_future(merging.merger.end_holds())
    await turns(lambda: len(merging.outbox) == 2)
    assert merging.clock.sleeps == [pytest.approx(HOLD)]
    ending.cancel()


async def test_a_list_prolongs_no_hold_that_has_ended() -> None:
    """Live logs go on at once."""
    merging = Merging()
    merging.merger.hold()
    merging.merger.release()
    await merging.merger.listed(merging.made(98.0))
    await merging.merger.deliver_tail(list(merging.made(1.0)))
    merging.live(100.0)
    assert len(await merging.read()) == 3


async def test_a_hold_does_not_end_into_a_full_queue() -> None:
    """The held logs would be dropped; they wait until there is room."""
    merging = Merging(buffer=4)
    merging.live(100.0, 100.0, 100.0, 100.0)
    merging.merger.hold(at_most=0.0)
    held = merging.live(100.1)
    ending = asyncio.ensure_future(merging.merger.end_holds())
    for _ in range(10):
        await asyncio.sleep(0)
    assert (merging.stats.overflows, set(merging.clock.sleeps)) == (0, {HOLD})
    await merging.read()
    await turns(lambda: len(merging.outbox))
    assert await merging.read() == held
    ending.cancel()


async def test_no_more_is_held_than_the_buffer_takes() -> None:
    """Then all of it is dropped, and its range is listed."""
    merging = Merging(buffer=4)
    merging.merger.hold()
    merging.live(100.0, 101.0, 102.0, 103.0)
    assert merging.stats.overflows == 0
    merging.live(104.0)
    assert (merging.stats.overflows, merging.ledger.open_gaps) == (1, 1)
    merging.merger.release()
    assert len(merging.outbox) == 0


# Dropping


async def test_a_full_queue_drops_live_logs_and_lists_them_later() -> None:
    """From the oldest to the newest of them; told once, until the gap is closed."""
    merging = Merging(buffer=2)
    merging.schedule.next_in(15.0)
    merging.live(100.0, 100.0)
    dropped = merging.made(95.0, 97.0, 96.0)
    merging.merger.live(dropped)
    merging.live(97.5)
    assert (merging.stats.overflows, merging.stats.live, merging.kinds) == (2, 2, ["behind"])
    assert marks(merging) == (40.0, 98.0, 2), "what lies between was listed"
    assert merging.schedule.catch_up
    assert merging.due() == 0.0
    assert not any(log in merging.merger.seen for log in dropped)
    await merging.read()
    assert await merging.merger.listed(dropped) == 3
    assert await merging.read() == list(dropped.ids)


async def test_a_slow_reader_is_told_again_after_it_had_caught_up() -> None:
    """With what becomes of what was dropped."""
    merging = Merging(buffer=1)
    merging.live(100.0)
    merging.live(100.1)
    merging.notifier.unsay("behind")
    merging.live(100.2)
    texts = {notice.text for notice in merging.notices if notice.kind == "behind"}
    assert (len(merging.notices), texts) == (
        2,
        {"the reader is slower than the stream; the rest is listed when there is room"},
    )


async def test_what_is_dropped_is_marked_to_the_microsecond() -> None:
    """A list that ends at its last timestamp does not show it."""
    merging = Merging(buffer=1)
    merging.live(100.0)
    merging.live(50.0, 60.0)
    requests = merging.ledger.due(merging.server.now(), 200)
    low, high = (requests[0].range.after - merging.at(0)), (requests[0].range.before - merging.at(0))
    assert (low, high) == (timedelta(seconds=50), timedelta(seconds=60, microseconds=1))


async def test_a_dropped_log_of_a_wrong_clock_does_not_stretch_the_range_of_the_others() -> None:
    """Cut where nothing is stamped for an overlap."""
    merging = Merging(buffer=1)
    merging.live(100.0)
    merging.live(-5000.0, 95.0, 90.0, 35.1, -4940.0)
    spans = [
        (
            (request.range.after - merging.at(0)).total_seconds(),
            (request.range.before - merging.at(0)).total_seconds(),
        )
        for request in merging.ledger.due(merging.server.now(), 0)
        if request.kind == "list"
    ]
    assert spans[:2] == [(-5000.0, -4939.999999), (35.1, 95.000001)]


async def test_without_a_list_dropped_logs_are_lost_and_each_loss_is_told() -> None:
    """With ``live_only``."""
    merging = Merging(buffer=1, rest=False, live_only=True)
    merging.live(100.0)
    merging.live(100.1, 100.2)
    merging.live(100.3)
    assert [notice.facts for notice in merging.notices] == [{"lost": 2}, {"lost": 1}]
    assert merging.kinds == ["behind"] * 2
    assert merging.notices[0].text == "the reader is slower than the stream: 2 logs lost"
    assert not merging.schedule.catch_up


# Late logs


@pytest.mark.parametrize(("stamp", "late"), [(93.0, False), (92.9, True)])
async def test_an_old_live_log_brings_a_list_of_its_neighbours(stamp: float, late: bool) -> None:
    """After a pause: late logs seldom come alone."""
    merging = Merging()
    merging.schedule.next_in(15.0)
    merging.live(stamp, 100.0)
    assert merging.frontier == (stamp if late else 98.0)
    assert merging.due() == (LATE_PAUSE if late else 15.0)
    assert merging.kinds == ["late"] * late
    merging.live(90.0)
    assert merging.kinds.count("late") == 1
    if late:
        assert merging.notices[0].facts == {"stamp": merging.at(stamp)}
        assert "7 s after" in merging.notices[0].text


async def test_an_old_log_that_had_been_delivered_is_not_late() -> None:
    """A server repeats frames."""
    merging = Merging()
    old = merging.made(50.0)
    await merging.merger.listed(old)
    merging.merger.live(old)
    assert (merging.kinds, merging.frontier) == ([], 98.0)


async def test_without_a_list_no_log_is_late() -> None:
    """Nobody could look for others."""
    merging = Merging(rest=False, live_only=True)
    merging.live(50.0)
    assert (merging.kinds, merging.frontier, merging.schedule.suspected_at) == ([], 98.0, None)


# Bursts


@pytest.mark.parametrize(
    ("count", "swept", "due"),
    [
        pytest.param(199, False, 15.0, id="few"),
        pytest.param(200, False, 2.0, id="many: when they have settled"),
        pytest.param(256, False, 0.4, id="as many as the server's queue holds: soon"),
        pytest.param(256, True, 2.0, id="followed runs are read again at their end"),
    ],
)
async def test_many_live_logs_at_once_bring_a_list(count: int, swept: bool, due: float) -> None:
    """Others of theirs may be lost."""
    merging = Merging(keep_ids=swept)
    merging.schedule.next_in(15.0)
    for _ in range(count):
        merging.live(100.0)
    assert merging.due() == due
    assert (merging.schedule.suspected_at is None) is (count < 200)
    assert merging.ledger.open_gaps == 0, "nothing of it has been passed"


async def test_a_burst_that_a_list_has_passed_is_unread_from_its_oldest_log_on() -> None:
    """A POST of thousands is streamed seconds after its timestamps."""
    merging = Merging()
    merging.live(*[96.0] * 100)
    merging.live(*[97.0] * 100)
    assert marks(merging)[1:] == (96.0, 1)


async def test_a_burst_of_old_logs_is_late_and_no_gap() -> None:
    """It was looked for by that."""
    merging = Merging()
    merging.live(*[90.0] * 300)
    assert marks(merging)[1:] == (90.0, 0)


async def test_a_burst_counts_within_a_second() -> None:
    """And anew in the next one."""
    merging = Merging()
    merging.live(*[96.0] * 199)
    merging.clock.advance(1.1)
    merging.live(*[97.0] * 199)
    assert merging.schedule.suspected_at is None
    merging.clock.advance(1.0)  # its last moment
    merging.live(97.5)
    assert marks(merging)[1:] == (97.0, 1), "the oldest log of this second"


async def test_without_a_list_a_burst_changes_nothing() -> None:
    merging = Merging(rest=False, live_only=True)
    merging.live(*[97.0] * 300)
    assert (merging.schedule.suspected_at, merging.frontier) == (None, 98.0)


# Listed


async def test_a_listed_row_is_delivered_once_and_counted_as_recovered() -> None:
    """How many were new is what ``listed`` returns."""
    merging = Merging()
    live = merging.made(100.0)
    merging.merger.live(live)
    page = Batch([*live, *merging.made(99.0)])
    assert [await merging.merger.listed(page) for _ in range(2)] == [1, 0]
    assert await merging.merger.listed(merging.made(98.0)) == 1
    assert (merging.stats.recovered, merging.stats.duplicates) == (2, 0)
    assert len(await merging.read()) == 3


async def test_until_it_has_begun_a_stream_owns_what_was_stored_since_it_was_made() -> None:
    """A list may be read before."""
    fresh = Delivery()
    assert await fresh.merger.listed(Batch([row(-1, -1), row(-1, 1, number=2)])) == 1


async def test_a_row_that_does_not_pass_the_local_filter_is_new_and_not_delivered() -> None:
    """It is not asked for again."""
    merging = Merging(selection=Selection(exclude=["secret"]))
    page = merging.made(99.0, text="secret")
    assert [await merging.merger.listed(page) for _ in range(2)] == [1, 0]
    assert (merging.stats.recovered, len(merging.outbox)) == (0, 0)


async def test_a_page_waits_for_room_unless_it_brings_nothing() -> None:
    """Until half of the queue is free; who gives up meanwhile has delivered nothing."""
    merging = Merging(buffer=4)
    live = merging.made(100.0, 100.1, 100.2)
    merging.merger.live(live)
    assert await merging.merger.listed(live) == 0
    page = merging.made(99.0)
    for _ in range(2):
        waiting = asyncio.ensure_future(merging.merger.listed(page))
        await asyncio.sleep(0)
        assert not waiting.done()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    await merging.read()
    assert await merging.merger.listed(page) == 1


async def test_a_log_that_comes_live_while_its_page_waits_is_delivered_once() -> None:
    """The page looks again."""
    merging = Merging(buffer=4)
    merging.live(100.0, 100.1, 100.2)
    page = merging.made(99.0)
    waiting = asyncio.ensure_future(merging.merger.listed(page))
    await asyncio.sleep(0)
    merging.merger.live(page)
    got = await merging.read()
    assert await waiting == 0
    assert [*got, *await merging.read()].count(page.ids[0]) == 1


async def test_delivered_logs_are_counted_by_their_timestamps() -> None:
    """From the first moment up to the second; none where the range is empty."""
    merging = Merging()
    merging.live(10.0, 20.0, 20.0, 30.0)
    count = merging.merger.seen.count
    assert count(merging.at(10.0), merging.at(30.0)) == 3
    assert count(merging.at(30.0), merging.at(10.0)) == 0


# The beginning


def row(second: float, created: float | None, number: int = 1) -> Log:
    start = Delivery().at(0)
    fields = {"id": str(UUID(int=number)), "level": 20, "message": "m"}
    fields["timestamp"] = (start + timedelta(seconds=second)).isoformat()
    if created is not None:
        fields["created"] = (start + timedelta(seconds=created)).isoformat()
    return Log.from_wire(fields)


def moment(second: float) -> datetime:
    return Delivery().at(second)


@pytest.mark.parametrize(
    ("second", "created", "since", "owned"),
    [
        pytest.param(12, 12, None, True, id="stamped and stored after the start"),
        pytest.param(5, 10, None, True, id="stored at the start"),
        pytest.param(5, 9.999999, None, False, id="stored before"),
        pytest.param(12, 9, None, False, id="stored before, by a fast clock"),
        pytest.param(-500, 11, None, True, id="late, and stored after"),
        pytest.param(12, None, None, True, id="a server that does not say, stamped after"),
        pytest.param(9, None, None, False, id="... before"),
        pytest.param(5, 5, 5, True, id="since its timestamp"),
        pytest.param(4.9, 5, 5, False, id="before that"),
        pytest.param(4.9, 11, 5, True, id="before that, and stored after the start"),
    ],
)
def test_a_stored_log_is_the_stream_s_own_by_when_it_was_stored(
    second: float, created: float | None, since: float | None, owned: bool
) -> None:
    """Since the start, or stamped since a moment that was asked for."""
    beginning = Beginning(moment(10), since=None if since is None else moment(since))
    assert beginning.owns(row(second, created)) is owned


def test_what_the_first_answer_showed_is_not_the_stream_s_own_where_the_start_is_not_exact() -> None:
    """But what was asked for is."""
    known = frozenset({str(UUID(int=1))})
    assert not Beginning(moment(10), before=known).owns(row(12, 12))
    assert Beginning(moment(10), before=known).owns(row(12, 12, number=2))
    assert Beginning(moment(10), since=moment(0), before=known).owns(row(12, 12))


async def test_rows_from_before_the_start_are_not_delivered() -> None:
    """Nor are their ids kept."""
    merging = Merging()
    merging.merger.beginning = Beginning(merging.at(50.0))
    rows = Batch([row(40, 40), row(40, 60, number=2)])
    assert await merging.merger.listed(rows) == 1
    assert await merging.read() == [str(UUID(int=2))]
    assert rows[0] not in merging.merger.seen


async def test_the_tail_is_what_is_older_and_passes_every_filter() -> None:
    """Up to ``until``, too."""
    merging = Merging(selection=Selection(exclude=["secret"]), until=moment(45))
    merging.merger.beginning = Beginning(merging.at(50.0))
    assert merging.merger.is_earlier(row(40, 40))
    assert not merging.merger.is_earlier(row(46, 46))
    assert not merging.merger.is_earlier(row(40, 60))
    assert not merging.merger.is_earlier(merging.made(40.0, text="secret")[0])


async def test_a_long_tail_is_delivered_in_parts_as_the_reader_takes_it() -> None:
    """In order, each log once, counted as recovered; a hold goes on meanwhile."""
    merging = Merging(buffer=1000)
    merging.merger.hold()
    logs = list(merging.made(*(n / 100 for n in range(2500))))
    merging.merger.live(Batch([logs[7]]))
    merging.merger.release()
    assert len(await merging.read()) == 1
    merging.merger.hold(at_most=0.1)
    tail = asyncio.ensure_future(merging.merger.deliver_tail(logs))
    sizes = []
    while not tail.done():
        await asyncio.sleep(0)
        sizes.append(len(merging.outbox))
        await merging.read()
    assert merging.order == [logs[7].id_text, *(log.id_text for log in logs if log is not logs[7])]
    assert (max(sizes), merging.stats.recovered) == (1000, 2499)
    assert merging.merger._hold_until == merging.clock.monotonic() + HOLD


# Forgetting


@pytest.mark.parametrize(
    ("stamp", "created", "keep_all", "forgotten", "delivered"),
    [
        pytest.param(500, 390, False, None, True, id="stored long ago"),
        pytest.param(500, 400, False, None, False, id="stored within the retention: its id would be known"),
        pytest.param(939, 390, False, None, True, id="final"),
        pytest.param(940, 390, False, None, False, id="not final yet"),
        pytest.param(500, None, False, None, False, id="stored nobody knows when"),
        pytest.param(500, 300, True, None, False, id="where every id is kept, none is forgotten"),
        pytest.param(500, 300, True, 400, True, id="but for want of room"),
        pytest.param(500, 400, True, 400, False, id="and then only up to a time"),
    ],
)
async def test_a_row_is_taken_for_delivered_when_its_id_was_forgotten(
    stamp: float, created: float | None, keep_all: bool, forgotten: float | None, delivered: bool
) -> None:
    """A row that is not among the seen ids was delivered all the same."""
    merging = Merging(keep_ids=keep_all)
    merging.merger.beginning = Beginning(merging.at(0), since=BEGINNING)
    merging.merger.seen.forgotten = None if forgotten is None else merging.at(forgotten).timestamp()
    merging.clock.advance(900.0)
    merging.list(0.0, 1000.0)
    assert await merging.merger.listed(Batch([row(stamp, created)])) == (not delivered)


@pytest.mark.parametrize("tail", [False, True])
async def test_ids_of_listed_rows_are_forgotten_like_others(
    tail: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once no list can return their rows."""
    monkeypatch.setattr("rawlogs.seen.CHUNK", 1)
    merging = Merging()
    log = row(100, 100)
    await (merging.merger.deliver_tail([log]) if tail else merging.merger.listed(Batch([log])))
    assert log in merging.merger.seen
    merging.merger.prune()
    assert log in merging.merger.seen
    merging.clock.advance(631.0)
    merging.list(0.0, 731.0)
    merging.merger.prune()
    assert log not in merging.merger.seen


@pytest.mark.parametrize("keep_all", [False, True])
async def test_an_id_outlives_the_doubt_about_its_row(
    keep_all: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though the clocks of arrival and of storage differ; with ``keep_ids`` it is never forgotten."""
    monkeypatch.setattr("rawlogs.seen.CHUNK", 1)
    merging = Merging(keep_ids=keep_all, seen=SeenIds())
    merging.merger.beginning = Beginning(merging.at(0), since=BEGINNING)
    log = row(100, 130)  # stored half a minute after it came
    merging.merger.live(Batch([log]))
    known = []
    for second in range(115, 1000, 15):
        merging.clock.advance(15.0)
        merging.list(0.0, second)
        merging.merger.prune()
        known.append(log in merging.merger.seen)
        assert await merging.merger.listed(Batch([log])) == 0
    assert known == [True] * len(known) if keep_all else known == sorted(known, reverse=True)
    assert known[-1] is keep_all
