"""Redis itself: commands, scripts, and what its failures are called here."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any

from rawlogs.errors import AuthError, ConfigError, ConnectError, RawlogsError
from rawlogs.relay.redis.address import FORM, SETTING, parse_address
from rawlogs.relay.redis.connect import connect, connect_cluster
from rawlogs.untrusted import excerpt
from rawlogs.waiting import within

_DENIED = ("NOAUTH", "WRONGPASS", "NOPERM")
_PASSING = (
    "BUSY",
    "CLUSTERDOWN",
    "LOADING",
    "MASTERDOWN",
    "MISCONF",
    "NOREPLICAS",
    "OOM",
    "READONLY",
    "TRYAGAIN",
    "UNKILLABLE",
)
"""What Redis answers while something is wrong with it that may be put right without us."""


class Client:
    """Connections to one Redis, opened as they are needed; ``timeout`` in seconds for each answer.

    With Sentinels it is the master that they name, also after a failover; in a cluster, whichever node has the keys.
    One server that turns out to be a node of a cluster is used as one. Raises ConfigError for a URL that is none and
    for redis-py that is not installed; no error shows a password.
    """

    def __init__(self, url: str, *, timeout: float = 5.0) -> None:
        try:
            from redis import exceptions
            from redis.asyncio.sentinel import MasterNotFoundError
        except ImportError:
            raise ConfigError("redis-py is not installed", hint="pip install 'rawlogs[redis]'") from None
        try:
            self._where = parse_address(url)
        except ValueError as error:
            raise ConfigError(f"the URL of Redis {error}", setting=SETTING, hint=FORM) from None
        self._connected = connect(self._where, timeout)
        options = self._connected.options
        access = (options.get("password"), options.get("username"), *self._where.sentinel_access.values())
        self._secrets = [str(secret) for secret in access if secret]
        self.address = self._where.text(options)
        self._errors, self._no_master = exceptions, MasterNotFoundError
        # A RedisClusterException is no RedisError.
        self._failures = (
            exceptions.RedisError,
            exceptions.RedisClusterException,
            OSError,
            asyncio.TimeoutError,
        )
        self._single = self._where.kind == "server"

    async def call(self, *words: str | bytes | int) -> Any:
        """Return the reply to one command. Raises ConnectError (try again), AuthError, ConfigError."""
        return await self._reply(lambda: self._connected.redis.execute_command(*words))

    async def wait_for(self, key: str, *words: str | bytes | int) -> Any:
        """Return the reply to a command about ``key`` that may take its time. Raises the same errors."""
        return await self._reply(lambda: self._on_node_of(key, words))

    async def script(self, text: str, keys: Sequence[str], *arguments: str | bytes | int) -> Any:
        """Return the reply of a script. Raises the same errors."""
        return await self._reply(lambda: self._run(text, (len(keys), *keys, *arguments)))

    async def _on_node_of(self, key: str, words: tuple[str | bytes | int, ...]) -> Any:
        redis = self._connected.redis
        if not hasattr(redis, "get_node_from_key"):
            return await redis.execute_command(*words)
        # redis-py asks a node which words of XREAD are keys, and always the same one, also when that is down.
        try:
            await redis.initialize()
            return await redis.get_node_from_key(key).execute_command(*words)
        except self._failures:
            await redis.execute_command("EXISTS", key)  # it learns from this where the key is now
            return await redis.get_node_from_key(key).execute_command(*words)

    async def _run(self, text: str, words: tuple[str | bytes | int, ...]) -> Any:
        execute = self._connected.redis.execute_command
        digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
        try:
            return await execute("EVALSHA", digest, *words)
        except self._errors.NoScriptError:
            # Not redis-py's Script: in a cluster that loads the text into every node, also into one that is down.
            return await execute("EVAL", text, *words)

    async def _reply(self, ask: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        try:
            # In a task of its own: redis-py sends by asyncio.wait_for, which up to Python 3.11 loses cancellations.
            return await within(None, ask())
        except self._failures as error:
            # Before redis-py 5.1 only the client of a cluster knows a redirection by its class.
            if not self._single or not (
                isinstance(error, self._errors.MovedError) or str(error).startswith("MOVED ")
            ):
                raise self._translated(error) from None
        await self._find_cluster()
        return await self._reply(ask)

    async def _find_cluster(self) -> None:
        """Go on as a client of the cluster whose node has redirected a command."""
        before, options = self._connected, self._connected.options
        if self._single:  # several commands may be redirected at once
            node = (options.get("host", "localhost"), options.get("port", 6379))
            self._connected, self._single = connect_cluster([node], self._where.tls, options), False
            await before.close()

    async def close(self) -> None:
        """Close what is open; a later call would open it again."""
        with suppress(*self._failures):  # it may be broken already
            await self._connected.close()

    def _translated(self, error: BaseException) -> RawlogsError:
        errors = self._errors
        if isinstance(error, errors.RedisClusterException) and error.__cause__ is not None:
            error = error.__cause__  # why none of the nodes could be asked
        text = str(error) or type(error).__name__
        detail = excerpt(text, secrets=self._secrets)
        denied = (errors.AuthenticationError, errors.AuthorizationError, errors.NoPermissionError)
        if isinstance(error, self._no_master):
            # What follows are the Sentinels' errors, each behind a long description of a connection.
            detail = excerpt(text.partition(" : ")[0], secrets=self._secrets)
            if "AuthenticationError" in text or "NOAUTH" in text:
                return AuthError(f"the Sentinels of Redis at {self.address} refuse the access", reason=detail)
        if isinstance(error, denied) or any(word in detail for word in _DENIED):
            return AuthError(f"Redis at {self.address} refuses the access: {detail}", reason=detail)
        passing = isinstance(
            error, (errors.ReadOnlyError, errors.AskError, errors.OutOfMemoryError, errors.ClusterDownError)
        ) or any(word in detail for word in _PASSING)
        if isinstance(error, errors.ResponseError) and not passing:
            return ConfigError(
                f"Redis at {self.address} cannot do this: {detail}",
                setting=SETTING,
                hint="Redis 6.2 or later is needed, and keys of this name that nothing else uses.",
            )
        what = "cannot write now" if passing else "cannot be reached"
        return ConnectError(f"Redis at {self.address} {what}: {detail}", url=self.address, phase="redis")

    def __repr__(self) -> str:
        return f"<Client {self.address}>"
