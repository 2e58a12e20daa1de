"""A request that is refused: when it is sent again, what is told, and what ends the stream."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import httpx
import pytest
from delivering import Delivery, answer

from rawlogs.errors import AuthError, ConnectError, DataLoss, GaveUp, HistoryError, RawlogsError
from rawlogs.retrying.budget import Budget
from rawlogs.retrying.patient import BUSY_CAP, NOT_TRANSIENT, MeteredClient

REQUEST = {"logs": {"timestamp": {}}, "sort": "TIMESTAMP_ASC", "limit": 200, "offset": 0}


async def ask(stream: Delivery) -> Any:
    return await stream.client.post("/logs/filter", REQUEST)


async def answered(**options: Any) -> Delivery:
    """A stream whose list has answered once."""
    stream = Delivery(**options)
    await ask(stream)
    return stream


@pytest.mark.parametrize(
    ("refusal", "least", "most"),
    [
        pytest.param(answer(503), 0.0, BUSY_CAP, id="busy"),
        pytest.param(answer(429), 0.0, BUSY_CAP, id="a rate limit"),
        pytest.param(answer(429, Retry_After="7"), 7.0, 37.0, id="a rate limit that says how long"),
        pytest.param(answer(503, Retry_After="7"), 7.0, 37.0, id="busy for so long"),
        pytest.param(answer(500), 0.0, 30.0, id="an error"),
        pytest.param(answer(502), 0.0, 30.0, id="a proxy"),
        pytest.param(answer(504), 0.0, 30.0, id="a proxy without patience"),
        pytest.param(answer(408), 0.0, 30.0, id="too slow"),
        pytest.param((200, {}, "<html>"), None, None, id="no rows: whoever asked decides"),
        pytest.param(httpx.ReadError("reset"), 0.0, 30.0, id="a reset"),
        pytest.param(httpx.ReadTimeout("silent"), 0.0, 30.0, id="silence"),
        pytest.param(httpx.ConnectError("refused"), 0.0, 30.0, id="nobody there"),
    ],
)
async def test_what_is_refused_for_a_while_is_sent_again(
    refusal: Any, least: float | None, most: float | None
) -> None:
    """After a growing time with jitter, until it is answered; told once."""
    stream = await answered()
    stream.plan = [refusal] * 12
    rows = await ask(stream)
    if least is None or most is None:
        assert rows == "<html>"
        return
    assert rows == []
    sleeps = stream.clock.sleeps
    # A kept connection that is cut may just have been too old: that is tried once more at once.
    assert len(sleeps) == (6 if isinstance(refusal, httpx.ReadError) else 12)
    assert len(stream.requests) == 14
    assert all(least <= seconds <= most for seconds in sleeps)
    assert max(sleeps) > least + 2.0, "it grows"
    assert sleeps[0] <= least + 0.5
    assert stream.kinds == ["history_off"]
    assert stream.notices[0].text.endswith("gaps are filled when it answers again")


async def test_a_refusal_is_a_gap_until_an_answer_was_read() -> None:
    """The end of an outage is told once; the same trouble is told anew when it comes again."""
    stream = await answered()
    assert not stream.client.failing
    seen: list[bool] = []
    stream.plan = [answer(503), lambda: seen.append(stream.client.failing)]
    await ask(stream)
    assert seen == [True]
    assert not stream.client.failing
    assert [stream.client.take_recovered() for _ in range(2)] == [True, False]
    stream.plan = [answer(503)]
    await ask(stream)
    assert stream.kinds == ["history_off"] * 2


async def test_waiting_begins_anew_after_an_answer() -> None:
    """Half a second at most."""
    stream = await answered()
    for _ in range(5):
        stream.plan = [answer(500)] * 8
        await ask(stream)
    firsts = stream.clock.sleeps[::8]
    assert max(firsts) <= 0.5
    assert max(stream.clock.sleeps) > 5.0


async def test_an_answer_that_cannot_be_read_is_a_refusal() -> None:
    """Whoever reads it says so; the waiting grows as for others."""
    stream = await answered(tries=3)
    waits = []
    for n in range(3):
        await ask(stream)
        error = HistoryError(f"no rows ({n})", transient=True)
        waits.append(stream.client.refused(error, stream.settings))
        assert stream.client.refused(error, stream.settings) == waits[-1], "it is counted once"
        assert stream.client.failing
    assert not stream.client.take_recovered()
    await ask(stream)
    with pytest.raises(GaveUp):
        stream.client.refused(HistoryError("no rows", transient=True), stream.settings)


@pytest.mark.parametrize("status", [401, 403, 404, 400])
async def test_a_refusal_for_good_is_whose_who_asked(status: int) -> None:
    """Beside a socket; it is asked again after a minute or more."""
    stream = await answered()
    stream.plan = [answer(status)] * 2
    with pytest.raises((AuthError, HistoryError)) as refusal:
        await ask(stream)
    seconds = stream.client.refused(refusal.value, stream.settings)
    assert NOT_TRANSIENT <= seconds <= NOT_TRANSIENT + 32.0
    assert stream.client.ended is None
    assert stream.kinds == ["history_off"]


@pytest.mark.parametrize("status", [401, 403, 404])
@pytest.mark.parametrize("first", [True, False])
async def test_a_refusal_for_good_ends_a_stream_that_has_nothing_else(status: int, first: bool) -> None:
    """With the error itself, each time it is asked about."""
    stream = Delivery(alone=True)
    if not first:
        await ask(stream)
    stream.plan = [answer(status)]
    with pytest.raises((AuthError, HistoryError)) as ending:
        await ask(stream)
    assert stream.client.ended is ending.value
    with pytest.raises(type(ending.value)):
        stream.client.refused(ending.value, stream.settings)
    assert stream.kinds == []


async def test_a_smaller_page_is_an_answer() -> None:
    """The server gives fewer rows at once: nothing is told, and whoever asked asks for fewer."""
    stream = Delivery()
    stream.plan = [answer(422, "Invalid limit: must be less than or equal to 50.")]
    with pytest.raises(HistoryError):
        await ask(stream)
    assert (stream.kinds, stream.clock.sleeps, stream.client.failing) == ([], [], False)


# Rotation


@pytest.mark.parametrize("known", [True, False])
async def test_a_key_that_was_rotated_is_read_again_once(known: bool) -> None:
    """And only where the old one had worked."""
    fresh: list[Any] = []

    def reload() -> Any:
        fresh.append(replace(stream.settings, auth_string="admin:new"))
        return fresh[-1]

    stream = Delivery(reload=reload, alone=True)
    if known:
        await ask(stream)
    stream.plan = [answer(401)]
    if known:
        assert await ask(stream) == []
        assert stream.subscription.settings.auth_string == "admin:new"
        stream.plan = [answer(401)]
        with pytest.raises(AuthError):
            await ask(stream)  # the same settings again
    else:
        with pytest.raises(AuthError):
            await ask(stream)
        assert fresh == []


async def test_where_no_new_key_is_there_the_refusal_stands() -> None:
    """It is not asked for again and again."""
    stream = Delivery(reload=lambda: stream.settings, alone=True)
    await ask(stream)
    stream.plan = [answer(401)]
    with pytest.raises(AuthError):
        await ask(stream)
    assert len(stream.requests) == 2


# The end


@pytest.mark.parametrize("tries", [0, 3])
async def test_after_so_many_tries_in_a_row_it_is_given_up(tries: int) -> None:
    """With how often and how long it was tried."""
    stream = await answered(tries=tries)
    stream.plan = [answer(503, Retry_After="2")] * 10
    with pytest.raises(GaveUp) as ending:
        await ask(stream)
    assert ending.value.attempts == tries + 1
    assert ending.value.elapsed == pytest.approx(sum(stream.clock.sleeps))
    assert stream.client.ended is ending.value


@pytest.mark.parametrize(
    ("options", "refusal", "error", "requests"),
    [
        pytest.param({"alone": True}, httpx.ConnectError("refused"), ConnectError, 1, id="nobody there"),
        pytest.param(
            {"alone": True, "wait": True}, httpx.ConnectError("refused"), None, 9, id="asked to wait"
        ),
        pytest.param({}, httpx.ConnectError("refused"), None, 9, id="beside a socket"),
        pytest.param({"alone": True}, answer(503), None, 9, id="somebody answers"),
        pytest.param({"alone": True}, httpx.ReadError("reset"), ConnectError, 6, id="somebody hangs up"),
    ],
)
async def test_at_the_first_contact_what_was_typed_may_be_wrong(
    options: dict[str, Any], refusal: Any, error: type[RawlogsError] | None, requests: int
) -> None:
    """A stream that has nothing else ends where nobody is there, unless it was asked to wait."""
    stream = Delivery(**options)
    stream.plan = [refusal] * 8
    if error is None:
        assert await ask(stream) == []
    else:
        with pytest.raises(error):
            await ask(stream)
    assert len(stream.requests) == requests
    assert stream.client.contact.is_set()
    assert stream.client.answered == stream.client.first_answer.is_set() == (error is None)


async def test_with_strict_a_refusal_for_good_is_a_loss() -> None:
    """Since the frontier."""
    stream = await answered(strict=True)
    stream.plan = [answer(404)]
    with pytest.raises(DataLoss) as loss:
        await ask(stream)
    assert loss.value.since == stream.ledger.frontier


async def test_with_strict_a_list_that_is_refused_for_an_overlap_is_a_loss() -> None:
    """It verifies nothing any more; shorter outages are waited for."""
    stream = await answered(strict=True)
    stream.plan = [answer(503, Retry_After="25")] * 2
    assert await ask(stream) == []
    stream.plan = [answer(503, Retry_After="25")] * 4
    with pytest.raises(DataLoss):
        await ask(stream)


async def test_with_strict_the_time_counts_from_the_request_that_was_not_answered_first() -> None:
    """A server that takes a request and says nothing has cost half a minute before the first refusal."""
    stream = await answered(strict=True, latency=30.0)
    stream.plan = [httpx.ReadTimeout("silent")] * 9
    asked = stream.clock.monotonic()
    with pytest.raises(DataLoss):
        await ask(stream)
    assert 60.0 <= stream.clock.monotonic() - asked < 61.0


# What is told at the start


async def test_the_first_refusal_is_told_when_the_stream_goes_on_without_the_list() -> None:
    """Before that the socket may be about to end the stream for the same reason, and tells it then."""
    stream = Delivery()
    stream.plan = [answer(404)]
    with pytest.raises(HistoryError):
        await ask(stream)
    assert stream.kinds == []
    stream.auditor.connected(again=False)
    assert stream.kinds == ["history_off"]
    assert "gaps are filled when it answers again" in stream.notices[0].text


@pytest.mark.parametrize("alone", [True, False])
async def test_a_list_that_has_never_answered_promises_no_gaps_to_fill(alone: bool) -> None:
    """Beside a socket that is not there yet, only the second refusal is told; without one, each from the first on."""
    stream = Delivery(alone=alone)
    stream.plan = [answer(503), answer(502)]
    await ask(stream)
    assert [notice.text.rpartition("; ")[2] for notice in stream.notices] == ["trying again"] * (1 + alone)


# The budget


async def test_a_metered_request_waits_for_the_budget() -> None:
    """Two at once, then one each half minute; a refusal that is sent again costs nothing more."""
    stream = await answered()
    metered = MeteredClient(stream.client, Budget(2, stream.clock.monotonic()), stream.clock)
    for _ in range(2):
        await metered.post("/logs/filter", REQUEST)
    assert stream.clock.sleeps == []
    await metered.post("/logs/filter", REQUEST)
    assert stream.second == pytest.approx(30.0)
    stream.plan = [answer(503, Retry_After="60")]
    await metered.post("/logs/filter", REQUEST)
    await metered.post("/logs/filter", REQUEST)
    assert stream.second == pytest.approx(120.0, abs=1.0)
