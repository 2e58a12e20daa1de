"""What can happen on a line, as values: the steps of a script, and the toxics that spoil the model's own
behaviour.

A conversation is a list of steps, run in order. Without any, it is ``[Serve()]``: behave like Prefect. A
script says everything itself, ``fault`` puts its steps before that ``Serve()``::

    server.script([Accept(), ExpectAuth(), ExpectFilter(), Send(log), Drop()], connection=0)
    server.script([Serve(logs=3), Drop()], connection=1)        # like Prefect for three logs, then cut off
    server.fault("logs", Http(503, {"Retry-After": "1"}), times=2)
    server.fault("logs", Slice(1))                              # all frames in single bytes
    server.fault("rest", Http(500), times=3, path="/logs/filter")

    step                        socket  REST    what happens
    Serve(logs)                   x      x      the model goes on from here (until so many frames are sent)
    Sleep(seconds)                x      x      nothing, for that long
    Http(status, headers, body)   x      x      this answer instead of the right one
    Redirect(location, status)    x      x      an Http with that Location
    Html()                        x      x      an Http 200 with a login page: a captive portal
    EmptyPage()                          x      an Http 200 with an empty list
    Truncate(keep)                       x      the right answer's head, and only that many bytes of its body
    Raw(data)                     x      x      these bytes, whatever they mean
    Blackhole()                   x      x      silence for ever; the line stays up (half-open)
    Drop()                        x      x      the line ends without a close frame
    Abort()                       x      x      the line is reset, which may swallow what was just sent
    Slice(size, pause)            x      x      all further bytes go out in slices
    Throttle(rate)                x      x      all further bytes go out at that many bytes a second
    CutAfter(size, reset)         x      x      the line ends after that many more bytes
    Linger(seconds)               x      x      the line is closed late
    Accept(subprotocol, key)      x             the upgrade, by the model's rules or as told
    NoSubprotocol(), WrongAccept()  x           an Accept that lies
    ExpectAuth(answer)            x             read the auth frame; answer by the model's rules, or not
    ExpectFilter(subscribe)       x             read the filter; subscribe by the model's rules, or not
    Stall(at)                     x             the model up to that point, then silence
    AuthFailure(reason)           x             read the auth frame, refuse as Prefect Cloud does
    Send(*what)                   x             frames: a dict or text as it is, bytes as a binary frame
    BadFrame(data)                x             the model up to the filter, then this text
    Close(code, reason)           x             a close frame, any code; then the client's answer is awaited
    Duplicate()                   x             every log frame twice
    Late(by)                      x             the first log frame comes only after so many others
    Reorder()                     x             what waits at one moment is sent in another order (seeded)
    Lose(every)                   x             every so-manieth log frame is not sent
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

if TYPE_CHECKING:
    from rawlogs.testing.net.rest_exchange import RestExchange
    from rawlogs.testing.net.websocket_session import WebSocketSession

Where = Literal["logs", "events", "rest"]
ByTheRules: Any = "by the rules"
"""The default of ``Accept``: the subprotocol that the model would choose."""


class Step:
    """One thing that happens on a line. Steps are values: compare them, reuse them."""

    __slots__ = ()
    on_socket: ClassVar[bool] = True
    on_rest: ClassVar[bool] = True

    async def act(self, line: Any) -> None:
        """Do it. ``line`` is a conversation, or for REST an exchange."""
        raise NotImplementedError


class SocketStep(Step):
    """A step that only a WebSocket conversation knows."""

    __slots__ = ()
    on_rest = False


class RestStep(Step):
    """A step that only a REST exchange knows."""

    __slots__ = ()
    on_socket = False


@dataclass(frozen=True, slots=True)
class Serve(Step):
    logs: int | None = None

    async def act(self, line: WebSocketSession | RestExchange) -> None:
        await line.serve(self.logs)


@dataclass(frozen=True, slots=True)
class Sleep(Step):
    seconds: float

    async def act(self, line: WebSocketSession | RestExchange) -> None:
        await asyncio.sleep(self.seconds)


@dataclass(frozen=True, slots=True)
class Http(Step):
    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | str = b""

    async def act(self, line: WebSocketSession | RestExchange) -> None:
        body = self.body.encode() if isinstance(self.body, str) else self.body
        await line.http(self.status, self.headers, body)


@dataclass(frozen=True, slots=True)
class Redirect(Step):
    location: str
    status: int = 307

    async def act(self, line: WebSocketSession | RestExchange) -> None:
        await line.http(self.status, {"location": self.location}, b"")


@dataclass(frozen=True, slots=True)
class Html(Step):
    body: str = "<!DOCTYPE html><title>Sign in</title>"

    async def act(self, line: WebSocketSession | RestExchange) -> None:
        await line.http(200, {"content-type": "text/html; charset=utf-8"}, self.body.encode())


@dataclass(frozen=True, slots=True)
class EmptyPage(RestStep):
    async def act(self, line: RestExchange) -> None:
        await line.http(200, {"content-type": "application/json"}, b"[]")


@dataclass(frozen=True, slots=True)
class Truncate(RestStep):
    keep: int = 10

    async def act(self, line: RestExchange) -> None:
        await line.truncated(self.keep)


@dataclass(frozen=True, slots=True)
class Raw(Step):
    data: bytes

    async def act(self, line: WebSocketSession | RestExchange) -> None:
        await line.pipe.write(self.data)


@dataclass(frozen=True, slots=True)
class Blackhole(Step):
    async def act(self, line: WebSocketSession | RestExchange) -> None:
        await line.blackhole()


@dataclass(frozen=True, slots=True)
class Drop(Step):
    async def act(self, line: WebSocketSession | RestExchange) -> None:
        await line.drop()


@dataclass(frozen=True, slots=True)
class Abort(Step):
    async def act(self, line: WebSocketSession | RestExchange) -> None:
        line.abort()


@dataclass(frozen=True, slots=True)
class Slice(Step):
    size: int = 1
    pause: float = 0.0

    async def act(self, line: WebSocketSession | RestExchange) -> None:
        line.pipe.slice, line.pipe.pause = self.size, self.pause


@dataclass(frozen=True, slots=True)
class Throttle(Step):
    rate: float

    async def act(self, line: WebSocketSession | RestExchange) -> None:
        line.pipe.rate = self.rate


@dataclass(frozen=True, slots=True)
class CutAfter(Step):
    size: int
    reset: bool = False

    async def act(self, line: WebSocketSession | RestExchange) -> None:
        line.pipe.left, line.pipe.reset = self.size, self.reset


@dataclass(frozen=True, slots=True)
class Linger(Step):
    seconds: float

    async def act(self, line: WebSocketSession | RestExchange) -> None:
        line.pipe.linger = self.seconds


@dataclass(frozen=True, slots=True)
class Accept(SocketStep):
    subprotocol: str | None = ByTheRules
    key: str | None = None

    async def act(self, line: WebSocketSession) -> None:
        await line.accept(self.subprotocol, self.key)


@dataclass(frozen=True, slots=True)
class NoSubprotocol(SocketStep):
    async def act(self, line: WebSocketSession) -> None:
        await line.accept(None)


@dataclass(frozen=True, slots=True)
class WrongAccept(SocketStep):
    async def act(self, line: WebSocketSession) -> None:
        await line.accept(ByTheRules, "bm90IHRoZSByaWdodCBrZXkgYXQgYWw=")


@dataclass(frozen=True, slots=True)
class ExpectAuth(SocketStep):
    answer: bool = True

    async def act(self, line: WebSocketSession) -> None:
        await line.expect_auth(answer=self.answer)


@dataclass(frozen=True, slots=True)
class ExpectFilter(SocketStep):
    subscribe: bool = True

    async def act(self, line: WebSocketSession) -> None:
        await line.expect_filter(subscribe=self.subscribe)


@dataclass(frozen=True, slots=True)
class Stall(SocketStep):
    at: Literal["upgrade", "auth", "filter", "close"]

    async def act(self, line: WebSocketSession) -> None:
        if self.at == "close":
            line.answers_close = False
            return
        if self.at in ("auth", "filter"):
            await line.accept()
            await line.expect_auth(answer=self.at == "filter")
        if self.at == "filter":
            await line.expect_filter(subscribe=False)
        await line.silence()


@dataclass(frozen=True, slots=True)
class AuthFailure(SocketStep):
    reason: str = "Invalid API key"

    async def act(self, line: WebSocketSession) -> None:
        await line.expect_auth(answer=False)
        await line.send({"type": "auth_failure", "reason": self.reason})
        await line.close(1008)


class Send(SocketStep):
    """Frames as they are; ``Send(a, b)`` sends two. A log to send: ``{"type": "log", "log": {...}}``."""

    __slots__ = ("what",)

    def __init__(self, *what: Mapping[str, Any] | str | bytes) -> None:
        self.what = what

    async def act(self, line: WebSocketSession) -> None:
        await line.accept()
        for frame in self.what:
            await line.send(frame)

    def __repr__(self) -> str:
        return f"Send{self.what!r}"


@dataclass(frozen=True, slots=True)
class BadFrame(SocketStep):
    data: str = '{"type":"log","log":{'

    async def act(self, line: WebSocketSession) -> None:
        await line.serve(0)
        await line.send(self.data)


@dataclass(frozen=True, slots=True)
class Close(SocketStep):
    code: int | None = 1000
    reason: str = ""

    async def act(self, line: WebSocketSession) -> None:
        await line.accept()
        await line.close(self.code, self.reason)


@dataclass(frozen=True, slots=True)
class Duplicate(SocketStep):
    async def act(self, line: WebSocketSession) -> None:
        line.shape(lambda frames: [frame for frame in frames for _ in range(2)])


@dataclass(frozen=True, slots=True)
class Late(SocketStep):
    by: int = 1

    async def act(self, line: WebSocketSession) -> None:
        held: list[Any] = []
        passed = 0

        def shape(frames: list[Any]) -> list[Any]:
            nonlocal passed
            kept = []
            for frame in frames:
                if not held and not passed:
                    held.append(frame)
                    continue
                kept.append(frame)
                passed += 1
                if passed == self.by:
                    kept.append(held[0])
            return kept

        line.shape(shape)


@dataclass(frozen=True, slots=True)
class Reorder(SocketStep):
    async def act(self, line: WebSocketSession) -> None:
        line.shape(lambda frames: line.rng.sample(frames, len(frames)))


@dataclass(frozen=True, slots=True)
class Lose(SocketStep):
    every: int = 2

    async def act(self, line: WebSocketSession) -> None:
        seen = 0

        def shape(frames: list[Any]) -> list[Any]:
            nonlocal seen
            kept = []
            for frame in frames:
                seen += 1
                if seen % self.every:
                    kept.append(frame)
            return kept

        line.shape(shape)
