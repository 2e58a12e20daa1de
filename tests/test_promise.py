"""The promise without a socket and without a second of real time: window, lister and budget over a simulated table.

The same through real sockets, with faults on them, is in test_promise_socket.py.
"""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

from clocks import FakeClock
from hypothesis import given, settings
from hypothesis import strategies as st
from listing import RUN, Listing

from rawlogs.delivery.budget import Budget
from rawlogs.delivery.lister import Lister
from rawlogs.delivery.window import Window
from rawlogs.errors import HistoryError
from rawlogs.models import BEGINNING, Log

OVERLAP = 60.0
AUDIT = 15.0


class Delivery:
    """A stream's list side, with the live logs handed in by hand; ``got`` counts what reached the reader."""

    def __init__(self, page: int, budget: int) -> None:
        self.clock = FakeClock()
        self.listing = Listing(self.clock, limit=page)
        self.window = Window(self.clock.now(), overlap=OVERLAP, settle=2.0)
        self.got: Counter[str] = Counter()
        self.fails_delivery = False
        self.lister = Lister(
            self.listing,
            self.window,
            Budget(budget, self.clock.monotonic()),
            clock=self.clock,
            deliver=self._deliver,
            progress=lambda *_: None,
            by_run=True,
        )
        self.lister.history.page = page

    async def _deliver(self, logs: list[Log]) -> int:
        if self.fails_delivery:
            self.fails_delivery = False
            raise HistoryError("cut off while it waited for room", transient=True)
        self.got.update(log.id_text for log in logs)
        return len(logs)

    # What happens

    def log(self, back: float, *, live: int, delay: float | None, run: bool = True) -> None:
        """Stamped so many seconds ago; ``live``: so often on the socket; ``delay``: until it is readable, if ever."""
        stamp = self.clock.now() - timedelta(seconds=back)
        row = self.listing.row(max(stamp, self.window.late), RUN if run else None)
        log = Log.from_wire(row)
        if delay is not None:
            self.listing.store(row, delay)
        for _ in range(live):
            new = self.window.seen.admit([log], self.clock.now().timestamp())
            self.got.update(log.id_text for log in new)
            if new:
                self.window.stray(log.timestamp)

    def burst(self, count: int, streamed: int, delay: float) -> None:
        """A POST at one moment, of which the socket brings only the first."""
        for n in range(count):
            self.log(0.0, live=n < streamed, delay=delay)

    def dropped(self, back: float) -> None:
        """The reader was slower: a log that came live was forgotten here."""
        self.log(back, live=0, delay=0.0)
        self.window.reopen(self.clock.now() - timedelta(seconds=back))

    async def audit(self) -> None:
        looks = self.window.audit(self.clock.now(), self.lister.history.page)
        await self._take(looks)
        if (stray := self.window.stray_look()) is not None:
            await self._take([stray])
        self.window.settle_up(self.clock.now())

    async def catch_up(self) -> None:
        try:
            await self.lister.read(self.window.unread(self.clock.now(), ahead=True), {})
        except HistoryError:
            return
        await self._take(self.window.second_looks(self.clock.now()))

    async def _take(self, looks: Any) -> None:
        for look in looks:
            try:
                await self.lister.take(look, {})
            except HistoryError:
                return

    async def act(self, name: str, *values: Any) -> None:
        if name == "wait":
            self.clock.advance(values[0])
        elif name == "no answers":
            self.listing.failures += values[0]
        elif name == "cut off":
            self.fails_delivery = True
        elif name == "log":
            self.log(values[0], live=values[1], delay=values[2])
        elif name == "burst":
            self.burst(*values)
        elif name == "dropped":
            self.dropped(*values)
        elif name == "audit":
            await self.audit()
        else:
            await self.catch_up()


acts = st.one_of(
    st.tuples(st.just("wait"), st.floats(0.01, 40.0)),
    st.tuples(st.just("log"), st.floats(0.0, 25.0), st.sampled_from([0, 1, 1, 2]), st.floats(0.0, 25.0)),
    st.tuples(st.just("burst"), st.integers(1, 40), st.integers(0, 40), st.floats(0.0, 10.0)),
    st.tuples(st.just("dropped"), st.floats(0.0, 25.0)),
    st.tuples(st.just("no answers"), st.integers(1, 3)),
    st.tuples(st.just("cut off")),
    st.tuples(st.just("audit")),
    st.tuples(st.just("catch up")),
)


@settings(max_examples=200)
@given(st.lists(acts, max_size=25), st.sampled_from([1, 3, 7, 200]), st.sampled_from([0, 60]))
async def test_every_stored_log_is_delivered_exactly_once(
    acts: list[tuple[Any, ...]], page: int, budget: int
) -> None:
    """Live, lost, late, twice, at one moment, dropped here; lists that fail or are cut off; any budget."""
    delivery = Delivery(page, budget)
    for name, *values in acts:
        await delivery.act(name, *values)
    delivery.listing.failures, delivery.fails_delivery = 0, False
    for _ in range(14):
        delivery.clock.advance(AUDIT)
        await delivery.audit()
    readable = delivery.listing.readable()
    assert readable <= set(delivery.got)
    assert max(delivery.got.values(), default=1) == 1
    assert delivery.window.late >= delivery.clock.now() - timedelta(seconds=OVERLAP + AUDIT)


@settings(max_examples=100)
@given(
    st.lists(acts, max_size=12),
    st.lists(st.tuples(st.floats(0.0, 5000.0), st.integers(0, 1)), max_size=12),
    st.sampled_from([3, 7, 200]),
)
async def test_a_sweep_finds_whatever_is_stored_of_a_run(
    acts: list[tuple[Any, ...]], late: list[tuple[float, int]], page: int
) -> None:
    """However late it was stored, and whether or not lists had passed it; nothing comes twice."""
    delivery = Delivery(page, 0)
    delivery.clock.advance(6000.0)
    await delivery.catch_up()
    for name, *values in acts:
        await delivery.act(name, *values)
    for back, live in late:
        row = delivery.listing.row(delivery.clock.now() - timedelta(seconds=back))
        log = delivery.listing.store(row)
        if live:
            new = delivery.window.seen.admit([log], delivery.clock.now().timestamp())
            delivery.got.update(log.id_text for log in new)
    delivery.listing.failures, delivery.fails_delivery = 0, False
    delivery.clock.advance(30.0)
    wire = {"flow_run_id": {"any_": [str(RUN)]}}
    await delivery.lister.sweep(RUN, wire, BEGINNING)
    assert delivery.listing.readable() <= set(delivery.got)
    assert max(delivery.got.values(), default=1) == 1
    requests = len(delivery.listing.bodies)
    assert await delivery.lister.sweep(RUN, wire, BEGINNING) == 0
    assert len(delivery.listing.bodies) - requests == 1 or not delivery.listing.rows


async def test_a_sweep_of_what_the_lists_have_shown_is_one_request() -> None:
    """Also where the last rows came after the lists; these are read by it."""
    delivery = Delivery(200, 0)
    delivery.burst(1000, 0, 0.0)
    delivery.clock.advance(5.0)
    await delivery.audit()
    delivery.log(0.0, live=0, delay=0.0)
    requests = len(delivery.listing.bodies)
    assert await delivery.lister.sweep(RUN, {"flow_run_id": {"any_": [str(RUN)]}}, BEGINNING) == 1
    assert len(delivery.listing.bodies) == requests + 1
