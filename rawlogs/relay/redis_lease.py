"""Who may write: one relay at a time, by a lease in Redis that expires when its holder is gone."""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable
from contextlib import suppress

from rawlogs.clock import Clock
from rawlogs.delivery.retry import delay
from rawlogs.errors import ConfigError, ConnectError, RawlogsError
from rawlogs.relay.redis_store import Standing, Store

SHORTEST = 0.2


class Lease:
    """The lease of one relay. Every write carries ``token`` and extends the lease; Redis refuses any other token.

    So nothing depends on this process noticing in time that it is not the holder any more.
    """

    def __init__(self, store: Store, seconds: float, *, clock: Clock, rng: random.Random) -> None:
        if seconds < SHORTEST:
            raise ConfigError(f"a lease of less than {SHORTEST} s cannot be held", setting="--lease")
        self._store = store
        self._clock = clock
        self._rng = rng
        self.seconds = seconds
        self.token = ""

    @property
    def third(self) -> float:
        """Seconds after which it has to be extended: two attempts may fail."""
        return self.seconds / 3

    async def wait(
        self, on_busy: Callable[[], None], on_error: Callable[[RawlogsError | None, float], None]
    ) -> Standing:
        """Wait until the lease is free, and take it. Raises AuthError and ConfigError of Redis.

        ``on_busy`` is called whenever another relay has it; ``on_error`` when Redis does not answer (None: again).
        """
        self.token = secrets.token_hex(8)
        failures = 0
        while True:
            try:
                standing = await self._store.take(self.token, self.seconds)
            except ConnectError as error:
                seconds = delay(failures, 0.0, self._rng)
                failures += 1
                on_error(error, seconds)
                await self._clock.sleep(seconds)
                continue
            if failures:
                failures = 0
                on_error(None, 0.0)
            if standing is not None:
                return standing
            on_busy()
            await self._clock.sleep(self.third * self._rng.uniform(0.5, 1.0))

    async def regain(self) -> Standing | None:
        """Take it again after it has expired; None where another relay has it. Raises ConnectError."""
        self.token = secrets.token_hex(8)
        return await self._store.take(self.token, self.seconds)

    async def give_up(self) -> None:
        """Let the next one have it at once; where Redis does not answer, it expires."""
        with suppress(RawlogsError):
            await self._store.give_up(self.token)
