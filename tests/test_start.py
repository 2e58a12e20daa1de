"""Where a stream begins: which stored logs are its own, and from where the list is read, whatever the clocks say."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from delivering import ELSEWHERE, LOOPBACK, Delivery, answer
from listing import admit

from rawlogs.cursor import Resume
from rawlogs.models import BEGINNING, Log
from rawlogs.seen import SeenIds
from rawlogs.selection import Selection

CLOCKS = [
    *((ELSEWHERE, ahead) for ahead in (0.0, 1.0, -1.0, 1.5, -1.5, 600.0, -600.0, 3600.0, -3600.0)),
    # On the loopback both are one clock, unless it shows by more than a Date header can be old.
    *((LOOPBACK, ahead) for ahead in (0.0, 600.0, -600.0, 3600.0, -3600.0)),
]


class Starting(Delivery):
    """A stream that was entered at second 0, with what is stored."""

    def row(self, stamp: float, created: float | None = None) -> str:
        """A row of that second, stored then or at ``created``; its id."""
        row = self.listing.row(self.at(stamp))
        at = self.at(stamp if created is None else created)
        row["created"] = at.isoformat()
        self.listing.rows.append((at, row))
        return str(row["id"])

    async def placed(self) -> list[str]:
        """Begin, and read what that delivers."""
        await self.start.begin()
        return await self.read()

    def marks(self) -> tuple[float, float]:
        """Low-water mark and frontier, in seconds from the start; they are set a millisecond earlier."""
        return round(self.low, 2), round(self.frontier, 2)


# Whose a stored log is


@pytest.mark.parametrize("latency", [0.0, 0.4, 1.9])
@pytest.mark.parametrize(("url", "ahead"), CLOCKS)
async def test_what_was_stored_since_the_start_is_delivered_and_what_was_stored_long_before_is_not(
    url: str, ahead: float, latency: float
) -> None:
    """Whatever the server's clock says, and however long the first answer takes; for a command, that is."""
    stream = Starting(ahead=ahead, url=url, latency=latency, started_at=Delivery().at(0.0))
    past = [stream.row(second) for second in (-50.0, -6.0)]
    stream.clock.advance(0.3)
    own = [stream.row(second, 0.0) for second in (-1.0, 0.0)]
    own.append(stream.row(0.2))
    await stream.round()
    await stream.until(100.0)
    assert set(own) <= set(stream.got)
    assert not set(past) & set(stream.got)
    assert max(stream.got.values()) == 1


@pytest.mark.parametrize("latency", [0.0, 1.9])
@pytest.mark.parametrize(("url", "ahead"), CLOCKS)
async def test_what_is_stored_after_the_first_list_is_delivered(
    url: str, ahead: float, latency: float
) -> None:
    """Also by a stream that was entered without a process of its own."""
    stream = Starting(ahead=ahead, url=url, latency=latency)
    past = [stream.row(second) for second in (-50.0, -6.0)]
    await stream.round()
    own = [stream.log(stream.second - back).id_text for back in (1.0, 0.0)]
    await stream.until(100.0)
    assert set(own) <= set(stream.got)
    assert not set(past) & set(stream.got)


@pytest.mark.parametrize("url", [LOOPBACK, ELSEWHERE])
async def test_what_was_stored_right_before_the_start_is_not_delivered(url: str) -> None:
    """On the loopback both clocks are one; elsewhere the answer's Date has told, on the second."""
    stream = Starting(url=url)
    stream.row(-0.05)
    assert await stream.placed() == []
    own = stream.row(0.0, 0.01)
    stream.clock.advance(4.0)
    await stream.catch_up()
    assert await stream.read() == [own]


@pytest.mark.parametrize(
    ("ahead", "answered", "delivered"),
    [
        pytest.param(0.0, 0.9, True, id="clocks that may be one"),
        pytest.param(600.0, 0.9, False, id="clocks that differ, and a first list at once"),
        pytest.param(600.0, 2.1, True, id="clocks that differ, and a first list later"),
    ],
)
async def test_where_the_start_is_not_known_exactly_a_log_in_doubt_is_delivered(
    ahead: float, answered: float, delivered: bool
) -> None:
    """But for what was there before, as a first list shows that answers at once."""
    stream = Starting(ahead=ahead, url=ELSEWHERE)
    doubtful = stream.row(-0.05)
    stream.clock.advance(answered)
    assert (await stream.placed() == [doubtful]) is delivered


async def test_a_process_that_started_before_it_entered_the_stream_has_its_logs_since_then() -> None:
    """What was stored meanwhile is its own."""
    started = Delivery().at(0.0) - timedelta(seconds=3)
    stream = Starting(started_at=started)
    stream.row(-3.5)
    own = [stream.row(-3.0), stream.row(-1.0)]
    assert await stream.placed() == own
    assert stream.marks() == (-60.0, -2.0)


# From now on


async def test_a_quiet_server_is_listed_with_one_request() -> None:
    """It reaches back an overlap before the start; what is stamped there and stored later is found."""
    stream = Starting()
    for second in (-100.0, -50.0, -1.0):
        stream.row(second)
    assert await stream.placed() == []
    assert (len(stream.requests), stream.marks()) == (1, (-60.0, -2.0))
    late = stream.row(-30.0, 10.0)
    stream.clock.advance(61.0)
    await stream.catch_up()
    assert await stream.read() == [late]


async def test_an_empty_server_is_quiet() -> None:
    stream = Starting()
    assert await stream.placed() == []
    assert (len(stream.requests), stream.marks()) == (1, (-60.0, -2.0))


@pytest.mark.parametrize(
    ("oldest", "marks", "due"),
    [
        pytest.param(-59.0, (-60.0, -2.0), 0, id="a page does not reach back"),
        pytest.param(-61.0, (-60.0, -2.0), 1, id="a page reaches back"),
    ],
)
async def test_a_busy_server_is_not_read_back_at_once(
    oldest: float, marks: tuple[float, float], due: int
) -> None:
    """The minute before the start is looked at when it is over."""
    stream = Starting(page=5)
    for second in (oldest, -4.0, -3.0, -2.5, -1.0):
        stream.row(second)
    assert await stream.placed() == []
    assert (len(stream.requests), stream.marks()) == (1, marks)
    assert len(stream.ledger.pending_rechecks()) == due
    requests = stream.ledger.due(stream.at(61.0), 1)
    assert requests[0].kind == ("count" if due else "list")
    late = stream.row(-30.0, 10.0)
    stream.clock.advance(61.0)
    await stream.catch_up()
    assert await stream.read() == [late]


async def test_logs_of_a_busy_server_since_the_start_are_listed_at_once() -> None:
    """From two seconds before it on: a sender waits so long."""
    stream = Starting(page=5)
    for second in (-5.0, -4.0, -3.0, -2.5, -1.0):
        stream.row(second)
    stream.clock.advance(2.0)
    own = [stream.row(-1.9, 0.5), stream.row(1.0)]
    await stream.placed()
    await stream.catch_up()
    await stream.read()
    assert stream.order == own


async def test_a_filter_that_begins_later_begins_the_stream() -> None:
    """Nothing before it is asked for."""
    stream = Starting(tail=5)
    stream.subscription.selection.after = stream.at(-5.0)
    stream.row(-9.0)
    inside = stream.row(-4.0)
    assert await stream.placed() == [inside]


# A tail


@pytest.mark.parametrize(("tail", "page"), [(0, 5), (1, 5), (3, 5), (12, 5), (50, 5), (12, 200)])
async def test_a_tail_is_the_newest_logs_in_order(tail: int, page: int) -> None:
    """As many as there are."""
    stream = Starting(page=page, tail=tail)
    rows = [stream.row(-100.0 + n) for n in range(20)]
    assert await stream.placed() == (rows[-tail:] if tail else [])
    assert stream.stats.recovered == min(tail, 20)


async def test_what_was_stored_since_the_start_is_not_counted_in_a_tail() -> None:
    """It comes behind it."""
    stream = Starting(tail=2)
    rows = [stream.row(-100.0 + n) for n in range(5)]
    stream.clock.advance(0.5)
    own = stream.row(0.2)
    assert await stream.placed() == [*rows[-2:], own]


async def test_a_tail_counts_what_passes_the_local_filter() -> None:
    stream = Starting(tail=2, selection=Selection(exclude=["secret"]))
    rows = [stream.row(-100.0 + n) for n in range(5)]
    for _, row in stream.listing.rows[-2:]:
        row["message"] = "a secret"
    assert await stream.placed() == rows[1:3]


async def test_a_tail_ends_where_the_stream_does() -> None:
    """And begins where it was asked to."""
    start = Delivery().at(0.0)
    stream = Starting(tail=10, since=start - timedelta(seconds=97), until=start - timedelta(seconds=93))
    rows = [stream.row(-100.0 + n) for n in range(20)]
    assert await stream.placed() == rows[3:8]


async def test_a_tail_is_read_again_where_its_list_is_refused() -> None:
    """Nothing is dropped without a word."""
    stream = Starting(tail=5, alone=True, follow=False)
    rows = [stream.row(-100.0 + n) for n in range(20)]
    stream.plan = [answer(503)] * 3
    await stream.until_end()
    assert stream.order == rows[-5:]


# Since


@pytest.mark.parametrize(("follow", "since"), [(False, None), (True, -50.0), (False, -50.0)])
async def test_since_begins_with_what_is_stamped_then(follow: bool, since: float | None) -> None:
    """Without one, and without following, with everything; nothing has to be asked for that."""
    moment = None if since is None else Delivery().at(since)
    stream = Starting(since=moment, follow=follow, alone=not follow)
    rows = [stream.row(second) for second in (-100.0, -50.0, -1.0)]
    assert await stream.placed() == []
    assert stream.requests == []
    assert stream.ledger.low_water == (moment or BEGINNING)
    await stream.catch_up()
    assert await stream.read() == (rows[1:] if since is not None else rows)


async def test_a_since_in_the_future_is_now() -> None:
    """And shuts out what was stored before."""
    stream = Starting(since=Delivery().at(7200.0))
    stream.row(-5.0)
    await stream.placed()
    assert stream.low == 0.0
    stream.clock.advance(10.0)
    own = stream.row(5.0)
    await stream.catch_up()
    assert await stream.read() == [own]


@pytest.mark.parametrize("ahead", [0.0, 600.0, -600.0])
async def test_since_so_long_ago_is_counted_by_the_server_s_clock(ahead: float) -> None:
    """One answer tells it."""
    stream = Starting(since=Delivery().at(-300.0), since_ago=True, ahead=ahead)
    stream.row(-310.0)
    row = stream.row(-290.0)
    await stream.placed()
    assert len(stream.requests) == 1
    assert stream.low == pytest.approx(-300.0, abs=1.0)
    await stream.catch_up()
    assert await stream.read() == [row]


async def test_a_filter_that_begins_later_than_since_decides() -> None:
    stream = Starting(since=Delivery().at(-300.0))
    stream.subscription.selection.after = stream.at(-100.0)
    await stream.placed()
    assert stream.low == -100.0


# Going on


def resume(low: float, *logs: Log, started: datetime | None = None) -> Resume:
    """A cursor whose flushed logs are these."""
    seen = SeenIds()
    admit(seen, logs, 0.0)
    start = Delivery().at(0.0)
    return Resume(start + timedelta(seconds=low), seen.after(BEGINNING), start, started)


async def resumed(low: float, **more: Any) -> Starting:
    """A stream that goes on at that second, where the row of second -20 was flushed."""
    stream = Starting(resume=None, **more)
    rows = [stream.row(second) for second in (-30.0, -20.0, -10.0)]
    flushed = Log.from_wire(stream.listing.rows[1][1])
    stream.start._resume = resume(low, flushed)
    await stream.start.begin()
    await stream.catch_up()
    assert rows[1] not in await stream.read()
    return stream


async def test_a_stream_goes_on_where_its_cursor_says() -> None:
    """Without what was flushed, and whatever is stamped since then; no question is asked first."""
    stream = await resumed(-25.0)
    assert [row_id(stream, 2)] == stream.order
    assert len(stream.requests) == 1
    assert stream.kinds == []


def row_id(stream: Starting, number: int) -> str:
    """The id of a row."""
    return str(stream.listing.rows[number][1]["id"])


async def test_a_stream_that_began_with_now_goes_on_as_such() -> None:
    """What was stored before its first start is not its own, whatever its timestamp."""
    stream = Starting()
    stream.row(-10.0, -45.0)
    own = stream.row(-10.0, -35.0)
    stream.start._resume = resume(-25.0, started=stream.at(-40.0))
    await stream.start.begin()
    await stream.catch_up()
    assert await stream.read() == [own]


async def test_a_cursor_of_the_future_is_a_little_before_now() -> None:
    """An overlap, so that nothing is missed; that is told."""
    stream = await resumed(3600.0)
    assert stream.kinds == ["cursor"]
    assert "in the future" in stream.notices[0].text
    assert stream.order == [row_id(stream, 0), row_id(stream, 2)]


@pytest.mark.parametrize(
    ("days", "oldest", "told"),
    [
        pytest.param(0.9, -10.0, False, id="not old"),
        pytest.param(1.1, -10.0, True, id="older than all that is stored"),
        pytest.param(1.1, -200_000.0, False, id="there are older rows"),
        pytest.param(1.1, None, False, id="there are no rows"),
    ],
)
async def test_an_old_cursor_is_told_where_logs_may_have_been_deleted(
    days: float, oldest: float | None, told: bool
) -> None:
    stream = Starting()
    if oldest is not None:
        stream.row(oldest)
    stream.start._resume = resume(-86400.0 * days)
    await stream.start.begin()
    assert stream.kinds == ["cursor"] * told
    assert not told or "may have been deleted" in stream.notices[0].text
    assert stream.low == pytest.approx(-86400.0 * days)
