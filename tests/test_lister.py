"""The list's reader: which requests it makes for a look, and what the window may believe afterwards."""

from __future__ import annotations

from datetime import timedelta

import pytest
from clocks import FakeClock
from listing import Listing

from rawlogs.delivery.budget import Budget
from rawlogs.delivery.lister import Lister
from rawlogs.delivery.window import Look, Range, Window
from rawlogs.errors import HistoryError
from rawlogs.models import Log


class Reading:
    """A lister over a table, at second 100 of a stream; ``got`` is what it handed on."""

    def __init__(self, *, budget: int = 0, page: int = 200) -> None:
        self.clock = FakeClock()
        self.start = self.clock.now()
        self.listing = Listing(self.clock, limit=page)
        self.window = Window(self.start, overlap=60.0, settle=2.0)
        self.got: list[str] = []
        self.seen_rows: list[int] = []
        self.delivery_error: BaseException | None = None
        self.lister = Lister(
            self.listing,
            self.window,
            Budget(budget, self.clock.monotonic()),
            clock=self.clock,
            deliver=self._deliver,
            progress=lambda rows, stamp: self.seen_rows.append(rows),
        )
        self.lister.history.page = page
        self.clock.advance(100.0)

    async def _deliver(self, logs: list[Log]) -> int:
        if self.delivery_error is not None:
            raise self.delivery_error
        self.got += [log.id_text for log in logs]
        return len(logs)

    def stored(self, *seconds: float, live: bool = False) -> list[str]:
        """Rows of these seconds of the stream, readable at once; ``live``: they came over the socket, too."""
        logs = [self.listing.store(self.listing.row(self.start + timedelta(seconds=at))) for at in seconds]
        if live:
            self.window.seen.admit(logs, self.clock.now().timestamp())
        return [log.id_text for log in logs]

    def span(self, after: float, before: float) -> Range:
        return Range(self.start + timedelta(seconds=after), self.start + timedelta(seconds=before))

    @property
    def fresh(self) -> float:
        return (self.window.fresh - self.start).total_seconds()

    @property
    def requests(self) -> int:
        return len(self.listing.bodies)


async def test_a_list_hands_on_what_was_not_delivered_and_moves_the_frontier() -> None:
    """In order of time, with its progress; the frontier stays ``settle`` behind."""
    reading = Reading()
    lost = reading.stored(50.0, 10.0)
    reading.stored(20.0, live=True)
    assert await reading.lister.read(reading.window.unread(reading.clock.now(), ahead=True), {}) == 2
    assert reading.got == lost[::-1]
    assert (reading.fresh, reading.requests, reading.seen_rows) == (98.0, 1, [3])


async def test_a_list_that_fails_has_shown_nothing() -> None:
    """Neither to the window nor to the reader; the next one brings it."""
    reading = Reading(page=2)
    lost = reading.stored(1.0, 2.0, 3.0)
    answered = reading.listing.before_answer

    def fail_at_the_second() -> None:
        if reading.requests == 2:
            reading.listing.before_answer = answered
            raise HistoryError("no answer", transient=True)

    reading.listing.before_answer = fail_at_the_second
    span = reading.window.unread(reading.clock.now(), ahead=True)
    with pytest.raises(HistoryError):
        await reading.lister.read(span, {})
    assert (reading.got, reading.fresh) == (lost[:2], 0.0)
    assert await reading.lister.read(span, {}) == 1
    assert (reading.got, reading.fresh) == (lost, 98.0)


async def test_what_was_not_handed_on_is_brought_by_the_next_list() -> None:
    """A list may be cut off while it waits for room."""
    reading = Reading()
    lost = reading.stored(1.0, 2.0)
    reading.delivery_error = KeyboardInterrupt()
    span = reading.window.unread(reading.clock.now(), ahead=True)
    with pytest.raises(KeyboardInterrupt):
        await reading.lister.read(span, {})
    reading.delivery_error = None
    assert await reading.lister.read(span, {}) == 2
    assert reading.got == lost


async def test_a_list_that_lags_behind_the_socket_is_not_final() -> None:
    """A POST of thousands is streamed before it is stored: the others of it may be lost."""
    reading = Reading()
    late = reading.listing.row(reading.start + timedelta(seconds=90.0))
    reading.window.seen.admit([Log.from_wire(late)], reading.clock.now().timestamp())
    await reading.lister.read(reading.window.unread(reading.clock.now(), ahead=True), {})
    assert reading.lister.unsettled
    assert reading.fresh == 40.0, "only what its overlap has passed is final"
    reading.listing.store(late)
    lost = reading.stored(90.0)
    reading.lister.unsettled = False
    await reading.lister.read(reading.window.unread(reading.clock.now(), ahead=True), {})
    assert (reading.got, reading.lister.unsettled, reading.fresh) == (lost, False, 98.0)


async def test_a_second_look_is_one_request_where_nothing_was_added() -> None:
    """And a list where it was."""
    reading = Reading()
    reading.stored(*range(90), live=True)
    look = Look("count", reading.span(0.0, 90.0), 90)
    assert await reading.lister.take(look, {}) == 0
    assert reading.requests == 1
    lost = reading.stored(33.0)
    assert await reading.lister.take(look, {}) == 1
    assert (reading.got, reading.requests) == (lost, 3)


async def test_the_budget_is_waited_for_and_new_logs_are_not_counted_against_it() -> None:
    """60 a minute: after a full bucket, one a second; pages that brought something are free."""
    reading = Reading(budget=60, page=10)
    reading.stored(*range(90))
    span = reading.span(0.0, 90.0)
    await reading.lister.read(span, {})
    assert len(reading.got) == 90
    for _ in range(58):
        await reading.lister.read(reading.span(95.0, 96.0), {})
    assert reading.clock.sleeps == []
    for _ in range(3):
        await reading.lister.read(reading.span(95.0, 96.0), {})
    assert sum(reading.clock.sleeps) == pytest.approx(3.0, abs=2.0)
    assert reading.clock.sleeps


async def test_beyond_the_budget_counts_are_compared() -> None:
    """A settled range whose rows were all delivered costs one request, not its 20 pages."""
    reading = Reading(budget=20, page=5)
    reading.stored(*(n / 2 for n in range(180)), live=True)
    look = Look("list", reading.span(0.0, 90.0))
    assert await reading.lister.take(look, {}) == 0
    assert (reading.requests, reading.fresh) == (1, 90.0)


@pytest.mark.parametrize("lost", [0.0, 44.9, 89.4], ids=str)
async def test_beyond_the_budget_a_loss_is_found_by_halving(lost: float) -> None:
    """Where it is; the rest is not read."""
    reading = Reading(budget=20, page=5)
    reading.stored(*(n / 2 for n in range(180)), live=True)
    missing = reading.stored(*[lost] * 7)
    assert await reading.lister.take(Look("list", reading.span(0.0, 90.0)), {}) == 7
    assert sorted(reading.got) == sorted(missing)
    assert reading.fresh == 90.0
    assert reading.requests < 20, "reading all of it is 38 pages"


async def test_beyond_the_budget_losses_everywhere_are_read_page_by_page() -> None:
    """Halving ends where it does not pay."""
    reading = Reading(budget=20, page=5)
    reading.stored(*(n / 2 for n in range(180)), live=True)
    missing = reading.stored(*(n + 0.25 for n in range(0, 90, 3)))
    assert await reading.lister.take(Look("list", reading.span(0.0, 90.0)), {}) == 30
    assert sorted(reading.got) == sorted(missing)
    assert reading.requests < 3 * 42


async def test_what_a_list_has_shown_costs_the_next_one_a_request_not_its_pages() -> None:
    """A burst is looked at soon, and again when it has settled."""
    reading = Reading(page=10)
    lost = reading.stored(*(98.5 + n / 1000 for n in range(95)))
    early = reading.window.unread(reading.clock.now(), ahead=True)
    assert await reading.lister.read(early, {}) == 95
    assert reading.requests == 11
    reading.clock.advance(2.0)
    last = reading.stored(100.5)
    assert await reading.lister.read(reading.window.unread(reading.clock.now(), ahead=True), {}) == 1
    assert (reading.requests, reading.got) == (12, [*lost, *last])
    assert reading.fresh == 100.0


async def test_a_row_among_those_that_were_shown_is_found() -> None:
    """It became readable behind younger ones: the range is read whole."""
    reading = Reading(page=10)
    lost = reading.stored(*(98.5 + n / 1000 for n in range(95)))
    await reading.lister.read(reading.window.unread(reading.clock.now(), ahead=True), {})
    reading.clock.advance(2.0)
    late = reading.stored(98.55)
    assert await reading.lister.read(reading.window.unread(reading.clock.now(), ahead=True), {}) == 1
    assert reading.got == [*lost, *late]
    assert len(reading.window.second_looks(reading.clock.now() + timedelta(seconds=120))) == 1


async def test_another_filter_begins_anew() -> None:
    """What was shown by the old one tells nothing of the new one."""
    reading = Reading(page=10)
    reading.stored(*(98.5 + n / 1000 for n in range(95)))
    await reading.lister.read(reading.window.unread(reading.clock.now(), ahead=True), {})
    reading.lister.distrust()
    before = reading.requests
    await reading.lister.read(reading.window.unread(reading.clock.now(), ahead=True), {})
    assert reading.requests - before == 11
