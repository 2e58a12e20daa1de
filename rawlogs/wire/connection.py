"""One socket from open to close, driven through a Handshake. It decides nothing: verdicts are delivery's."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidProxy, InvalidStatus

from rawlogs.advice import NO_FACTS, Facts
from rawlogs.config.urls import REDIRECTS
from rawlogs.errors import ConnectError, ConnectionLost, RawlogsError
from rawlogs.version import user_agent
from rawlogs.waiting import within
from rawlogs.wire.errors import FOREIGN, open_error, redirect, refused
from rawlogs.wire.fast import WAIT_FOR, BatchConnection
from rawlogs.wire.handshake import SUBPROTOCOL, Handshake, State, meaning
from rawlogs.wire.logger import WITHOUT_FRAMES
from rawlogs.wire.tap import Tap, TappedConnection
from rawlogs.wire.ways import fast

if TYPE_CHECKING:
    from rawlogs.config.settings import Settings


@dataclass(frozen=True, slots=True)
class Target:
    """Where and how a conversation is opened. Durations are seconds, sizes bytes."""

    url: str
    token: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    proxy: str | None = field(default=None, repr=False)
    compress: bool = False
    legacy: bool = False
    subprotocol: str | None = SUBPROTOCOL
    max_size: int = 64 << 20
    open_timeout: float = 10.0
    auth_timeout: float = 10.0
    ping_interval: float | None = 20.0
    ping_timeout: float | None = 20.0
    close_timeout: float = 2.0
    facts: Facts | None = None

    @classmethod
    def of(cls, settings: Settings, url: str | None = None, **more: Any) -> Target:
        """Return the target that these settings name: the logs' socket, or the one at ``url``.

        Raises ConfigError for a CA file that cannot be read.
        """
        return cls(
            url or settings.address.logs_url,
            settings.websocket_token,
            settings.headers,
            settings.ssl_context(),
            settings.proxy,
            facts=settings.facts(),
            **more,
        )

    def secrets(self) -> tuple[str, ...]:
        """Return what no text may show, were a server to echo it."""
        token = self.token or ""
        found = (token, token.partition(":")[2], *self.headers.values())
        return tuple(secret for secret in found if len(secret) >= 4)


class Connection:
    """One authenticated conversation that has sent its filter.

    ``batch()`` waits for messages; it is always read eagerly by its owner, so that pings are answered and the
    server's queue of 256 logs stays short. ``url`` is where redirects led, ``received`` counts messages.
    """

    def __init__(self, socket: BatchConnection, url: str, handshake: Handshake) -> None:
        self._socket = socket
        self._handshake = handshake
        self._early: list[bytes] = []
        self._received = 0
        self.url = url

    @property
    def extensions(self) -> tuple[str, ...]:
        """The negotiated extensions by name; empty without compression."""
        return tuple(extension.name for extension in self._socket.protocol.extensions)

    @property
    def received(self) -> int:
        """How many messages were read or fed so far."""
        return self._received + self._socket.fed

    @property
    def traffic(self) -> tuple[int, int] | None:
        """Bytes read and written since the upgrade, compressed where they were; None without a tap."""
        socket = self._socket
        return (socket.bytes_read, socket.bytes_written) if isinstance(socket, TappedConnection) else None

    async def batch(self) -> list[bytes]:
        """Return the payloads that have arrived, at least one.

        Raises what the ending of the conversation means: ConnectionLost, FilterRejected or AuthError.
        """
        if self._early:
            batch, self._early = self._early, []
        else:
            batch = await self._socket.batch()
        if not batch:
            raise self._ending()
        self._received += len(batch)
        return batch

    async def feed(self, take: Callable[[list[bytes]], None]) -> NoReturn:
        """Call ``take`` with the payloads of each read, at once, until the conversation ends; then raise why it did.

        ``take`` must not wait. What it raises cuts the line and is raised here. Instead of ``batch``, not beside it.
        """

        early, self._early = self._early, []
        if early:
            self._received += len(early)
            take(early)
        await self._socket.feed(take)
        raise self._ending()

    async def ping(self) -> float:
        """Return a round trip in seconds. Raises what the ending of the conversation means."""
        try:
            pong = await self._socket.ping()
            return await pong
        except ConnectionClosed:
            raise self._ending() from None

    async def send(self, message: str | bytes) -> None:
        """Send one frame as it stands, text or binary: for those who try how a server handles it.

        Raises what the ending of the conversation means.
        """
        await self._send(message)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close with this code, or cut the line when the server does not take part within ``close_timeout``."""
        await self._socket.close(code, reason)
        self._socket.transport.abort()  # a TLS transport of Python 3.10 counts as open until it is told

    def abort(self) -> None:
        """Cut the line at once."""
        self._socket.transport.abort()

    async def __aenter__(self) -> Connection:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _ending(self) -> RawlogsError:
        code, reason, ours = ending(self._socket)
        if not ours:
            return self._handshake.closed(code, reason)
        text = f"The connection was given up: {code} ({reason or meaning(code)})"
        if self._handshake.state is State.STREAMING:
            return ConnectionLost(text, code=code)
        return ConnectError(f"{self.url}: {text}", url=self.url, phase="auth")

    async def _run_handshake(self) -> None:
        await self._send(self._handshake.opened(self._socket.subprotocol))
        while self._handshake.state is State.AUTHENTICATING:
            batch = await self._socket.batch()
            if not batch:
                raise self._ending()
            answer = self._handshake.received(batch[0])
            self._early = batch[1:]
            await self._send(answer)

    async def _send(self, message: str | bytes) -> None:
        try:
            await self._socket.send(message)
        except ConnectionClosed:
            raise self._ending() from None

    def __repr__(self) -> str:
        return f"<Connection {self._handshake.state.name} {self.url} received={self.received}>"


def ending(socket: ClientConnection) -> tuple[int, str, bool]:
    """Return the close code and reason that tell why a socket ended, and whether it was this side that gave up.

    1006 where no close frame came: a crash, the network, or a rejected filter.
    """
    closed = socket.protocol.close_exc
    if closed.rcvd is not None and (closed.rcvd_then_sent or closed.sent is None):
        return closed.rcvd.code, closed.rcvd.reason, False
    if closed.sent is not None:
        return closed.sent.code, closed.sent.reason, True
    return 1006, "", False


async def open_connection(
    target: Target, filter_text: str, *, tap: Tap | None = None, number: int = 0
) -> Connection:
    """Open the socket, authenticate, send the filter.

    Raises ConnectError, CertificateError, UpgradeRefused, RedirectRefused, AuthError, ProtocolError, ConfigError.
    """
    handshake = Handshake(
        target.token,
        filter_text,
        url=target.url,
        legacy=target.legacy,
        secrets=target.secrets(),
        facts=target.facts,
    )
    socket, url = await _open_socket(target, tap, number)
    connection = Connection(socket, url, handshake)
    try:
        await within(target.auth_timeout, connection._run_handshake())
    except TimeoutError:
        connection.abort()
        raise handshake.unanswered(target.auth_timeout) from None
    except BaseException:
        connection.abort()
        raise
    return connection


async def open_raw(target: Target, *, tap: Tap | None = None, number: int = 0) -> Connection:
    """Open the socket and say nothing: neither auth nor filter. Raises as ``open_connection`` does before those."""
    socket, url = await _open_socket(target, tap, number)
    return Connection(socket, url, Handshake(target.token, "", url=target.url, secrets=target.secrets()))


async def _open_socket(target: Target, tap: Tap | None, number: int) -> tuple[BatchConnection, str]:
    """Return the socket after its upgrade, and the URL to which redirects led."""
    if tap is not None:
        factory: Any = partial(TappedConnection, tap=tap, number=number)
    else:
        factory = partial(BatchConnection, fast=target.max_size >= WAIT_FOR and fast())
    facts = target.facts or Facts(token="" if target.token else None)
    options: dict[str, Any] = {"ssl": target.tls} if target.tls is not None else {}
    try:
        attempt = _SameOriginConnect(
            target.url,
            subprotocols=_offered(target),  # type: ignore[arg-type]
            compression="deflate" if target.compress else None,
            additional_headers=target.headers,
            user_agent_header=user_agent(),
            proxy=target.proxy,
            open_timeout=target.open_timeout,
            ping_interval=target.ping_interval,
            ping_timeout=target.ping_timeout,
            close_timeout=target.close_timeout,
            max_size=target.max_size,
            max_queue=None,
            create_connection=factory,
            logger=WITHOUT_FRAMES,
            **options,
        )
        attempt.secrets = target.secrets()
        attempt.facts = facts
        socket = await attempt
    except RawlogsError:
        raise
    except FOREIGN as exc:
        secret = isinstance(exc, InvalidProxy)  # its text quotes the password
        raise open_error(exc, target.url, target.proxy, target.secrets(), facts) from (
            None if secret else exc
        )
    assert isinstance(socket, BatchConnection)
    return socket, attempt.uri


def _offered(target: Target) -> list[str] | None:
    return None if target.legacy or target.subprotocol is None else [target.subprotocol]


class _SameOriginConnect(connect):
    _followed = 0
    secrets: tuple[str, ...] = ()
    facts = NO_FACTS

    def process_redirect(self, exc: Exception) -> Exception | str:
        """Return the URL to ask next, or the exception to raise; the library calls it for every failed upgrade."""
        if not isinstance(exc, InvalidStatus):
            return exc
        if exc.response.status_code not in REDIRECTS or "Location" not in exc.response.headers:
            return refused(exc, self.uri, secrets=self.secrets, facts=self.facts)
        answer = redirect(exc.response, self.uri, self._followed, self.secrets, self.facts)
        self._followed += 1
        return answer
