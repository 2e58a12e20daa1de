"""The socket that is kept open: what it yields, when it comes again, and what ends it."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, replace
from typing import Any

import pytest
from clocks import FakeClock
from streaming import no_settings, serving, within

from rawlogs.batch import Batch
from rawlogs.config import urls
from rawlogs.config.settings import Settings
from rawlogs.delivery.context import StreamContext
from rawlogs.delivery.ledger import Ledger
from rawlogs.delivery.live import BAD_FRAMES, SOCKET_TRIES, Connected, Lost, ReconnectingSocket
from rawlogs.delivery.schedule import Schedule
from rawlogs.errors import (
    AuthError,
    ConnectionLost,
    GaveUp,
    ProtocolError,
    RawlogsError,
    UpgradeRefused,
)
from rawlogs.notices import Notice
from rawlogs.options import Options
from rawlogs.selection import Selection, flag_filter
from rawlogs.status.notifier import Notifier
from rawlogs.status.stats import Stats
from rawlogs.subscription import Subscription
from rawlogs.testing import Behaviour, FakeServer
from rawlogs.testing.faults import Blackhole, Http

__all__ = ["no_settings"]


@dataclass
class Received:
    """What was handed on at once."""

    batch: Batch
    bad: int


class Listening:
    """A socket to a fake server, and what it has told."""

    def __init__(
        self, server: FakeServer, *, answers: bool = False, reload: Any = None, **options: Any
    ) -> None:
        self.server = server
        self.clock = FakeClock()
        self.notices: list[Notice] = []
        self.stats = Stats()
        behaviour = server.behaviour
        self.settings = Settings(urls.parse(server.api_url), auth_string=behaviour.auth_string)
        chosen = Options(**options)
        notifier = Notifier(self.notices.append, self.clock, self.notices.append)  # type: ignore[arg-type]
        selection = Selection(flag_filter("INFO", None, None, None))
        self.subscription = Subscription(self.settings, selection, chosen, notifier, reload)
        ledger, schedule = Ledger(self.clock.now()), Schedule(self.clock, chosen.settle)
        context = StreamContext(
            chosen, self.subscription, notifier, ledger, schedule, self.stats, self.clock, random.Random(1)
        )
        self.socket = ReconnectingSocket(context, list_answers=lambda: answers)
        self.happened: asyncio.Queue[Any] = asyncio.Queue()
        self.task = asyncio.ensure_future(self._run())

    async def _run(self) -> None:
        def take(batch: Batch, bad: int) -> None:
            self.happened.put_nowait(Received(batch, bad))

        try:
            async for event in self.socket.events(take):
                self.happened.put_nowait(event)
            self.happened.put_nowait(None)
        except RawlogsError as error:
            self.happened.put_nowait(error)

    async def next(self) -> Any:
        """What happens next; None at the end. Raises what ends it."""
        event = await within(self.happened.get())
        if isinstance(event, RawlogsError):
            raise event
        return event

    async def connected(self) -> Connected:
        """Open, with the filter read."""
        before = self.server.subscribed
        event = await self.next()
        assert isinstance(event, Connected)
        await self.server.until(lambda: self.server.subscribed > before or before)
        return event

    async def received(self, *messages: str) -> None:
        """Post these, and receive them."""
        self.server.post(list(messages))
        got: list[str] = []
        while len(got) < len(messages):
            event = await self.next()
            assert isinstance(event, Received)
            got += [log.message for log in event.batch]
        assert got == list(messages)

    async def close(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        await self.socket.close()

    @property
    def kinds(self) -> list[str]:
        return [notice.kind for notice in self.notices]


async def test_a_connection_is_told_its_logs_and_its_end_and_then_it_comes_again() -> None:
    """At once after a clean close: the server only asks to come again."""
    async with serving() as server:
        listening = Listening(server)
        first = await listening.connected()
        assert (first.again, first.url) == (False, server.api_url.replace("http", "ws") + "/logs/out")
        assert listening.socket.connected
        await listening.received("one", "two")
        await server.close_all(1001)
        lost = await listening.next()
        assert isinstance(lost, Lost)
        assert isinstance(lost.error, ConnectionLost)
        assert not listening.socket.connected
        assert (await listening.connected()).again
        assert listening.clock.sleeps == [0.0]
        await listening.received("three")
        assert (listening.stats.connections, listening.stats.reconnects) == (2, 1)
        assert listening.kinds == ["retrying"]
        await listening.close()


async def test_a_connection_that_was_cut_comes_again_after_a_moment() -> None:
    """With jitter, growing until a connection has proved itself."""
    async with serving() as server:
        listening = Listening(server)
        await listening.connected()
        await listening.received("one")
        server.refuse()
        await server.drop_all()
        assert isinstance(await listening.next(), Lost)
        waiting = listening.next()
        server.fault("logs", Http(503), times=4)
        server.refuse(False)
        assert isinstance(await waiting, Connected)
        assert len(listening.clock.sleeps) >= 5
        assert 0.0 < listening.clock.sleeps[0] <= 0.5
        assert max(listening.clock.sleeps) > 0.5
        facts = [notice.facts for notice in listening.notices if notice.kind == "retrying"]
        assert [fact["attempt"] for fact in facts] == list(range(1, len(facts) + 1))
        await listening.close()


@pytest.mark.parametrize(("code", "ends"), [(1000, True), (1001, True), (1011, False), (None, False)])
async def test_a_clean_close_ends_a_socket_that_is_not_to_come_again(code: int | None, ends: bool) -> None:
    """An unclean end does not."""
    async with serving() as server:
        listening = Listening(server, reconnect_on_clean_close=False)
        await listening.connected()
        await listening.received("one")
        await (server.drop_all() if code is None else server.close_all(code))
        assert isinstance(await listening.next(), Lost)
        if ends:
            assert await listening.next() is None
        else:
            assert isinstance(await listening.next(), Connected)
        await listening.close()


async def test_a_socket_that_is_opened_anew_sends_the_present_filter() -> None:
    """Nothing was lost: it is neither an end nor a failure."""
    async with serving() as server:
        listening = Listening(server)
        await listening.connected()
        run = server.add_run("a")
        listening.subscription.use_runs([run])
        await listening.socket.reopen()
        event = await listening.next()
        assert isinstance(event, Connected)
        assert not event.again
        await server.until(lambda: server.subscribed)
        assert str(run) in listening.subscription.filter_text()
        assert server.connections[-1].envelope["filter"]["flow_run_id"] == {"any_": [str(run)]}
        assert (listening.kinds, listening.stats.reconnects, listening.clock.sleeps) == ([], 0, [])
        await listening.close()


async def test_what_cannot_be_read_is_counted_and_told_once() -> None:
    """The logs around it come."""
    async with serving() as server:
        listening = Listening(server)
        await listening.connected()
        bad = 0
        for _ in range(2):
            server.send("no JSON")
            event = await listening.next()
            assert isinstance(event, Received)
            bad += event.bad
        await listening.received("one")
        assert (bad, listening.stats.bad_frames, listening.kinds) == (2, 2, ["bad_frame"])
        await listening.close()


async def test_after_too_many_bad_frames_in_a_row_the_connection_is_opened_anew() -> None:
    """One that can be read begins the count anew."""
    async with serving() as server:
        listening = Listening(server)
        await listening.connected()
        for count in (BAD_FRAMES - 1, BAD_FRAMES):
            for _ in range(count):
                server.send("no JSON")
            if count < BAD_FRAMES:
                server.post("one")
                seen = 0
                while not seen:
                    event = await listening.next()
                    assert isinstance(event, Received)
                    seen = len(event.batch)
        event = await listening.next()
        while isinstance(event, Received):
            event = await listening.next()
        assert isinstance(event, Lost)
        assert isinstance(event.error, ProtocolError)
        assert listening.stats.bad_frames == 2 * BAD_FRAMES - 1
        assert (await listening.connected()).again
        await listening.close()


async def test_a_connection_that_answers_a_ping_is_kept_and_a_dead_one_is_cut(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After a sleep of the machine it may be dead without a word."""
    async with serving() as server:
        listening = Listening(server)
        await listening.socket.check()
        await listening.connected()
        await listening.socket.check()
        await listening.received("one")
        monkeypatch.setattr("rawlogs.delivery.live.PING_TIMEOUT", 0.0)
        await listening.socket.check()
        assert isinstance(await listening.next(), Lost)
        await listening.close()


async def test_a_wrong_key_is_fatal_at_the_start() -> None:
    async with serving(Behaviour(auth_string="admin:right")) as server:
        listening = Listening(server)
        listening.subscription.settings = replace(listening.settings, auth_string="admin:wrong")
        with pytest.raises(AuthError):
            await listening.next()


async def test_a_key_that_was_rotated_is_read_again() -> None:
    """Once; a second refusal stands."""
    async with serving(Behaviour(auth_string="admin:right")) as server:
        listening = Listening(server, reload=lambda: listening.settings)
        await listening.connected()
        await listening.received("one")
        listening.subscription.settings = replace(listening.settings, auth_string="admin:old")
        await server.close_all(1011)
        assert isinstance(await listening.next(), Lost)
        assert isinstance(await listening.next(), Connected)
        assert listening.subscription.settings == listening.settings
        await listening.close()


@pytest.mark.parametrize(
    ("retries", "answers", "transport", "tries"),
    [
        pytest.param(3, False, "auto", 3, id="as often as it may"),
        pytest.param(None, True, "auto", SOCKET_TRIES, id="less often where the list can be followed"),
        pytest.param(1, True, "auto", 1, id="not more often than it may"),
        pytest.param(3, True, "ws", 3, id="where the socket was asked for"),
        pytest.param(0, False, "auto", 0, id="not at all"),
    ],
)
async def test_a_first_connection_is_given_up_after_so_many_tries(
    retries: int | None, answers: bool, transport: str, tries: int
) -> None:
    """With the last error."""
    async with serving() as server:
        server.fault("logs", Http(503), times=20)
        listening = Listening(server, retries=retries, answers=answers, transport=transport)
        with pytest.raises(GaveUp if tries else UpgradeRefused) as ending:
            await listening.next()
        assert len(listening.clock.sleeps) == tries
        if isinstance(ending.value, GaveUp):
            assert ending.value.attempts == tries
            assert isinstance(ending.value.__cause__, UpgradeRefused)


async def test_a_server_that_takes_the_connection_and_stays_silent_is_tried_again() -> None:
    """After the time that opening may take."""
    async with serving() as server:
        server.fault("logs", Blackhole(), times=1)
        listening = Listening(server, open_timeout=0.2)
        assert isinstance(await listening.next(), Connected)
        assert listening.kinds == ["retrying"]
        await listening.close()
