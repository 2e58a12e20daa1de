"""Who is subscribed, and what waits for them: the queue of 256 that loses logs."""

from __future__ import annotations

import asyncio
import collections
from collections.abc import Callable, Iterable
from typing import Generic, NamedTuple, TypeVar

Item = TypeVar("Item")


class Outgoing(NamedTuple):
    """A frame on its way out; ``id`` is the log's or event's, None for what is neither."""

    id: str | None
    payload: bytes
    binary: bool = False


class Subscription(Generic[Item]):
    """One subscriber's queue of frames. What does not fit is dropped without a word, as Prefect does it."""

    def __init__(self, accepts: Callable[[Item], bool], limit: int) -> None:
        self.accepts = accepts
        self._limit = limit
        self._queue: collections.deque[Outgoing] = collections.deque()
        self._filled = asyncio.Event()
        self.dropped = 0

    def offer(self, item: Item, id: str, frame: Callable[[], bytes]) -> None:
        if not self.accepts(item):
            return
        if len(self._queue) >= self._limit:
            self.dropped += 1
            return
        self.push(Outgoing(id, frame()))

    def push(self, frame: Outgoing) -> None:
        """Queue a frame whatever the filter and the limit say."""
        self._queue.append(frame)
        self._filled.set()

    async def take(self, most: int) -> list[Outgoing]:
        """The next frames, at least one, at most so many."""
        while not self._queue:
            self._filled.clear()
            await self._filled.wait()
        return [self._queue.popleft() for _ in range(min(most, len(self._queue)))]

    def __len__(self) -> int:
        return len(self._queue)


class Subscriptions(Generic[Item]):
    """All subscriptions of one channel."""

    def __init__(self) -> None:
        self.subscriptions: list[Subscription[Item]] = []

    def publish(
        self, items: Iterable[Item], id: Callable[[Item], str], frame: Callable[[Item], bytes]
    ) -> None:
        """Offer each item to each subscriber, in one go: no sender runs meanwhile."""
        for item in items:
            made: list[bytes] = []

            def once(item: Item = item, made: list[bytes] = made) -> bytes:
                if not made:
                    made.append(frame(item))
                return made[0]

            for subscription in self.subscriptions:
                subscription.offer(item, id(item), once)
