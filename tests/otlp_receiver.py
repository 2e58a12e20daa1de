"""An OTLP/HTTP receiver on the official protobuf messages, which fails in every way that the specification names."""

from __future__ import annotations

import asyncio
import gzip
import ssl
import struct
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from socket import SO_LINGER, SOL_SOCKET
from typing import Any, Literal

import h11
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsPartialSuccess,
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

PROTOBUF = "application/x-protobuf"


@dataclass(frozen=True)
class Reaction:
    """What becomes of one request.

    ``body`` None: the message that belongs to the status. ``then``: "answer"; "lose" (take the logs, and hang up
    without an answer); "reset" (the connection, without taking anything); "hang" (neither answer nor hang up); "half"
    (take the logs, and hang up in the middle of the answer). ``rejected`` and ``message`` are those of a partial
    success. ``after`` is awaited before the answer.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    then: Literal["answer", "lose", "reset", "hang", "half"] = "answer"
    rejected: int = 0
    message: str = ""
    after: Callable[[], Any] | None = None

    @property
    def takes(self) -> bool:
        """Whether the logs are stored."""
        return 200 <= self.status < 300 and self.then in ("answer", "lose", "half")


TAKE = Reaction()
LOSE = Reaction(then="lose")
HALF = Reaction(then="half")
RESET = Reaction(then="reset")
HANG = Reaction(then="hang")


@dataclass(frozen=True)
class Request:
    """One request: its path, headers (lower case), message, and the ids of its logs."""

    path: str
    headers: Mapping[str, str]
    message: ExportLogsServiceRequest
    ids: tuple[str, ...]


class OtlpReceiver:
    """Answers each request with logs by the next Reaction of ``script``, then by ``otherwise``.

    ``on_empty`` answers requests without logs. ``refuses`` gives the status for a request that has such a log in it.
    ``requests`` is all that came; ``taken`` counts how often each log was stored; ``acknowledged`` holds the ids of the
    logs that were stored and whose answer went out whole.
    """

    def __init__(self, *script: Reaction, tls: ssl.SSLContext | None = None) -> None:
        self.script = deque(script)
        self.otherwise = TAKE
        self.on_empty = TAKE
        self.refuses: Callable[[LogRecord], int | None] = lambda record: None
        self.requests: list[Request] = []
        self.taken: Counter[str] = Counter()
        self.records: dict[str, LogRecord] = {}
        self.acknowledged: set[str] = set()
        self.repeated_after_acknowledgement = 0
        self.port = 0
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._changed = asyncio.Condition()

    @property
    def to(self) -> str:
        """What ``--to`` takes."""
        return f"otlp+http{'s' if self._tls else ''}://127.0.0.1:{self.port}"

    @property
    def sizes(self) -> list[int]:
        """How many logs each request had."""
        return [len(request.ids) for request in self.requests]

    async def __aenter__(self) -> OtlpReceiver:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen; the second time on the same port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Listen no more, and end every connection."""
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def until(self, condition: Callable[[], object], seconds: float = 30.0) -> None:
        """Wait until the condition holds; it is looked at when a request has come, and when it was answered."""

        async def wait() -> None:
            async with self._changed:
                await self._changed.wait_for(condition)

        await asyncio.wait_for(wait(), seconds)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while await self._one(reader, writer):
                pass
        except (OSError, h11.RemoteProtocolError, asyncio.CancelledError):
            pass  # the client has gone, or the receiver is stopped
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; False at the end of the connection."""
        line = h11.Connection(h11.SERVER)
        head: h11.Request | None = None
        body = bytearray()
        while not isinstance(event := line.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                data = await reader.read(1 << 16)
                if not data:
                    return False
                line.receive_data(data)
            elif isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
            else:
                return False
        assert head is not None
        request = _read(head, bytes(body))
        self.requests.append(request)
        await self._tell()
        reaction = self._reaction(request)
        if reaction.after is not None:
            await reaction.after()
        if reaction.takes:
            self.take(request)
        await self._answer(line, writer, reaction)
        if reaction.takes and reaction.then == "answer":
            self.note_acknowledged(request)
        await self._tell()
        if reaction.then == "hang":
            await asyncio.get_running_loop().create_future()
        return reaction.then == "answer"

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def _reaction(self, request: Request) -> Reaction:
        if not request.ids:
            return self.on_empty
        for record in records_of(request.message):
            status = self.refuses(record)
            if status is not None:
                return Reaction(status, message="bad data")
        return self.script.popleft() if self.script else self.otherwise

    def take(self, request: Request) -> None:
        """Store the logs of a request."""
        self.repeated_after_acknowledgement += len(self.acknowledged.intersection(request.ids))
        self.taken.update(request.ids)
        self.records.update(zip(request.ids, records_of(request.message), strict=True))

    def note_acknowledged(self, request: Request) -> None:
        """Note that the answer to a request that was stored has gone out whole."""
        self.acknowledged.update(request.ids)

    async def _answer(self, line: h11.Connection, writer: asyncio.StreamWriter, reaction: Reaction) -> None:
        if reaction.then == "reset":
            writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        if reaction.then in ("reset", "lose", "hang"):
            return
        body = _body(reaction) if reaction.body is None else reaction.body
        headers = {"Content-Type": PROTOBUF, "Content-Length": str(len(body)), **reaction.headers}
        data = line.send(h11.Response(status_code=reaction.status, headers=list(headers.items())))
        data += line.send(h11.Data(data=body)) + line.send(h11.EndOfMessage())
        writer.write(data[:-1] if reaction.then == "half" else data)
        await writer.drain()


def records_of(message: ExportLogsServiceRequest) -> list[LogRecord]:
    """Return the records of all resources and scopes."""
    return [
        record
        for resource in message.resource_logs
        for scope in resource.scope_logs
        for record in scope.log_records
    ]


def attributes(holder: Any) -> dict[str, Any]:
    """Return the attributes of a record or a resource as Python values."""
    return {pair.key: value_of(pair.value) for pair in holder.attributes}


def value_of(value: AnyValue) -> Any:
    """Return what an AnyValue holds; None for nothing."""
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    if kind == "array_value":
        return [value_of(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return {pair.key: value_of(pair.value) for pair in value.kvlist_value.values}
    return getattr(value, kind)


def _read(head: h11.Request, body: bytes) -> Request:
    headers = {name.decode().lower(): value.decode() for name, value in head.headers}
    if headers.get("content-encoding") == "gzip":
        body = gzip.decompress(body)
    message = ExportLogsServiceRequest.FromString(body)
    ids = tuple(attributes(record)["log.record.uid"] for record in records_of(message))
    return Request(head.target.decode(), headers, message, ids)


def _body(reaction: Reaction) -> bytes:
    if reaction.status >= 300:
        # A google.rpc.Status: a code in field 1, the message in field 2.
        return ExportLogsPartialSuccess(
            rejected_log_records=13, error_message=reaction.message
        ).SerializeToString()
    answer = ExportLogsServiceResponse()
    if reaction.rejected or reaction.message:
        answer.partial_success.rejected_log_records = reaction.rejected
        answer.partial_success.error_message = reaction.message
    return answer.SerializeToString()
