"""The promise with a user's defaults, from the moment of the start: the cases in which 0.1.0 broke it (D1 to D14).

Nothing is set here that a user would not set: ``audit`` is 15 s, the REST budget 60 a minute. Most tests run on a clock
that is twenty times as quick; those of the command are in test_cli_delivery.py.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from streaming import SPEED, QuickClock, lists, serving, within
from streaming import no_settings as no_settings

import rawlogs
from rawlogs.cursor import Resume
from rawlogs.testing import Behaviour, FakeServer
from rawlogs.testing.faults import Abort, Blackhole, Http, RestStep, Sleep

MINUTE = timedelta(minutes=1)
PAGE = 200


class User:
    """Who reads one stream with the defaults, from the moment that it is entered; ``got`` has when each log came."""

    def __init__(self, server: FakeServer, **arguments: Any) -> None:
        self.server = server
        self.notices: list[rawlogs.Notice] = []
        self.got: list[tuple[float, rawlogs.Log]] = []
        self.clock = arguments.pop("clock", server.state._clock)
        on_notice = arguments.pop("on_notice", self.note)
        self.logs = rawlogs.stream(api_url=server.api_url, clock=self.clock, on_notice=on_notice, **arguments)
        self.reading: asyncio.Task[None] | None = None
        self.entered = 0.0

    def note(self, notice: rawlogs.Notice) -> None:
        self.notices.append(notice)
        self.server.state.changed()

    async def run(self) -> None:
        self.entered = self.clock.monotonic()
        async with self.logs:
            async for log in self.logs:
                self.got.append((self.clock.monotonic(), log))
                self.server.state.changed()

    @property
    def ids(self) -> list[str]:
        return [str(log.id) for _, log in self.got]

    @property
    def kinds(self) -> list[str]:
        return [notice.kind for notice in self.notices]

    @property
    def texts(self) -> str:
        return "\n".join(notice.text for notice in self.notices)

    async def until_has(self, rows: Sequence[dict[str, Any]], seconds: float = 300.0) -> None:
        """Wait until all of these have come, so many seconds of the quick clock at most."""
        wanted = {row["id"] for row in rows}
        await self.until(lambda: wanted <= set(self.ids), seconds)

    async def until(self, condition: Callable[[], object], seconds: float = 300.0) -> None:
        """Wait for that; what ended the reading is raised here."""

        def look() -> bool:
            assert self.reading is not None
            return bool(condition()) or self.reading.done()

        await self.server.until(look, max(seconds / SPEED, 5.0))
        assert self.reading is not None
        if self.reading.done():
            self.reading.result()
        assert condition()

    def delays(self, posted: dict[str, float]) -> list[float]:
        """Seconds from each post to its arrival, sorted."""
        return sorted(at - posted[str(log.id)] for at, log in self.got)


@asynccontextmanager
async def using(server: FakeServer, **arguments: Any) -> AsyncIterator[User]:
    """A stream that is being read; it is entered in a task of its own, so that the test goes on meanwhile."""
    user = User(server, **arguments)
    user.reading = asyncio.create_task(user.run())
    try:
        await asyncio.sleep(0)  # it has been entered
        yield user
    finally:
        user.reading.cancel()
        await asyncio.gather(user.reading, return_exceptions=True)


def of(rows: Sequence[dict[str, Any]]) -> list[str]:
    return sorted(row["id"] for row in rows)


async def post_for(
    server: FakeServer, seconds: float, each: float = 0.05, count: int = 5
) -> list[dict[str, Any]]:
    """Post some logs every ``each`` seconds of the quick clock."""
    rows: list[dict[str, Any]] = []
    for n in range(round(seconds / each)):
        rows += server.post([f"{n}.{m}" for m in range(count)])
        await asyncio.sleep(each / SPEED)
    return rows


# D1. The beginning.


@pytest.mark.parametrize("latency", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("transport", ["auto", "poll"])
async def test_d1_what_is_posted_from_the_moment_of_the_start_is_delivered(
    latency: float, transport: Any
) -> None:
    async with serving() as server:
        server.store([f"past {n}" for n in range(300)])
        server.fault("rest", Sleep(latency / SPEED))
        async with using(server, transport=transport) as user:
            rows = await post_for(server, 6.0)
            await user.until_has(rows)
            await within(user.logs.finish())
        assert sorted(user.ids) == of(rows)
        assert user.logs.stats.open_gaps == 0


async def test_d1_also_on_a_busy_server_whose_last_minute_fills_many_pages() -> None:
    async with serving() as server:
        now = server.state.now()
        server.store(
            [{"message": "past", "timestamp": now - timedelta(seconds=50 - n / 50)} for n in range(2500)]
        )
        async with using(server) as user:
            rows = await post_for(server, 4.0)
            rows += server.store(
                {"message": "stamped before the start", "timestamp": now - timedelta(seconds=30)}
            )
            await user.until_has(rows)
            await within(user.logs.finish())
        assert sorted(user.ids) == of(rows)


async def test_d1_a_process_that_started_before_it_entered_the_stream_says_so() -> None:
    async with serving() as server:
        server.store("past")
        await asyncio.sleep(1.0 / SPEED)  # time passes between the two logs
        started = server.state.now()
        rows = server.store("since the start")
        await asyncio.sleep(3.0 / SPEED)  # while the process is being started
        async with using(server, started_at=started) as user:
            await user.until_has(rows)
            await within(user.logs.finish())
        assert user.ids == of(rows)


@pytest.mark.parametrize("transport", ["auto", "poll"])
async def test_d1_also_where_the_first_list_is_refused_and_the_clocks_differ(transport: Any) -> None:
    """What a late first answer shows may have been stored since the start."""
    async with serving(Behaviour(clock_skew=90.0)) as server:
        server.fault("rest", Http(429, {"Retry-After": "3"}), times=1, path="/logs/filter")
        async with using(server, transport=transport) as user:
            rows = []
            for n in range(40):
                rows += server.store(f"{n}")
                await asyncio.sleep(0.1 / SPEED)
            await user.until_has(rows)


async def test_d1_a_stream_that_ends_before_its_first_list_was_answered_lists_from_its_beginning() -> None:
    async with serving() as server:
        rows = server.store([f"{n}" for n in range(300)], timestamp=server.state.now() - MINUTE * 10)
        server.fault("rest", Blackhole(), times=1, path="/logs/filter")
        async with using(server, since=timedelta(hours=1)) as user:
            await server.until(lambda: lists(server))
            await within(user.logs.finish(60.0))
            await user.until_has(rows)
        assert sorted(user.ids) == of(rows)
        assert user.logs.stats.open_gaps == 0


async def test_d1_a_position_that_is_kept_before_the_list_has_answered_does_not_skip_since() -> None:
    async with serving() as server:
        server.fault("rest", Blackhole(), path="/logs/filter")
        async with using(server, since=timedelta(hours=1), track=True) as user:
            await user.until(lambda: "connected" in user.kinds)
            assert user.logs.position()[0] <= server.state.now() - timedelta(hours=1)
            assert (
                user.logs.started is None
            )  # what is stamped since then is the stream's, whenever it was stored


# D2, D3. Lists that fail.


@dataclass(frozen=True, slots=True)
class Refuse(RestStep):
    """Answer so where ``refuses`` says so; else the model answers."""

    refuses: Callable[[], bool]
    status: int = 503

    async def act(self, line: Any) -> None:
        if self.refuses():
            if self.status:
                await line.http(self.status, {}, b"")
            else:
                await Abort().act(line)


def of_every(total: int, bad: int) -> Callable[[], bool]:
    """Refuse the first ``bad`` of each ``total`` requests."""
    count = 0

    def refuses() -> bool:
        nonlocal count
        count += 1
        return (count - 1) % total < bad

    return refuses


@pytest.mark.parametrize(("total", "bad"), [(3, 1), (6, 2), (2, 1), (5, 4)])
@pytest.mark.parametrize("status", [429, 503, 500, 0])
@pytest.mark.parametrize("follow", [True, False])
async def test_d2_d3_a_list_of_which_requests_fail_is_read_once(
    total: int, bad: int, status: int, follow: bool
) -> None:
    async with serving() as server:
        now = server.state.now()
        rows = server.store(
            [{"message": "m", "timestamp": now - timedelta(seconds=2000 - n)} for n in range(2000)]
        )
        server.fault("rest", Refuse(of_every(total, bad), status), path="/logs/filter")
        async with using(server, since=timedelta(hours=1), follow=follow) as user:
            await user.until_has(rows, 1000.0)
            asked = len(lists(server))
            if follow:
                await within(user.logs.finish())
            else:
                assert user.reading is not None
                await within(user.reading)
        assert sorted(user.ids) == of(rows)
        assert user.logs.stats.open_gaps == 0
        pages = len(rows) / PAGE + 3  # the first, which tells the clock; the last, which is short
        assert asked <= math.ceil(pages * total / (total - bad) * 1.1)


async def test_d2_ties_are_no_exception() -> None:
    """2,000 rows of one timestamp: a request that fails costs itself, not the pages before it."""
    async with serving(Behaviour(unstable_ties=False)) as server:
        rows = server.store([f"{n}" for n in range(2000)], timestamp=server.state.now() - MINUTE)
        server.fault("rest", Refuse(of_every(3, 1)), path="/logs/filter")
        async with using(server, since=timedelta(hours=1), follow=False) as user:
            assert user.reading is not None
            await within(user.reading, 20)
        assert sorted(user.ids) == of(rows)
        assert len(lists(server)) <= 40


async def test_d2_a_rate_limit_without_retry_after_is_outlasted() -> None:
    """60 a minute with a burst of 5, 3,500 logs. How long that takes is asked in test_promise.py."""
    async with serving() as server:
        now = server.state.now()
        rows = server.store(
            [{"message": "m", "timestamp": now - timedelta(seconds=3600 - n)} for n in range(3500)]
        )
        clock, tokens, at = server.state._clock, 5.0, server.state._clock.monotonic()

        def refuses() -> bool:
            nonlocal tokens, at
            tokens, at = min(5.0, tokens + clock.monotonic() - at), clock.monotonic()
            if tokens < 1.0:
                return True
            tokens -= 1.0
            return False

        server.fault("rest", Refuse(refuses, 429))
        async with using(server, since=timedelta(hours=2), follow=False) as user:
            assert user.reading is not None
            await within(user.reading, 20)
        assert sorted(user.ids) == of(rows)
        assert user.logs.stats.open_gaps == 0


async def test_d2_a_server_killed_in_the_middle_of_a_backlog_is_read_on() -> None:
    async with serving() as server:
        now = server.state.now()
        rows = server.store(
            [{"message": "m", "timestamp": now - timedelta(seconds=9000 - n)} for n in range(6000)]
        )
        async with using(server, since=timedelta(hours=3)) as user:
            await user.until(lambda: len(user.got) > 2000)
            await server.restart(0.2, abrupt=True)
            await user.until_has(rows)
            await within(user.logs.finish())
        assert sorted(user.ids) == of(rows)
        assert len(lists(server)) <= 6000 / PAGE + 20


# D4. Replicas.


async def test_d4_two_replicas_that_show_half_of_the_logs_each_are_polled_and_the_broker_is_named() -> None:
    async with serving() as server, using(server) as user:
        posted: dict[str, float] = {}
        await server.until_subscribed()
        for n in range(60):
            row = (server.post if n % 2 else server.store)(f"{n}")[0]
            posted[row["id"]] = user.clock.monotonic()
            await asyncio.sleep(1.0 / SPEED)
        await user.until(lambda: len(user.got) == 60)
        delays = user.delays(posted)
        assert delays[round(0.9 * len(delays))] <= 2.0
        assert user.kinds.count("live_off") == 1
        assert "broker" in user.texts and "PREFECT_MESSAGING_BROKER" in user.texts
        assert "STREAM_OUT_ENABLED" not in user.texts


async def test_d4_polling_ends_when_the_socket_shows_everything_again() -> None:
    async with serving() as server, using(server) as user:
        await server.until_subscribed()
        for n in range(12):
            (server.post if n % 2 else server.store)(f"{n}")
            await asyncio.sleep(1.0 / SPEED)
        await user.until(lambda: "live_off" in user.kinds)
        for n in range(60):
            server.post(f"all {n}")
            await asyncio.sleep(1.0 / SPEED)
        asked = len(lists(server))
        for n in range(30):
            server.post(f"more {n}")
            await asyncio.sleep(1.0 / SPEED)
        assert len(lists(server)) - asked <= 10


# D5, D6. Going on.


async def test_d5_the_low_water_mark_moves_with_each_page_of_a_backlog() -> None:
    async with serving() as server:
        now = server.state.now()
        rows = server.store(
            [{"message": "m", "timestamp": now - timedelta(seconds=9000 - n)} for n in range(6000)]
        )
        marks: list[tuple[int, Any]] = []
        user = User(server, track=True)
        low = now - timedelta(hours=3)
        user.logs.resume(Resume(low, [], low))
        async with user.logs:
            async for batch in user.logs.batches():
                user.logs.commit()
                user.got += [(0.0, log) for log in batch]
                marks.append((len(user.got), user.logs.position()[0]))
                if len(user.got) == 6000:
                    break
        for count, mark in marks[:-2]:
            behind = sum(1 for row in rows if row["timestamp"] < mark.isoformat())
            assert behind >= count - 10_000 - 2 * PAGE
        assert marks[-3][1] > now - timedelta(seconds=9000 - 5000)
        assert sorted(user.ids) == of(rows)


@pytest.mark.parametrize("transport", ["auto", "poll"])
async def test_d5_a_resume_in_a_large_backlog_is_not_slowed_by_the_budget(transport: Any) -> None:
    async with serving() as server:
        now = server.state.now()
        rows = server.store(
            [{"message": "m", "timestamp": now - timedelta(seconds=30_000 - n)} for n in range(20_000)]
        )
        done = [(n, row) for n, row in enumerate(rows) if n < 15_000]
        entries = [
            ((now - timedelta(seconds=30_000 - n)).timestamp(), UUID(row["id"]).hex) for n, row in done
        ]
        user = User(server, transport=transport, track=True)
        user.logs.resume(Resume(now - timedelta(seconds=30_001), entries, now))
        user.reading = asyncio.create_task(user.run())
        try:
            await user.until_has(rows[15_000:], 40.0 * SPEED)
            assert user.logs.stats.requests <= 20_000 / PAGE + 20
        finally:
            user.reading.cancel()
            await asyncio.gather(user.reading, return_exceptions=True)
        assert sorted(user.ids) == of(rows[15_000:])


# D7, D8, D9. Lists that hang.


@pytest.mark.parametrize("when", ["at the start", "at a reconnect", "during an audit"])
async def test_d7_d9_live_logs_come_within_two_seconds_whatever_the_list_does(when: str) -> None:
    async with serving() as server:
        if when == "at the start":
            server.fault("rest", Blackhole())
        async with using(server) as user:
            await server.until_subscribed()
            if when != "at the start":
                await user.until(lambda: lists(server))
                server.fault("rest", Blackhole())
            if when == "during an audit":
                asked = len(lists(server))
                await server.until(lambda: len(lists(server)) > asked)
            if when != "at the start":
                await server.drop_all()
                await server.until_subscribed()
            posted = {}
            for n in range(10):
                row = server.post(f"{n}")[0]
                posted[row["id"]] = user.clock.monotonic()
                await asyncio.sleep(0.5 / SPEED)
            await user.until(lambda: set(posted) <= set(user.ids), 20.0)
            assert max(user.delays(posted)) < 2.0 + 1.0


async def test_d8_a_long_tail_is_not_charged_to_the_budget() -> None:
    async with serving() as server:
        now = server.state.now()
        rows = server.store(
            [{"message": "m", "timestamp": now - timedelta(seconds=30_000 - n)} for n in range(25_000)]
        )
        async with using(server, tail=20_000) as user:
            await user.until(lambda: len(user.got) == 20_000, 40.0 * SPEED)
        assert user.ids == [row["id"] for row in rows[-20_000:]]


# D10. Errors of others.


@pytest.mark.parametrize("kind", ["connected", "lost", "retrying", "gap_opened", "gap_closed", "history_off"])
async def test_d10_what_on_notice_raises_reaches_the_reader(kind: str) -> None:
    def on_notice(notice: rawlogs.Notice) -> None:
        if notice.kind == kind:
            raise ZeroDivisionError(kind)

    async with serving() as server:
        if kind == "history_off":
            server.fault("rest", Http(503))
        async with using(server, on_notice=on_notice) as user:
            if kind not in ("connected", "history_off"):
                await server.until_subscribed()
                await server.until(lambda: lists(server))
                await server.drop_all()
                server.store("meanwhile")
            assert user.reading is not None
            with pytest.raises(ZeroDivisionError, match=kind):
                await within(user.reading)


async def test_d10_also_while_it_finishes() -> None:
    failing = False

    def on_notice(notice: rawlogs.Notice) -> None:
        if failing:
            raise ZeroDivisionError

    async with serving() as server, using(server, on_notice=on_notice) as user:
        await server.until_subscribed()
        server.fault("rest", Http(503))
        failing = True
        await within(user.logs.finish(2.0))
        assert user.reading is not None
        with pytest.raises(ZeroDivisionError):
            await within(user.reading)


async def test_a_task_that_still_reads_when_the_stream_is_left_comes_to_an_end() -> None:
    async with serving() as server:
        logs = rawlogs.stream(api_url=server.api_url, clock=server.state._clock)

        async def read() -> list[rawlogs.Log]:
            return [log async for log in logs]

        async with logs:
            reading = asyncio.create_task(read())
            await server.until_subscribed()
        assert await within(reading) == []


# D11. Clocks.


@pytest.mark.parametrize("behind", [-630.0, 630.0], ids=["behind", "ahead"])
async def test_d11_a_wrong_clock_here_delivers_nothing_twice(behind: float) -> None:
    clock = QuickClock()
    clock.ahead = behind
    async with serving(Behaviour(queue=100_000)) as server, using(server, clock=clock) as user:
        await server.until_subscribed()
        rows: list[dict[str, Any]] = []
        for n in range(100):
            rows += server.post([f"{n}.{m}" for m in range(100)])
            await asyncio.sleep(0.2 / SPEED)
        await user.until_has(rows)
        asked = len(lists(server))
        await user.until(lambda: len(lists(server)) > asked + 5)
        await server.drop_all()
        await server.until_subscribed()
        await within(user.logs.finish())
        assert sorted(user.ids) == of(rows)


@pytest.mark.parametrize("transport", ["auto", "poll"])
@pytest.mark.parametrize("seconds", [90.0, 3600.0])
async def test_d11_a_server_whose_clock_is_set_back_is_read_on_and_that_is_told(
    seconds: float, transport: Any
) -> None:
    async with serving() as server, using(server, clock=QuickClock(), transport=transport) as user:
        rows = server.store("before")
        await user.until_has(rows)
        asked = len(lists(server))
        await user.until(lambda: len(lists(server)) > asked)
        clock: Any = server.state._clock
        clock.ahead = -seconds
        rows += server.store("after")
        await user.until_has(rows)
        assert "clock was set back" in user.texts
        assert user.ids == [row["id"] for row in rows]
        assert (
            user.logs.stats.open_gaps == 1
        )  # what was stored last by the other time cannot be looked at again


# D14. A tail whose list fails at first.


async def test_d14_a_tail_is_delivered_as_soon_as_the_list_answers() -> None:
    async with serving() as server:
        rows = server.store([f"{n}" for n in range(500)])
        server.fault("rest", Http(503), times=4)
        async with using(server, tail=100) as user:
            await user.until(lambda: "history_off" in user.kinds)
            await user.until_has(rows[-100:])
            await within(user.logs.finish())
        assert sorted(user.ids) == of(rows[-100:])
        assert user.logs.stats.open_gaps == 0


async def test_d14_a_list_that_never_answers_is_an_open_gap() -> None:
    async with serving() as server:
        server.store([f"{n}" for n in range(500)])
        server.fault("rest", Http(503))
        async with using(server, tail=100) as user:
            await user.until(lambda: "history_off" in user.kinds)
            await within(user.logs.finish(1.0))
        assert user.ids == []
        assert user.logs.stats.open_gaps == 1


# What options say (U18 of the findings).


async def test_retries_of_zero_is_one_request() -> None:
    async with serving() as server:
        server.fault("rest", Http(503))
        logs = rawlogs.stream(api_url=server.api_url, clock=server.state._clock, follow=False, retries=0)
        with pytest.raises(rawlogs.GaveUp):
            async with logs:
                pass
        assert len(lists(server)) == 1


async def test_retries_of_zero_is_one_connection() -> None:
    async with serving() as server:
        server.fault("logs", Http(503))
        logs = rawlogs.stream(api_url=server.api_url, clock=server.state._clock, transport="ws", retries=0)
        with pytest.raises(rawlogs.UpgradeRefused):
            async with logs:
                pass
        assert len(server.connections) == 1


async def test_a_tail_since_some_time_ago_is_counted_by_the_server_s_clock() -> None:
    async with serving(Behaviour(clock_skew=-3600.0), clock=QuickClock(2.0)) as server:
        now = server.state.now()
        server.store([{"message": f"{n}", "timestamp": now - timedelta(minutes=20 - n)} for n in range(20)])
        async with using(server, since=timedelta(minutes=10, seconds=30), tail=50, follow=False) as user:
            assert user.reading is not None
            await within(user.reading)
        assert [log.message for _, log in user.got] == [f"{n}" for n in range(10, 20)]


async def test_strict_ends_a_stream_whose_list_does_not_answer_for_an_overlap() -> None:
    async with serving() as server:
        server.fault("rest", Http(503))
        async with using(server, strict=True) as user:
            assert user.reading is not None
            with pytest.raises(rawlogs.DataLoss):
                await within(user.reading, 10)
            assert user.clock.monotonic() - user.entered >= 60.0


def test_the_defaults_are_those_of_a_user() -> None:
    """Who changes them has to look at the tests of this file."""
    options = rawlogs.stream(api_url="http://127.0.0.1:1/api")._options
    assert (options.audit, options.rest_budget, options.overlap, options.settle) == (15.0, 60, 60.0, 2.0)
    assert options.retries == 30 and options.buffer == 10_000
