"""The list's reader: which requests it makes for what is asked, and what is known to be read with each page."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from clocks import FakeClock
from delivering import Delivery
from listing import RUN, Listing

from rawlogs.batch import Batch
from rawlogs.delivery.ledger import ListRequest, Range
from rawlogs.delivery.reader import LAG, HistoryReader, Page, RowsPerRun, UnsettledRows, counting
from rawlogs.errors import HistoryError
from rawlogs.models import BEGINNING, END, MICROSECOND, Log

START = datetime(2026, 1, 1, tzinfo=timezone.utc)


class Reading(Delivery):
    """A reader over a table, at second 100 of a stream that began at second 0 with nothing listed."""

    def __init__(self, **options: Any) -> None:
        super().__init__(since=BEGINNING, **options)
        self.ledger.start_at(self.at(0))
        self.zero = self.at(0)
        self.clock.advance(100.0)
        self.pages: list[tuple[int, float | None, float | None]] = []

    def span(self, after: float, before: float) -> Range:
        return Range(self.at(after), self.at(before))

    async def take(self, request: ListRequest, **how: Any) -> list[str]:
        """Deliver what the request brings and tell the ledger, as the auditor does; the ids that were new."""
        marks = self.ledger.begin_list()
        async for page in self.reader.read(self.listing, request, {}, **how):
            await self.merger.listed(page.rows)
            self.reader.note_delivered(page)
            self.note(page)
            if page.covered is not None and not page.covered.empty:
                if page.recheck:
                    self.ledger.counted(page.covered, page.began, marks)
                else:
                    self.ledger.listed(page.covered, page.began, page.count, marks)
        return await self.read()

    def note(self, page: Page) -> None:
        span = page.covered
        ends = (None, None) if span is None else (self.since(span.after), self.since(span.before))
        self.pages.append((len(page.rows), *ends))

    def since(self, moment: Any) -> float:
        return round((moment - self.zero).total_seconds(), 6)

    @property
    def low(self) -> float:
        return self.since(self.ledger.low_water)

    @property
    def frontier(self) -> float:
        return self.since(self.ledger.frontier)

    def set_back(self, seconds: float) -> None:
        """Our clock is, as by an answer that tells the server's time; not the server's."""
        self.clock.step(-seconds)
        self.server.ahead += seconds

    async def list(self, after: float, before: float, **how: Any) -> list[str]:
        return await self.take(ListRequest("list", self.span(after, before)), **how)

    async def catch_up(self) -> list[str]:
        """Everything that no list has shown yet."""
        found = []
        for request in self.ledger.due(self.clock.now(), self.reader.page, ahead=True):
            found += await self.take(request)
        return found

    @property
    def asked(self) -> int:
        return len(self.listing.bodies)


async def test_a_list_brings_what_was_not_delivered_and_moves_the_frontier() -> None:
    """In order of time; the frontier stays ``settle`` behind."""
    reading = Reading()
    lost = reading.stored(50.0, 10.0)
    reading.stored(20.0, live=True)
    await reading.read()
    assert await reading.catch_up() == lost[::-1]
    assert (reading.frontier, reading.asked) == (98.0, 1)


async def test_each_page_covers_the_range_up_to_its_last_timestamp() -> None:
    """Others of that timestamp may stand on the next page; the end of the list covers the rest."""
    reading = Reading(page=3)
    reading.stored(1.0, 2.0, 3.0, 4.0, 4.0, 6.0)
    await reading.list(0.0, 50.0)
    assert reading.pages == [(3, 0.0, 3.0), (2, 3.0, 4.0), (1, 4.0, 6.0), (0, 6.0, 50.0)]
    assert reading.frontier == 50.0


async def test_a_list_that_breaks_off_keeps_what_it_has_shown() -> None:
    """And the next one goes on there."""
    reading = Reading(page=2)
    lost = reading.stored(1.0, 2.0, 3.0)

    def fail_at_the_second() -> None:
        if reading.asked == 2:
            raise HistoryError("no answer", transient=True)

    reading.listing.before_answer = fail_at_the_second
    with pytest.raises(HistoryError):
        await reading.catch_up()
    assert (await reading.read(), reading.low, reading.frontier) == (lost[:2], 2.0, 2.0)
    assert await reading.catch_up() == lost[2:]
    assert reading.frontier == 98.0
    stamps = [body["logs"]["timestamp"]["after_"] for body in reading.listing.bodies]
    assert stamps[2] == reading.at(2.0).isoformat()


async def test_a_page_counts_its_rows_for_the_second_look() -> None:
    """Those of the parts that it covers; ties of its last timestamp belong to the next."""
    reading = Reading(page=3)
    reading.stored(50.0, 51.0, 52.0, 52.0, 60.0)
    await reading.list(45.0, 98.0)
    looks = reading.ledger.pending_rechecks()
    assert [(look.kind, look.expect) for look in looks] == [("count", 5)]
    assert looks[0].range == reading.span(45.0, 98.0)


async def test_a_range_ends_before_its_end() -> None:
    """A row at its end belongs to the next one; to the grain of the server's timestamps."""
    reading = Reading()
    inside = reading.stored(9.999999)
    reading.stored(10.0)
    assert await reading.list(5.0, 10.0) == inside
    assert reading.listing.bodies[0]["logs"]["timestamp"] == {
        "after_": reading.at(5.0).isoformat(),
        "before_": reading.at(9.999999).isoformat(),
    }


@pytest.mark.parametrize(("confirm", "requests"), [(False, 1), (True, 2)])
async def test_a_list_is_read_once_more_behind_a_short_page_where_that_is_asked_for(
    confirm: bool, requests: int
) -> None:
    """For one that is not repeated."""
    reading = Reading(page=5)
    reading.stored(1.0, 2.0)
    await reading.list(0.0, 50.0, confirm=confirm)
    assert reading.asked == requests


async def test_every_request_asks_for_as_many_rows_as_the_server_is_known_to_give() -> None:
    """200 until it is known."""
    reading = Reading(page=50)
    reading.stored(1.0)
    await reading.list(0.0, 50.0)
    await reading.reader.more_than_delivered(reading.listing, reading.span(0.0, 50.0), {})
    await reading.reader.oldest(reading.listing, {})
    [page async for page in reading.reader.sweep(reading.listing, [RUN], {}, BEGINNING)]
    [rows async for rows in reading.reader.newest(reading.listing, {}, reading.at(0.0), reading.at(8.0))]
    assert {body["limit"] for body in reading.listing.bodies} == {50}
    assert reading.reader.page == 50
    fresh = HistoryReader(reading.ledger, reading.merger.seen, reading.clock.now, by_run=False)
    assert fresh.page == 200


async def test_a_range_without_ends_asks_without_them() -> None:
    """The first and the last moment there are stand for none."""
    reading = Reading()
    reading.stored(1.0)
    await reading.take(ListRequest("list", Range(BEGINNING, END + MICROSECOND)))
    assert reading.listing.bodies[0]["logs"]["timestamp"] == {}


async def test_a_second_look_is_one_request_where_nothing_was_added() -> None:
    """And a list where it was."""
    reading = Reading()
    reading.stored(*range(90), live=True)
    await reading.list(0.0, 90.0)
    await reading.read()
    reading.clock.advance(60.0)
    (look,) = [look for look in reading.ledger.due(reading.clock.now(), 99) if look.kind == "count"]
    assert look.expect == 50, "ten were final before"
    before = reading.asked
    assert await reading.take(look) == []
    assert (reading.asked - before, reading.low) == (1, 90.0)
    lost = reading.stored(66.0)
    assert await reading.take(look) == lost
    assert reading.asked - before == 3


async def test_fewer_rows_than_known_are_read() -> None:
    """Rows were deleted: others may stand in their place."""
    reading = Reading()
    reading.stored(1.0, 2.0)
    await reading.take(ListRequest("count", reading.span(0.0, 50.0), 3))
    assert (reading.asked, reading.frontier) == (2, 50.0)


async def test_more_rows_than_delivered() -> None:
    """-1 for fewer, at most a page."""
    reading = Reading(page=5)
    reading.stored(1.0, 2.0, live=True)
    span = reading.span(0.0, 50.0)
    assert await reading.reader.more_than_delivered(reading.listing, span, {}) == 0
    reading.stored(*(3.0 + n for n in range(3)))
    assert await reading.reader.more_than_delivered(reading.listing, span, {}) == 3
    reading.listing.rows.clear()
    assert await reading.reader.more_than_delivered(reading.listing, span, {}) == -1


async def test_the_pages_of_a_range_are_known_by_what_was_delivered() -> None:
    """One more than full ones."""
    reading = Reading(page=5)
    assert reading.reader.pages_of(reading.span(0.0, 50.0)) == 1
    reading.stored(*range(10), live=True)
    assert reading.reader.pages_of(reading.span(0.0, 50.0)) == 3
    assert reading.reader.pages_of(reading.span(0.0, 9.0)) == 2


# Counts instead of pages


async def test_where_the_budget_does_not_pay_counts_are_compared() -> None:
    """A settled range whose rows were all delivered costs one request, not its 36 pages."""
    reading = Reading(page=5)
    reading.stored(*(n / 2 for n in range(180)), live=True)
    await reading.read()
    assert await reading.list(0.0, 90.0, compare=True) == []
    assert (reading.asked, reading.frontier) == (1, 90.0)
    assert [look.expect for look in reading.ledger.pending_rechecks()] == [100]


@pytest.mark.parametrize(
    ("rows", "requests"),
    [pytest.param(9, 3, id="two pages are read"), pytest.param(10, 1, id="three are counted")],
)
async def test_two_pages_are_always_read(rows: int, requests: int) -> None:
    """Counts can be fooled; two requests are not worth that."""
    reading = Reading(page=5)
    reading.stored(*range(rows), live=True)
    await reading.list(0.0, 50.0, compare=True)
    assert reading.asked == requests


async def test_what_has_not_settled_is_read_and_not_counted() -> None:
    """Rows may still be on their way."""
    reading = Reading(page=5)
    reading.stored(*range(50), live=True)
    await reading.list(0.0, 98.1, compare=True)
    assert reading.asked > 10
    asked = reading.asked
    await reading.list(0.0, 98.0, compare=True)
    assert reading.asked == asked + 1


@pytest.mark.parametrize("lost", [0.0, 44.9, 89.4], ids=str)
async def test_beyond_the_budget_a_loss_is_found_by_halving(lost: float) -> None:
    """Where it is; the rest is not read."""
    reading = Reading(page=5)
    reading.stored(*(n / 2 for n in range(180)), live=True)
    missing = reading.stored(*[lost] * 7)
    await reading.read()
    assert sorted(await reading.list(0.0, 90.0, compare=True)) == sorted(missing)
    assert reading.frontier == 90.0
    assert reading.asked == (15 if lost == 0.0 else 14), "reading all of it is 47 pages"


async def test_beyond_the_budget_losses_everywhere_are_read_page_by_page() -> None:
    """Halving ends where it does not pay: after nine counts, and one for eight pages."""
    reading = Reading(page=5)
    reading.stored(*(n / 2 for n in range(180)), live=True)
    missing = reading.stored(*(n + 0.25 for n in range(0, 90, 3)))
    await reading.read()
    assert sorted(await reading.list(0.0, 90.0, compare=True)) == sorted(missing)
    pages = 211 // 4
    assert reading.asked <= pages + 2 * (9 + 37 // 8)
    counts = [body for body in reading.listing.bodies if body["offset"] > 5]
    assert len(counts) <= 9 + 37 // 8


async def test_halving_ends_where_a_range_cannot_be_halved() -> None:
    """Many rows of one microsecond, of which one is lost."""
    reading = Reading(page=5)
    reading.stored(*[10.0] * 40, live=True)
    (missing,) = reading.stored(10.0)
    await reading.read()
    assert await reading.list(0.0, 50.0, compare=True) == [missing]


# What the last list has shown


async def test_what_a_list_has_shown_costs_the_next_one_a_request_not_its_pages() -> None:
    """A burst is looked at soon, and again when it has settled."""
    reading = Reading(page=10)
    lost = reading.stored(*(98.5 + n / 1000 for n in range(95)))
    assert await reading.catch_up() == lost
    assert reading.asked == 11
    reading.clock.advance(2.0)
    last = reading.stored(100.5)
    assert await reading.catch_up() == last
    assert (reading.asked, reading.frontier) == (12, 100.0)


async def test_what_is_read_behind_known_rows_counts_them_all_for_the_second_look() -> None:
    """The known ones and the new ones."""
    reading = Reading(page=10)
    reading.stored(*(98.5 + n / 1000 for n in range(95)))
    await reading.catch_up()
    reading.clock.advance(10.0)
    reading.stored(99.0, 105.0)
    await reading.catch_up()
    assert reading.frontier == 108.0
    assert sum(look.expect for look in reading.ledger.pending_rechecks()) == 97


async def test_as_many_known_rows_as_a_page_are_not_read_again() -> None:
    """Nor those of a list that ended before all that is stamped ahead; also a third time."""
    reading = Reading(page=10)
    reading.stored(*(99.42 + n / 1000 for n in range(10)))
    await reading.list(0.0, 100.5)
    reading.clock.advance(1.0)
    for _ in range(2):
        asked = reading.asked
        assert await reading.catch_up() == []
        assert reading.asked == asked + 1
        assert reading.listing.bodies[-1]["offset"] == 9
        reading.clock.advance(0.4)
    reading.stored(101.9)
    asked = reading.asked
    assert await reading.list(reading.frontier, 101.9) == []
    assert reading.asked == asked + 1


async def test_a_few_known_rows_are_read_again() -> None:
    """Less than a page costs the same."""
    reading = Reading(page=10)
    reading.stored(*(98.5 + n / 1000 for n in range(8)))
    await reading.catch_up()
    reading.clock.advance(1.0)
    await reading.catch_up()
    assert [body["offset"] for body in reading.listing.bodies] == [0, 0]


async def test_a_row_among_those_that_were_shown_is_found() -> None:
    """It became readable behind younger ones: the range is read whole."""
    reading = Reading(page=10)
    reading.stored(*(98.5 + n / 1000 for n in range(95)))
    await reading.catch_up()
    reading.clock.advance(2.0)
    late = reading.stored(98.55)
    assert await reading.catch_up() == late
    assert reading.frontier == 100.0


async def test_rows_of_the_last_moments_are_not_relied_on() -> None:
    """Others may become readable in front of them."""
    reading = Reading(page=5)
    reading.stored(*(99.6 + n / 100 for n in range(20)))
    await reading.catch_up()
    asked = reading.asked
    reading.clock.advance(2.0)
    late = reading.stored(99.605)
    assert await reading.catch_up() == late
    assert reading.asked - asked == 6, "read from the beginning, without a try"


async def test_another_filter_begins_anew() -> None:
    """What was shown by the old one tells nothing of the new one; neither do its counts."""
    reading = Reading(page=10)
    reading.stored(*(98.5 + n / 1000 for n in range(95)))
    reading.stored(50.0)
    await reading.catch_up()
    reading.reader.forget_filter()
    before = reading.asked
    await reading.catch_up()
    assert reading.asked - before == 11
    assert [look.kind for look in reading.ledger.pending_rechecks()] == ["list"]


# Clocks


async def test_the_answer_s_clock_decides_when_a_list_began() -> None:
    """Ours was ahead: what seemed old enough to be final is not."""
    reading = Reading()

    reading.listing.before_answer = lambda: reading.set_back(50.0)
    await reading.list(0.0, 98.0)
    assert (reading.low, reading.frontier) == (0.0, 48.0)


@pytest.mark.parametrize(("step", "low"), [(0.0, 98.0), (-50.0, 48.0)])
async def test_a_count_that_was_asked_by_a_wrong_clock_makes_nothing_final(step: float, low: float) -> None:
    """By the server's clock the overlap had passed only for the first pages."""
    reading = Reading(page=5)
    reading.stored(*range(40, 60), live=True)
    await reading.list(0.0, 98.0)
    reading.clock.advance(60.0)
    reading.listing.before_answer = lambda: reading.set_back(-step)
    await reading.take(ListRequest("count", reading.span(40.0, 98.0), 20))
    assert reading.low == low


@pytest.mark.parametrize(("step", "frontier"), [(0.0, 98.0), (-50.0, 48.0)])
async def test_a_comparison_that_was_asked_by_a_wrong_clock_checks_nothing_too_young(
    step: float, frontier: float
) -> None:
    """It had not settled by the server's clock."""
    reading = Reading(page=5)
    reading.stored(*range(40, 60), live=True)
    reading.listing.before_answer = lambda: reading.set_back(-step)
    await reading.list(0.0, 98.0, compare=True)
    assert (reading.asked, reading.frontier) == (1, frontier)


@pytest.mark.parametrize(("step", "frontier"), [(0.0, 102.0), (-50.0, 52.0)])
async def test_rows_behind_known_ones_are_dated_by_the_server_too(step: float, frontier: float) -> None:
    """Where only these are read."""
    reading = Reading(page=5)
    reading.stored(*(98.5 + n / 100 for n in range(50)))
    await reading.catch_up()
    reading.clock.advance(4.0)
    asked = reading.asked
    reading.listing.before_answer = lambda: reading.set_back(-step)
    await reading.list(98.0, 160.0)
    assert (reading.asked - asked, reading.frontier) == (1, max(frontier, 98.0))


# Sweeps


async def test_a_sweep_of_what_was_shown_is_one_request() -> None:
    """With whatever lies behind it; of several runs, too."""
    reading = Reading(keep_ids=True)
    reading.stored(*range(50))
    await reading.list(0.0, 60.0)
    new = reading.stored(70.0)
    before = reading.asked
    pages = [page async for page in reading.reader.sweep(reading.listing, [RUN], {}, BEGINNING)]
    assert [log.id_text for page in pages for log in page.rows] == new
    assert all(page.covered is None for page in pages)
    assert (reading.asked - before, reading.listing.bodies[-1]["offset"]) == (1, 49)


async def test_a_sweep_reads_all_where_other_rows_lie_in_front() -> None:
    """One of them became readable behind the lists."""
    reading = Reading(keep_ids=True)
    reading.stored(*range(50))
    await reading.list(0.0, 60.0)
    late = reading.stored(20.5)
    found = [
        log.id_text
        async for page in reading.reader.sweep(reading.listing, [RUN], {}, BEGINNING)
        for log in page.rows
    ]
    assert len(found) >= 51
    assert set(late) <= set(found)


async def test_a_sweep_of_what_no_list_has_shown_reads_it() -> None:
    """What came live is not stored for certain."""
    reading = Reading(keep_ids=True)
    reading.stored(*range(5), live=True)
    pages = [page async for page in reading.reader.sweep(reading.listing, [RUN], {}, BEGINNING)]
    assert [len(page.rows) for page in pages] == [5]
    assert reading.listing.bodies[-1]["offset"] == 0


async def test_rows_are_counted_by_run_only_for_sweeps() -> None:
    """24 bytes a row are not spent in vain."""
    reading = Reading()
    reading.stored(*range(50))
    await reading.list(0.0, 60.0)
    [page async for page in reading.reader.sweep(reading.listing, [RUN], {}, BEGINNING)]
    assert reading.listing.bodies[-1]["offset"] == 0


# The newest and the oldest


async def test_the_newest_rows_come_newest_first() -> None:
    """Page by page, down to a timestamp."""
    reading = Reading(page=3)
    stored = reading.stored(*range(10))
    found: list[Log] = []
    async for rows in reading.reader.newest(reading.listing, {}, reading.at(4.0), reading.at(8.0)):
        found += rows
    assert [log.id_text for log in found] == stored[8:3:-1]


async def test_the_oldest_row_tells_since_when_there_are_any() -> None:
    """None without one."""
    reading = Reading()
    assert await reading.reader.oldest(reading.listing, {}) is None
    reading.stored(7.0, 3.0)
    assert await reading.reader.oldest(reading.listing, {}) == reading.at(3.0)


def test_counting_counts_from_the_first_up_to_the_second_moment() -> None:
    """Not including the second."""
    start = Reading().at(0)
    stamps = [start + timedelta(seconds=second) for second in (1, 2, 2, 3)]
    count = counting(stamps)
    assert count(stamps[0], stamps[3]) == 3
    assert count(stamps[1], stamps[1]) == 0
    assert count(start, stamps[3] + MICROSECOND) == 4


# Rows that a list has shown


def test_young_rows_are_those_from_a_moment_on_and_before_the_last_moments() -> None:
    """Both ends are a boundary: the first counts, the second does not."""
    rows = UnsettledRows()
    table = Listing(FakeClock())
    logs = [table.store(table.row(START + timedelta(seconds=n))) for n in range(5)]
    rows.add(logs)
    rows.finish(START + timedelta(seconds=1), START + timedelta(seconds=3) + LAG)
    assert set(rows.known(BEGINNING)) == {logs[1].id_text, logs[2].id_text}
    assert set(rows.known(START + timedelta(seconds=2))) == {logs[2].id_text}


@pytest.mark.parametrize("more", [0, 1])
def test_too_many_young_rows_are_forgotten(monkeypatch: pytest.MonkeyPatch, more: int) -> None:
    """As many as the limit are kept; one more, and a list is read instead; then new ones are kept again."""
    monkeypatch.setattr("rawlogs.delivery.reader.UNSETTLED_LIMIT", 3)
    rows = UnsettledRows()
    table = Listing(FakeClock())
    rows.add(table.store(table.row(START)) for _ in range(3 + more))
    rows.finish(START, START + timedelta(seconds=60))
    assert len(rows.known(BEGINNING)) == (0 if more else 3)
    last = table.store(table.row(START))
    rows.add([last])
    assert last.id_text in rows.known(BEGINNING)


def test_rows_of_runs_are_not_counted_once_ids_had_to_be_forgotten() -> None:
    """It may be too few then."""
    counted = RowsPerRun()
    table = Listing(FakeClock())
    counted.add(Batch([table.store(table.row(START)) for _ in range(3)]), lambda: START.timestamp())
    assert counted.count([RUN]) == 3
    counted._ids.forgotten = START.timestamp()
    assert counted.count([RUN]) == 0
