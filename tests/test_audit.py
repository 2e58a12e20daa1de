"""When the list is read, what for, and what follows from what it brings, by requests counted on a fake clock."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from delivering import Delivery, answer, turns
from listing import RUN

from rawlogs.batch import Batch
from rawlogs.delivery.audit import poll_interval
from rawlogs.delivery.coverage import HITS
from rawlogs.errors import AuthError, HistoryError
from rawlogs.models import BEGINNING


class Auditing(Delivery):
    """A stream whose socket was opened at second 0; its requests are told from then on."""

    @classmethod
    async def begun(cls, *, connected: bool = True, **options: Any) -> Auditing:
        stream = cls(**options)
        await stream.round()
        if connected:
            stream.auditor.connected(again=False)
            await stream.round()
        stream.requests.clear()
        stream.asked_at.clear()
        return stream

    def lists(self) -> list[float]:
        """When each request was sent."""
        return [round(second, 2) for second in self.asked_at]

    @property
    def polls(self) -> bool:
        """Whether the list is asked beside the socket."""
        return self.auditor._coverage.partial

    async def miss(self) -> None:
        """An audit finds a log that the socket did not show: from now on the list is polled beside it."""
        self.log()
        while not self.polls:
            await self.round()
            await self.read()
        await self.round()


# At rest and after a suspicion


async def test_the_first_audits_come_early_and_later_ones_at_the_interval() -> None:
    """A socket that shows nothing is found out within seconds; at rest an audit is one request."""
    stream = await Auditing.begun()
    await stream.until(75.0)
    assert stream.lists() == [3.75, 11.25, 26.25, 41.25, 56.25, 71.25, 86.25]


async def test_after_a_reconnect_the_first_audits_come_early_again() -> None:
    """It may be another server. The list is read at once, and up to what is stamped in the future."""
    stream = await Auditing.begun()
    await stream.until(41.0)
    stream.asked_at.clear()
    stream.auditor.connected(again=True)
    assert stream.stats.open_gaps == 1
    await stream.until(60.0)
    assert stream.lists() == [41.25, 45.0, 52.5, 67.5]
    assert stream.kinds == ["gap_opened", "gap_closed"]
    assert stream.notices[1].facts == {"recovered": 0}
    assert stream.stats.open_gaps == 0


async def test_a_gap_that_opens_while_a_list_is_on_its_way_is_told_as_closed_by_the_next() -> None:
    """That list may show everything up to the reconnect."""
    stream = await Auditing.begun()
    await stream.until(41.0)
    stream.auditor.connected(again=True)
    stream.plan += [lambda: stream.auditor.connected(again=True)]
    await stream.until(75.0)
    assert stream.kinds == ["gap_opened", "gap_opened", "gap_closed"]
    assert stream.stats.open_gaps == 0


async def test_a_suspicion_is_answered_by_a_list_that_begins_when_all_has_settled() -> None:
    """And by none before; then audits go on as before."""
    stream = await Auditing.begun()
    await stream.until(41.0)
    stream.asked_at.clear()
    stream.schedule.suspect(soon=0.4)
    await stream.until(46.0)
    assert stream.lists() == [41.65, 43.25, 58.25]
    assert stream.schedule.suspected_at is None


async def test_while_an_early_look_brings_something_it_is_repeated() -> None:
    """Every half second, and once more when all has settled."""
    stream = await Auditing.begun()
    await stream.until(41.0)
    stream.asked_at.clear()
    stream.schedule.suspect(soon=0.4)
    lost = stream.stored(41.0)
    await stream.round()
    assert await stream.read() == lost
    lost = stream.stored(41.3)
    await stream.until(44.0)
    assert stream.lists() == [41.65, 41.65, 42.15, 42.65, 43.25, 58.25]
    assert stream.order[-1:] == lost
    assert stream.kinds == ["gap_opened", "gap_closed"]
    assert stream.notices[1].facts == {"recovered": 2}


async def test_an_early_look_is_a_count_where_nothing_is_missing() -> None:
    """And once more when it shows fewer rows than came live: their POST is still being stored."""
    stream = await Auditing.begun()
    await stream.until(41.0)
    stream.asked_at.clear()
    stream.log(live=1, delay=1.0)
    stream.schedule.suspect(soon=0.4)
    await stream.until(43.5)
    # Too few; again after half a second; as many as came live; and when all has settled, as a list.
    assert stream.lists() == [41.65, 42.15, 42.65, 43.25, 58.25]


async def test_followed_runs_are_only_looked_at_when_all_has_settled() -> None:
    """They are read again at their end."""
    stream = await Auditing.begun(keep_ids=True)
    await stream.until(41.0)
    stream.asked_at.clear()
    stream.requests.clear()
    stream.schedule.suspect(soon=0.4)
    stream.stored(41.0)
    await stream.until(44.0)
    assert stream.lists()[:2] == [41.65, 43.25]
    assert stream.requests[0]["logs"]["timestamp"]["before_"] == stream.at(39.649999).isoformat()


async def test_a_list_that_lags_behind_the_socket_is_asked_again_and_is_not_final() -> None:
    """A POST of thousands is streamed before it is stored: the others of it may be lost."""
    stream = await Auditing.begun()
    await stream.until(26.0)
    stream.asked_at.clear()
    stream.log(live=1, delay=18.0)
    lost = stream.log(delay=18.0)
    await stream.until(44.0)
    assert stream.lists() == [41.25, 43.25, 45.25]
    assert stream.frontier == 43.25, "the list that showed them, and none before"
    assert stream.got[lost.id_text] == 1
    await stream.until(60.0)
    assert stream.schedule.suspected_at is None


async def test_a_frame_that_cannot_be_read_brings_a_list_when_its_log_has_settled() -> None:
    """It is an open gap until then."""
    stream = await Auditing.begun()
    await stream.until(41.0)
    stream.asked_at.clear()
    lost = stream.stored(40.5)
    stream.auditor.frame_unreadable()
    assert stream.stats.open_gaps == 1
    await stream.until(44.0)
    assert stream.lists()[0] == 43.25
    assert stream.order == lost
    assert stream.stats.open_gaps == 0


async def test_a_clock_that_jumped_means_a_list_at_once() -> None:
    """By more than half an overlap; the socket is to be checked."""
    stream = await Auditing.begun()
    await stream.until(41.0)
    stream.clock.step(29.0)
    assert not (await stream.round()).clock_jumped
    stream.clock.step(-31.0)
    assert (await stream.round()).clock_jumped
    assert stream.kinds == ["warning"]
    assert "-31 s" in stream.notices[0].text
    assert not (await stream.round()).clock_jumped


async def test_what_an_audit_finds_is_a_gap_that_is_told() -> None:
    """Once, with how many logs it was."""
    stream = await Auditing.begun()
    lost = stream.stored(1.0, 1.5)
    await stream.until(5.0)
    assert stream.order == lost
    assert stream.kinds == ["gap_opened", "gap_closed"]
    assert stream.notices[1].facts == {"recovered": 2}


# Where the socket shows only a part


async def test_an_audit_that_finds_what_the_socket_never_showed_and_the_list_is_polled() -> None:
    """Beside the socket, whatever comes live in between; the second miss is told, once, with the shares."""
    stream = await Auditing.begun()
    stream.log(live=1)
    stream.log()
    await stream.round()
    assert stream.polls
    assert "live_off" not in stream.kinds
    stream.asked_at.clear()
    for _ in range(10):
        stream.log(live=1)
        stream.log()
        await stream.round()
        await stream.read()
    gaps = [b - a for a, b in zip(stream.asked_at, stream.asked_at[1:], strict=False)]
    assert max(gaps) <= 0.5
    assert stream.second < 10.0
    (said,) = [notice for notice in stream.notices if notice.kind == "live_off"]
    assert said.facts == {"live": 3, "listed": 2}
    assert "2 of 5 came only by the list" in said.text


async def test_what_a_suspicion_finds_is_no_miss() -> None:
    """A burst or a late log says nothing about the server."""
    stream = await Auditing.begun()
    for _ in range(6):
        stream.schedule.suspect()
        stream.stored(stream.second)
        await stream.round()
        await stream.read()
    assert not stream.polls


async def test_polling_ends_when_the_socket_shows_all_that_the_list_does() -> None:
    """After twenty lists that live logs had come before; then audits begin early again."""
    stream = await Auditing.begun()
    await stream.miss()
    lists = 0
    while stream.polls:
        stream.log(live=1)
        await stream.round()
        await stream.read()
        lists += 1
    assert lists == HITS
    at = stream.second
    stream.asked_at.clear()
    await stream.until(at + 12.0)
    assert [round(second - at, 1) for second in stream.asked_at][:2] == [3.8, 11.2]
    assert "live_off" not in stream.kinds


async def test_what_the_socket_shows_a_little_later_than_the_list_is_no_miss() -> None:
    """It is a duplicate then."""
    stream = await Auditing.begun()
    await stream.miss()
    for _ in range(HITS):
        log = stream.log()
        await stream.round()
        stream.merger.live(Batch([log]))
        await stream.read()
    await stream.round()
    assert not stream.polls
    assert "live_off" not in stream.kinds


async def test_polling_goes_on_while_the_list_shows_more() -> None:
    """One log in twenty lists that the socket did not bring is enough."""
    stream = await Auditing.begun()
    await stream.miss()
    for n in range(3 * HITS):
        stream.log(live=1)
        if n % HITS == 7:
            stream.log()
        await stream.round()
        await stream.read()
    assert stream.polls
    assert stream.kinds.count("live_off") == 1


async def test_what_a_burst_loses_while_the_list_is_polled_is_no_miss() -> None:
    """It is known to have been lost."""
    stream = await Auditing.begun()
    await stream.miss()
    stream.log()
    stream.schedule.suspect()
    await stream.round()
    await stream.round()
    assert "live_off" not in stream.kinds


async def test_silence_ends_no_polling() -> None:
    """It shows nothing about the socket; the list is asked less often."""
    stream = await Auditing.begun()
    await stream.miss()
    await stream.until(stream.second + 300.0)
    assert stream.polls
    stream.asked_at.clear()
    await stream.until(stream.second + 60.0)
    assert len(stream.asked_at) <= 5


# The list alone


async def test_where_the_list_is_all_there_is_it_is_polled() -> None:
    """Often while logs come, and once an audit at rest; that is neither a gap nor a miss."""
    stream = await Auditing.begun(connected=False, alone=True)
    stream.auditor.poll()
    for _ in range(20):
        stream.log()
        await stream.round()
        await stream.read()
    assert stream.second < 15.0
    assert stream.kinds == []
    await stream.until(stream.second + 200.0)
    stream.asked_at.clear()
    await stream.until(stream.second + 60.0)
    assert len(stream.asked_at) <= 5


async def test_an_outage_of_the_list_is_told_to_who_polls() -> None:
    """When it has answered: the server may be another one, which streams."""
    stream = await Auditing.begun(connected=False, alone=True)
    stream.auditor.poll()
    assert not (await stream.round()).recovered
    stream.plan = [answer(503)] * 2
    rounds = [(await stream.round()).recovered for _ in range(3)]
    assert rounds == [True, False, False]


# The budget


async def test_routine_is_charged_to_the_budget_and_catching_up_is_not() -> None:
    """A reconnect reads a hundred pages at once, whatever the budget says."""
    stream = await Auditing.begun(rest_budget=10, page=10)
    await stream.until(26.0)
    for _ in range(900):
        stream.log(live=1)
    await stream.read()
    stream.clock.sleeps.clear()
    stream.asked_at.clear()
    stream.auditor.connected(again=True)
    await stream.round()
    assert len(stream.asked_at) >= 100
    assert stream.lists()[0] == stream.lists()[-1]


async def test_routine_waits_for_the_budget() -> None:
    """Ten requests a minute, once the bucket is empty; pages that bring something do not count."""
    stream = await Auditing.begun(connected=False, alone=True, rest_budget=10)
    stream.auditor.poll()
    for _ in range(30):
        await stream.round()
        stream.auditor._quiet_since = stream.clock.monotonic()
    first = stream.second
    for _ in range(10):
        await stream.round()
        stream.auditor._quiet_since = stream.clock.monotonic()
    assert stream.second - first == pytest.approx(60.0, abs=7.0)
    first = stream.second
    for _ in range(20):
        stream.log()
        await stream.round()
        await stream.read()
    assert stream.second - first <= 20.0


async def test_beyond_the_budget_an_audit_compares_counts() -> None:
    """One request instead of its pages, where all came live; what is missing is found."""
    stream = await Auditing.begun(rest_budget=20, page=5)
    await stream.until(26.0)
    for n in range(300):
        stream.log(26.0 + n / 100, live=1)
    await stream.read()
    stream.clock.advance(5.0)
    stream.asked_at.clear()
    await stream.round()
    assert len(stream.asked_at) <= 2
    lost = stream.log()
    await stream.until(stream.second + 15.0)
    assert stream.got[lost.id_text] == 1


async def test_two_pages_are_read_whatever_the_budget_says() -> None:
    """Counting costs one of them."""
    stream = await Auditing.begun(rest_budget=1, page=50)
    await stream.until(26.0)
    for n in range(60):
        stream.log(26.0 + n / 100, live=1)
    await stream.read()
    stream.clock.advance(5.0)
    stream.requests.clear()
    await stream.round()
    assert [body["offset"] for body in stream.requests] != [59]


# What is read once, and ends


async def test_without_following_all_that_is_stored_is_read_to_its_end() -> None:
    """Once more behind a short last page; then the stream ends."""
    stream = Delivery(page=3, alone=True, follow=False, since=BEGINNING)
    stored = stream.stored(*range(-10, 0))
    await stream.until_end()
    assert (stream.order, stream.stats.open_gaps) == (stored, 0)
    assert stream.ledger.low_water > stream.at(-61.0)


async def test_only_a_tail_is_read_where_nothing_else_was_asked_for() -> None:
    """Not what is stored besides."""
    stream = Delivery(alone=True, follow=False, tail=3)
    stored = stream.stored(*range(-10, -5))
    for at, row in stream.listing.rows:
        row["created"] = (at - timedelta(seconds=5)).isoformat()
    await stream.until_end()
    assert (stream.order, len(stream.requests)) == (stored[-3:], 1)


async def test_a_long_list_tells_its_progress() -> None:
    """Every ten thousand rows, with where it is."""
    stream = Delivery(page=5000, alone=True, follow=False, since=BEGINNING, buffer=20_000)
    stream.stored(*(n / 1000 - 100.0 for n in range(25_000)))
    stream.reader.page = 5000
    await stream.until_end()
    told = [notice for notice in stream.notices if notice.kind == "progress"]
    assert [notice.facts["rows"] // 10_000 for notice in told] == [1, 2]
    assert "stored logs read, now at" in told[0].text


async def test_a_stream_with_an_end_reads_once_more_when_it_has_settled() -> None:
    """And ends."""
    stream = Delivery(until=Delivery().at(20.0))
    await stream.round()
    stream.auditor.connected(again=False)
    await stream.round()
    stream.clock.advance(19.9)
    lost = stream.stored(19.5, 20.0, 20.5)
    await stream.until_end()
    assert stream.order == lost[:2]
    assert stream.asked_at[-1] == 22.0
    assert stream.stats.open_gaps == 0


async def test_at_its_end_a_stream_beside_a_socket_leaves_what_is_refused_as_a_gap() -> None:
    """Whatever the refusal is; it does not wait for the list for ever."""
    stream = Delivery(until=Delivery().at(20.0))
    await stream.round()
    stream.auditor.connected(again=False)
    await stream.round()
    stream.decide = lambda: answer(503)
    await stream.until_end()
    assert stream.stats.open_gaps == 1
    assert stream.second < 60.0


async def test_a_stream_that_never_reached_the_list_ends_at_its_end() -> None:
    """Beside a socket; what is missing is a gap."""
    stream = Delivery(until=Delivery().at(20.0))
    stream.decide = lambda: answer(503)
    await stream.until_end()
    assert stream.stats.open_gaps == 1


@pytest.mark.parametrize(
    ("refusal", "error"),
    [
        pytest.param(answer(401), AuthError, id="the key is wrong"),
        pytest.param(answer(404), HistoryError, id="not this path"),
    ],
)
async def test_a_refusal_for_good_ends_a_stream_that_has_only_the_list(
    refusal: Any, error: type[Exception]
) -> None:
    """With that error."""
    stream = Delivery(alone=True, follow=False, since=BEGINNING)
    stream.plan = [refusal] * 5
    with pytest.raises(error):
        await stream.until_end()


async def test_beside_a_socket_a_refusal_for_good_is_asked_again_after_a_minute() -> None:
    """The gap stays open meanwhile; when it is answered, it closes."""
    stream = await Auditing.begun()
    stream.plan = [answer(403)] * 2
    await stream.round()
    assert stream.stats.open_gaps == 1
    lost = stream.stored(20.0)
    await stream.until(200.0)
    pauses = [b - a for a, b in zip(stream.asked_at, stream.asked_at[1:], strict=False)]
    assert pauses[0] >= 60.0
    assert stream.order == lost
    assert stream.stats.open_gaps == 0
    assert stream.kinds.count("history_off") == 1


async def test_a_list_that_is_cut_off_while_it_catches_up_is_still_owed() -> None:
    """A reconnect is told as closed by the list that shows it all."""
    stream = await Auditing.begun(buffer=4)
    await stream.until(26.0)
    for _ in range(4):
        stream.log(live=1)
    stream.stored(26.0)
    stream.auditor.connected(again=True)
    waiting = asyncio.ensure_future(stream.auditor._catch_up())
    await turns(lambda: len(stream.requests) > 3)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert stream.schedule.catch_up
    await stream.read()
    await stream.auditor._catch_up()
    assert stream.notices[-1].kind == "gap_closed"
    assert stream.notices[-1].facts == {"recovered": 1}


async def test_where_the_list_waits_for_room_it_is_read_when_there_is_some() -> None:
    """What was dropped meanwhile is in it."""
    stream = await Auditing.begun(buffer=4)
    await stream.until(26.0)
    for _ in range(10):
        stream.log(live=1)
    stream.asked_at.clear()
    waiting = asyncio.ensure_future(stream.round())
    for _ in range(50):
        await asyncio.sleep(0)
    assert not waiting.done()
    assert stream.asked_at == []
    while not waiting.done():
        await stream.read()
        await asyncio.sleep(0)
    await stream.read()
    assert len(stream.got) == 10
    assert set(stream.got.values()) == {1}
    assert stream.kinds == ["behind", "gap_closed"]
    assert stream.stats.open_gaps == 0


# Followed runs


async def test_all_that_is_stored_of_runs_is_read_whatever_was_listed() -> None:
    """In one list of these runs; the ledger knows nothing of it."""
    stream = await Auditing.begun(keep_ids=True, since=BEGINNING)
    marks = stream.ledger.low_water, stream.ledger.frontier
    old = stream.stored(-5000.0)
    await stream.auditor.sweep([RUN])
    assert await stream.read() == old
    assert stream.requests[-1]["logs"]["flow_run_id"] == {"any_": [str(RUN)]}
    assert (stream.ledger.low_water, stream.ledger.frontier) == marks


async def test_another_filter_compares_no_count_of_the_old_one() -> None:
    """It is listed instead."""
    stream = await Auditing.begun(page=10)
    for n in range(30):
        stream.log(n / 10, live=1)
    await stream.read()
    await stream.until(15.0)
    stream.reader.forget_filter()
    assert {look.kind for look in stream.ledger.pending_rechecks()} == {"list"}


async def test_the_last_look_finds_what_became_readable_since() -> None:
    """A stream that is ended does not wait for the overlap."""
    stream = await Auditing.begun()
    stream.log(1.0, live=1)
    await stream.until(15.0)
    late = stream.log(1.5)
    stream.asked_at.clear()
    await stream.auditor.finish()
    assert late.id_text in await stream.read()
    assert len(stream.asked_at) <= 4


@pytest.mark.parametrize(
    ("quiet", "pause", "seconds"),
    [
        pytest.param(0.0, 0.1, 0.2, id="logs all the time"),
        pytest.param(0.0, 0.6, 0.3, id="half of the pause between them"),
        pytest.param(0.0, 2.0, 0.5, id="a flow run sends every 2 s"),
        pytest.param(3.0, 0.1, 1.5, id="it has become quiet"),
        pytest.param(300.0, 0.1, 15.0, id="at rest"),
    ],
)
def test_a_poller_keeps_up_with_what_comes_and_slows_down_at_rest(
    quiet: float, pause: float, seconds: float
) -> None:
    assert poll_interval(quiet, pause, 15.0) == seconds


def test_half_a_minute_of_silence_costs_a_dozen_requests_and_then_one_for_each_audit() -> None:
    """From the last log on."""
    at, looks = 0.0, []
    while at < 300.0:
        at += poll_interval(at, 0.2, 15.0)
        looks.append(at)
    assert sum(look <= 30.0 for look in looks) <= 14
    assert sum(150.0 < look <= 210.0 for look in looks) == 4


# What each round says, asks and leaves


async def test_a_reconnect_says_since_when_logs_may_be_missing_and_then_how_many_came() -> None:
    """In words and as facts; a gap that was told once is told anew after it has closed."""
    stream = await Auditing.begun()
    await stream.until(41.0)
    stream.notifier.say_once("behind", "warning", "the reader is behind")
    frontier = stream.ledger.frontier
    stream.stored(40.9, 40.95)
    stream.auditor.connected(again=True)
    await stream.round()
    opened, closed = (notice for notice in stream.notices if notice.kind.startswith("gap"))
    assert (opened.text, opened.facts) == ("listing what the live stream missed", {"since": frontier})
    assert (closed.text, closed.facts) == ("recovered 2 logs from the list", {"recovered": 2})
    stream.notifier.say_once("behind", "warning", "the reader is behind")
    assert stream.kinds.count("warning") == 2
    stream.stored(41.2)
    stream.auditor.connected(again=True)
    await stream.round()
    assert stream.notices[-1].facts == {"recovered": 1}, "not those of the gap before"


async def test_what_an_audit_recovers_is_told_in_words_and_numbers() -> None:
    """Since when it was missing nobody knows."""
    stream = await Auditing.begun()
    await stream.until(41.0)
    stream.stored(40.9, 40.95)
    await stream.until(75.0)
    opened, closed = (notice for notice in stream.notices if notice.kind.startswith("gap"))
    assert (opened.text, opened.facts) == ("the live stream lost logs", {"since": None})
    assert closed.text == "recovered 2 logs that the live stream lost"
    assert closed.facts == {"recovered": 2}


async def test_a_catch_up_that_was_asked_for_comes_at_once() -> None:
    """Also while another one is on its way, and where nothing is left to catch up with."""
    stream = await Auditing.begun()
    await stream.until(41.0)
    stream.auditor.connected(again=True)
    stream.plan = [lambda: stream.auditor.connected(again=False)]
    stream.asked_at.clear()
    first = stream.second
    await stream.round()
    await stream.round()
    assert set(stream.asked_at) == {first}


async def test_a_poll_comes_at_once_and_then_after_half_a_second() -> None:
    """Half of the half second for which two lists that brought logs are taken to be apart at first, and no less than
    0.2 s; then by the time between those that did."""
    stream = await Auditing.begun(connected=False, alone=True)
    begun = stream.second
    stream.auditor.poll()
    for _ in range(5):
        await stream.round()
    assert [second - begun for second in stream.asked_at] == [0.0, 0.5, 1.0, 1.5, 2.25]
    for _ in range(3):
        stream.log()
        await stream.round()
        await stream.read()
    stream.asked_at.clear()
    first = stream.second
    await stream.round()
    assert stream.asked_at[0] - first == pytest.approx(0.25, abs=0.06)


@pytest.mark.parametrize("follow", [True, False])
async def test_until_takes_what_is_stamped_at_that_very_moment_and_nothing_later(follow: bool) -> None:
    """And all before it is known to be complete."""
    end = 20.0 if follow else -5.0
    stream = Delivery(until=Delivery().at(end), since=BEGINNING, follow=follow, alone=True)
    await stream.round()
    stream.auditor.poll()
    stored = stream.stored(end - 1.0, end, end + 1e-6, end + 1.0)
    await stream.until_end()
    assert stream.order == stored[:2]
    if not follow:
        assert stream.frontier == pytest.approx(end + 1e-6, abs=1e-9)


async def test_the_last_page_of_what_is_stored_is_read_once_more() -> None:
    """A row that becomes readable while it is read is in that."""
    stream = Delivery(page=3, alone=True, follow=False, since=BEGINNING)
    stored = stream.stored(*range(-10, -8))
    late: list[str] = []
    stream.plan = [None, lambda: late.extend(stream.stored(-8.5))]
    await stream.until_end()
    assert len(late) == 1
    assert stream.order == [*stored, *late]


async def test_a_refusal_without_following_is_waited_out() -> None:
    """There is no schedule that would do so."""
    stream = Delivery(alone=True, follow=False, since=BEGINNING)
    stored = stream.stored(-3.0)
    stream.plan = [answer(503)] * 9  # more than one request is repeated for
    await stream.until_end()
    assert stream.order == stored
    assert stream.second >= 20.0


async def test_a_frame_that_cannot_be_read_is_looked_for_from_before_what_has_settled() -> None:
    """Its log was stamped up to that long ago, and may have been delivered by no list."""
    stream = await Auditing.begun()
    await stream.until(41.0)
    stream.auditor.frame_unreadable()
    assert stream.frontier <= 41.25 - stream.options.settle


async def test_three_pages_are_not_read_where_the_budget_does_not_pay_for_them() -> None:
    """They are counted; two are read."""
    stream = await Auditing.begun(rest_budget=1, page=50)
    await stream.until(26.0)
    for n in range(120):
        stream.log(26.0 + n / 100, live=1)
    await stream.read()
    stream.clock.advance(5.0)
    stream.requests.clear()
    await stream.round()
    assert [body["offset"] for body in stream.requests] == [119]


async def test_polling_is_charged_to_the_budget_once_it_has_caught_up() -> None:
    """The first round reads what was stored before the start, a reconnect what was missed: both are free."""
    stream = Delivery(alone=True, since=BEGINNING, page=10, rest_budget=10, buffer=2000)
    stream.stored(*(n / 10 - 200.0 for n in range(900)))
    await stream.round()
    stream.auditor.poll()
    await stream.round()
    await stream.read()
    assert len(stream.requests) >= 90 and stream.second < 5.0
    for _ in range(60):
        await stream.round()
        stream.auditor._quiet_since = stream.clock.monotonic()
    assert stream.second > 120.0


async def test_what_the_sweeps_of_several_pages_brought_is_counted_together() -> None:
    """And is 0 where all was delivered."""
    stream = Delivery(page=5, keep_ids=True)
    await stream.round()
    stream.auditor.connected(again=False)
    await stream.round()
    stream.stored(*(n / 10 for n in range(12)))
    assert await stream.auditor.sweep([RUN]) == 12
    assert await stream.auditor.sweep([RUN]) == 0


async def test_a_reconnect_whose_list_fails_is_still_told_as_closed() -> None:
    """By the list that comes through; so is the next one."""
    stream = await Auditing.begun()
    await stream.until(41.0)
    stream.auditor.connected(again=True)
    stream.plan = [answer(503)]
    await stream.round()
    stream.auditor.connected(again=True)
    stream.plan = [answer(503)]
    await stream.round()
    await stream.until(stream.second + 30.0)
    assert stream.kinds.count("gap_opened") == stream.kinds.count("gap_closed") == 2
    assert stream.stats.open_gaps == 0


async def test_the_first_audits_come_early_again_when_polling_ends() -> None:
    """The socket has just begun to show everything, and may do so no longer."""
    stream = await Auditing.begun()
    await stream.miss()
    for _ in range(HITS):
        stream.log(live=1)
        await stream.until(stream.second + 2.0)
    while stream.polls:
        stream.log(live=1)
        await stream.until(stream.second + 2.0)
    stream.asked_at.clear()
    first = stream.second
    await stream.round()
    assert stream.asked_at[0] - first <= 3.75


async def test_what_was_stored_before_the_start_is_read_without_waiting_for_a_connection() -> None:
    """All of it, also what has not settled: there is no socket yet that would show it."""
    stream = Delivery(since=BEGINNING)
    stored = stream.stored(-100.0, -0.5)
    await stream.round()
    await stream.round()
    assert await stream.read() == stored


async def test_a_stream_that_is_ended_before_its_first_list_reads_what_is_its_own() -> None:
    """What was stored since its start, also what has not settled."""
    stream = Delivery()
    stream.clock.advance(5.0)
    stored = stream.stored(1.0, 4.9)
    await stream.auditor.finish()
    assert stream.start.begun
    assert await stream.read() == stored


async def test_the_last_list_is_not_charged_to_the_budget() -> None:
    """Pages that bring nothing would wait for it: nobody does at the end."""
    stream = await Auditing.begun(rest_budget=1, page=10)
    await stream.until(26.0)
    for n in range(200):
        stream.log(26.0 + n / 100, live=1)
    await stream.read()
    stream.clock.advance(5.0)
    first = stream.second
    stream.asked_at.clear()
    await stream.auditor.finish()
    assert len(stream.asked_at) >= 20
    assert stream.second - first < 1.0


async def test_an_early_look_that_the_budget_does_not_pay_for_waits_until_all_has_settled() -> None:
    """It is no count either: what has settled is compared by the next audit."""
    stream = await Auditing.begun(rest_budget=1, page=5)
    await stream.until(41.0)
    for n in range(100):
        stream.log(41.0 + n / 100, live=1)
    await stream.read()
    stream.clock.advance(1.0)
    stream.schedule.suspect(soon=0.4)
    stream.asked_at.clear()
    suspected = stream.second
    await stream.until(suspected + 1.0)
    assert all(second - suspected >= stream.options.settle for second in stream.asked_at[1:])


async def test_the_last_list_reads_what_has_not_settled() -> None:
    """Nothing comes after it that would."""
    stream = await Auditing.begun()
    await stream.until(41.0)
    lost = stream.log()
    await stream.auditor.finish()
    assert await stream.read() == [lost.id_text]


async def test_many_rows_are_counted_at_the_second_look_and_final_by_that() -> None:
    """One request that brings a row at most; what was counted is not asked for again."""
    stream = await Auditing.begun(page=20)
    for n in range(15):
        stream.log(n / 10, live=1)
    await stream.read()
    await stream.until(100.0)
    assert [
        (second, body["offset"]) for second, body in zip(stream.lists(), stream.requests, strict=True)
    ] == [
        (3.75, 0),
        (11.25, 0),
        (26.25, 0),
        (41.25, 0),
        (56.25, 0),
        (71.25, 14),
        (71.25, 0),
        (86.25, 0),
        (101.25, 0),
    ]
    assert stream.low == 41.25


async def test_what_is_missing_among_many_rows_at_the_second_look_is_read() -> None:
    """The count is another one than was shown."""
    stream = await Auditing.begun(page=20)
    for n in range(15):
        stream.log(n / 10, live=1)
    await stream.until(26.0)
    lost = stream.log(0.5)
    await stream.until(100.0)
    assert stream.got[lost.id_text] == 1
    assert stream.low >= 41.25
