"""Redis itself: connections, commands, and what its failures are called here. redis-py enters the project only here."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any

from rawlogs.errors import AuthError, ConfigError, ConnectError, RawlogsError
from rawlogs.untrusted import excerpt
from rawlogs.waiting import within

SETTING = "RAWLOGS_REDIS_URL"
_FORM = "It looks like redis://[USER:PASSWORD@]HOST[:PORT][/NUMBER], rediss://... with TLS, or unix:///PATH."
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

    Raises ConfigError for a URL that is none and for redis-py that is not installed; no error shows the password.
    """

    def __init__(self, url: str, *, timeout: float = 5.0) -> None:
        try:
            from redis import asyncio as redis
            from redis import exceptions
            from redis.asyncio.retry import Retry
            from redis.backoff import NoBackoff
        except ImportError:
            raise ConfigError("redis-py is not installed", hint="pip install 'rawlogs[redis]'") from None
        options: dict[str, Any] = {
            "decode_responses": False,
            "protocol": 2,
            "retry": Retry(NoBackoff(), 0),
            "socket_connect_timeout": timeout,
            "socket_timeout": timeout,
        }
        try:
            pool = redis.ConnectionPool.from_url(url, **options)
            pool.connection_class(**pool.connection_kwargs)  # knows the options; nothing is opened by it
        except (
            ValueError,
            TypeError,
            AttributeError,
            exceptions.RedisError,
        ):  # its text may quote the password
            raise ConfigError("the URL of Redis cannot be read", setting=SETTING, hint=_FORM) from None
        given, options = options, pool.connection_kwargs
        if set_there := [name for name, value in given.items() if options[name] != value]:
            raise ConfigError(
                f"the URL of Redis sets {', '.join(set_there)}, which cannot be chosen", setting=SETTING
            )
        self._secrets = [str(options[name]) for name in ("password", "username") if options.get(name)]
        self.address = _address(options)
        self._errors = exceptions
        self._pool = pool
        self._redis: Any = redis.Redis(connection_pool=pool)
        self._redis.response_callbacks.clear()  # replies as Redis gives them, the same in every redis-py

    async def call(self, *words: str | bytes | int) -> Any:
        """The reply to one command. Raises ConnectError (try again), AuthError, ConfigError."""
        return await self._reply(self._redis.execute_command(*words))

    async def script(self, text: str, keys: Sequence[str], *arguments: str | bytes | int) -> Any:
        """The reply of a script; the same errors."""
        return await self._reply(self._run(text, (len(keys), *keys, *arguments)))

    async def _run(self, text: str, words: tuple[str | bytes | int, ...]) -> Any:
        digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
        try:
            return await self._redis.execute_command("EVALSHA", digest, *words)
        except self._errors.NoScriptError:
            return await self._redis.execute_command("EVAL", text, *words)

    async def _reply(self, work: Coroutine[Any, Any, Any]) -> Any:
        try:
            # In a task of its own: redis-py sends by asyncio.wait_for, which up to Python 3.11 loses cancellations.
            return await within(None, work)
        except (self._errors.RedisError, OSError, asyncio.TimeoutError, TimeoutError) as error:
            raise self._translated(error) from None

    async def close(self) -> None:
        """Close what is open; a later call would open it again."""
        with suppress(self._errors.RedisError, OSError):  # it may be broken already
            await self._pool.disconnect()

    def _translated(self, error: BaseException) -> RawlogsError:
        errors = self._errors
        said = excerpt(str(error) or type(error).__name__, secrets=self._secrets)
        denied = (errors.AuthenticationError, errors.AuthorizationError, errors.NoPermissionError)
        if isinstance(error, denied) or any(word in said for word in _DENIED):
            return AuthError(f"Redis at {self.address} refuses the access: {said}", reason=said)
        passing = isinstance(error, (errors.ReadOnlyError, errors.OutOfMemoryError)) or any(
            word in said for word in _PASSING
        )
        if isinstance(error, errors.ResponseError) and not passing:
            return ConfigError(
                f"Redis at {self.address} cannot do this: {said}",
                setting=SETTING,
                hint="Redis 6.2 or later is needed, and keys of this name that nothing else uses.",
            )
        what = "cannot write now" if passing else "cannot be reached"
        return ConnectError(f"Redis at {self.address} {what}: {said}", url=self.address, phase="redis")

    def __repr__(self) -> str:
        return f"<Client {self.address}>"


def _address(options: dict[str, Any]) -> str:
    """Where Redis is, without a secret."""
    number = f"/{options['db']}" if options.get("db") else ""
    if "path" in options:
        return f"unix://{options['path']}{number}"
    return f"{options.get('host', 'localhost')}:{options.get('port', 6379)}{number}"
