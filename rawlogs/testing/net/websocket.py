"""The bytes of one WebSocket: the library's machine without I/O, a reader, and what misbehaves on purpose."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import random
from collections.abc import Coroutine, Sequence
from typing import Any

from websockets.exceptions import ProtocolError
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from rawlogs.testing.faults import Step
from rawlogs.testing.model.connection_log import Connection, State
from rawlogs.testing.model.state import ServerState
from rawlogs.testing.model.subscriptions import Outgoing
from rawlogs.testing.net.channel import BAD_REQUEST, Channel
from rawlogs.testing.net.faulty_writer import Ended, FaultyWriter
from rawlogs.testing.net.frames import Assembler, frame_bytes
from rawlogs.wire.logger import SERVER_WITHOUT_FRAMES

MAX_FRAME = 16 << 20
"""The largest frame that the server takes from a client; a larger one is answered with close 1009."""
CLOSE_TIMEOUT = 5.0
"""Seconds to wait for the client's close frame."""
_OFFER = "sec-websocket-protocol"


class WebSocketChannel(Channel):
    """A Channel that speaks WebSocket. It knows no messages but text and binary."""

    def __init__(
        self,
        state: ServerState,
        pipe: FaultyWriter,
        rng: random.Random,
        reader: asyncio.StreamReader,
        request: bytes,
        record: Connection,
    ) -> None:
        super().__init__(state, pipe, rng)
        self.record = record
        self.answers_close = True
        deflate = ServerPerMessageDeflateFactory(
            server_max_window_bits=12, client_max_window_bits=12, compress_settings={"memLevel": 5}
        )
        self._protocol = ServerProtocol(
            extensions=[deflate] if state.behaviour.compress else None,
            select_subprotocol=lambda _protocol, _offered: None,
            max_size=MAX_FRAME,
            logger=SERVER_WITHOUT_FRAMES,
        )
        self._protocol.receive_data(request)
        events = self._protocol.events_received()
        self.request = events[0] if events and isinstance(events[0], Request) else None
        """The upgrade request; None where the library cannot read it."""
        self._reader = reader
        self._assembler = Assembler()
        self._inbox: collections.deque[str | bytes] = collections.deque()
        self._arrived = asyncio.Event()
        self._ponged = asyncio.Event()
        self._closed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def run(self, steps: Sequence[Step]) -> None:
        """Play the steps until they or the client end the conversation, and stay until the client leaves."""
        self._start(self._read())
        script = asyncio.ensure_future(self._play_then_stay(steps))
        closed = asyncio.ensure_future(self._closed.wait())
        try:
            await asyncio.wait({script, closed}, return_when=asyncio.FIRST_COMPLETED)
            for _ in range(5):  # let the script see what the client said before it left
                await asyncio.sleep(0)
        finally:
            for task in (script, closed, *self._tasks):
                task.cancel()
            results = await asyncio.gather(script, closed, *self._tasks, return_exceptions=True)
            self.ended()
            self.become("ended")
        for result in results:
            if isinstance(result, Exception) and not isinstance(result, Ended):
                raise result

    async def _play_then_stay(self, steps: Sequence[Step]) -> None:
        await self.play(steps)
        await self._closed.wait()

    def ended(self) -> None:
        """The line is over."""

    def become(self, state: State) -> None:
        self.record.state = state
        self.state.changed()

    async def refuse(self, status: int) -> None:
        """Answer the upgrade with an HTTP status and an empty body, and end the line."""
        self.become("refused")
        await self.http(status, {}, b"")

    async def upgrade(self, subprotocol: str | None, key: str | None) -> None:
        """Answer the upgrade with 101, where it is a valid one."""
        if self.request is None:
            await self.pipe.write(BAD_REQUEST)
            await self.drop()
            return
        response = self._protocol.accept(self.request)
        if response.status_code != 101:
            await self.refuse(response.status_code)
        if subprotocol is not None:
            response.headers["Sec-WebSocket-Protocol"] = subprotocol
        if key is not None:
            del response.headers["Sec-WebSocket-Accept"]
            response.headers["Sec-WebSocket-Accept"] = key
        self._protocol.send_response(response)
        self.become("open")
        await self._flush()
        behaviour = self.state.behaviour
        if behaviour.ping_interval is not None:
            self._start(self._keep_alive(behaviour.ping_interval, behaviour.ping_timeout))

    @property
    def gone(self) -> bool:
        """Whether the client has ended the line, with a close frame or without."""
        return self._closed.is_set()

    async def receive(self) -> str | bytes:
        """The client's next message."""
        while not self._inbox:
            self._arrived.clear()
            await self._arrived.wait()
        return self._inbox.popleft()

    async def send_frames(self, batch: Sequence[Outgoing]) -> None:
        """Frames in one write. Raises Ended where the conversation is over."""
        if self._protocol.state is not OPEN:
            raise Ended
        if self._protocol.extensions:
            for frame in batch:
                (self._protocol.send_binary if frame.binary else self._protocol.send_text)(frame.payload)
            await self._flush()
        else:
            await self.pipe.write(b"".join(map(_bytes, batch)))

    async def close(self, code: int | None, reason: str = "") -> None:
        """A close frame, any code; then wait for the client's, a few seconds, and end the line."""
        if self._protocol.state is OPEN:
            try:
                self._protocol.send_close(code, reason)
            except ProtocolError:  # a code that must not be sent, which is the point
                payload = (code or 0).to_bytes(2, "big") + reason.encode()
                await self.pipe.write(frame_bytes(Opcode.CLOSE, payload))
            await self._flush()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._closed.wait(), CLOSE_TIMEOUT)
        await self.drop()

    async def leave(self, code: int, reason: str) -> None:
        """End the conversation from outside its script: the server is going away."""
        if self.record.state == "opening":
            self.cut()
            return
        with contextlib.suppress(Ended):
            await self.close(code, reason)

    def cut(self, *, reset: bool = False) -> None:
        """End the line from outside, without a close frame."""
        self.pipe.abort() if reset else self.pipe.close_now()
        self._closed.set()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.ensure_future(work))

    async def _flush(self) -> None:
        data = b"".join(self._protocol.data_to_send())
        if data and not self.mute:
            await self.pipe.write(data)

    async def _read(self) -> None:
        try:
            while data := await self._reader.read(1 << 16):
                self._protocol.receive_data(data)
                self._take_in()
                await self._reply()
        except (ConnectionError, OSError, Ended):
            pass
        self._closed.set()

    async def _reply(self) -> None:
        data = self._protocol.data_to_send()
        if self.mute or (self._protocol.close_rcvd is not None and not self.answers_close):
            return
        if payload := b"".join(data):
            await self.pipe.write(payload)
        if b"" in data:  # the library's word for the end of the stream
            await self.pipe.finish()

    def _take_in(self) -> None:
        for event in self._protocol.events_received():
            assert isinstance(event, Frame)
            if event.opcode == Opcode.CLOSE and self._protocol.close_rcvd is not None:
                self.record.close_code = self._protocol.close_rcvd.code
                self.record.close_reason = self._protocol.close_rcvd.reason
            elif event.opcode == Opcode.PONG:
                self.record.pongs += 1
                self._ponged.set()
            elif (message := self._assembler.feed(event)) is not None:
                self.record.frames.append(message)
                self._inbox.append(message)
                self._arrived.set()
        self.state.changed()

    async def _keep_alive(self, interval: float, timeout: float | None) -> None:
        while True:
            await asyncio.sleep(interval)
            if self._protocol.state is not OPEN or self.mute:
                return
            self._ponged.clear()
            self._protocol.send_ping(b"fake")
            await self._flush()
            try:
                await asyncio.wait_for(self._ponged.wait(), timeout)
            except asyncio.TimeoutError:
                await self.close(1011, "keepalive ping timeout")


def offered(request: Request | None) -> list[str]:
    """The raw subprotocol headers of an upgrade request."""
    pairs = request.headers.raw_items() if request is not None else ()
    return [value for name, value in pairs if name.lower() == _OFFER]


def _bytes(frame: Outgoing) -> bytes:
    return frame_bytes(Opcode.BINARY if frame.binary else Opcode.TEXT, frame.payload)
