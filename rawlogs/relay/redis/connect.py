"""Clients of redis-py for each kind of address. redis-py enters the project only here and in ``client``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rawlogs.errors import ConfigError
from rawlogs.relay.redis.address import FORM, SETTING, Address

_COMMANDS = ("HMGET", "EXISTS", "XREAD", "XRANGE", "ZCOUNT", "ZRANGEBYSCORE", "ZREVRANGEBYSCORE")
"""The commands whose replies are read as Redis gives them, which is the same in every version of redis-py."""


@dataclass(frozen=True, slots=True)
class Connected:
    """A client of redis-py, which connects when it is used, and what closes its connections.

    options: the keyword arguments of each connection, with host and port where there is one server.
    """

    redis: Any
    close: Callable[[], Awaitable[None]]
    options: dict[str, Any]


def connect(address: Address, timeout: float) -> Connected:
    """Return a client for that address. Raises ConfigError for an option that is none.

    timeout: seconds for a connection, and for each answer.
    """
    from redis import asyncio as redis
    from redis import exceptions
    from redis.asyncio.connection import parse_url
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    given: dict[str, Any] = {
        "decode_responses": False,
        "protocol": 2,
        # No retry within a call: whoever calls waits as it sees fit, and tells people meanwhile.
        "retry": Retry(NoBackoff(), 0),
        "socket_connect_timeout": timeout,
        "socket_timeout": timeout,
    }
    try:
        options: dict[str, Any] = dict(parse_url(address.single))
        pool = redis.ConnectionPool.from_url(address.single, **given)
        pool.connection_class(**pool.connection_kwargs)  # knows the options; nothing is opened by it
    except (ValueError, TypeError, AttributeError, exceptions.RedisError):  # its text may quote the password
        raise ConfigError("the URL of Redis cannot be read", setting=SETTING, hint=FORM) from None
    if set_there := sorted(given.keys() & options):
        raise ConfigError(
            f"the URL of Redis sets {', '.join(set_there)}, which cannot be chosen", setting=SETTING
        )
    options |= given
    if address.kind == "cluster":
        return connect_cluster(address.nodes, address.tls, options)
    if address.kind == "sentinel":
        return _connect_master(address, options)
    return _connected(redis.Redis(connection_pool=pool), pool.disconnect, options)


def _connect_master(address: Address, options: dict[str, Any]) -> Connected:
    """Connect to whatever the Sentinels call the master whenever a connection is opened."""
    from redis.asyncio import sentinel

    each = _everywhere(address.tls, options)
    access = ("db", "username", "password")  # the master's, which are not the Sentinels' own
    manager: Any = sentinel.Sentinel(  # type: ignore[no-untyped-call,unused-ignore]
        address.nodes,
        sentinel_kwargs={
            **{name: value for name, value in each.items() if name not in access},
            **address.sentinel_access,
        },
    )
    redis = manager.master_for(address.service, **each)
    pools = [redis.connection_pool, *(one.connection_pool for one in manager.sentinels)]

    async def close() -> None:
        for pool in pools:
            await pool.disconnect()

    return _connected(redis, close, options)


def connect_cluster(nodes: Sequence[tuple[str, int]], tls: bool, options: dict[str, Any]) -> Connected:
    """Return a client that finds the nodes of a cluster by these. Raises ConfigError for an option that it has not."""
    from redis.asyncio import cluster

    each = {name: value for name, value in _everywhere(tls, options).items() if name != "db"}
    try:
        redis = cluster.RedisCluster(startup_nodes=[cluster.ClusterNode(*node) for node in nodes], **each)
    except TypeError:
        raise ConfigError(
            "the URL of Redis has an option that a cluster has not", setting=SETTING, hint=FORM
        ) from None
    # redis-py 5.0.0 has only the old name.
    return _connected(redis, redis.aclose if hasattr(redis, "aclose") else redis.close, options)


def _everywhere(tls: bool, options: dict[str, Any]) -> dict[str, Any]:
    single = ("host", "port", "path", "connection_class")
    each = {name: value for name, value in options.items() if name not in single}
    return {**each, "ssl": True} if tls else each


def _connected(redis: Any, close: Callable[[], Awaitable[None]], options: dict[str, Any]) -> Connected:
    for command in _COMMANDS:
        redis.response_callbacks.pop(command, None)
    return Connected(redis, close, options)
