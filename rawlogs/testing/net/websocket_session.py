"""One WebSocket conversation as Prefect has it: upgrade, auth, filter, logs for ever. Steps drive it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from rawlogs.testing.faults import ByTheRules
from rawlogs.testing.model import events, logs
from rawlogs.testing.model.handshake import (
    Closed,
    Refused,
    check_auth,
    check_filter,
    check_upgrade,
)
from rawlogs.testing.model.schemas import EventFilter, log_filter
from rawlogs.testing.model.subscriptions import Outgoing, Subscription, Subscriptions
from rawlogs.testing.net.faulty_writer import Ended
from rawlogs.testing.net.websocket import WebSocketChannel, offered

_CHUNK = 64
Shape = Callable[[list[Outgoing]], list[Outgoing]]


class WebSocketSession(WebSocketChannel):
    """The server's side of one conversation: each method goes as far as its name says, and does nothing
    twice.
    """

    _frame: str | bytes | None = None
    _judged = False
    _subscription: Subscription[Any] | None = None
    _chooses: Callable[[Any], bool] | None = None
    _backfill: tuple[Outgoing, ...] = ()
    _shapes: tuple[Shape, ...] = ()
    _legacy = False

    async def accept(self, subprotocol: str | None = ByTheRules, key: str | None = None) -> None:
        """Answer the upgrade, by the model's rules or with that subprotocol and accept key."""
        if self.record.state != "opening":
            return
        if subprotocol is ByTheRules:
            verdict = check_upgrade(self.record.channel, offered(self.request), self.state.behaviour)
            if isinstance(verdict, Refused):
                await self.refuse(verdict.status)
                return
            subprotocol = verdict.subprotocol
        self._legacy = subprotocol is None
        await self.upgrade(subprotocol, key)

    async def expect_auth(self, *, answer: bool = True) -> None:
        """Read the auth frame and answer it; in legacy mode there is none."""
        await self.accept()
        if self._legacy or self.record.state != "open" or self.record.auth is not None:
            return
        frame = await self.receive()
        self.record.auth = _object(frame)
        self.state.changed()
        if not answer:
            return
        verdict = check_auth(frame, self.state.behaviour)
        if isinstance(verdict, Closed):
            await self._end(verdict)
        self.become("authenticated")
        await self.send({"type": "auth_success"})

    async def read_filter(self) -> str | bytes:
        """Read the filter frame, whatever it says."""
        await self.expect_auth()
        if self._frame is None:
            self._frame = await self.receive()
            self.record.envelope = _object(self._frame)
            self.record.filter = (self.record.envelope or {}).get("filter")
            self.state.changed()
        return self._frame

    async def expect_filter(self, *, subscribe: bool = True) -> None:
        """Read the filter frame and subscribe."""
        frame = await self.read_filter()
        if self._judged:
            return
        self._judged = True
        on_events = self.record.channel == "events"
        model: Any = EventFilter if on_events else log_filter(self.state.behaviour)
        verdict = check_filter(frame, model)
        if isinstance(verdict, Closed):
            await self._end(verdict)
        elif subscribe:
            self._subscribe(*verdict)

    def _subscribe(self, chosen: Any, envelope: Mapping[str, Any]) -> None:
        behaviour = self.state.behaviour
        accepts: Any
        if self.record.channel == "events":
            accepts = events.accepts(chosen, self.state.now())
            self._chooses = events.fits(chosen)
            if envelope.get("backfill", True) and behaviour.events:
                self._backfill = tuple(map(_event, self.state.events.backfill(accepts)))
        else:
            accepts = logs.live(chosen)
            self._chooses = logs.live(chosen.model_copy(update={"timestamp": None}))
        self._subscription = Subscription(accepts, behaviour.queue)
        self._hub.subscriptions.append(self._subscription)
        self.become("subscribed")

    async def serve(self, frames: int | None = None) -> None:
        """The rest of the conversation, or as much of it as so many logs (or events) take."""
        await self.expect_filter()
        if self._subscription is None:
            await self.silence()
            return
        left = frames
        while left is None or left > 0:
            room = _CHUNK if left is None else min(left, _CHUNK)
            if self._backfill:
                batch, self._backfill = list(self._backfill[:room]), self._backfill[room:]
            else:
                batch = await self._subscription.take(room)
            for shape in self._shapes:
                batch = shape(batch)
            if batch:
                await self.send_frames(batch)
                self.record.sent.extend(frame.id for frame in batch if frame.id is not None)
                self.state.changed()
            left = None if left is None else left - len(batch)

    def chooses(self, item: Any) -> bool:
        """Whether this client's filter lets a log or an event through, were it not for times."""
        return self._chooses is not None and self._chooses(item)

    def shape(self, shape: Shape) -> None:
        """Let that function decide which of the waiting frames are sent, and in which order."""
        self._shapes += (shape,)

    async def send(self, frame: Mapping[str, Any] | str | bytes) -> None:
        """One frame at once, before what waits."""
        await self.send_frames([outgoing(frame)])

    def ended(self) -> None:
        if self._subscription in self._hub.subscriptions:
            self._hub.subscriptions.remove(self._subscription)

    @property
    def _hub(self) -> Subscriptions[Any]:
        return self.state.events.hub if self.record.channel == "events" else self.state.log_hub

    async def _end(self, verdict: Closed) -> None:
        if verdict.says is not None:
            await self.send(verdict.says)
        if verdict.code is None:
            await self.drop()
        await self.close(verdict.code, verdict.reason)
        raise Ended


def outgoing(frame: Mapping[str, Any] | str | bytes) -> Outgoing:
    """A frame that is no log: an object as compact JSON, a text as it is, bytes as a binary frame."""
    if isinstance(frame, bytes):
        return Outgoing(None, frame, binary=True)
    return Outgoing(None, frame.encode() if isinstance(frame, str) else orjson.dumps(frame))


def _object(frame: str | bytes) -> dict[str, Any] | None:
    try:
        message = orjson.loads(frame)
    except orjson.JSONDecodeError:
        return None
    return message if isinstance(message, dict) else None


def _event(event: dict[str, Any]) -> Outgoing:
    return Outgoing(event["id"], orjson.dumps({"type": "event", "event": event}))
