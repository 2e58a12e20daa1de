"""HTTP of one TCP connection: reads requests, and answers them with what may go wrong in between."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from urllib.parse import parse_qsl

import h11

from rawlogs.testing.model.rest import Answer, RestRequest
from rawlogs.testing.net.channel import Channel


class RequestReader:
    """Reads the requests of one connection. ``received`` holds the bytes of the last request's head."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self.http = h11.Connection(h11.SERVER)
        self.received = b""

    async def read(self) -> RestRequest | None:
        """Return the next request; None at the end. Raises h11.RemoteProtocolError for what is no HTTP.

        Of an upgrade only the head is read: the WebSocket library reads it again from ``received``.
        """
        head: h11.Request | None = None
        body = b""
        while True:
            event = self.http.next_event()
            if event is h11.NEED_DATA:
                data = await self._reader.read(1 << 16)
                self.received = self.received + data if head is None else b""
                self.http.receive_data(data)
            elif isinstance(event, h11.Request):
                head = event
                if any(name == b"upgrade" for name, _ in head.headers):
                    return _request(head, b"")
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                assert head is not None
                return _request(head, body)
            else:  # the client has closed the connection
                return None

    def next(self) -> bool:
        """Prepare for the next request on this connection; return False where there can be none."""
        if self.http.our_state is not h11.DONE:
            return False
        self.http.start_next_cycle()
        self.received = self.http.trailing_data[0]
        return True


@dataclass(eq=False)
class RestExchange(Channel):
    """The server's side of one request. ``connection`` keeps the state of HTTP; ``answer`` is the right one."""

    connection: h11.Connection
    answer: Answer
    _answered = False

    async def serve(self, frames: int | None = None) -> None:
        """Send the right answer, once."""
        if self._answered:  # a script may say Serve() twice
            return
        self._answered = True
        head, content = self._rendered()
        lines = (line.partition(b": ") for line in head.split(b"\r\n")[1:-2])
        headers = [(name, value) for name, _, value in lines]
        # h11 only keeps count of the connection's state; the bytes go through the faulty writer.
        self.connection.send(h11.Response(status_code=self.answer.status, headers=headers))
        self.connection.send(h11.Data(data=content))
        self.connection.send(h11.EndOfMessage())
        await self.writer.write(head + content)
        if self.answer.hangs_up:
            await self.drop()

    async def truncated(self, keep: int) -> None:
        """Send the right answer's head and only ``keep`` bytes of its body, and close the connection."""
        head, content = self._rendered()
        await self.writer.write(head + content[:keep])
        await self.drop()

    def _rendered(self) -> tuple[bytes, bytes]:
        content = self.answer.content
        fields = {"content-type": "application/json", **self.answer.headers}
        return self.head(self.answer.status, fields, len(content)), content


def _request(head: h11.Request, body: bytes) -> RestRequest:
    target = head.target.decode("latin-1")
    path, _, query = target.partition("?")
    headers: dict[str, str] = {}
    for raw_name, raw_value in head.headers:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        # RFC 9110, section 5.3: a repeated header is one header with a list.
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    fields = dict(parse_qsl(query, keep_blank_values=True))
    return RestRequest(head.method.decode("latin-1"), path, fields, headers, body, target)
