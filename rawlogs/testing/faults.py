"""The steps of a script: what can happen on a connection, as values.

A connection is a list of steps, run in order. Without a script it is ``[Serve()]``: behave like Prefect. A script
names every step; ``fault`` puts its steps before that ``Serve()``::

    server.script([Accept(), ExpectAuth(), ExpectFilter(), Send(log), Drop()], connection=0)
    server.script([Serve(logs=3), Drop()], connection=1)        # like Prefect for three logs, then cut off
    server.fault("logs", Http(503, {"Retry-After": "1"}), times=2)
    server.fault("logs", Slice(1))                              # all bytes one by one
    server.fault("rest", Http(500), times=3, path="/logs/filter")

    step                        socket  REST    what happens
    Serve(logs)                   x      x      serve like Prefect (until that many frames were sent)
    Sleep(seconds)                x      x      wait that many seconds
    Http(status, headers, body)   x      x      send this HTTP answer instead of the right one
    Redirect(location, status)    x      x      send an HTTP redirect
    Html()                        x      x      send a login page with status 200, as a captive portal does
    EmptyPage()                          x      send an empty list with status 200
    Truncate(keep)                       x      send the right answer's head and only that many bytes of its body
    Raw(data)                     x      x      send these bytes, whatever they mean
    Blackhole()                   x      x      send nothing for ever, no pongs either; the connection stays open
    Drop()                        x      x      close the TCP connection without a close frame
    Abort()                       x      x      reset the TCP connection; what was just sent may be lost
    Slice(size, pause)            x      x      send all further bytes in slices
    Throttle(rate)                x      x      send that many bytes a second from here on
    CutAfter(size, reset)         x      x      close (or reset) the connection after that many more bytes
    Linger(seconds)               x      x      close the connection that many seconds late
    Accept(subprotocol, key)      x             accept the upgrade, by the model's rules or as told
    NoSubprotocol()               x             accept the upgrade without the subprotocol
    WrongAccept()                 x             accept the upgrade with a wrong Sec-WebSocket-Accept
    ExpectAuth(answer)            x             read the auth frame; answer it by the model's rules, or not
    ExpectFilter(subscribe)       x             read the filter frame; subscribe the client, or not
    Stall(at)                     x             serve up to that point, then send nothing but pongs
    AuthFailure(reason)           x             read the auth frame, and refuse it as Prefect Cloud does
    Send(*what)                   x             send frames: a dict or text as it is, bytes as a binary frame
    BadFrame(data)                x             serve up to the filter, then send this text
    Close(code, reason)           x             send a close frame with any code, and wait for the client's
    Duplicate()                   x             send every log frame twice
    Late(by)                      x             send the first log frame only after that many others
    Reorder()                     x             send what waits at one moment in a random order (seeded)
    Lose(every)                   x             drop every Nth log frame
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from rawlogs.testing.model.bounds import Amount, CloseCode, Count, Rate, Seconds, Status
from rawlogs.testing.model.subscriptions import Outgoing
from rawlogs.testing.net.channel import Channel
from rawlogs.testing.net.channel import Step as Step
from rawlogs.testing.net.http import RestExchange
from rawlogs.testing.net.websocket_session import ByTheRules as ByTheRules
from rawlogs.testing.net.websocket_session import WebSocketSession

Where = Literal["logs", "events", "rest"]


class SocketStep(Step):
    """A step that only a WebSocket can take."""

    on_rest = False


class RestStep(Step):
    """A step that only a REST request can take."""

    on_socket = False


@dataclass(frozen=True)
class Serve(Step):
    logs: Amount | None = None

    async def act(self, channel: Channel) -> None:
        await channel.serve(self.logs)


@dataclass(frozen=True)
class Sleep(Step):
    seconds: Seconds

    async def act(self, channel: Channel) -> None:
        await asyncio.sleep(self.seconds)


@dataclass(frozen=True)
class Http(Step):
    status: Status
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | str = b""

    async def act(self, channel: Channel) -> None:
        body = self.body.encode() if isinstance(self.body, str) else self.body
        await channel.http(self.status, self.headers, body)


@dataclass(frozen=True)
class Redirect(Step):
    location: str
    status: Status = 307

    async def act(self, channel: Channel) -> None:
        await channel.http(self.status, {"location": self.location}, b"")


@dataclass(frozen=True)
class Html(Step):
    body: str = "<!DOCTYPE html><title>Sign in</title>"

    async def act(self, channel: Channel) -> None:
        await channel.http(200, {"content-type": "text/html; charset=utf-8"}, self.body.encode())


@dataclass(frozen=True)
class EmptyPage(RestStep):
    async def act(self, channel: RestExchange) -> None:
        await channel.http(200, {"content-type": "application/json"}, b"[]")


@dataclass(frozen=True)
class Truncate(RestStep):
    keep: Amount = 10

    async def act(self, channel: RestExchange) -> None:
        await channel.truncated(self.keep)


@dataclass(frozen=True)
class Raw(Step):
    data: bytes

    async def act(self, channel: Channel) -> None:
        await channel.writer.write(self.data)


@dataclass(frozen=True)
class Blackhole(Step):
    async def act(self, channel: Channel) -> None:
        channel.mute = True
        await channel.silence()


@dataclass(frozen=True)
class Drop(Step):
    async def act(self, channel: Channel) -> None:
        await channel.drop()


@dataclass(frozen=True)
class Abort(Step):
    async def act(self, channel: Channel) -> None:
        channel.abort()


@dataclass(frozen=True)
class Slice(Step):
    size: Count = 1
    pause: Seconds = 0.0

    async def act(self, channel: Channel) -> None:
        channel.writer.slice, channel.writer.pause = self.size, self.pause


@dataclass(frozen=True)
class Throttle(Step):
    rate: Rate

    async def act(self, channel: Channel) -> None:
        channel.writer.rate = self.rate


@dataclass(frozen=True)
class CutAfter(Step):
    size: Amount
    reset: bool = False

    async def act(self, channel: Channel) -> None:
        channel.writer.left, channel.writer.reset = self.size, self.reset


@dataclass(frozen=True)
class Linger(Step):
    seconds: Seconds

    async def act(self, channel: Channel) -> None:
        channel.writer.linger = self.seconds


@dataclass(frozen=True)
class Accept(SocketStep):
    subprotocol: str | None = ByTheRules
    key: str | None = None

    async def act(self, channel: WebSocketSession) -> None:
        await channel.accept(self.subprotocol, self.key)


@dataclass(frozen=True)
class NoSubprotocol(SocketStep):
    async def act(self, channel: WebSocketSession) -> None:
        await channel.accept(None)


@dataclass(frozen=True)
class WrongAccept(SocketStep):
    async def act(self, channel: WebSocketSession) -> None:
        await channel.accept(ByTheRules, "bm90IHRoZSByaWdodCBrZXkgYXQgYWw=")


@dataclass(frozen=True)
class ExpectAuth(SocketStep):
    answer: bool = True

    async def act(self, channel: WebSocketSession) -> None:
        await channel.expect_auth(answer=self.answer)


@dataclass(frozen=True)
class ExpectFilter(SocketStep):
    subscribe: bool = True

    async def act(self, channel: WebSocketSession) -> None:
        await channel.expect_filter(subscribe=self.subscribe)


@dataclass(frozen=True)
class Stall(SocketStep):
    at: Literal["upgrade", "auth", "filter", "close"]

    async def act(self, channel: WebSocketSession) -> None:
        if self.at == "close":
            channel.answers_close = False
            return
        if self.at in ("auth", "filter"):
            await channel.accept()
            await channel.expect_auth(answer=self.at == "filter")
        if self.at == "filter":
            await channel.expect_filter(subscribe=False)
        await channel.silence()


@dataclass(frozen=True)
class AuthFailure(SocketStep):
    reason: str = "Invalid API key"

    async def act(self, channel: WebSocketSession) -> None:
        await channel.expect_auth(answer=False)
        await channel.send({"type": "auth_failure", "reason": self.reason})
        await channel.close(1008)


class Send(SocketStep):
    """Frames as they are; ``Send(a, b)`` sends two. A log to send: ``{"type": "log", "log": {...}}``."""

    def __init__(self, *what: Mapping[str, Any] | str | bytes) -> None:
        self.what = what

    async def act(self, channel: WebSocketSession) -> None:
        await channel.accept()
        for frame in self.what:
            await channel.send(frame)

    def __repr__(self) -> str:
        return f"Send{self.what!r}"


@dataclass(frozen=True)
class BadFrame(SocketStep):
    data: str = '{"type":"log","log":{'

    async def act(self, channel: WebSocketSession) -> None:
        await channel.serve(0)
        await channel.send(self.data)


@dataclass(frozen=True)
class Close(SocketStep):
    code: CloseCode | None = 1000
    reason: str = ""

    async def act(self, channel: WebSocketSession) -> None:
        await channel.accept()
        await channel.close(self.code, self.reason)


@dataclass(frozen=True)
class Duplicate(SocketStep):
    async def act(self, channel: WebSocketSession) -> None:
        channel.shape(lambda frames: [frame for frame in frames for _ in range(2)])


@dataclass(frozen=True)
class Late(SocketStep):
    by: Amount = 1

    async def act(self, channel: WebSocketSession) -> None:
        first: list[Outgoing] = []
        waited_for = 0

        def shape(frames: list[Outgoing]) -> list[Outgoing]:
            nonlocal waited_for
            sent = []
            for frame in frames:
                if not first:
                    first.append(frame)
                    continue
                sent.append(frame)
                waited_for += 1
                if waited_for == self.by:
                    sent.append(first[0])
            return sent

        channel.shape(shape)


@dataclass(frozen=True)
class Reorder(SocketStep):
    async def act(self, channel: WebSocketSession) -> None:
        channel.shape(lambda frames: channel.rng.sample(frames, len(frames)))


@dataclass(frozen=True)
class Lose(SocketStep):
    every: Count = 2

    async def act(self, channel: WebSocketSession) -> None:
        number = itertools.count(1)
        channel.shape(lambda frames: [frame for frame in frames if next(number) % self.every])
