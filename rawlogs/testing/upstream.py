"""The real server behind a cassette: what clients say goes there, what it answers comes back, and both are told."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from rawlogs.errors import RawlogsError
from rawlogs.rest.forward import ForwardingClient, forwardable_headers
from rawlogs.testing.model.subscriptions import Outgoing
from rawlogs.testing.net.rest_exchange import Answer, RestRequest
from rawlogs.testing.net.websocket_session import WebSocketSession, outgoing
from rawlogs.testing.recording_view import decoded
from rawlogs.wire.connection import Connection, Target, open_connection
from rawlogs.wire.events import WireEvent

if TYPE_CHECKING:
    from rawlogs.config.settings import Settings

Tell = Callable[[WireEvent], None]


class Upstream:
    """One real server, reached with its own settings whatever credentials the clients have.

    ``problem`` says why the server was not reached the last time; None where it was.
    """

    def __init__(self, settings: Settings, tell: Tell) -> None:
        self._settings = settings
        self._tell = tell
        self._rest = ForwardingClient(settings)
        self._connections = 0
        self.problem: str | None = None

    async def close(self) -> None:
        """Close what is open for REST."""
        await self._rest.close()

    async def ask(self, request: RestRequest) -> Answer:
        """One request, passed on; 502 where no answer came."""
        number = self._number()
        method, target = request.method, request.target
        try:
            passed = await self._rest.ask(method, target, request.headers, request.content)
        except RawlogsError as error:
            self.problem = f"{method} {target} was not answered: {error.text}"
            return Answer({"detail": self.problem}, 502)
        self.problem = None
        asked = exchange_events(
            number,
            (method, api_path(self._settings, target), forwardable_headers(request.headers), request.content),
            (passed.status, passed.headers, passed.content),
        )
        for event in asked:
            self._tell(event)
        return Answer(decoded(passed.content), passed.status, passed.headers, raw=passed.content)

    async def converse(self, line: WebSocketSession) -> None:
        """A conversation whose client has said its filter, from there to its end on either side."""
        frame = await line.read_filter()
        said: list[WireEvent] = []
        connection = await self._open(line, frame, said)
        try:
            line.become("subscribed")
            while True:
                await line.send_frames([_frame(payload) for payload in await connection.batch()])
        except RawlogsError:
            if not said:
                await line.drop()
            code = said[0].facts["code"]
            await line.close(None if code == 1005 else code, str(said[0].data or ""))
        finally:
            code = line.record.close_code
            try:
                if code is not None or not line.gone:
                    await connection.close(1000 if code in (None, 1005, 1006) else code)
            finally:  # also where the cassette ends while the close is awaited
                connection.abort()

    async def _open(self, line: WebSocketSession, frame: str | bytes, said: list[WireEvent]) -> Connection:
        """``said`` is where the server's close frame is put."""

        def tap(event: WireEvent) -> None:
            self._tell(event)
            if (event.direction, event.kind) == ("server", "close"):
                said.append(event)

        settings, address = self._settings, self._settings.address
        target = Target(
            url=address.events_url if line.record.channel == "events" else address.logs_url,
            token=settings.websocket_token,
            headers=settings.headers,
            tls=settings.ssl_context(),
            proxy=settings.proxy,
        )
        text = frame if isinstance(frame, str) else frame.decode("utf-8", "backslashreplace")
        try:
            connection = await open_connection(target, text, tap=tap, number=self._number())
        except RawlogsError as error:
            self.problem = f"{target.url} could not be opened: {error.text}"
            if said:
                with suppress(UnicodeError):
                    await line.close(said[0].facts["code"], str(said[0].data or ""))
            await line.drop()
            raise
        self.problem = None
        return connection

    def _number(self) -> int:
        self._connections += 1
        return self._connections - 1


def api_path(settings: Settings, target: str) -> str:
    """The whole path of what is asked below the API's base path."""
    return urlsplit(settings.api_url).path.rstrip("/") + target


def exchange_events(
    number: int,
    asked: tuple[str, str, Mapping[str, str], bytes],
    answered: tuple[int, Mapping[str, str], bytes],
) -> tuple[WireEvent, WireEvent]:
    """One request (method, path, headers, body) and its answer (status, headers, body) as a recording has them."""
    now = time.monotonic()
    method, path, headers, content = asked
    status, fields, body = answered
    facts: dict[str, Any] = {"method": method, "path": path, "headers": list(headers.items())}
    told: dict[str, Any] = {"status": status, "headers": list(fields.items())}
    return (
        WireEvent(now, number, "client", "request", _text(content), facts),
        WireEvent(now, number, "server", "response", _text(body), told),
    )


def _text(content: bytes) -> str | bytes | None:
    try:
        return content.decode() or None
    except UnicodeDecodeError:
        return content


def _frame(payload: bytes) -> Outgoing:
    try:
        return outgoing(payload.decode())
    except UnicodeDecodeError:
        return outgoing(payload)
