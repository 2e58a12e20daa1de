from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from clocks import HandClock
from relay_source import NOW, HandSource, Taken, log
from streaming import QuickClock, eventually

from rawlogs.errors import AuthError, ConfigError, ConnectError, HistoryError
from rawlogs.models import Log
from rawlogs.relay import BadQuery, Cursor, GapEvent, Hub, Query, Reader
from rawlogs.relay.hub import PULSE
from rawlogs.relay.query import LEAD, parse_query, parse_request
from rawlogs.testing import Behaviour, FakeServer

RUN = UUID("00000000-0000-4000-8000-000000000001")
OTHER = UUID("00000000-0000-4000-8000-000000000002")


@asynccontextmanager
async def taking(hub: Hub, query: Query | None = None, **options: Any) -> AsyncIterator[Taken]:
    taken = Taken(await hub.join(query, **options))
    try:
        yield taken
    finally:
        await taken.stop()


@pytest.fixture
async def source() -> HandSource:
    return HandSource()


@pytest.fixture
async def hub(source: HandSource) -> AsyncIterator[Hub]:
    async with Hub(source, linger=0.0, queue=5) as hub:
        yield hub


class TestFanOut:
    async def test_a_reader_of_two_runs_gets_their_logs_in_the_order_of_the_sequence(
        self, hub: Hub, source: HandSource
    ) -> None:
        async with (
            taking(hub, Query(flow_run_id=(RUN, OTHER))) as both,
            taking(hub, Query(flow_run_id=(OTHER,))) as one,
        ):
            source.send(*[log(f"{n}", run=RUN if n % 2 else OTHER) for n in range(6)])
            await both.until(lambda t: t.messages == list("012345"))
            await one.until(lambda t: t.messages == list("024"))

    async def test_readers_of_the_same_second_and_filter_share_the_encoded_event(
        self, hub: Hub, source: HandSource
    ) -> None:
        """Also while their own beginning, and not the sequence's, is the bound of their cursors."""
        query = Query(min_level=30)
        async with taking(hub, query) as first:
            source.clock = 0.4
            async with taking(hub, query) as second:
                source.clock = 1.4
                async with taking(hub, query) as later:
                    source.send(log("error", level=40), log("info"))
                    for taken in (first, second, later):
                        await taken.until(lambda t: t.messages == ["error"])
        assert first.events[0].sse is second.events[0].sse
        assert first.events[0].cursor == Cursor(NOW - LEAD, first.events[0].log.id_text, "p0")
        assert later.events[0].cursor.low == NOW - LEAD + timedelta(seconds=1)

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            pytest.param(Query(), ["debug", "error", "other run"], id="an empty query takes all"),
            pytest.param(Query(min_level=30), ["error"], id="a least level"),
            pytest.param(Query(level=(10, 50)), ["debug"], id="exact levels"),
            pytest.param(Query(flow_run_id=(OTHER,)), ["other run"], id="one flow run"),
            pytest.param(
                Query(flow_run_id=(RUN, OTHER), max_level=20), ["debug", "other run"], id="two runs"
            ),
            pytest.param(Query(text="error"), ["error"], id="Prefect's text search"),
            pytest.param(Query(exclude=("e.+r",)), ["debug"], id="a regular expression"),
            pytest.param(Query(logger=("prefect.task*",)), [], id="a logger's name"),
        ],
    )
    async def test_each_reader_has_its_own_filter(
        self, hub: Hub, source: HandSource, query: Query, expected: list[str]
    ) -> None:
        async with taking(hub, query) as taken, taking(hub) as all_of_it:
            logs = [
                log("debug", run=RUN, level=10),
                log("error", run=RUN, level=40),
                log("other run", run=OTHER),
            ]
            source.send(*logs)
            await all_of_it.until(lambda t: len(t.messages) == 3)
            await source.settled()
            assert taken.messages == expected

    async def test_fifty_readers_share_one_upstream(self, hub: Hub, source: HandSource) -> None:
        readers = [Taken(await hub.join()) for _ in range(50)]
        source.send(log("to all"))
        for taken in readers:
            await taken.until(lambda t: t.messages == ["to all"])
        assert source.reads == 1
        for taken in readers:
            await taken.stop()

    async def test_a_log_is_encoded_once_for_all(self, hub: Hub, source: HandSource) -> None:
        hub.source.clock = 0.0  # type: ignore[attr-defined]
        source.mark = 0.0
        async with taking(hub) as one, taking(hub) as two:
            source.send(log("shared", 1.0))
            for taken in (one, two):
                await taken.until(lambda t: t.messages)
            assert one.events[0].sse is two.events[0].sse

    async def test_the_upstream_ends_after_the_last_reader(self, hub: Hub, source: HandSource) -> None:
        async with taking(hub), taking(hub):
            await source.settled()
            assert (hub.readers, source.open) == (2, 1)
        await source.settled()
        assert (hub.readers, hub.reading, source.open) == (0, False, 0)

    async def test_the_upstream_is_opened_again_at_its_low_water_mark(
        self, hub: Hub, source: HandSource
    ) -> None:
        async with taking(hub):
            await source.settled()
        await source.settled()
        async with taking(hub):
            await source.settled()
            assert source.reads == 2
            assert source.since == NOW - timedelta(seconds=60)

    async def test_many_readers_are_woken_in_pulses(self, source: HandSource) -> None:
        """And a log that waits for the pulse is not behind anybody's cursor."""
        clock = HandClock()
        async with Hub(source, clock=clock) as hub:
            readers = [Taken(await hub.join()) for _ in range(30)]
            await source.settled()
            source.send(log("one"))
            source.send(log("two"))
            await source.settled()
            assert not readers[0].messages
            source.mark = 500.0
            assert hub.low < NOW
            assert clock.sleeps == [30 * PULSE]
            clock.wake()
            for taken in readers:
                await taken.until(lambda t: t.messages == ["one", "two"])
                await taken.stop()
            assert hub.low > NOW

    async def test_closing_the_hub_ends_the_readers(self, hub: Hub) -> None:
        reader = await hub.join()
        await hub.close()
        assert [events async for events in reader.batches()] == []

    async def test_a_log_that_the_source_repeats_is_handed_on_once(
        self, hub: Hub, source: HandSource
    ) -> None:
        async with taking(hub) as taken:
            twice = log("twice")
            source.send(twice)
            source.send(twice, log("last"))
            await taken.until(lambda t: "last" in t.messages)
            assert taken.messages == ["twice", "last"]


class TestBacklog:
    async def test_stored_logs_come_first_then_live_ones_each_once(
        self, hub: Hub, source: HandSource
    ) -> None:
        """What comes while the backlog is listed is neither lost nor repeated."""
        source.stored += [log("old", -50.0), log("older", -100.0), log("too old", -4000.0)]
        source.list_gate.clear()
        async with taking(hub, Query(since=timedelta(hours=1))) as taken:
            await asyncio.wait_for(source.listing.wait(), 5)
            source.send(log("at the seam", -1.0))
            source.send(log("streamed before it is stored", 0.0), store=False)
            await source.settled()
            source.list_gate.set()
            await taken.until(lambda t: len(t.messages) == 4)
            source.send(log("live", 1.0))
            await taken.until(lambda t: "live" in t.messages)
            assert taken.messages == ["older", "old", "at the seam", "streamed before it is stored", "live"]

    async def test_a_late_log_that_comes_live_and_is_listed_is_sent_once(
        self, hub: Hub, source: HandSource
    ) -> None:
        source.stored += [log("old", -3000.0), log("older", -3100.0)]
        source.list_gate.clear()
        async with taking(hub, Query(since=timedelta(hours=1))) as taken:
            await asyncio.wait_for(source.listing.wait(), 5)
            source.send(late := log("very late", -2000.0), store=False)
            await source.settled()
            source.stored.append(Log.from_wire({**late.data, "created": NOW.isoformat()}))
            source.list_gate.set()
            source.send(log("last"), store=False)
            await taken.until(lambda t: "last" in t.messages)
            assert taken.messages.count("very late") == 1

    async def test_a_log_streamed_just_before_joining_and_not_stored_yet_is_not_lost(
        self, hub: Hub, source: HandSource
    ) -> None:
        """Prefect publishes before it stores."""
        async with taking(hub) as first:
            source.send(log("on its way", -1.0), store=False)
            await first.until(lambda t: t.messages)
            async with taking(hub, Query(since=timedelta(minutes=1))) as taken:
                await taken.until(lambda t: t.messages == ["on its way"])

    async def test_a_tail_is_so_many_of_the_newest(self, hub: Hub, source: HandSource) -> None:
        source.stored += [log(f"log {n}", n - 20.0, level=20 + n % 2) for n in range(10)]
        async with taking(hub, Query(tail=3, min_level=21)) as taken:
            await taken.until(lambda t: len(t.messages) == 3)
            assert taken.messages == ["log 5", "log 7", "log 9"]

    async def test_without_a_backlog_what_was_stored_before_is_not_sent(
        self, hub: Hub, source: HandSource
    ) -> None:
        """The upstream begins a minute early; its readers do not."""
        async with taking(hub) as taken:
            source.send(log("before", -30.0, created=-30.0), log("late", -30.0, created=1.0), log("now"))
            await taken.until(lambda t: "now" in t.messages)
            assert taken.messages == ["late", "now"]

    async def test_a_list_that_fails_is_told_and_read_again(self, hub: Hub, source: HandSource) -> None:
        source.stored += [log("stored", -5.0)]
        source.history_errors += [HistoryError("https://secret.internal: 503", status=503, transient=True)]
        async with taking(hub, Query(since=timedelta(minutes=1))) as taken:
            await taken.until(lambda t: t.messages == ["stored"])
            assert taken.gaps() == [("history", True), ("history", False)]
            assert b"secret" not in b"".join(event.sse for event in taken.events)

    @pytest.mark.parametrize(
        ("query", "gaps"),
        [
            pytest.param(Query(since=timedelta(minutes=1)), 3, id="oldest first, told behind what there is"),
            pytest.param(Query(since=timedelta(minutes=1), tail=5), 2, id="newest first, told before"),
        ],
    )
    async def test_what_the_list_does_not_keep_is_a_gap_that_stays_open(
        self, hub: Hub, source: HandSource, query: Query, gaps: int
    ) -> None:
        """Also when the list failed before."""
        source.stored += [log("gone", -50.0), log("kept", -5.0)]
        source.kept_from = -10.0
        error = HistoryError("503", status=503, transient=True)
        source.history_errors += [error]
        async with taking(hub, query) as taken:
            await taken.until(lambda t: t.messages == ["kept"] and len(t.gaps()) == gaps)
            gap = [event for event in taken.events if isinstance(event, GapEvent)][-1]
            assert (gap.since, gap.trouble, gap.retry) == (NOW - timedelta(minutes=1), None, None)
            assert "not kept" in gap.text
            source.send(log("live"))
            await taken.until(lambda t: t.messages == ["kept", "live"])
            assert len(taken.gaps()) == gaps and taken.gaps()[-1] == ("history", True)

    async def test_a_slow_reader_whose_missed_logs_are_not_kept_is_never_told_it_has_all(
        self, source: HandSource
    ) -> None:
        async with Hub(source, linger=0.0, queue=5, ring=1) as hub:
            reader = await hub.join()
            await source.settled()
            await fill(hub, source, reader, 12)
            source.kept_from = 8.0
            taken = Taken(reader)
            await taken.until(lambda t: len(t.gaps()) == 2 and "log 11" in t.messages)
            source.send(log("live again", 20.0))
            await taken.until(lambda t: "live again" in t.messages)
            await taken.stop()
        assert taken.gaps() == [("behind", True), ("history", True)]
        assert "log 07" not in taken.messages


async def fill(hub: Hub, source: HandSource, reader: Reader, count: int) -> None:
    """Send logs one by one while nobody takes them."""
    for n in range(count):
        source.send(log(f"log {n:02}", float(n)))
        await source.settled()


class TestSlowReader:
    async def test_an_overflow_becomes_a_gap_and_is_caught_up_from_the_list(
        self, hub: Hub, source: HandSource
    ) -> None:
        reader = await hub.join()
        await source.settled()
        await fill(hub, source, reader, 12)
        assert reader.overflows >= 1
        taken = Taken(reader)
        await taken.until(lambda t: t.gaps() == [("behind", True), ("behind", False)])
        assert taken.messages == [f"log {n:02}" for n in range(12)]
        source.send(log("live again", 20.0))
        await taken.until(lambda t: "live again" in t.messages)
        await taken.stop()

    async def test_it_keeps_nobody_waiting(self, hub: Hub, source: HandSource) -> None:
        slow = await hub.join()
        async with taking(hub) as quick:
            await fill(hub, source, slow, 50)
            await quick.until(lambda t: len(t.messages) == 50)
            assert slow.waiting <= hub.queue
            assert quick.gaps() == []

    async def test_what_was_sent_before_the_gap_is_not_sent_again(self, hub: Hub, source: HandSource) -> None:
        reader = await hub.join()
        batches = reader.batches()
        source.send(log("sent", 0.5))
        first = await asyncio.wait_for(anext(batches), 5)
        await fill(hub, source, reader, 10)
        messages = [event.log.message for event in first if event.kind == "log"]
        while len(messages) < 11:
            messages += [event.log.message for event in await anext(batches) if event.kind == "log"]
        assert messages.count("sent") == 1
        assert len(set(messages)) == 11
        await batches.aclose()

    async def test_falling_behind_once_more_while_the_list_is_read_loses_nothing(
        self, hub: Hub, source: HandSource
    ) -> None:
        reader = await hub.join()
        await fill(hub, source, reader, 8)
        source.list_gate.clear()
        source.listing.clear()
        taken = Taken(reader)
        await asyncio.wait_for(source.listing.wait(), 5)
        for n in range(8, 20):
            source.send(log(f"log {n:02}", float(n)))
            await source.settled()
        source.list_gate.set()
        await taken.until(lambda t: t.gaps()[-1:] == [("behind", False)])
        assert sorted(taken.messages) == [f"log {n:02}" for n in range(20)]
        assert taken.gaps().count(("behind", True)) == 1
        await taken.stop()


class TestComingBack:
    async def test_on_the_same_hub_it_goes_on_exactly_there(self, hub: Hub, source: HandSource) -> None:
        async with taking(hub) as watcher:
            async with taking(hub) as taken:
                source.send(log("one"), log("two"))
                await taken.until(lambda t: len(t.messages) == 2)
                last = taken.events[0].cursor
            source.send(log("three"))
            await watcher.until(lambda t: len(t.messages) == 3)
            lists = len(source.lists)
            async with taking(hub, cursor=last.text) as back:  # type: ignore[union-attr]
                await back.until(lambda t: len(t.messages) == 2)
                assert back.messages == ["two", "three"]
                assert len(source.lists) == lists

    async def test_on_another_hub_nothing_is_missing(self) -> None:
        """Not the log that was stamped before the last one and came late, and not the one that came meanwhile."""
        here, there = HandSource("a"), HandSource("b")
        last = log("the last one it had", 0.0)
        here.stored = there.stored = [last]
        async with Hub(here) as one, taking(one) as taken:
            here.send(last, store=False)
            await taken.until(lambda t: t.messages)
            cursor = taken.events[-1].cursor
        there.stored += [log("late by 80 s", -80.0), log("meanwhile", 3.0)]
        async with (
            Hub(there) as other,
            taking(other, cursor=replace(cursor, low=NOW - timedelta(seconds=90))) as back,
        ):
            await back.until(lambda t: "meanwhile" in t.messages)
            assert {"late by 80 s", "meanwhile"} <= set(back.messages)

    async def test_a_producer_with_a_fast_clock_does_not_move_the_cursor_ahead(
        self, hub: Hub, source: HandSource
    ) -> None:
        async with taking(hub, Query(since=timedelta(hours=1))) as taken:
            source.send(log("stamped tomorrow", 86_400.0))
            await taken.until(lambda t: t.messages)
            assert taken.events[-1].cursor.low <= NOW  # type: ignore[union-attr]

    async def test_the_cursor_moves_on_while_nothing_is_sent(self, hub: Hub, source: HandSource) -> None:
        async with taking(hub, Query(min_level=50)) as taken:
            await source.settled()
            source.mark = 500.0
            assert taken.reader.cursor.low == NOW + timedelta(seconds=500)  # type: ignore[union-attr]

    async def test_the_cursor_does_not_pass_what_waits(self, hub: Hub, source: HandSource) -> None:
        reader = await hub.join()
        source.send(log("not taken yet", 1.0))
        await source.settled()
        source.mark = 500.0
        assert reader.cursor.low < NOW + timedelta(seconds=1)  # type: ignore[union-attr]
        reader.close()

    async def test_before_its_tail_was_sent_a_reader_has_no_cursor(self, hub: Hub) -> None:
        reader = await hub.join(Query(tail=5))
        assert reader.cursor is None
        reader.close()

    @pytest.mark.parametrize(
        "text", ["", "x", "2026-01-01T00:00:00Z", "now/-", "2026-01-01T00:00:00Z/x", "a/b/c/d"]
    )
    def test_what_is_no_cursor_is_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match="not the id of an event"):
            Cursor.parse(text)

    @pytest.mark.parametrize("cursor", [Cursor(NOW), Cursor(NOW, str(RUN)), Cursor(NOW, str(RUN), "1-0")])
    def test_a_cursor_survives_its_text(self, cursor: Cursor) -> None:
        assert Cursor.parse(cursor.text) == cursor


class TestTrouble:
    @pytest.mark.parametrize(
        ("error", "trouble"),
        [
            (ConnectError("wss://secret.internal", url="wss://secret.internal", phase="tcp"), "unreachable"),
            (AuthError("the key pnu_secret was refused"), "denied"),
        ],
        ids=["unreachable", "denied"],
    )
    async def test_an_upstream_that_fails_is_told_without_its_internals(
        self, hub: Hub, source: HandSource, error: Exception, trouble: str
    ) -> None:
        async with taking(hub) as taken:
            source.fail(error)
            await taken.until(lambda t: t.events)
            event = taken.events[0]
            assert (event.reason, event.open, event.trouble) == ("upstream", True, trouble)
            assert event.retry > 0
            assert b"secret" not in event.sse
            assert hub.trouble == trouble

    async def test_an_error_that_nobody_expects_is_logged_once_and_the_source_read_again(
        self, hub: Hub, source: HandSource, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with taking(hub) as taken:
            for _ in range(2):
                source.fail(ZeroDivisionError("boom"))
            source.send(log("afterwards"))
            await taken.until(lambda t: "afterwards" in t.messages)
        told = [record for record in caplog.records if record.name == "rawlogs.relay"]
        assert len(told) == 1
        assert told[0].exc_info is not None and told[0].exc_info[0] is ZeroDivisionError

    async def test_a_watch_outlives_what_its_source_raises(self, caplog: pytest.LogCaptureFixture) -> None:
        class Failing(HandSource):
            asked = 0

            def runs(self) -> Any:
                return self

            async def by_ids(self, runs: Any) -> Any:
                self.asked += 1
                raise ZeroDivisionError("boom")

        source, query = Failing(), Query(flow_run_id=(RUN,))
        async with Hub(source, clock=QuickClock(100.0)) as hub, taking(hub, query) as taken:
            await eventually(lambda: source.asked > 2)
            source.send(log("afterwards", run=RUN))
            await taken.until(lambda t: "afterwards" in t.messages)
        assert len([record for record in caplog.records if record.name == "rawlogs.relay"]) == 1

    async def test_a_reader_that_joins_meanwhile_is_told_too_and_when_it_is_over(
        self, hub: Hub, source: HandSource
    ) -> None:
        async with taking(hub):
            await source.settled()
            assert source.tell is not None
            source.tell("unreachable")
            async with taking(hub) as late:
                await late.until(lambda t: t.gaps() == [("upstream", True)])
                source.tell(None)
                await late.until(lambda t: t.gaps() == [("upstream", True), ("upstream", False)])


class TestQuery:
    def test_all_parameters(self) -> None:
        query = parse_query(
            [
                ("flow_run_id", str(RUN)),
                ("flow_run_id", str(OTHER)),
                ("level", "info"),
                ("max_level", "40"),
                ("deployment", "etl/nightly"),
                ("text", "boom"),
                ("logger", "prefect.*"),
                ("since", "1h30m"),
                ("tail", "10"),
                ("token", "abc"),
                ("task_run_id", ""),
            ],
            ignore=["token"],
        )
        assert query == Query(
            flow_run_id=(RUN, OTHER),
            min_level=20,
            max_level=40,
            deployment=("etl/nightly",),
            text="boom",
            logger=("prefect.*",),
            since=timedelta(minutes=90),
            tail=10,
        )

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("flow_run_id", "nope"),
            ("task_run_id", "1"),
            ("level", "LOUD"),
            ("level", "-1"),
            ("deployment", "nightly"),
            ("since", "yesterday"),
            ("tail", "-1"),
            ("tail", "1e3"),
            ("tail", "10001"),
            ("text", "x" * 201),
            ("logger", "*" * 6),
            ("include", ".*"),
            ("flow_run", str(RUN)),
        ],
    )
    def test_what_is_wrong_is_named(self, name: str, value: str) -> None:
        with pytest.raises(BadQuery) as caught:
            parse_query([("level", "INFO"), (name, value)] if name != "level" else [(name, value)])
        assert list(caught.value.problems) == [name]

    def test_several_problems_are_told_at_once(self) -> None:
        with pytest.raises(BadQuery) as caught:
            parse_query([("level", "LOUD"), ("tail", "x"), ("wat", "1")])
        assert list(caught.value.problems) == ["level", "tail", "wat"]

    def test_the_plus_of_a_time_zone_survives_a_form(self) -> None:
        assert parse_query([("since", "2026-05-01T14:00:00 02:00")]).since == NOW

    def test_the_header_wins_over_the_parameter(self) -> None:
        older, younger = Cursor(NOW), Cursor(NOW + timedelta(seconds=5))
        assert parse_request([("last_event_id", older.text)], younger.text)[1] == younger
        assert parse_request([("last_event_id", older.text)])[1] == older


class TestAgainstAServer:
    async def test_one_connection_however_many_read(self) -> None:
        async with FakeServer() as server, Hub(api_url=server.api_url, linger=0.0) as hub:
            readers = [Taken(await hub.join()) for _ in range(50)]
            await server.until_subscribed()
            server.post("hello")
            for taken in readers:
                await taken.until(lambda t: t.messages == ["hello"])
            assert len(server.connections) == 1
            for taken in readers:
                await taken.stop()
            await server.until(lambda: server.subscribed == 0)

    async def test_a_run_is_told_its_states_and_ends_when_all_of_it_was_sent(self) -> None:
        async with FakeServer() as server, Hub(api_url=server.api_url) as hub:
            run = server.add_run("etl")
            server.store("stored", flow_run_id=str(run))
            async with taking(hub, Query(flow_run_id=(run,), since=timedelta(hours=1))) as taken:
                await taken.until(lambda t: t.messages == ["stored"])
                await server.until_subscribed()
                server.post("live", flow_run_id=str(run))
                server.set_state(run, "COMPLETED")
                server.store("the socket lost this", flow_run_id=str(run))
                await taken.until(lambda t: "end" in t.kinds)
                assert taken.messages == ["stored", "live", "the socket lost this"]
                states = [event.state_type for event in taken.events if event.kind == "state"]
                assert states == ["RUNNING", "COMPLETED"]
                assert taken.kinds[-1] == "end"

    async def test_runs_of_a_deployment_that_start_later_are_read_too(self) -> None:
        async with FakeServer() as server, Hub(api_url=server.api_url) as hub:
            server.add_deployment("etl", "nightly")
            first = server.add_run(flow="etl", deployment="nightly")
            stranger = server.add_run(flow="etl")
            async with taking(hub, Query(deployment=("etl/nightly",))) as taken:
                await server.until_subscribed()
                server.post("of the first", flow_run_id=str(first))
                server.post("of another", flow_run_id=str(stranger))
                second = server.add_run(flow="etl", deployment="nightly")
                server.post("of the second", flow_run_id=str(second))
                await taken.until(lambda t: len(t.messages) == 2)
                assert sorted(taken.messages) == ["of the first", "of the second"]

    async def test_a_deployment_that_there_is_not_is_named(self) -> None:
        async with FakeServer() as server, Hub(api_url=server.api_url) as hub:
            server.add_deployment("secret-flow", "nightly")
            with pytest.raises(BadQuery) as caught:
                await hub.join(Query(deployment=("secret-flaw/nightly",)))
            assert "secret-flow" not in str(caught.value)

    async def test_a_reader_that_comes_back_to_another_worker_misses_nothing(self) -> None:
        async with FakeServer() as server:
            async with Hub(api_url=server.api_url) as hub, taking(hub) as taken:
                await server.until_subscribed()
                server.post(["one", "two"])
                await taken.until(lambda t: len(t.messages) == 2)
                cursor = taken.events[-1].cursor
            server.store("while it was away")
            async with Hub(api_url=server.api_url) as hub, taking(hub, cursor=cursor) as back:
                await back.until(lambda t: "while it was away" in t.messages)

    async def test_a_server_that_goes_away_and_comes_back(self) -> None:
        async with FakeServer() as server, Hub(api_url=server.api_url) as hub, taking(hub) as taken:
            await server.until_subscribed()
            server.refuse()
            await server.drop_all()
            await taken.until(lambda t: ("upstream", True) in t.gaps())
            server.store("stored meanwhile")
            server.refuse(False)
            await taken.until(
                lambda t: t.messages == ["stored meanwhile"] and ("upstream", False) in t.gaps()
            )

    async def test_a_refused_key_is_told_to_those_who_read(self) -> None:
        key = f"pnu_{uuid4().hex}"
        async with (
            FakeServer(Behaviour(auth_string="admin:pass")) as server,
            Hub(api_url=server.api_url, api_key=key) as hub,
            taking(hub) as taken,
        ):
            await taken.until(lambda t: t.gaps() == [("upstream", True)])
            assert taken.events[0].trouble == "denied"
            assert key.encode() not in taken.events[0].sse


@pytest.mark.parametrize("name", ["queue", "ring"])
@pytest.mark.parametrize("value", [0, -1, 1.5, "many", None])
def test_a_size_that_is_none_is_refused_by_its_name(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"{name} must be a whole number of at least 1"):
        Hub(**{name: value})
