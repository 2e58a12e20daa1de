"""One WebSocket as Prefect serves it: upgrade, auth frame, filter frame, then logs or events without end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from rawlogs.testing.model import events, logs
from rawlogs.testing.model.handshake import Closed, Refused, check_auth, check_filter, check_upgrade
from rawlogs.testing.model.rest import json_object
from rawlogs.testing.model.schemas import EventFilter, log_filter
from rawlogs.testing.model.subscriptions import Outgoing, Subscription, Subscriptions, outgoing
from rawlogs.testing.net.websocket import WebSocketChannel

ByTheRules: Any = "by the rules"
"""Stands for the subprotocol that the modelled server would choose."""
Shape = Callable[[list[Outgoing]], list[Outgoing]]
_CHUNK = 64


class WebSocketSession(WebSocketChannel):
    """The server's side of one WebSocket. A method does what has to precede it, and nothing twice."""

    _frame: str | bytes | None = None
    _checked = False
    _subscription: Subscription[Any] | None = None
    _chooses: Callable[[Any], bool] | None = None
    _backfill: tuple[Outgoing, ...] = ()
    _shapes: tuple[Shape, ...] = ()
    _legacy = False

    async def accept(self, subprotocol: str | None = ByTheRules, key: str | None = None) -> None:
        """Answer the upgrade by the model's rules, or with this subprotocol (None: without) and accept key."""
        if self.record.state != "opening":
            return
        if subprotocol is ByTheRules:
            offered = self.request.headers.get_all("Sec-WebSocket-Protocol") if self.request else []
            try:
                subprotocol = check_upgrade(self.record.channel, offered, self.state.behaviour)
            except Refused:
                await self.refuse(403)
        self._legacy = subprotocol is None  # such a client sends its filter at once
        await self.upgrade(subprotocol, key)

    async def expect_auth(self, *, answer: bool = True) -> None:
        """Read the auth frame, and answer it by the model's rules; a legacy client sends none."""
        await self.accept()
        # A script may have read the frame already, or refused the upgrade.
        if self._legacy or self.record.state != "open" or self.record.auth is not None:
            return
        frame = await self.receive()
        self.record.auth = json_object(frame)
        self.state.changed()
        if not answer:
            return
        if (refusal := check_auth(frame, self.state.behaviour)) is not None:
            await self._end(refusal)
        self.become("authenticated")
        await self.send({"type": "auth_success"})

    async def read_filter(self) -> str | bytes:
        """Return the filter frame, whatever it holds."""
        await self.expect_auth()
        if self._frame is None:
            self._frame = await self.receive()
            self.record.envelope = json_object(self._frame)
            self.record.filter = (self.record.envelope or {}).get("filter")
            self.state.changed()
        return self._frame

    async def expect_filter(self, *, subscribe: bool = True) -> None:
        """Read the filter frame, close the connection where it is wrong, and subscribe the client."""
        frame = await self.read_filter()
        # A script may name the step, and Serve() after it.
        if self._checked:
            return
        self._checked = True
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
                self._backfill = tuple(map(events.outgoing, filter(accepts, self.state.events)))
        else:
            accepts = logs.live(chosen)
            # A recording's times are long past: its playback asks for logs of any time.
            self._chooses = logs.live(chosen.model_copy(update={"timestamp": None}))
        self._subscription = Subscription(accepts, behaviour.queue)
        self._subscribers.append(self._subscription)
        self.become("subscribed")

    async def serve(self, frames: int | None = None) -> None:
        """Do what is left of the handshake, and send what the client subscribed to, at most ``frames`` of it."""
        await self.expect_filter()
        if self._subscription is None:  # the filter was answered otherwise: nothing is ever sent
            await self.silence()
        left = frames
        # Old events come first, as from Prefect; what is posted meanwhile waits in the queue.
        while left is None or left > 0:
            room = _CHUNK if left is None else min(left, _CHUNK)
            if self._backfill:
                batch, self._backfill = list(self._backfill[:room]), self._backfill[room:]
            else:
                batch = await self._subscription.take(room)
            for shape in self._shapes:
                batch = shape(batch)
            await self.deliver(batch)
            left = None if left is None else left - len(batch)

    async def deliver(self, frames: list[Outgoing]) -> None:
        """Send frames and record the ids of the logs and events in them."""
        if frames:
            await self.send_frames(frames)
            self.record.sent.extend(frame.id for frame in frames if frame.id is not None)
            self.state.changed()

    def chooses(self, item: Any) -> bool:
        """Return whether the client's filter, without its times, lets a log or an event through."""
        return self._chooses is not None and self._chooses(item)

    def shape(self, shape: Shape) -> None:
        """Let this function decide which of the waiting frames are sent, and in which order."""
        self._shapes += (shape,)

    async def send(self, frame: Mapping[str, Any] | str | bytes) -> None:
        """Send one frame now, before those that wait."""
        await self.send_frames([outgoing(frame)])

    def ended(self) -> None:
        """Unsubscribe the client."""
        if self._subscription is not None:
            self._subscribers.remove(self._subscription)

    @property
    def _subscribers(self) -> Subscriptions[Any]:
        return self.state.event_subscribers if self.record.channel == "events" else self.state.log_subscribers

    async def _end(self, verdict: Closed) -> NoReturn:
        if verdict.message is not None:
            await self.send(verdict.message)
        if verdict.code is None:  # an error in the real server
            await self.drop()
        await self.close(verdict.code, verdict.reason)
