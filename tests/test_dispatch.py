"""What readers of one hub have in common is worked out once, and nobody gets more or less for that."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from uuid import UUID

import pytest
from relay_source import NOW, HandSource, Taken, log

from rawlogs.output.json import JsonFormat
from rawlogs.relay import Batch, Hub, Query
from rawlogs.relay.cursor import Cursor
from rawlogs.relay.dispatch import FilterCache, SharedFilter
from rawlogs.relay.events import LogEvent
from rawlogs.relay.rounds import MOST_EVENTS, MOST_KEPT, Round, Rounds
from rawlogs.wire.frames import decode_batch

RUN = UUID("00000000-0000-4000-8000-000000000001")
OTHER = UUID("00000000-0000-4000-8000-000000000002")
THIRD = UUID("00000000-0000-4000-8000-000000000003")


def events(*messages: str) -> list[LogEvent]:
    return [
        LogEvent(entry, Cursor(NOW, entry.id_text, f"p{n}"), n)
        for n, entry in enumerate(log(message) for message in messages)
    ]


@pytest.fixture
async def source() -> HandSource:
    return HandSource()


@pytest.fixture
async def hub(source: HandSource) -> AsyncIterator[Hub]:
    async with Hub(source, linger=0.0) as hub:
        yield hub


class TestSharedFilters:
    def shared(self, filters: FilterCache, query: Query) -> SharedFilter:
        return filters.get(query, query.selection())

    def test_equal_filters_are_one_whatever_their_backlog(self) -> None:
        filters = FilterCache()
        one = self.shared(filters, Query(min_level=30, since=NOW))
        assert self.shared(filters, Query(min_level=30, tail=5)) is one
        assert self.shared(filters, Query(min_level=40)) is not one

    def test_a_filter_is_asked_once_for_a_list(self) -> None:
        asked = []
        shared = SharedFilter(lambda entry: not asked.append(entry.message) and entry.message == "yes")
        some = events("yes", "no")
        first, oldest = shared.select(some)
        assert shared.select(some)[0] is first
        assert [event.log.message for event in first] == ["yes"]
        assert oldest == first[0].log.timestamp
        assert asked == ["yes", "no"]

    def test_another_list_is_asked_about_anew(self) -> None:
        shared = SharedFilter(lambda entry: True)
        shared.select(events("before"))
        assert [event.log.message for event in shared.select(events("after"))[0]] == ["after"]

    def test_of_nothing_there_is_no_oldest(self) -> None:
        assert SharedFilter(lambda entry: False).select(events("no")) == ([], None)


class TestRounds:
    def test_one_is_made_for_all_who_are_handed_the_same_and_bound_it_alike(self) -> None:
        rounds, some, since = Rounds(), events("a", "b"), NOW + timedelta(seconds=5)
        first = rounds.get(some, since, None)
        assert rounds.get(list(some), since, None) is first
        assert rounds.get(some, since, since) is not first
        assert [event.cursor for event in first] == [
            Cursor(since, e.log.id_text, e.cursor.place) for e in some
        ]
        other = rounds.get(some, NOW + timedelta(seconds=6), None)
        assert other[0] is not first[0]

    def test_of_other_events_only_those_that_are_the_same_are_shared(self) -> None:
        rounds, some, since = Rounds(), events("a", "b", "c"), NOW + timedelta(seconds=5)
        whole, part = rounds.get(some, since, None), rounds.get([some[0], some[2]], since, None)
        assert [whole[0], whole[2]] == list(part)

    def test_events_that_need_no_bound_are_handed_on_as_they_are(self) -> None:
        some = events("a", "b")
        assert list(Rounds().get(some, NOW - timedelta(seconds=5), None)) == some

    @pytest.mark.parametrize(
        ("since", "looked", "moment"), [(-5, None, 0), (5, None, 5), (-5, 3, 0), (5, 3, 3), (-5, -7, -7)]
    )
    def test_a_moment_is_bounded_from_below_first(self, since: int, looked: int | None, moment: int) -> None:
        at = {None: None} | {n: NOW + timedelta(seconds=n) for n in (-7, -5, 0, 3, 5)}
        (event,) = Rounds().get(events("a"), at[since] or NOW, at[looked])
        assert event.cursor is not None
        assert event.cursor.low == at[moment]

    def test_they_are_forgotten_when_there_are_too_many(self) -> None:
        rounds, some = Rounds(), events("a")
        first = rounds.get(some, NOW, None)
        for second in range(1, MOST_EVENTS + 2):
            rounds.get(some, NOW + timedelta(seconds=second), None)
        assert rounds.get(some, NOW, None) is not first

    @pytest.mark.parametrize(("count", "kept"), [(2, True), (100, True), (300, False)])
    def test_the_bytes_are_joined_once_unless_they_are_many(self, count: int, kept: bool) -> None:
        """A slow reader's backlog is its own: nobody else would use what is kept of it."""
        whole = Round(events(*["a" * (MOST_KEPT // 256)] * count))
        first, again = list(whole.chunks()), list(whole.chunks())
        assert b"".join(first) == b"".join(event.sse for event in whole)
        assert first == again
        assert (first[0] is again[0]) is kept


async def test_who_joins_within_one_second_shares_the_encoded_events(hub: Hub, source: HandSource) -> None:
    source.clock = 10.2
    one = Taken(await hub.join())
    source.clock = 10.9
    two = Taken(await hub.join())
    source.clock = 11.0
    three = Taken(await hub.join())
    source.send(log("shared", 12.0))
    for taken in (one, two, three):
        await taken.until(lambda t: t.messages == ["shared"])
    assert one.events[0].sse is two.events[0].sse
    assert one.events[0].cursor is not None and three.events[0].cursor is not None
    assert three.events[0].cursor.low - one.events[0].cursor.low == timedelta(seconds=1)
    for taken in (one, two, three):
        await taken.stop()


async def test_sets_of_runs_that_overlap_get_each_log_once(hub: Hub, source: HandSource) -> None:
    wanted = [(RUN,), (RUN, OTHER), (OTHER, RUN), (OTHER, THIRD), (RUN, RUN), ()]
    async with AsyncExitStack() as stack:
        readers = [Taken(await hub.join(Query(flow_run_id=runs))) for runs in wanted]
        for taken in readers:
            stack.push_async_callback(taken.stop)
        source.send(log("a", run=RUN), log("b", run=OTHER), log("c", run=THIRD), log("d"))
        await readers[-1].until(lambda t: len(t.messages) == 4)
        await source.settled()
        assert ["".join(taken.messages) for taken in readers] == ["a", "ab", "ab", "bc", "a", "abcd"]


async def test_who_leaves_takes_nobody_of_the_same_runs_along(hub: Hub, source: HandSource) -> None:
    leaving, staying = [Taken(await hub.join(Query(flow_run_id=(RUN,)))) for _ in range(2)]
    await source.settled()
    await leaving.stop()
    source.send(log("for the other one", run=RUN))
    await staying.until(lambda t: t.messages == ["for the other one"])
    await staying.stop()
    assert hub.readers == 0


def payload(number: int, message: str) -> bytes:
    stamp = f"2026-05-01T12:00:00.{number:06d}Z"
    fields = {"id": f"00000000-0000-4000-8000-{number:012d}", "created": None, "updated": None, "name": "n"}
    fields |= {"level": 30, "message": message, "timestamp": stamp, "flow_run_id": None, "task_run_id": None}
    return json.dumps({"type": "log", "log": fields}, separators=(",", ":"), ensure_ascii=False).encode()


@pytest.mark.parametrize("message", ["plain", '\u00fc "quoted" \\', "\u2028\nid: forged\n\n", "\x1b[31m"])
async def test_what_is_passed_on_of_a_payload_is_what_would_be_encoded(
    hub: Hub, source: HandSource, message: str
) -> None:
    payloads = [payload(number, message) for number in range(1, 4)]
    batch, others = decode_batch(payloads)
    assert not others
    again, _ = decode_batch([payloads[1], payload(4, "last"), payloads[2]])
    taken = Taken(await hub.join(Query(min_level=30)))
    source.hand_on(batch)
    source.hand_on(again)
    await taken.until(lambda t: t.messages[-1:] == ["last"])
    assert taken.messages == [message] * 3 + ["last"]
    logs = [*batch, again[1]]
    assert [json.loads(event.frame)["log"] for event in taken.events] == [
        json.loads(JsonFormat().encode(log)) for log in logs
    ]
    assert [event.json for event in taken.events if event.kind == "log"] == [
        JsonFormat().encode(log)[:-1] for log in logs
    ]
    await taken.stop()


def test_a_batch_has_a_place_for_each_log() -> None:
    with pytest.raises(ValueError, match="a batch has 2 logs and 1 places"):
        Batch([log("a"), log("b")], ["p1"])
