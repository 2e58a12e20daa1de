"""One TCP connection: HTTP requests one after another, until one of them asks for a WebSocket."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

import h11

from rawlogs.testing.model.connection_log import Connection
from rawlogs.testing.net.access import Refusal
from rawlogs.testing.net.channel import BAD_REQUEST, Channel
from rawlogs.testing.net.faulty_writer import Ended, FaultyWriter
from rawlogs.testing.net.rest_exchange import RestExchange, RestRequest
from rawlogs.testing.net.websocket_session import WebSocketSession

if TYPE_CHECKING:
    from rawlogs.testing.server import FakeServer


class ClientConnection:
    """The server's side of one client's TCP connection."""

    def __init__(
        self, server: FakeServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._server = server
        self._reader = reader
        self.pipe = FaultyWriter(writer)
        self.conversation: WebSocketSession | None = None
        self._received = b""

    async def run(self) -> None:
        """Serve until either side ends the line."""
        http = h11.Connection(h11.SERVER)
        try:
            while (request := await self._request(http)) is not None:
                if (refusal := self._server.refusal(request)) is not None:
                    await self._refuse(refusal)
                if request.headers.get("upgrade", "").lower() == "websocket":
                    await self._converse(request)
                    break
                await self._answer(http, request)
                if http.our_state is not h11.DONE:
                    break
                http.start_next_cycle()
                self._received = http.trailing_data[0]
        except Ended:
            pass
        except h11.RemoteProtocolError:
            await self.pipe.write(BAD_REQUEST)
        except (ConnectionError, asyncio.CancelledError):
            self.pipe.close_now()
            raise
        finally:
            self.pipe.close_now()

    async def _request(self, http: h11.Connection) -> RestRequest | None:
        head: h11.Request | None = None
        body = b""
        while True:
            event = http.next_event()
            if event is h11.NEED_DATA:
                data = await self._reader.read(1 << 16)
                self._received = self._received + data if head is None else b""
                http.receive_data(data)
            elif isinstance(event, h11.Request):
                head = event
                if any(name == b"upgrade" for name, _ in head.headers):
                    return self._parsed(head, b"")
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                assert head is not None
                return self._parsed(head, body)
            else:
                return None

    def _parsed(self, head: h11.Request, body: bytes) -> RestRequest:
        asked = head.target.decode("latin-1")
        path, _, written = asked.partition("?")
        headers: dict[str, str] = {}
        for raw_name, raw_value in head.headers:
            name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        query = dict(parse_qsl(written, keep_blank_values=True))
        return RestRequest(head.method.decode("latin-1"), path, query, headers, body, asked)

    async def _refuse(self, refusal: Refusal) -> None:
        line = Channel(self._server.state, self.pipe, self._server.rng(0))
        await line.http(refusal.status, {}, f"{refusal.text}\n".encode())

    async def _converse(self, request: RestRequest) -> None:
        offered = request.headers.get("sec-websocket-protocol", "")
        record = Connection(
            number=0,
            path=request.path,
            headers=dict(request.headers),
            subprotocols=[name.strip() for name in offered.split(",") if name.strip()],
            channel=self._server.channel(request.path),
        )
        server = self._server
        steps = server.admit(record)
        self.conversation = WebSocketSession(
            server.state, self.pipe, server.rng(record.number), self._reader, self._received, record
        )
        try:
            await self.conversation.run(steps)
        finally:
            self.conversation = None

    async def _answer(self, http: h11.Connection, request: RestRequest) -> None:
        server = self._server
        request, steps = server.receive(request)
        answer = await server.answer(request)
        exchange = RestExchange(server.state, self.pipe, server.rng(0), http, request, answer)
        await exchange.play(steps)
