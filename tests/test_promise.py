"""The promise without a socket and without a second of real time: the list side of a stream over a simulated table.

Live logs are handed in by hand. The same through real sockets, with faults on them, is in test_promise_socket.py.
"""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from delivering import Delivery, answer
from hypothesis import given, settings
from hypothesis import strategies as st
from listing import RUN

from rawlogs.models import BEGINNING

AUDIT = 15.0
REFUSALS: dict[str, Any] = {
    "busy": answer(503),
    "rate limit": answer(429),
    "later": answer(429, Retry_After="3"),
    "error": answer(500),
    "reset": httpx.ReadError("reset"),
    "refused": httpx.ConnectError("refused"),
    "silent": httpx.ReadTimeout("silent"),
    "no rows": (200, {}, {"not": "a list"}),
    "no row": (200, {}, [{"id": "none"}]),
}


class Course(Delivery):
    """A stream to which things happen."""

    def __init__(self, page: int, **options: Any) -> None:
        super().__init__(page=page, buffer=30, audit=AUDIT, **options)
        self.stalled = False

    async def drive(self, *, cut_off: int | None = None) -> None:
        """One round, beside a reader that takes what comes; or cut off after so many turns of the loop."""
        task = asyncio.ensure_future(self.round())
        turns = 0
        while not task.done():
            turns += 1
            if turns == cut_off:
                task.cancel()
            else:
                await self.read()
            await asyncio.sleep(0)
        if not task.cancelled():
            task.result()
        await self.read()

    def burst(self, count: int, streamed: int, delay: float) -> None:
        """A POST at one moment, of which the socket brings only the first."""
        for n in range(count):
            self.log(live=n < streamed, delay=delay)

    def reconnect(self, seconds: float) -> None:
        """The socket was away for so long."""
        self.ledger.doubt(self.rest.server_now())
        self.merger.release()
        self.log(delay=0.0)
        self.clock.advance(seconds)
        self.merger.hold()
        self.auditor.connected(again=True)

    async def act(self, name: str, *values: Any) -> None:
        if name == "wait":
            self.clock.advance(values[0])
        elif name == "refuse":
            self.plan += [REFUSALS[values[0]]] * values[1]
        elif name == "log":
            self.log(self.second - values[0], live=values[1], delay=values[2])
        elif name == "burst":
            self.burst(*values)
        elif name == "stall":
            self.stalled = not self.stalled
        elif name == "reconnect":
            self.reconnect(*values)
        else:
            await self.drive()
        if not self.stalled:
            await self.read()


acts = st.one_of(
    st.tuples(st.just("wait"), st.floats(0.01, 40.0)),
    st.tuples(st.just("log"), st.floats(0.0, 25.0), st.sampled_from([0, 1, 1, 2]), st.floats(0.0, 25.0)),
    st.tuples(st.just("burst"), st.integers(1, 40), st.integers(0, 40), st.floats(0.0, 10.0)),
    st.tuples(st.just("stall")),
    st.tuples(st.just("reconnect"), st.floats(0.0, 20.0)),
    st.tuples(st.just("refuse"), st.sampled_from(sorted(REFUSALS)), st.integers(1, 3)),
    st.tuples(st.just("round")),
    st.tuples(st.just("round")),
)


@settings(max_examples=100)
@given(
    st.lists(acts, max_size=25),
    st.sampled_from([1, 3, 7, 200]),
    st.sampled_from([0, 10, 60]),
    st.booleans(),
    st.one_of(st.none(), st.integers(1, 20)),
)
async def test_every_stored_log_is_delivered_exactly_once(
    acts: list[tuple[Any, ...]], page: int, budget: int, swept: bool, cut_off: int | None
) -> None:
    """Live, lost, late, twice, at one moment, dropped here; lists that are refused or cut off; any budget."""
    course = Course(page, rest_budget=budget, keep_ids=swept)
    await course.drive()
    course.auditor.connected(again=False)
    for name, *values in acts:
        await course.act(name, *values)
    course.plan.clear()
    if cut_off is None:
        done, end = course.second, course.second + 14 * AUDIT
        # Ten requests a minute for pages of one row: a single audit can take minutes.
        while course.second < end or course.low <= done + course.options.settle:
            await course.drive()
            assert course.second < end + 3600.0, "the mark does not move"
        # A second look is due when the overlap has passed, and worth a request for half an overlap at once; an
        # interval is as long as an audit, and so is the time until it is looked at.
        assert budget or course.low > course.second - 1.5 * course.options.overlap - 2 * AUDIT - 2.0
    else:  # the stream is finished while a list is read, once all is readable
        course.clock.advance(26.0)
        await course.drive(cut_off=cut_off)
        course.clock.advance(course.options.settle)
        task = asyncio.ensure_future(course.auditor.finish())
        while not task.done():
            await course.read()
            await asyncio.sleep(0)
        await task
        await course.read()
    await course.close()
    assert course.listing.readable() <= set(course.got)
    assert max(course.got.values(), default=1) == 1
    assert course.stats.open_gaps == 0
    assert not course.failures


@settings(max_examples=50)
@given(
    st.lists(acts, max_size=12),
    st.lists(st.tuples(st.floats(0.0, 5000.0), st.integers(0, 1)), max_size=12),
    st.sampled_from([3, 7, 200]),
)
async def test_a_sweep_finds_whatever_is_stored_of_a_run(
    acts: list[tuple[Any, ...]], late: list[tuple[float, int]], page: int
) -> None:
    """However late it was stored, and whether or not lists had passed it; nothing comes twice."""
    course = Course(page, rest_budget=0, keep_ids=True)
    course.clock.advance(6000.0)
    await course.drive()
    for name, *values in acts:
        await course.act(name, *values)
    for back, live in late:
        course.log(course.second - back, live=live)
    course.plan.clear()
    course.clock.advance(30.0)

    async def sweep() -> int:
        task = asyncio.ensure_future(course.auditor.sweep([RUN]))
        while not task.done():
            await course.read()
            await asyncio.sleep(0)
        await course.read()
        return await task

    await sweep()
    assert course.listing.readable() <= set(course.got)
    assert max(course.got.values(), default=1) == 1
    requests = len(course.requests)
    assert await sweep() == 0
    assert len(course.requests) - requests == 1 or not course.listing.rows
    await course.close()


async def test_a_sweep_of_what_the_lists_have_shown_is_one_request() -> None:
    """Also where the last rows came after the lists; these are read by it."""
    course = Delivery(keep_ids=True, rest_budget=0)
    await course.round()
    for _ in range(1000):
        course.log(0.0)
    course.clock.advance(5.0)
    await course.catch_up()
    course.log()
    requests = len(course.requests)
    assert await course.auditor.sweep([RUN]) == 1
    assert len(course.requests) == requests + 1
    await course.close()


@settings(max_examples=50)
@given(
    st.lists(st.one_of(st.none(), st.sampled_from(sorted(REFUSALS))), max_size=40), st.sampled_from([5, 50])
)
async def test_a_backlog_costs_its_pages_and_one_request_for_each_refusal(
    refusals: list[str | None], page: int
) -> None:
    """Whichever requests are refused, and with what: nothing is read again, and everything is final."""
    course = Delivery(page=page, alone=True, follow=False, since=BEGINNING, retries=None, wait=True)
    stored = course.stored(*(-1000.0 + n for n in range(200)))
    course.plan = [refusal and REFUSALS[refusal] for refusal in refusals]
    await course.until_end()
    await course.close()
    refused = sum(refusal is not None for refusal in refusals[: len(course.requests)])
    # A full page begins with the last row of the one before it. What cannot be read ends a list; the next one begins
    # with the last row that was shown, and reads once more behind a short page.
    again = sum(refusal in ("no row", "no rows") for refusal in refusals[: len(course.requests)])
    assert len(course.requests) - refused <= 200 // (page - 1) + 3 + again
    assert course.order == stored
    assert course.stats.open_gaps == 0


async def test_a_rate_limit_without_retry_after_costs_hardly_more_than_its_time() -> None:
    """60 requests a minute, 5 at once: the list goes on where it was refused."""
    course = Delivery(page=50, alone=True, follow=False, since=BEGINNING)
    stored = course.stored(*(-10_000.0 + n for n in range(3500)))
    tokens, at = 5.0, course.second

    def limit() -> Any:
        nonlocal tokens, at
        tokens, at = min(5.0, tokens + course.second - at), course.second
        if tokens < 1.0:
            return answer(429)
        tokens -= 1.0
        return None

    course.decide = limit
    await course.until_end()
    await course.close()
    assert course.order == stored
    pages = 3500 / 49
    assert course.second <= (pages - 5) * 1.1 + 5
    assert course.stats.open_gaps == 0


@pytest.mark.parametrize("kind", sorted(REFUSALS))
async def test_a_refusal_of_any_kind_is_told_once_and_the_list_goes_on(kind: str) -> None:
    """As is the end of it, by a gap that is closed."""
    course = Delivery(audit=AUDIT)
    await course.round()
    course.auditor.connected(again=False)
    await course.round()
    course.plan = [REFUSALS[kind]] * 3
    lost = course.stored(course.second)
    await course.until(course.second + 60.0)
    await course.close()
    assert course.order == lost
    assert course.kinds.count("history_off") == 1
    assert course.stats.open_gaps == 0


@pytest.mark.parametrize("follow", [False, True])
@pytest.mark.parametrize("until", [-10.0, 30.0])
async def test_what_is_stamped_behind_the_end_of_a_stream_is_no_gap_of_it(follow: bool, until: float) -> None:
    """Though the list was refused later than that, and for longer than an overlap."""
    end = Delivery().at(until)
    course = Delivery(page=3, alone=True, follow=follow, since=BEGINNING, until=end, retries=None)
    stored = course.stored(*(-100.0 + n for n in range(20)))
    course.plan = [answer(503, Retry_After="50"), None, answer(503, Retry_After="50")] * 2
    await course.until_end()
    await course.close()
    assert (course.order, course.stats.open_gaps) == (stored, 0)
