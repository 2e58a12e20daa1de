"""The real server behind a cassette: passes requests and WebSockets on to it, and reports both directions."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from rawlogs.errors import RawlogsError
from rawlogs.rest.forward import ForwardingClient, forwardable_headers
from rawlogs.testing.model.rest import Answer, RestRequest, json_value
from rawlogs.testing.model.subscriptions import outgoing
from rawlogs.testing.net.websocket_session import WebSocketSession
from rawlogs.wire.connection import Connection, Target, open_connection
from rawlogs.wire.events import WireEvent

if TYPE_CHECKING:
    from rawlogs.config.settings import Settings


class Upstream:
    """One real server, reached with its own settings whatever credentials the clients send.

    record: called with each wire event of both directions.
    problem: why the last attempt to reach the server failed; None where it did not.
    """

    def __init__(self, settings: Settings, record: Callable[[WireEvent], None]) -> None:
        self._settings = settings
        self._record = record
        self._rest = ForwardingClient(settings)
        self._connections = 0
        self.problem: str | None = None

    async def close(self) -> None:
        """Close the REST connections."""
        await self._rest.close()

    async def ask(self, request: RestRequest) -> Answer:
        """Pass a request on, and return its answer; 502 where none came."""
        number = self._number()
        method, target = request.method, request.target
        try:
            passed = await self._rest.ask(method, target, request.headers, request.content)
        except RawlogsError as error:
            self.problem = f"{method} {target} was not answered: {error.text}"
            return Answer({"detail": self.problem}, 502)
        self.problem = None  # what failed before may have been asked once more
        answered = forwardable_headers(passed.headers)
        path, sent = api_path(self._settings, target), forwardable_headers(request.headers)
        asked = (method, path, sent, request.content)
        for event in exchange_events(number, asked, (passed.status, answered, passed.body)):
            self._record(event)
        return Answer(json_value(passed.body), passed.status, answered, raw=passed.body)

    async def converse(self, channel: WebSocketSession) -> None:
        """Connect a client that has sent its filter to the server, until either side ends the connection."""
        frame = await channel.read_filter()
        closes: list[WireEvent] = []
        connection = await self._open(channel, frame, closes)
        try:
            channel.become("subscribed")
            while True:
                await channel.send_frames(
                    [outgoing(_text(payload) or "") for payload in await connection.batch()]
                )
        except RawlogsError:
            if not closes:  # the server cut the connection: so is the client's
                await channel.drop()
            code = closes[0].facts["code"]
            # 1005 stands for a close frame without a code (RFC 6455, section 7.4.1); it is never sent.
            await channel.close(None if code == 1005 else code, str(closes[0].data or ""))
        finally:
            code = channel.record.close_code
            try:
                if (
                    code is not None or not channel.gone
                ):  # the client has closed in order, or the task is cancelled
                    await connection.close(1000 if code in (None, 1005, 1006) else code)
            finally:  # the wait for the server's close frame may be cancelled
                connection.abort()

    async def _open(
        self, channel: WebSocketSession, frame: str | bytes, closes: list[WireEvent]
    ) -> Connection:
        """Open the server's WebSocket. The server's close frame is appended to ``closes``."""

        def tap(event: WireEvent) -> None:
            self._record(event)
            if (event.direction, event.kind) == ("server", "close"):
                closes.append(event)

        # Without a URL the target is the socket for logs.
        events = self._settings.address.events_url if channel.record.channel == "events" else None
        target = Target.of(self._settings, events)
        text = frame if isinstance(frame, str) else frame.decode("utf-8", "backslashreplace")
        try:
            connection = await open_connection(target, text, tap=tap, number=self._number())
        except RawlogsError as error:
            self.problem = f"{target.url} could not be opened: {error.text}"
            if closes:
                with suppress(UnicodeError):  # a reason that no close frame can carry
                    await channel.close(closes[0].facts["code"], str(closes[0].data or ""))
            await channel.drop()
            raise
        self.problem = None
        return connection

    def _number(self) -> int:
        self._connections += 1
        return self._connections - 1


def api_path(settings: Settings, target: str) -> str:
    """Return the whole path of a target below the API's base path."""
    return urlsplit(settings.api_url).path.rstrip("/") + target


def exchange_events(
    number: int,
    asked: tuple[str, str, Mapping[str, str], bytes],
    answered: tuple[int, Mapping[str, str], bytes],
) -> tuple[WireEvent, WireEvent]:
    """Return a request (method, path, headers, body) and its answer (status, headers, body) as wire events."""
    now = time.monotonic()
    method, path, headers, content = asked
    status, fields, body = answered
    facts: dict[str, Any] = {"method": method, "path": path, "headers": list(headers.items())}
    answer_facts: dict[str, Any] = {"status": status, "headers": list(fields.items())}
    return (
        WireEvent(now, number, "client", "request", _text(content), facts),
        WireEvent(now, number, "server", "response", _text(body), answer_facts),
    )


def _text(content: bytes) -> str | bytes | None:
    try:
        return content.decode() or None
    except UnicodeDecodeError:
        return content
