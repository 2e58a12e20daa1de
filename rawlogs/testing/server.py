"""``FakeServer``: a configurable fake Prefect server on the loopback interface.

A ``Listener`` hands each TCP connection to a ``ClientConnection``, which reads HTTP until a WebSocket is asked for.
``Api`` answers requests, a ``WebSocketSession`` serves a socket; both read one ``ServerState`` (what is stored, who is
subscribed). The ``FaultPlan`` chooses the steps that happen on each connection (``rawlogs.testing.faults``).
"""

from __future__ import annotations

import asyncio
import os
import random
import ssl
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import unquote
from uuid import UUID

from rawlogs.clock import Clock, SystemClock
from rawlogs.host import is_loopback
from rawlogs.testing.client_connection import ClientConnection
from rawlogs.testing.faults import Step, Where
from rawlogs.testing.model.api import Api
from rawlogs.testing.model.behaviour import Behaviour
from rawlogs.testing.model.connection_log import Connection, SocketName
from rawlogs.testing.model.logs import Entry
from rawlogs.testing.model.state import LogLike, ServerState
from rawlogs.testing.net.access import Refusal, check_request
from rawlogs.testing.net.listener import Listener
from rawlogs.testing.net.rest_exchange import Answer, RestRequest
from rawlogs.testing.net.websocket_session import outgoing
from rawlogs.testing.plan import FaultPlan, Rule
from rawlogs.testing.playback import Replay
from rawlogs.testing.recording import Recording, read


class FakeServer:
    """An async context manager; inside it, ``api_url`` is what PREFECT_API_URL would be.

    behaviour: which server it is; None is a Prefect 3.8.8 with streaming on.
    seed: all chance (ids, reordering, unstable ties) comes from it.
    clock: the server's wall clock, e.g. the test's own; its ``sleep`` is never used.
    tls: serve https and wss with that context.
    recording: play that recording back (ConfigError where it cannot be read): its sessions to the clients in the
        order in which they connect, its logs over REST as time goes by.
    speed: how much faster than it was recorded; None: at once.
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
    ) -> None:
        self._replay: Replay | None = None
        if recording is not None:
            self._replay = Replay(recording if isinstance(recording, Recording) else read(recording), speed)
            behaviour, clock = behaviour or self._replay.behaviour(), clock or self._replay.clock
        self.behaviour = behaviour or Behaviour()
        self.state = ServerState(self.behaviour, clock or SystemClock(), random.Random(seed))
        self.connections: list[Connection] = []
        self.event_connections: list[Connection] = []
        self.requests: list[RestRequest] = []
        self._host = host
        self._seed = seed
        self._scheme = "https" if tls else "http"
        self._api = Api(self.state)
        self._plan = FaultPlan(self._replay.steps if self._replay is not None else None)
        self._listener = Listener(self._serve, host, port, tls)
        self._peers: set[ClientConnection] = set()

    # Where it is, and what happened.

    @property
    def port(self) -> int:
        return self._listener.port

    @property
    def origin(self) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{self._scheme}://{host}:{self.port}"

    @property
    def api_url(self) -> str:
        return f"{self.origin}{self.behaviour.base_path}"

    @property
    def logs(self) -> list[dict[str, Any]]:
        """What is stored, as the REST list shows it, by timestamp."""
        return [dict(entry.row) for entry in self.state.logs]

    @property
    def sent(self) -> list[list[str]]:
        """The ids of the logs that each connection was sent live."""
        return [list(connection.sent) for connection in self.connections]

    @property
    def replayed(self) -> bool:
        """Whether every recorded session was played to a client, as far as that stayed."""
        return self._replay is None or self._replay.finished

    @property
    def subscribed(self) -> int:
        """How many clients are subscribed to logs right now."""
        return len(self.state.log_hub.subscriptions)

    async def until(self, condition: Callable[[], object], timeout: float = 10.0) -> None:
        """Wait until the condition holds; it is looked at whenever something happened. TimeoutError after
        ``timeout``.
        """
        await asyncio.wait_for(self.state.until(condition), timeout)

    async def until_subscribed(self, clients: int = 1, timeout: float = 10.0) -> None:
        """Wait until so many clients are subscribed to logs (nothing tells the client itself)."""
        await self.until(lambda: self.subscribed >= clients, timeout)

    @property
    def world(self) -> ServerState:
        """The old name of ``state``."""
        return self.state

    # What it holds.

    def post(self, logs: LogLike | Iterable[LogLike], **fields: Any) -> list[dict[str, Any]]:
        """One POST of logs: published to the subscribers, then stored; returns the rows.

        A log is a dict as ``POST /logs/`` takes it, or just a message; ``fields`` hold for all of them
        (``level``, ``name``, ``timestamp``, ``flow_run_id``, ``task_run_id``, and ``id``, which no real
        server takes).
        """
        entries = self._entries(logs, fields)
        self.state.ingest(entries)
        return [dict(entry.row) for entry in entries]

    def store(self, logs: LogLike | Iterable[LogLike], **fields: Any) -> list[dict[str, Any]]:
        """Logs that are readable over REST and were never published: lost live, or ingested by another
        process.
        """
        entries = self._entries(logs, fields)
        self.state.store(entries)
        return [dict(entry.row) for entry in entries]

    def publish(self, logs: LogLike | Iterable[LogLike], **fields: Any) -> list[dict[str, Any]]:
        """Logs that are streamed and never stored: the transaction was rolled back."""
        entries = self._entries(logs, fields)
        self.state.publish(entries)
        return [dict(entry.row) for entry in entries]

    def delete(self, ids: Iterable[str]) -> None:
        """Remove stored logs."""
        self.state.logs.remove(ids)

    def _entries(self, logs: LogLike | Iterable[LogLike], fields: Mapping[str, Any]) -> list[Entry]:
        return self.state.entries([logs] if isinstance(logs, (str, Mapping)) else logs, fields)

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
        """A flow run, in that state (which is also emitted as an event); ``parent`` makes it a subflow of
        that run.
        """
        run = self.state.runs.add_flow_run(
            name,
            flow=flow,
            parent=str(parent) if parent else None,
            deployment=deployment,
            tags=tags,
            id=str(UUID(str(id))) if id else None,
        )
        self.set_state(run["id"], state)
        return UUID(run["id"])

    def add_deployment(self, flow: str, name: str) -> UUID:
        """A deployment, and its flow."""
        return UUID(self.state.runs.add_deployment(flow, name)["id"])

    def set_state(
        self, run_id: UUID | str, state: str, *, name: str | None = None, message: str | None = None
    ) -> None:
        """Move a flow run to a state type (``name`` is the state's own name), and emit the event."""
        self.state.set_state(str(run_id), state, name, message)

    # What goes wrong.

    def script(
        self, steps: Sequence[Step], connection: int | None = None, *, channel: Where = "logs"
    ) -> None:
        """The whole conversation of one connection (counted from 0; None: of every one without its own
        script).
        """
        self._plan.add(Rule(channel, tuple(steps), connection, whole=True))

    def fault(
        self,
        where: Where,
        *steps: Step,
        connection: int | None = None,
        times: int | None = None,
        path: str | None = None,
    ) -> None:
        """Steps that come before the model's own: for ``logs`` or ``events`` on each connection, for ``rest``
        on each request; for one connection, so many times, or one REST path only, where that is said.
        """
        self._plan.add(Rule(where, steps, connection, path, times))

    def heal(self) -> None:
        """Forget all scripts and faults; connections that are up keep theirs."""
        self._plan.rules.clear()

    def refuse(self, on: bool = True) -> None:
        """Refuse TCP connections (on the same port), or accept them again. What is connected stays so."""
        if on:
            self._listener.refuse()
        else:
            self._listener.listen()

    async def drop_all(self, *, reset: bool = False) -> None:
        """Cut every WebSocket without a close frame, as a killed server or a broken network does."""
        peers = self._talking()
        for peer in peers:
            if peer.conversation is not None:
                peer.conversation.cut(reset=reset)
        await self.until(lambda: all(peer.conversation is None for peer in peers))

    async def close_all(self, code: int, reason: str = "") -> None:
        """Close every WebSocket with that close frame, and wait until those have gone."""
        peers = self._talking()
        talks = [peer.conversation for peer in peers if peer.conversation is not None]
        await asyncio.gather(*(talk.leave(code, reason) for talk in talks))
        await self.until(lambda: all(peer.conversation is None for peer in peers))

    def _talking(self) -> list[ClientConnection]:
        """The peers that are in a conversation now; others may come while these are waited for."""
        return [peer for peer in self._peers if peer.conversation is not None]

    async def restart(self, downtime: float = 0.0, *, abrupt: bool = False) -> None:
        """Go down and come back on the same port, remembering what is stored.

        Clients get close 1012, as from SIGTERM; where ``abrupt``, no close frame, as from SIGKILL.
        """
        self.refuse()
        await (self.drop_all() if abrupt else self.close_all(1012))
        await self._listener.end_lines()
        await asyncio.sleep(downtime)
        self.refuse(False)

    def send(self, frame: Mapping[str, Any] | str | bytes) -> None:
        """Send a frame to every subscribed client, whatever its filter, behind what waits for it.

        An object goes out as compact JSON, a text as it is, bytes as a binary frame.
        """
        for hub in (self.state.log_hub, self.state.events.hub):
            for subscription in hub.subscriptions:
                subscription.push(outgoing(frame))

    # The life of the server.

    async def __aenter__(self) -> FakeServer:
        self._listener.bind()
        self._listener.listen()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._listener.close()
        await self._listener.end_lines()
        await self.state.stop()
        if kind is None and self._listener.failures:
            raise self._listener.failures[0]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = ClientConnection(self, reader, writer)
        self._peers.add(peer)
        try:
            await peer.run()
        finally:
            self._peers.discard(peer)
            self.state.changed()

    # What a peer asks.

    def channel(self, path: str) -> SocketName | None:
        """``logs`` or ``events`` for the path of a socket, None for any other."""
        channels: dict[str, SocketName] = {"/logs/out": "logs", "/events/out": "events"}
        return channels.get(self._below_base(path) or "")

    def admit(self, record: Connection) -> Sequence[Step]:
        """Number a new WebSocket and choose what happens to it."""
        self._begin()
        connections = self.event_connections if record.channel == "events" else self.connections
        record.number = len(connections)
        connections.append(record)
        self.state.changed()
        return self._plan.steps(
            "events" if record.channel == "events" else "logs", record.number, record.path
        )

    def refusal(self, request: RestRequest) -> Refusal | None:
        """Why a request, or an upgrade, is not looked at any further; None where it is."""
        headers = request.headers
        return check_request(
            headers.get("host"),
            request.target,
            loopback=is_loopback(self._host),
            origin=headers.get("origin"),
        )

    def receive(self, request: RestRequest) -> tuple[RestRequest, Sequence[Step]]:
        """Write a request down and choose what happens to it."""
        self._begin()
        below = self._below_base(request.path)
        if below is not None:
            base = self.behaviour.base_path.rstrip("/")
            request = replace(request, path=below, target=request.target[len(base) :])
        else:
            request = replace(request, below_base=False)
        self.requests.append(request)
        self.state.changed()
        return request, self._plan.steps("rest", len(self.requests) - 1, request.path)

    def _begin(self) -> None:
        if self._replay is not None:
            self._replay.begin(self.state)

    async def answer(self, request: RestRequest) -> Answer:
        """The recorded answer, or the model's."""
        answer = self._replay.answer(request) if self._replay is not None else None
        answer = answer or self._api.answer(request)
        await self.state.ingested()
        return answer

    def _below_base(self, path: str) -> str | None:
        base = self.behaviour.base_path.rstrip("/")
        return unquote(path[len(base) :]) if path.startswith(f"{base}/") else None

    def rng(self, number: int) -> random.Random:
        """The chance of one connection."""
        return random.Random(f"{self._seed}/{number}")

    def __repr__(self) -> str:
        return f"<FakeServer {self.api_url} logs={len(self.state.logs)} subscribed={self.subscribed}>"
