"""The relay and its readers with real Sentinels and on a real cluster, and what becomes of the logs in a failover."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis_server import PASSWORD, SENTINEL_PASSWORD, Cluster, Sentinels
from relay_source import Taken
from streaming import no_settings  # noqa: F401
from test_relay_redis import NAME, Pen, Relays, burst, make, once

from rawlogs.clock import SystemClock
from rawlogs.errors import AuthError, ConfigError, ConnectError
from rawlogs.relay import Hub
from rawlogs.relay.redis.address import parse_address
from rawlogs.relay.redis.source import RedisSource
from rawlogs.relay.redis.store import Store
from rawlogs.relay.redis.writer import Lease
from rawlogs.testing import FakeServer


@pytest.fixture(params=["sentinels", "cluster"])
def servers(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Sentinels | Cluster]:
    servers = Sentinels(tmp_path) if request.param == "sentinels" else Cluster(tmp_path, NAME)
    try:
        servers.start()
        yield servers
    finally:
        servers.kill()


@pytest.fixture
async def prefect() -> AsyncIterator[FakeServer]:
    async with FakeServer() as server:
        yield server


@pytest.fixture
async def store(servers: Sentinels | Cluster) -> AsyncIterator[Store]:
    store = Store(servers.url, NAME)
    yield store
    await store.close()


@pytest.fixture
async def relays(tmp_path: Path, servers: Sentinels | Cluster, prefect: FakeServer) -> AsyncIterator[Relays]:
    relays = Relays(tmp_path, servers, prefect)
    yield relays
    for relay in relays.all:
        relay.kill()


async def test_a_failover_in_mid_stream_loses_nothing_and_repeats_nothing(
    servers: Sentinels | Cluster, store: Store, prefect: FakeServer, relays: Relays
) -> None:
    relay = relays.start()
    await relays.begun(relay)
    async with Hub(RedisSource(servers.url, name=NAME)) as hub:
        taken = Taken(await hub.join())
        writing = asyncio.create_task(burst(prefect, 3000, 20))
        await taken.until(lambda t: len(t.messages) > 300)
        servers.fail_over()
        await relays.until_said(relay, "trying again")
        await writing
        await relays.until_said(relay, "answers again")
        prefect.post("behind")
        await once(store, prefect)
        wanted = sorted(log["message"] for log in prefect.logs)
        await taken.until(lambda t: len(t.messages) >= len(wanted))
        assert sorted(taken.messages) == wanted
        # It may be told more than once: the readers' Redis answers now and then before it stays.
        assert taken.gaps()[0] == ("upstream", True)
        await taken.until(lambda t: t.gaps()[-1] == ("upstream", False))
        await taken.stop()
    assert relay.process.poll() is None
    assert not {word for word in (PASSWORD, SENTINEL_PASSWORD) if word in relay.said}


async def test_what_the_replica_had_not_is_written_again_and_reaches_the_readers_once(
    servers: Sentinels | Cluster, store: Store, prefect: FakeServer, relays: Relays
) -> None:
    relay = relays.start()
    await relays.begun(relay)
    async with Hub(RedisSource(servers.url, name=NAME)) as hub:
        taken = Taken(await hub.join())
        prefect.post("before")
        await taken.until(lambda t: t.messages == ["before"])
        # The replica has nothing of what follows.
        servers.replica.kill()
        await burst(prefect, 200)
        await taken.until(lambda t: len(t.messages) == 201)
        servers.fail_over()
        servers.replica.start()
        await relays.until_said(relay, "stopped writing")
        prefect.post("behind")
        await once(store, prefect)
        await taken.until(lambda t: "behind" in t.messages)
        assert sorted(taken.messages) == sorted(log["message"] for log in prefect.logs)
        await taken.stop()


async def test_a_master_that_hands_over_in_an_orderly_way_is_followed(
    servers: Sentinels | Cluster, store: Store, prefect: FakeServer, relays: Relays
) -> None:
    relay = relays.start()
    await relays.begun(relay)
    async with Hub(RedisSource(servers.url, name=NAME)) as hub:
        taken = Taken(await hub.join())
        writing = asyncio.create_task(burst(prefect, 1000, 20))
        await taken.until(lambda t: len(t.messages) > 100)
        await asyncio.to_thread(servers.hand_over)
        await writing
        await once(store, prefect)
        await taken.until(lambda t: len(t.messages) >= len(prefect.logs))
        assert sorted(taken.messages) == sorted(log["message"] for log in prefect.logs)
        await taken.stop()


async def test_a_second_relay_stands_by_and_takes_over(
    store: Store, prefect: FakeServer, relays: Relays
) -> None:
    first = relays.start()
    await relays.begun(first)
    second = relays.start()
    await relays.until_said(second, "standing by")
    await burst(prefect, 200)
    first.kill()
    await burst(prefect, 200)
    await relays.until_said(second, "writing to Redis")
    await once(store, prefect)


async def test_a_wrong_password_is_told_without_it(servers: Sentinels | Cluster) -> None:
    store = Store(servers.url.replace(f":{PASSWORD}", ":wrong"), NAME)
    with pytest.raises(AuthError) as raised:
        await store.state()
    assert "wrong" not in raised.value.text.replace("username-password", "")
    await store.close()


@pytest.fixture
def sentinels(tmp_path: Path) -> Iterator[Sentinels]:
    servers = Sentinels(tmp_path)
    try:
        servers.start()
        yield servers
    finally:
        servers.kill()


async def test_a_wrong_password_of_the_sentinels_is_told(sentinels: Sentinels) -> None:
    store = Store(sentinels.url.replace(SENTINEL_PASSWORD, "wrong"), NAME)
    with pytest.raises(AuthError, match=r"the Sentinels of Redis at logs of .* refuse the access"):
        await store.state()
    await store.close()


async def test_a_service_that_no_sentinel_knows_is_told(sentinels: Sentinels) -> None:
    store = Store(sentinels.url.replace("/logs?", "/other?"), NAME)
    with pytest.raises(ConnectError, match=r"No master found for 'other'$"):
        await store.state()
    await store.close()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    servers = Cluster(tmp_path, NAME)
    try:
        servers.start()
        yield servers
    finally:
        servers.kill()


async def test_a_node_that_redirects_is_known_for_one_of_a_cluster(cluster: Cluster) -> None:
    """With the URL of a node that has not the keys, and several commands at once."""
    store = Store(cluster.another.url, NAME)
    pen = Pen(store)
    assert await pen.take()
    await pen.write(make("one"))
    assert [state is not None for state in await asyncio.gather(*(store.state() for _ in range(5)))] == [
        True
    ] * 5
    _, entries = await store.follow((0, 0), 0.1)
    assert [entry.log.message for entry in entries] == ["one"]
    await store.close()


async def test_a_cluster_is_found_by_any_of_its_nodes(cluster: Cluster) -> None:
    cluster.fail_over()
    store = Store(cluster.url, NAME)

    lease = Lease(store, 60.0, clock=SystemClock(), rng=random.Random(1))
    await lease.wait(lambda: None, lambda error, seconds: None)
    assert await store.now()
    await store.close()


class TestAddress:
    @pytest.mark.parametrize(
        ("url", "shown"),
        [
            ("redis://h", "h:6379"),
            ("redis://:secret@h:7/3", "h:7/3"),
            ("unix:///run/redis?db=2", "unix:///run/redis/2"),
            ("redis+sentinel://user:secret@a,b:7/logs", "logs of a:26379,b:7"),
            ("redis+sentinel://a/my%20logs/3", "my logs/3 of a:26379"),
            ("rediss+sentinel://a/logs?ssl_cert_reqs=none&sentinel_password=secret", "logs of a:26379"),
            ("redis+cluster://:secret@[::1]:7,b", "[::1]:7,b:6379"),
            ("REDIS+CLUSTER://a/0", "a:6379"),
            ("rediss+cluster://a?ssl_ca_certs=/etc/ca", "a:6379"),
        ],
    )
    async def test_is_shown_without_a_secret(self, url: str, shown: str) -> None:
        store = Store(url, NAME)
        assert store.client.address == shown
        await store.close()

    @pytest.mark.parametrize(
        "url",
        [
            "redis+sentinel://secret:secret@a",
            "redis+sentinel://secret@a/",
            "redis+sentinel:///logs",
            "redis+sentinel://a,,b/logs",
            "redis+sentinel://a:0/logs",
            "redis+sentinel://a:70000/logs",
            "redis+sentinel://a:secret/logs",
            "redis+sentinel://a/logs/secret",
            "redis+sentinel://a/logs?colour=secret",
            "redis+cluster://",
            "redis+cluster://a/3",
            "redis+cluster://a?colour=secret",
            "redis+cluster://a?db=3&retry=secret",
            "redis+other://a",
            "http+cluster://a",
            "redis://a/secret",
            "redis://a:secret",
            "secret",
        ],
    )
    def test_that_is_none_is_refused_without_quoting_it(self, url: str) -> None:
        with pytest.raises(ConfigError, match="the URL of Redis") as raised:
            Store(url, NAME)
        assert raised.value.setting == "RAWLOGS_REDIS_URL"
        assert "secret" not in str(raised.value)

    def test_options_of_the_sentinels_are_no_options_of_redis(self) -> None:
        address = parse_address(
            "redis+sentinel://a/logs?sentinel_username=u&sentinel_password=p%40&client_name=c"
        )
        assert address.sentinel_access == {"username": "u", "password": "p@"}
        assert address.single == "redis://a:26379/0?client_name=c"
