"""The bytes of one WebSocket on the server's side: websockets' protocol without I/O, and a task that reads."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import random
from collections.abc import Sequence
from typing import NoReturn

from websockets.exceptions import ProtocolError
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from rawlogs.testing.model.connection_log import Connection, State
from rawlogs.testing.model.state import ServerState
from rawlogs.testing.model.subscriptions import Outgoing
from rawlogs.testing.net.channel import BAD_REQUEST, Channel, Step
from rawlogs.testing.net.faulty_writer import Ended, FaultyWriter
from rawlogs.waiting import first_of, wait_until_set
from rawlogs.wire.logger import SERVER_WITHOUT_FRAMES

MAX_FRAME = 16 << 20
"""The largest frame that is taken from a client, in bytes (uvicorn's limit); a larger one gets close 1009."""
CLOSE_TIMEOUT = 5.0
"""Seconds to wait for the client's close frame."""


class WebSocketChannel(Channel):
    """One WebSocket: the upgrade, text and binary messages, pings, the close."""

    def __init__(
        self,
        state: ServerState,
        writer: FaultyWriter,
        rng: random.Random,
        reader: asyncio.StreamReader,
        request: bytes,
        record: Connection,
    ) -> None:
        super().__init__(state, writer, rng)
        self.record = record
        self.answers_close = True
        # The parameters that the websockets library gives its own servers.
        deflate = ServerPerMessageDeflateFactory(
            server_max_window_bits=12, client_max_window_bits=12, compress_settings={"memLevel": 5}
        )
        self._protocol = ServerProtocol(
            extensions=[deflate] if state.behaviour.compress else None,
            select_subprotocol=lambda _protocol, _offered: None,  # the session chooses it
            max_size=MAX_FRAME,
            logger=SERVER_WITHOUT_FRAMES,
        )
        self._protocol.receive_data(request)
        events = self._protocol.events_received()
        self.request = events[0] if events and isinstance(events[0], Request) else None
        """The upgrade request; None where websockets cannot read it."""
        self._reader = reader
        self._fragments: list[Frame] = []
        self._inbox: collections.deque[str | bytes] = collections.deque()
        self._arrived = asyncio.Event()
        self._upgraded = asyncio.Event()
        self._ponged = asyncio.Event()
        self._closed = asyncio.Event()

    async def run(self, steps: Sequence[Step]) -> None:
        """Play the steps until they or the client end the connection, and stay until the client leaves."""
        try:
            script = self._play_then_stay(steps)
            await first_of(script, self._read(), self._keep_alive(), self._until_closed())
        finally:
            self.ended()
            self.become("ended")

    async def _play_then_stay(self, steps: Sequence[Step]) -> None:
        await self.play(steps)
        await self._until_closed()

    async def _until_closed(self) -> None:
        await self._closed.wait()
        for _ in range(5):  # the script still reads what the client sent before it left
            await asyncio.sleep(0)

    def ended(self) -> None:
        """Release what the connection held; called once, at its end."""

    def become(self, state: State) -> None:
        """Record the connection's state, and let waiting conditions be checked."""
        self.record.state = state
        self.state.changed()

    async def refuse(self, status: int) -> NoReturn:
        """Answer the upgrade with an HTTP status and an empty body, and close the connection."""
        self.become("refused")
        await self.http(status, {}, b"")

    async def upgrade(self, subprotocol: str | None, key: str | None) -> None:
        """Answer the upgrade with 101; a request that is no valid upgrade is refused.

        key: the accept key to send instead of the right one.
        """
        if self.request is None:
            await self.writer.write(BAD_REQUEST)
            await self.drop()
        response = self._protocol.accept(self.request)
        if response.status_code != 101:
            await self.refuse(response.status_code)
        if subprotocol is not None:
            response.headers["Sec-WebSocket-Protocol"] = subprotocol
        if key is not None:
            # Headers can have several values: an assignment alone would add one.
            del response.headers["Sec-WebSocket-Accept"]
            response.headers["Sec-WebSocket-Accept"] = key
        self._protocol.send_response(response)
        self.become("open")
        await self._flush()
        self._upgraded.set()

    @property
    def gone(self) -> bool:
        """True once the connection is over, with a close frame of the client or without."""
        return self._closed.is_set()

    async def receive(self) -> str | bytes:
        """Return the client's next message."""
        while not self._inbox:
            self._arrived.clear()
            await self._arrived.wait()
        return self._inbox.popleft()

    async def send_frames(self, batch: Sequence[Outgoing]) -> None:
        """Send frames in one write. Raises Ended where the connection is closing."""
        if self._protocol.state is not OPEN:
            raise Ended
        if self._protocol.extensions:
            for frame in batch:
                (self._protocol.send_binary if frame.binary else self._protocol.send_text)(frame.payload)
            await self._flush()
        else:  # without compression a frame is its head and the payload; this is ten times as fast
            opcodes = (Opcode.TEXT, Opcode.BINARY)
            await self.writer.write(
                b"".join(frame_bytes(opcodes[frame.binary], frame.payload) for frame in batch)
            )

    async def close(self, code: int | None, reason: str = "") -> NoReturn:
        """Send a close frame with any code (None: without one), wait for the client's, and close the connection."""
        if self._protocol.state is OPEN:
            try:
                self._protocol.send_close(code, reason)
            except ProtocolError:  # a code that the RFC forbids, such as 1006: sent anyway
                payload = (code or 0).to_bytes(2, "big") + reason.encode()
                await self.writer.write(frame_bytes(Opcode.CLOSE, payload))
            await self._flush()
        await wait_until_set(self._closed, CLOSE_TIMEOUT)
        await self.drop()

    async def leave(self, code: int, reason: str) -> None:
        """Close the connection from outside its script, as a server that goes down does."""
        if self.record.state == "opening":  # before the upgrade there is no close frame
            self.cut()
            return
        with contextlib.suppress(Ended):
            await self.close(code, reason)

    def cut(self, *, reset: bool = False) -> None:
        """End the connection from outside its script, without a close frame."""
        self.writer.abort() if reset else self.writer.close_now()
        self._closed.set()

    async def _flush(self) -> None:
        data = b"".join(self._protocol.data_to_send())
        if data and not self.mute:
            await self.writer.write(data)

    async def _read(self) -> None:
        try:
            while data := await self._reader.read(1 << 16):
                self._protocol.receive_data(data)
                self._take_in()
                await self._reply()
        except (OSError, Ended):  # the client is gone, or this side cut the connection
            pass
        self._closed.set()
        await self._until_closed()

    async def _reply(self) -> None:
        data = self._protocol.data_to_send()
        # A half-open connection answers nothing; Stall("close") leaves the client's close frame unanswered.
        if self.mute or (self._protocol.close_rcvd is not None and not self.answers_close):
            return
        if payload := b"".join(data):
            await self.writer.write(payload)
        if b"" in data:  # how websockets says that the stream is to be ended
            await self.writer.finish()

    def _take_in(self) -> None:
        # Pings are not among these kinds: the protocol has queued their pongs already.
        for event in self._protocol.events_received():
            assert isinstance(event, Frame)
            if event.opcode == Opcode.CLOSE and self._protocol.close_rcvd is not None:
                self.record.close_code = self._protocol.close_rcvd.code
                self.record.close_reason = self._protocol.close_rcvd.reason
            elif event.opcode == Opcode.PONG:
                self.record.pongs += 1
                self._ponged.set()
            elif event.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
                self._take_message(event)
        self.state.changed()

    def _take_message(self, frame: Frame) -> None:
        self._fragments.append(frame)
        # A message may come in fragments (RFC 6455, section 5.4).
        if not frame.fin:
            return
        data = b"".join(part.data for part in self._fragments)
        is_text = self._fragments[0].opcode == Opcode.TEXT
        self._fragments = []
        message = data.decode("utf-8", "replace") if is_text else data
        self.record.frames.append(message)
        self._inbox.append(message)
        self._arrived.set()

    async def _keep_alive(self) -> None:
        await self._upgraded.wait()
        behaviour = self.state.behaviour
        if behaviour.ping_interval is None:
            await self.silence()
        while True:
            await asyncio.sleep(behaviour.ping_interval)
            if self._protocol.state is not OPEN or self.mute:
                await self.silence()
            self._ponged.clear()
            self._protocol.send_ping(b"fake")
            await self._flush()
            if not await wait_until_set(self._ponged, behaviour.ping_timeout):
                await self.close(1011, "keepalive ping timeout")


def frame_bytes(opcode: int, payload: bytes) -> bytes:
    """Return one whole, unmasked frame."""
    size = len(payload)
    first = 0x80 | opcode
    if size < 126:
        return bytes((first, size)) + payload
    if size < 1 << 16:
        return bytes((first, 126)) + size.to_bytes(2, "big") + payload
    return bytes((first, 127)) + size.to_bytes(8, "big") + payload
