"""The subscribers of one socket path, and the queue of each, which drops what does not fit as Prefect's does."""

from __future__ import annotations

import asyncio
import collections
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any, Generic, NamedTuple, TypeVar

import orjson

Item = TypeVar("Item")


class Outgoing(NamedTuple):
    """A frame to be sent. ``id`` is that of its log or event; None for any other frame."""

    id: str | None
    payload: bytes
    binary: bool = False


def outgoing(frame: Mapping[str, Any] | str | bytes) -> Outgoing:
    """Return a frame without an id: an object as compact JSON, a str as text, bytes as a binary frame."""
    if isinstance(frame, bytes):
        return Outgoing(None, frame, binary=True)
    return Outgoing(None, frame.encode() if isinstance(frame, str) else orjson.dumps(frame))


class Subscription(Generic[Item]):
    """One subscriber's queue. A frame that does not fit is dropped silently, as in Prefect."""

    def __init__(self, accepts: Callable[[Item], bool], limit: int) -> None:
        self.accepts = accepts
        self._limit = limit
        self._queue: collections.deque[Outgoing] = collections.deque()
        self._filled = asyncio.Event()

    def offer(self, item: Item, frame: Callable[[], Outgoing]) -> None:
        """Queue the frame of an item that the filter accepts, where there is room."""
        if len(self._queue) < self._limit and self.accepts(item):
            self.push(frame())

    def push(self, frame: Outgoing) -> None:
        """Queue a frame whatever the filter and the limit say."""
        self._queue.append(frame)
        self._filled.set()

    async def take(self, most: int) -> list[Outgoing]:
        """Wait for frames; return at least one and at most ``most``."""
        while not self._queue:
            self._filled.clear()
            await self._filled.wait()
        return [self._queue.popleft() for _ in range(min(most, len(self._queue)))]

    def __len__(self) -> int:
        return len(self._queue)


class Subscriptions(list[Subscription[Item]]):
    """The subscriptions of one socket path; ``frame`` renders an item."""

    def __init__(self, frame: Callable[[Item], Outgoing]) -> None:
        super().__init__()
        self._frame = frame

    def publish(self, items: Iterable[Item]) -> None:
        """Offer each item to each subscriber. No sender runs meanwhile: a large burst overflows the queues."""
        for item in items:
            frame = cache(lambda item=item: self._frame(item))  # rendered once, and only where it is wanted
            for subscription in self:
                subscription.offer(item, frame)

    def push(self, frame: Outgoing) -> None:
        """Queue a frame for every subscriber, whatever its filter and limit."""
        for subscription in self:
            subscription.push(frame)
