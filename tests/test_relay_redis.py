from __future__ import annotations

import asyncio
import shutil
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta, timezone
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from redis_server import DEADLINE, PASSWORD, Cluster, RedisServer, RelayProcess, Sentinels
from relay_source import Taken
from streaming import no_settings  # noqa: F401

from rawlogs.errors import AuthError, ConfigError, ConnectError
from rawlogs.filters import LogFilter, Selection
from rawlogs.models import END, Log
from rawlogs.relay import Cursor, Hub, NotKept, PrefectSource, Query
from rawlogs.relay.redis import source as redis_source
from rawlogs.relay.redis.source import RedisSource, source_from_environment
from rawlogs.relay.redis.store import Retention, Store, chunks, row
from rawlogs.testing import FakeServer

NAME = "tests"
EVERYTHING = Selection(LogFilter())
NOW = datetime.now(timezone.utc)


@pytest.fixture(autouse=True)
def now() -> None:
    """Let NOW be the beginning of each test."""
    global NOW
    NOW = datetime.now(timezone.utc)


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.fixture
async def store(redis: RedisServer) -> AsyncIterator[Store]:
    store = Store(redis.url, NAME)
    yield store
    await store.close()


@pytest.fixture
async def prefect() -> AsyncIterator[FakeServer]:
    async with FakeServer() as server:
        yield server


class Relays:
    """Relay processes of one test."""

    def __init__(self, folder: Path, redis: RedisServer | Sentinels | Cluster, prefect: FakeServer) -> None:
        self._folder, self._redis, self._prefect = folder, redis, prefect
        self._numbers = count()
        self.all: list[RelayProcess] = []

    def start(self, *arguments: str) -> RelayProcess:
        folder = self._folder / f"relay{next(self._numbers)}"
        relay = RelayProcess(folder, self._redis.url, self._prefect.api_url, "--name", NAME, *arguments)
        self.all.append(relay)
        return relay

    async def until_said(self, relay: RelayProcess, text: str) -> None:
        await until(lambda: text in relay.said, lambda: relay.said)

    async def begun(self, relay: RelayProcess) -> None:
        """Until it writes, and its stream is open."""
        await self.until_said(relay, "writing to Redis")
        await self._prefect.until_subscribed(timeout=DEADLINE)


@pytest.fixture
async def relays(tmp_path: Path, redis: RedisServer, prefect: FakeServer) -> AsyncIterator[Relays]:
    relays = Relays(tmp_path, redis, prefect)
    yield relays
    for relay in relays.all:
        relay.kill()


async def next_write(store: Store) -> None:
    """Wait until a relay has written once more: each write leaves a mark of its own."""
    (cursor,) = await store.client.call("KEYS", "*cursor")
    before = await store.client.call("HGET", cursor, "mark")
    give_up = time.monotonic() + DEADLINE
    while await store.client.call("HGET", cursor, "mark") == before:
        assert time.monotonic() < give_up, "in vain"
        await asyncio.sleep(0.01)


async def until(condition: Callable[[], Any], why: Callable[[], str] = lambda: "") -> None:
    give_up = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < give_up, f"in vain: {why()}"
        await asyncio.sleep(0.02)


async def entries(store: Store) -> list[tuple[bytes, list[bytes]]]:
    found: list[tuple[bytes, list[bytes]]] = await store.client.call("XRANGE", store.stream_key, "-", "+")
    return found


async def ids(store: Store) -> list[str]:
    """The ids of all logs in the stream, as often as they are there."""
    return [Log.model_validate(fields[1]).id_text for _, fields in await entries(store)]


async def has_all(store: Store, prefect: FakeServer) -> list[str]:
    """Wait until everything that is stored is in the stream; the ids in the stream."""
    wanted = {log["id"] for log in prefect.logs}
    give_up = time.monotonic() + DEADLINE
    while True:
        try:
            found = await ids(store)
        except ConnectError:
            found = []
        if wanted <= set(found):
            return found
        assert time.monotonic() < give_up, f"{len(wanted - set(found))} of {len(wanted)} logs are missing"
        await asyncio.sleep(0.05)


async def once(store: Store, prefect: FakeServer) -> None:
    """Wait until everything that is stored is in the stream, and check that it is there once."""
    assert sorted(await has_all(store, prefect)) == sorted(log["id"] for log in prefect.logs)


async def burst(prefect: FakeServer, logs: int = 1000, part: int = 50) -> None:
    """So many logs, as fast as they are taken."""
    for first in range(0, logs, part):
        prefect.post([f"log {n}" for n in range(first, first + part)])
        await asyncio.sleep(0)


class TestRelay:
    async def test_writes_every_log_of_a_burst_once(
        self, store: Store, prefect: FakeServer, relays: Relays
    ) -> None:
        prefect.store("stored before")
        await relays.begun(relays.start())
        await burst(prefect)
        await once(store, prefect)

    async def test_another_goes_on_where_a_killed_one_was(
        self, store: Store, prefect: FakeServer, relays: Relays
    ) -> None:
        first = relays.start()
        await relays.begun(first)
        second = relays.start("--since", "0s")
        await relays.until_said(second, "standing by")
        writing = asyncio.create_task(burst(prefect, 2000, 20))
        await prefect.until(lambda: len(prefect.logs) > 400)
        first.kill()
        await writing
        prefect.store("while nobody read")
        await relays.until_said(second, "writing to Redis")
        await once(store, prefect)

    async def test_only_one_of_two_writes(self, store: Store, prefect: FakeServer, relays: Relays) -> None:
        # A lease that none loses because the machine is busy.
        both = [relays.start("--lease", "60"), relays.start("--lease", "60")]
        for said in ("writing to Redis", "standing by"):
            await until(lambda said=said: sorted(said in relay.said for relay in both) == [False, True])
        await prefect.until_subscribed(timeout=DEADLINE)
        await burst(prefect, 300)
        await once(store, prefect)
        assert len(prefect.connections) == 1
        assert ["stopped writing" in relay.said for relay in both] == [False, False]

    async def test_one_that_was_suspended_writes_nothing_any_more(
        self, store: Store, prefect: FakeServer, relays: Relays
    ) -> None:
        first = relays.start()
        await relays.begun(first)
        second = relays.start()
        await relays.until_said(second, "standing by")
        writing = asyncio.create_task(burst(prefect, 600, 10))
        await prefect.until(lambda: len(prefect.logs) > 200)
        first.process.send_signal(signal.SIGSTOP)
        await relays.until_said(second, "writing to Redis")
        await writing
        await has_all(store, prefect)
        first.process.send_signal(signal.SIGCONT)
        # "another relay writes now", or "has written meanwhile" where that one's lease has just run out, too.
        await relays.until_said(first, "stopped writing: another relay")
        prefect.post("behind")
        await once(store, prefect)

    async def test_one_that_is_stopped_hands_over_at_once(
        self, store: Store, prefect: FakeServer, relays: Relays
    ) -> None:
        first = relays.start("--lease", "60")
        await relays.begun(first)
        prefect.post("to the first")
        await has_all(store, prefect)
        assert first.stop() == 143
        second = relays.start()
        prefect.post("to the second")
        await relays.begun(second)
        await once(store, prefect)

    @pytest.mark.parametrize("fsync", ["everysec", "always"])
    async def test_a_redis_that_is_killed_and_comes_back_has_every_log_once(
        self, tmp_path: Path, prefect: FakeServer, fsync: str
    ) -> None:
        redis = RedisServer(tmp_path, fsync=fsync)
        relays, store = Relays(tmp_path, redis, prefect), Store(redis.url, NAME)
        redis.start()
        try:
            relay = relays.start()
            await relays.begun(relay)
            await burst(prefect, 300)
            redis.kill()
            await burst(prefect, 300)
            await relays.until_said(relay, "trying again")
            redis.start()
            await burst(prefect, 300)
            await once(store, prefect)
            assert relay.process.poll() is None
        finally:
            await store.close()
            for relay in relays.all:
                relay.kill()
            redis.kill()

    async def test_writes_again_what_redis_has_lost(
        self, tmp_path: Path, redis: RedisServer, store: Store, prefect: FakeServer, relays: Relays
    ) -> None:
        relay = relays.start()
        await relays.begun(relay)
        prefect.post("kept")
        await has_all(store, prefect)
        shutil.copytree(redis.kept, tmp_path / "copy")
        prefect.post("lost")
        await has_all(store, prefect)
        # The relay knows that it was written once it writes again: it sends a write without an answer as it was.
        await next_write(store)
        redis.kill()
        shutil.rmtree(redis.kept)
        (tmp_path / "copy").rename(redis.kept)
        redis.start()
        await relays.until_said(relay, "stopped writing")
        await once(store, prefect)

    async def test_fills_a_redis_that_was_emptied(
        self, store: Store, prefect: FakeServer, relays: Relays
    ) -> None:
        await relays.begun(relays.start("--since", "0s"))
        prefect.post("before")
        await has_all(store, prefect)
        await store.client.call("FLUSHALL")
        prefect.post("behind")
        await once(store, prefect)

    async def test_never_shows_the_password(
        self, redis: RedisServer, store: Store, prefect: FakeServer, relays: Relays
    ) -> None:
        good = relays.start("-vv")
        await relays.begun(good)
        wrong = relays.start("--to", redis.url.replace(":marked", ":wrong-marked"))
        await until(lambda: wrong.process.poll() is not None)
        assert wrong.process.returncode == 3
        assert "refuses the access" in wrong.said
        redis.kill()
        await relays.until_said(good, "trying again")
        assert PASSWORD not in good.said + wrong.said + repr(store.client)

    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            pytest.param(["--to", f"http://:{PASSWORD}@host"], "an unknown scheme", id="no URL of Redis"),
            pytest.param(["--to", f"redis+x://:{PASSWORD}@h"], "an unknown scheme", id="no such plural"),
            pytest.param(["--to", f"redis+sentinel://:{PASSWORD}@h"], "names no service", id="no service"),
            pytest.param(["--to", f"redis+sentinel://:{PASSWORD}@,/s"], "a host or a port", id="no Sentinel"),
            pytest.param(["--to", f"redis+sentinel://h:{PASSWORD}/s"], "a host or a port", id="its port"),
            pytest.param(["--to", f"redis+sentinel://h/s/{PASSWORD}"], "a database", id="its database"),
            pytest.param(["--to", f"redis+sentinel://h/s?x={PASSWORD}"], "cannot be read", id="its option"),
            pytest.param(["--to", f"redis+cluster://:{PASSWORD}@h/3"], "only number 0", id="of a cluster"),
            pytest.param(["--to", f"redis+cluster://:{PASSWORD}@"], "a host or a port", id="no node"),
            pytest.param(["--to", f"redis://:{PASSWORD}@host:{PASSWORD}"], "cannot be read", id="no port"),
            pytest.param(["--to", "redis://127.0.0.1:1/0?colour=red"], "cannot be read", id="no option"),
            pytest.param(["--name", "a/b"], "cannot be used", id="a name with a slash"),
            pytest.param(["--lease", "0.1"], "cannot be held", id="no lease"),
            pytest.param(["--max-length", "5"], "at least 200", id="a tiny stream"),
            pytest.param(["--max-age", "soon"], "no duration", id="no age"),
        ],
    )
    def test_says_what_cannot_work(self, tmp_path: Path, arguments: list[str], says: str) -> None:
        relay = RelayProcess(tmp_path / "r", "redis://127.0.0.1:1", "http://127.0.0.1:1/api", *arguments)
        assert relay.process.wait(DEADLINE) == 2
        assert says in relay.said
        assert PASSWORD not in relay.said


def make(message: str, at: float = 0.0, **more: Any) -> Log:
    """A log stamped that many seconds after NOW."""
    stamp = (NOW + timedelta(seconds=at)).isoformat()
    return Log.from_wire(
        {"id": str(uuid4()), "name": "n", "level": 20, "message": message, "timestamp": stamp, **more}
    )


class Pen:
    """Writes to the store as a relay does, by hand."""

    def __init__(self, store: Store, token: str = "one", keep: Retention | None = None) -> None:
        self.store, self.token, self.mark, self.keep = store, token, "", keep or Retention()
        self._marks = count()

    async def take(self) -> bool:
        standing = await self.store.take(self.token, 60.0)
        self.mark = standing.mark if standing else ""
        return standing is not None

    async def write(self, *logs: Log, low: float = -60.0, mark: str | None = None, trouble: str = "") -> str:
        mark = mark or f"{self.token}{next(self._marks)}"
        outcome = await self.store.write(
            [row(log) for log in logs],
            token=self.token,
            before=self.mark,
            mark=mark,
            lease=60.0,
            low=NOW + timedelta(seconds=low),
            begin=NOW - timedelta(hours=1),
            trouble=trouble,
            keep=self.keep,
        )
        if outcome == "written":
            self.mark = mark
        return outcome


@pytest.fixture
async def pen(store: Store) -> Pen:
    pen = Pen(store)
    assert await pen.take()
    return pen


class TestWriting:
    async def test_a_log_that_is_there_is_left_out(self, store: Store, pen: Pen) -> None:
        one, two = make("one"), make("two")
        await pen.write(one)
        await pen.write(one, two, one)
        assert await ids(store) == [one.id_text, two.id_text]

    async def test_a_write_whose_answer_was_lost_may_be_sent_again(self, store: Store, pen: Pen) -> None:
        one, before = make("one"), pen.mark
        assert await pen.write(one, mark="m") == "written"
        pen.mark = before
        assert await pen.write(one, mark="m") == "written"
        assert await ids(store) == [one.id_text]

    async def test_who_has_lost_the_lease_writes_nothing(self, store: Store, pen: Pen) -> None:
        await pen.write(make("one"))
        other = Pen(store, "two")
        assert not await other.take()
        await store.give_up("two")
        await store.give_up("one")
        assert await other.take()
        assert await pen.write(make("late"), low=99.0) == "lost"
        assert await other.write(make("two")) == "written"
        assert len(await entries(store)) == 2
        state = await store.state()
        assert state is not None
        assert state.low == NOW - timedelta(seconds=60)

    async def test_who_finds_another_position_writes_nothing(self, store: Store, pen: Pen) -> None:
        await pen.write(make("one"))
        pen.mark = "another"
        assert await pen.write(make("two")) == "changed"
        assert len(await entries(store)) == 1

    async def test_a_stream_that_is_too_long_loses_its_oldest_logs(self, store: Store, pen: Pen) -> None:
        pen.keep = Retention(max_length=200)
        logs = [make(f"{n}", n / 1000) for n in range(450)]
        for part in range(0, 450, 150):
            await pen.write(*logs[part : part + 150])
        assert await ids(store) == [log.id_text for log in logs[-200:]]
        assert len(await store.page(NOW, END, [])) == 200
        state = await store.state()
        assert state is not None
        assert logs[249].timestamp < state.covered <= logs[250].timestamp

    async def test_a_log_that_was_trimmed_is_not_written_again(self, store: Store, pen: Pen) -> None:
        pen.keep = Retention(max_length=200)
        logs = [make(f"{n}") for n in range(300)]
        await pen.write(*logs)
        await pen.write(*logs)
        assert await ids(store) == [log.id_text for log in logs[-200:]]

    async def test_logs_that_are_too_old_go_with_their_ids(self, store: Store, pen: Pen) -> None:
        one = make("one", -7200.0)
        text = row(one)[2]
        # Written two hours ago, by another clock.
        old = f"{int((NOW - timedelta(hours=2)).timestamp() * 1000)}-0"
        await store.client.call("XADD", store.stream_key, old, "d", text)
        await store.client.call("ZADD", store.stream_key.replace(":logs", ":seen"), row(one)[1], row(one)[0])
        pen.keep = Retention(max_age=timedelta(hours=1))
        two = make("two")
        await pen.write(two)
        assert await ids(store) == [two.id_text]
        assert await store.client.call("ZCARD", store.stream_key.replace(":logs", ":seen")) == 1

    def test_logs_are_written_in_parts_that_redis_does_quickly(self) -> None:
        rows = [row(make("x" * 100_000)) for _ in range(100)]
        parts = chunks(rows)
        assert [text for part in parts for text in part] == rows
        assert max(sum(len(text) for _, _, text in part) for part in parts) <= 4_000_000
        assert [len(part) for part in chunks([row(make("small"))] * 1200)] == [500, 500, 200]
        assert chunks([]) == [[]]

    async def test_a_cancelled_command_is_cancelled(self, store: Store) -> None:
        async def ask_on() -> None:
            while True:
                await store.now()

        for turns in range(20):
            asking = asyncio.create_task(ask_on())
            for _ in range(turns):
                await asyncio.sleep(0)
            asking.cancel()
            await asyncio.wait({asking}, timeout=DEADLINE)
            assert asking.cancelled()

    async def test_a_key_of_somebody_else_is_told(self, store: Store, pen: Pen) -> None:
        await store.client.call("SET", store.stream_key, "not a stream")
        with pytest.raises(ConfigError, match="cannot do this"):
            await pen.write(make("one"))

    @pytest.mark.parametrize("field", ["low", "covered", "last", "trimmed", "trouble", "mark"])
    @pytest.mark.parametrize(
        "value", [b"abc", b"1e5", b"-", b"9" * 30, b"9" * 5000, b"\xff\xfe", b"5-x", b"5-5-5", b"1.5"]
    )
    async def test_a_position_that_no_relay_wrote_is_told(
        self, store: Store, pen: Pen, field: str, value: bytes
    ) -> None:
        """By our own error, for whoever reads it; a text may be any text."""
        await pen.take()
        await pen.write(make("one"))
        await store.client.call("HSET", f"{{rawlogs:{NAME}}}:cursor", field, value)
        texts = field in ("trouble", "mark") and not value.startswith(b"\xff")
        if field == "trouble" and texts:
            state = await store.state()
            assert state is not None
            assert state.trouble == "failed"
        elif field != "mark":
            with pytest.raises(ConfigError, match=f"cannot be read: {field}") as caught:
                await store.state()
            assert "delete the keys" in (caught.value.hint or "")
        # The relay, too, comes upon it, or writes over it.
        for act in (lambda: store.take(pen.token, 60.0), lambda: pen.write(make("two"))):
            try:
                await act()  # type: ignore[operator]
            except ConfigError as error:
                assert not texts
                assert "cannot be read" in error.text or "cannot do this" in error.text

    async def test_an_entry_that_is_no_log_is_left_out(self, store: Store, pen: Pen) -> None:
        await pen.take()
        await pen.write(make("one"))
        for content in (b"no JSON", b"5", b"{}", b'{"id": 1}', b"\xff"):
            await store.client.call("XADD", store.stream_key, "*", "d", content)
        await store.client.call("XADD", store.stream_key, "*", "x", "y")
        await store.client.call("XADD", store.stream_key, "9999999999999999999-1", "d", "{}")
        _, entries = await store.follow((0, 0), 0.1)
        assert [entry.log.message for entry in entries] == ["one"]


@asynccontextmanager
async def reading(source: RedisSource, **join: Any) -> AsyncIterator[Taken]:
    async with Hub(source) as hub:
        taken = Taken(await hub.join(**join))
        try:
            yield taken
        finally:
            await taken.stop()


async def history(source: RedisSource, after: float, before: float = 1e6, **options: Any) -> list[str]:
    pages = source.history(
        EVERYTHING, NOW + timedelta(seconds=after), NOW + timedelta(seconds=before), **options
    )
    return [log.message async for page in pages for log in page]


class TestSource:
    async def test_hands_on_what_comes(self, redis: RedisServer, pen: Pen) -> None:
        await pen.write()
        async with reading(RedisSource(redis.url, name=NAME)) as taken:
            await pen.write(make("live", 60.0), make("late", -20.0))
            await taken.until(lambda t: t.messages == ["live", "late"])

    async def test_reads_a_backlog_without_prefect(self, redis: RedisServer, pen: Pen) -> None:
        await pen.write(*[make(f"{n}", n) for n in range(-300, 0)][::-1])
        source = RedisSource(redis.url, name=NAME)
        assert await history(source, -290.5) == [f"{n}" for n in range(-290, 0)]
        assert await history(source, -300.0, -290.0, newest_first=True) == [
            f"{n}" for n in range(-290, -301, -1)
        ]
        await source.close()

    async def test_logs_of_one_moment_are_all_listed(self, redis: RedisServer, pen: Pen) -> None:
        await pen.write(*[make("same") for _ in range(450)], make("next", 1.0))
        source = RedisSource(redis.url, name=NAME)
        assert await history(source, -1.0) == ["same"] * 450 + ["next"]
        assert await history(source, -1.0, newest_first=True) == ["next"] + ["same"] * 450
        await source.close()

    @pytest.mark.parametrize("newest_first", [False, True], ids=["oldest first", "newest first"])
    async def test_without_prefect_it_says_what_is_not_kept(
        self, redis: RedisServer, pen: Pen, newest_first: bool
    ) -> None:
        await pen.write(make("kept"))
        source = RedisSource(redis.url, name=NAME)
        found: list[str] = []
        with pytest.raises(NotKept) as raised:
            pages = source.history(
                EVERYTHING, NOW - timedelta(hours=2), NOW + timedelta(days=1), newest_first=newest_first
            )
            async for page in pages:
                found += [log.message for log in page]
        assert raised.value.kept_from == NOW - timedelta(hours=1)
        assert found == ["kept"]
        await source.close()

    async def test_a_reader_is_told_what_is_not_kept(self, redis: RedisServer, pen: Pen) -> None:
        await pen.write(make("kept"))
        query = Query(since=NOW - timedelta(hours=2))
        async with reading(RedisSource(redis.url, name=NAME), query=query) as taken:
            await taken.until(lambda t: t.messages == ["kept"] and t.gaps())
            await pen.write(make("live", 60.0))
            await taken.until(lambda t: t.messages == ["kept", "live"])
            assert taken.gaps() == [("history", True)]

    @pytest.mark.parametrize("newest_first", [False, True], ids=["oldest first", "newest first"])
    async def test_with_prefect_nothing_is_missing_whoever_has_it(
        self, redis: RedisServer, pen: Pen, prefect: FakeServer, newest_first: bool
    ) -> None:
        stamps = [-7200.0, -3500.0, -3000.0, -100.0, -10.0]
        rows = [
            prefect.store(f"{at}", timestamp=(NOW + timedelta(seconds=at)).isoformat())[0] for at in stamps
        ]
        await pen.write(*[Log.from_wire(log) for log in rows[1:4]])
        source = RedisSource(redis.url, name=NAME, api_url=prefect.api_url)
        expected = [f"{at}" for at in stamps]
        found = await history(source, -9000.0, newest_first=newest_first)
        assert found == (expected[::-1] if newest_first else expected)
        await source.close()

    async def test_what_redis_has_complete_is_not_asked_of_prefect(
        self, redis: RedisServer, pen: Pen, prefect: FakeServer
    ) -> None:
        await pen.write(make("kept", -500.0))
        source = RedisSource(redis.url, name=NAME, api_url=prefect.api_url)
        assert await history(source, -1000.0, -400.0) == ["kept"]
        assert prefect.requests == []
        await source.close()

    async def test_a_reader_goes_on_with_another_worker_behind_its_place(
        self, redis: RedisServer, pen: Pen
    ) -> None:
        await pen.write(make("one", 1.0))
        async with Hub(RedisSource(redis.url, name=NAME)) as other:
            elsewhere = Taken(await other.join())
            await elsewhere.until(lambda t: t.messages == ["one"])
            async with reading(RedisSource(redis.url, name=NAME)) as taken:
                await taken.until(lambda t: t.messages == ["one"])
                cursor = taken.events[-1].cursor
            await pen.write(make("two", 2.0))
            await elsewhere.until(lambda t: t.messages == ["one", "two"])
            again = Taken(await other.join(cursor=cursor))
            await again.until(lambda t: t.messages == ["two"])
            for each in (elsewhere, again):
                await each.stop()

    async def test_readers_hear_that_redis_is_gone_and_back(self, redis: RedisServer, pen: Pen) -> None:
        await pen.write(make("one", 1.0))
        async with reading(RedisSource(redis.url, name=NAME)) as taken:
            await taken.until(lambda t: t.messages == ["one"])
            redis.kill()
            await taken.until(lambda t: ("upstream", True) in t.gaps())
            redis.start()
            await pen.store.client.close()
            await pen.write(make("two", 2.0))
            await taken.until(lambda t: ("upstream", False) in t.gaps() and t.messages == ["one", "two"])

    async def test_readers_hear_that_the_relay_cannot_reach_prefect(
        self, redis: RedisServer, pen: Pen
    ) -> None:
        await pen.write(trouble="unreachable")
        async with reading(RedisSource(redis.url, name=NAME)) as taken:
            await taken.until(lambda t: t.gaps() == [("upstream", True)])
            await pen.write()
            await taken.until(lambda t: t.gaps() == [("upstream", True), ("upstream", False)])

    async def test_readers_hear_that_there_is_no_relay(
        self, redis: RedisServer, store: Store, pen: Pen, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(redis_source, "ABANDONED", 0.5)
        await pen.write()
        await store.give_up("one")
        async with reading(RedisSource(redis.url, name=NAME)) as taken:
            await taken.until(lambda t: t.gaps() == [("upstream", True)])
            assert await pen.take()
            await taken.until(lambda t: t.gaps() == [("upstream", True), ("upstream", False)])

    async def test_a_reader_reads_again_from_a_redis_that_lost_its_end(
        self, redis: RedisServer, store: Store, pen: Pen
    ) -> None:
        await pen.write(make("one", 1.0))
        async with reading(RedisSource(redis.url, name=NAME)) as taken:
            await taken.until(lambda t: t.messages == ["one"])
            await store.client.call("FLUSHALL")
            assert await pen.take()
            await pen.write(make("two", 2.0))
            await taken.until(lambda t: t.messages == ["one", "two"])

    async def test_one_connection_serves_all_readers_of_a_worker(
        self, redis: RedisServer, store: Store, pen: Pen
    ) -> None:
        await pen.write()
        async with Hub(RedisSource(redis.url, name=NAME)) as hub:
            readers = [Taken(await hub.join()) for _ in range(20)]
            await pen.write(make("live", 5.0))
            for taken in readers:
                await taken.until(lambda t: t.messages == ["live"])
            clients = await store.client.call("CLIENT", "LIST")
            blocked = [line for line in clients.splitlines() if b"cmd=xread" in line or b"cmd=hmget" in line]
            assert len(blocked) <= 1 + (b"cmd=client" not in clients)
            for taken in readers:
                await taken.stop()

    @pytest.mark.parametrize(
        ("environ", "kind"),
        [
            pytest.param({}, PrefectSource, id="Prefect itself without a variable"),
            pytest.param({"RAWLOGS_REDIS_URL": "redis://127.0.0.1:1"}, RedisSource, id="Redis with one"),
        ],
    )
    async def test_the_environment_chooses(self, environ: dict[str, str], kind: type) -> None:
        source = source_from_environment(environ, api_url="http://127.0.0.1:1/api")
        assert isinstance(source, kind)
        await source.close()

    def test_which_logs_are_meant_has_to_be_known(self) -> None:
        with pytest.raises(ConfigError, match="which logs in Redis") as raised:
            RedisSource("redis://127.0.0.1:1")
        assert raised.value.setting == "RAWLOGS_REDIS_NAME"

    async def test_a_wrong_password_is_told_without_it(self, redis: RedisServer) -> None:
        store = Store(redis.url.replace(":marked", ":wrong-marked"), NAME)
        with pytest.raises(AuthError) as raised:
            await store.state()
        assert PASSWORD not in str(raised.value)
        await store.close()


WORKER = """
import asyncio, sys
from rawlogs.relay import Hub
from rawlogs.relay.redis.source import RedisSource

async def main():
    async with Hub(RedisSource(sys.argv[1], name=sys.argv[2], api_url=sys.argv[3])) as hub:
        reader = await hub.join()
        print("joined", flush=True)
        async for events in reader.batches():
            for event in events:
                if event.kind == "log":
                    print(event.log.id_text, event.cursor.text, flush=True)

asyncio.run(main())
"""


async def test_readers_of_a_killed_worker_go_on_with_another_one_without_a_hole(
    redis: RedisServer, store: Store, prefect: FakeServer, relays: Relays
) -> None:
    await relays.begun(relays.start())
    worker = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", WORKER, redis.url, NAME, prefect.api_url), stdout=asyncio.subprocess.PIPE
    )
    assert worker.stdout is not None
    assert await worker.stdout.readline() == b"joined\n"
    writing = asyncio.create_task(burst(prefect, 600, 10))
    seen = []
    while len(seen) < 150:
        log_id, cursor = (await asyncio.wait_for(worker.stdout.readline(), DEADLINE)).decode().split()
        seen.append(log_id)
    worker.kill()
    await asyncio.gather(worker.wait(), writing)
    async with reading(
        RedisSource(redis.url, name=NAME, api_url=prefect.api_url), cursor=Cursor.parse(cursor)
    ) as taken:
        wanted = {log["id"] for log in prefect.logs}
        await taken.until(lambda t: wanted <= {*seen, *(e.log.id_text for e in t.events if e.kind == "log")})
    await has_all(store, prefect)
    assert len(prefect.connections) == 1, "only the relay has a socket to Prefect"
