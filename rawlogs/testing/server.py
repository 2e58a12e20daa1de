"""``FakeServer``: a configurable fake Prefect server on the loopback interface.

The ``HttpServer`` hands each TCP connection to a ``ClientConnection``, which reads HTTP until a WebSocket is asked for.
The ``Router`` decides what happens to each request and WebSocket: the steps of the ``FaultPlan``, then those of the
``Responder``, which answers from the ``ServerState`` (what is stored, who is subscribed) or from a recording.
"""

from __future__ import annotations

import asyncio
import os
import random
import ssl
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any, TypeVar
from uuid import UUID

from rawlogs.clock import Clock, SystemClock
from rawlogs.host import is_loopback
from rawlogs.loop_thread import LoopThread
from rawlogs.testing.faults import Serve, Step, Where
from rawlogs.testing.http_server import HttpServer
from rawlogs.testing.model.behaviour import Behaviour
from rawlogs.testing.model.logs import Entry
from rawlogs.testing.model.state import LogLike, ServerState
from rawlogs.testing.model.subscriptions import outgoing
from rawlogs.testing.plan import Rule
from rawlogs.testing.playback import InOrder, Playback
from rawlogs.testing.recording import Recording, read
from rawlogs.testing.router import Responder, Router
from rawlogs.waiting import within

T = TypeVar("T")


class FakeServer:
    """A context manager; inside it, ``api_url`` is what PREFECT_API_URL would be.

    With ``async with`` it runs on the caller's event loop. With ``with`` it runs in a thread of its own, so the code
    under test may block; all methods may then be called from any thread and any event loop.

    behaviour: which server it is; None is a Prefect 3.8.8 with streaming on.
    host, port: where it listens; port 0 takes a free one.
    seed: of all chance (ids, reordering, unstable ties).
    clock: the server's wall clock; its ``sleep`` is never used.
    tls: serve https and wss with this context.
    recording: play this recording (ConfigError where it cannot be read): its WebSockets to the clients in the order in
        which they connect, its logs over REST as time goes by.
    speed: how many times faster than it was recorded; None: at once.
    after_recording: the steps of a client that connects after the last recorded WebSocket.
    """

    def __init__(
        self,
        behaviour: Behaviour | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        seed: int = 0,
        clock: Clock | None = None,
        tls: ssl.SSLContext | None = None,
        recording: Recording | str | os.PathLike[str] | None = None,
        speed: float | None = 1.0,
        after_recording: Sequence[Step] = (Serve(),),
    ) -> None:
        playback: Playback | None = None
        if recording is not None:
            playback = Playback(recording if isinstance(recording, Recording) else read(recording), speed)
            # The recorded server and its time, unless the caller names others.
            behaviour, clock = behaviour or playback.behaviour(), clock or playback.clock
        self.behaviour = behaviour or Behaviour()
        self.state = ServerState(self.behaviour, clock or SystemClock(), random.Random(seed))
        self._playback = InOrder(self.state, playback, after_recording) if playback is not None else None
        self._router = Router(
            self._playback or Responder(self.state),
            base_path=self.behaviour.base_path,
            loopback=is_loopback(host),
            seed=seed,
        )
        self.connections = self._router.connections
        """The records of all WebSockets but those for events, the first one first."""
        self.event_connections = self._router.event_connections
        """The records of all WebSockets for events."""
        self.requests = self._router.requests
        """The REST requests, the first one first."""
        self._server = HttpServer(self._router, host=host, port=port, tls=tls)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: LoopThread | None = None

    # Where it is, and what happened.

    @property
    def port(self) -> int:
        """The port; 0 before the server has started where none was chosen."""
        return self._server.port

    @property
    def origin(self) -> str:
        """The scheme, host and port, as a URL has them."""
        return self._server.origin

    @property
    def api_url(self) -> str:
        """The URL of the API: the value of PREFECT_API_URL."""
        return f"{self.origin}{self.behaviour.base_path}"

    @property
    def logs(self) -> list[dict[str, Any]]:
        """The stored logs as the REST list shows them, by timestamp."""
        return self._call(lambda: [dict(entry.row) for entry in self.state.logs])

    @property
    def sent(self) -> list[list[str]]:
        """The ids of the logs that each WebSocket was sent."""
        return [list(connection.sent) for connection in self.connections]

    @property
    def replayed(self) -> bool:
        """True if every recorded WebSocket was played to a client, as far as the client stayed."""
        return self._playback is None or self._playback.finished

    @property
    def subscribed(self) -> int:
        """The number of clients that are subscribed to logs now."""
        return len(self.state.log_subscribers)

    @property
    def world(self) -> ServerState:
        """The old name of ``state``, kept for one version."""
        return self.state

    async def until(self, condition: Callable[[], object], timeout: float = 10.0) -> None:
        """Wait until the condition holds; it is checked whenever a client did something.

        Raises TimeoutError after ``timeout`` seconds. The condition is called in the server's thread.
        """
        await self._await(within(timeout, self.state.until(condition)))

    async def until_subscribed(self, clients: int = 1, timeout: float = 10.0) -> None:
        """Wait until so many clients are subscribed to logs: their own side of the protocol does not show it.

        Raises TimeoutError after ``timeout`` seconds.
        """
        await self.until(lambda: self.subscribed >= clients, timeout)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run one of the server's coroutines from code that blocks: ``server.run(server.drop_all())``.

        Raises RuntimeError unless the server was started with ``with``.
        """
        if self._thread is None:
            work.close()  # otherwise Python warns that nobody awaited it
            raise RuntimeError("start the server with `with FakeServer() as server:` to use run()")
        return self._thread.run(work)

    # What it holds.

    def post(self, logs: LogLike | Iterable[LogLike], **fields: Any) -> list[dict[str, Any]]:
        """Publish and store logs as one POST does; return the rows.

        A log is a dict as ``POST /logs/`` takes it, or a str, its message. ``fields`` hold for all logs: ``level``,
        ``name``, ``timestamp``, ``flow_run_id``, ``task_run_id``, and ``id``, which no real server takes.
        """
        return self._add(self.state.ingest, logs, fields)

    def store(self, logs: LogLike | Iterable[LogLike], **fields: Any) -> list[dict[str, Any]]:
        """Store logs without publishing them, as another server process does; return the rows."""
        return self._add(self.state.store, logs, fields)

    def publish(self, logs: LogLike | Iterable[LogLike], **fields: Any) -> list[dict[str, Any]]:
        """Publish logs without storing them, as a transaction does that is rolled back; return the rows."""
        return self._add(self.state.publish, logs, fields)

    def _add(
        self, add: Callable[[list[Entry]], None], logs: LogLike | Iterable[LogLike], fields: Mapping[str, Any]
    ) -> list[dict[str, Any]]:
        def work() -> list[dict[str, Any]]:
            entries = self.state.entries([logs] if isinstance(logs, (str, Mapping)) else logs, fields)
            add(entries)
            return [dict(entry.row) for entry in entries]  # copies: a test may change them

        return self._call(work)

    def delete(self, ids: Iterable[str]) -> None:
        """Remove stored logs."""
        self._call(lambda: self.state.logs.remove(ids))

    def add_run(
        self,
        name: str | None = None,
        *,
        flow: str = "hello",
        parent: UUID | str | None = None,
        deployment: str | None = None,
        state: str = "RUNNING",
        tags: Iterable[str] = (),
        id: UUID | str | None = None,
    ) -> UUID:
        """Add a flow run in a state, which also emits the state's event; return its id.

        parent: the flow run that it is a subflow of.
        """

        above, chosen = str(parent) if parent else None, str(UUID(str(id))) if id else None

        def work() -> str:
            run = self.state.runs.add_flow_run(name, flow, above, deployment, tags, chosen)
            self.state.set_state(run["id"], state, None, None)
            return str(run["id"])

        return UUID(self._call(work))

    def add_deployment(self, flow: str, name: str) -> UUID:
        """Add a deployment, and its flow where there is none; return its id."""
        return UUID(self._call(lambda: str(self.state.runs.add_deployment(flow, name)["id"])))

    def set_state(
        self, run_id: UUID | str, state: str, *, name: str | None = None, message: str | None = None
    ) -> None:
        """Move a flow run to a state type, and emit the event. ``name``: the state's own name."""
        self._call(lambda: self.state.set_state(str(run_id), state, name, message))

    # What goes wrong.

    def script(
        self, steps: Sequence[Step], connection: int | None = None, *, channel: Where = "logs"
    ) -> None:
        """Replace everything that happens on a connection by these steps.

        connection: its number, from 0; None: every connection without a script of its own.
        """
        self._call(lambda: self._router.plan.add(Rule(channel, tuple(steps), connection, is_script=True)))

    def fault(
        self,
        where: Where,
        *steps: Step,
        connection: int | None = None,
        times: int | None = None,
        path: str | None = None,
    ) -> None:
        """Run steps before the normal behaviour of each connection (``logs``, ``events``) or request (``rest``).

        connection, path: only there. times: only so often.
        """
        self._call(lambda: self._router.plan.add(Rule(where, steps, connection, path, times)))

    def heal(self) -> None:
        """Remove all scripts and faults; open connections keep theirs."""
        self._call(self._router.plan.rules.clear)

    def refuse(self, on: bool = True) -> None:
        """Refuse TCP connections on the same port, or accept them again; open ones stay open."""
        self._call(lambda: self._server.refuse(on))

    async def drop_all(self, *, reset: bool = False) -> None:
        """Cut every WebSocket without a close frame, as a killed server or a broken network does."""
        await self._await(self._server.drop_all(reset=reset))

    async def close_all(self, code: int, reason: str = "") -> None:
        """Close every WebSocket with this close frame, and wait until they have ended."""
        await self._await(self._server.close_all(code, reason))

    async def restart(self, downtime: float = 0.0, *, abrupt: bool = False) -> None:
        """Go down and come back on the same port after ``downtime`` seconds; what is stored stays.

        Clients get close 1012, as from a server that got SIGTERM; with ``abrupt`` no close frame, as after SIGKILL.
        """
        await self._await(self._server.restart(downtime, abrupt=abrupt))

    def send(self, frame: Mapping[str, Any] | str | bytes) -> None:
        """Send a frame to every subscribed client, whatever its filter, after what is queued for it.

        A mapping is sent as compact JSON, a str as it is, bytes as a binary frame.
        """

        def work() -> None:
            self.state.log_subscribers.push(outgoing(frame))
            self.state.event_subscribers.push(outgoing(frame))

        self._call(work)

    # Its life.

    async def __aenter__(self) -> FakeServer:
        self._loop = asyncio.get_running_loop()
        self._server.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        await self._server.stop()
        if kind is None:  # the test's own exception is not replaced
            self._server.check()

    def __enter__(self) -> FakeServer:
        self._thread = LoopThread("rawlogs-fake-server")
        try:
            return self._thread.run(self.__aenter__())
        except BaseException:
            self._end_thread(self._thread)
            raise

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        assert self._thread is not None
        try:
            self._thread.run(self.__aexit__(kind))
        finally:
            self._end_thread(self._thread)

    def _end_thread(self, thread: LoopThread) -> None:
        thread.stop()
        self._thread = None  # what is stored can still be read, from any thread

    def _call(self, work: Callable[[], T]) -> T:
        """Call a function on the server's own loop, since nothing in the model is safe for threads."""

        async def call() -> T:
            return work()

        return work() if self._thread is None or self._is_running_here() else self._thread.run(call())

    async def _await(self, work: Coroutine[Any, Any, T]) -> T:
        """Await a coroutine on the server's own loop."""
        if self._thread is None or self._loop is None or self._is_running_here():
            return await work
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    def _is_running_here(self) -> bool:
        try:
            return asyncio.get_running_loop() is self._loop
        except RuntimeError:  # this thread runs no loop
            return False

    def __repr__(self) -> str:
        return f"<FakeServer {self.api_url} logs={len(self.state.logs)} subscribed={self.subscribed}>"
