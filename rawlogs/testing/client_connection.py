"""One client's TCP connection: HTTP requests one after another, until one of them asks for a WebSocket."""

from __future__ import annotations

import asyncio
import contextlib

import h11

from rawlogs.testing.model.rest import RestRequest
from rawlogs.testing.net.channel import BAD_REQUEST, Channel
from rawlogs.testing.net.faulty_writer import Ended, FaultyWriter
from rawlogs.testing.net.http import RequestReader, RestExchange
from rawlogs.testing.net.websocket_session import WebSocketSession
from rawlogs.testing.router import Router


class ClientConnection:
    """The server's side of one TCP connection. ``session`` is its WebSocket while there is one."""

    def __init__(self, router: Router, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._router = router
        self._reader = reader
        self._writer = FaultyWriter(writer)
        self.session: WebSocketSession | None = None

    async def run(self) -> None:
        """Serve until either side ends the connection."""
        requests = RequestReader(self._reader)
        try:
            while (request := await requests.read()) is not None:
                if (refusal := self._router.refusal(request)) is not None:
                    channel = Channel(self._router.state, self._writer, self._router.rng(0))
                    # It ends the connection: the rest of what a refused client sends is not read.
                    await channel.http(refusal.status, {}, f"{refusal.text}\n".encode())
                if request.headers.get("upgrade", "").lower() == "websocket":
                    await self._serve_websocket(request, requests.received)
                    break
                await self._answer(request, requests.http)
                if not requests.next():
                    break
        except Ended:
            pass
        except h11.RemoteProtocolError:
            with contextlib.suppress(Ended):  # the client is gone already
                await self._writer.write(BAD_REQUEST)
        finally:
            self._writer.close_now()

    async def _serve_websocket(self, request: RestRequest, received: bytes) -> None:
        router = self._router
        record, steps = router.connect(request)
        self.session = WebSocketSession(
            router.state, self._writer, router.rng(record.number), self._reader, received, record
        )
        try:
            await self.session.run(steps)
        finally:
            self.session = None

    async def _answer(self, request: RestRequest, http: h11.Connection) -> None:
        router = self._router
        request, steps = router.receive(request)
        answer = await router.responder.answer(request)
        await RestExchange(router.state, self._writer, router.rng(0), http, answer).play(steps)
