"""Names, TCP, tunnels and TLS, one thing at a time. I/O only: what a failure means is in ``causes``."""

from __future__ import annotations

import asyncio
import socket
import ssl
from base64 import b64encode
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from rawlogs.waiting import within

_PORTS = {"http": 80, "https": 443}
_SOCKS = 1080


@dataclass(frozen=True, slots=True)
class Place:
    """A host (an IPv6 address without brackets) and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Tunnel:
    """An HTTP proxy to be asked with CONNECT; ``credentials`` is the header's value."""

    place: Place
    credentials: str | None = field(default=None, repr=False)


class TunnelRefused(Exception):
    """The proxy answered CONNECT with another status than 2xx (0: with no HTTP)."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@dataclass(frozen=True, slots=True)
class Shaken:
    """A TLS handshake that succeeded.

    ``chain`` is the server's certificate and those up to its CA; before Python 3.13, which tells no more, it alone.
    """

    chain: tuple[bytes, ...] = field(repr=False)
    version: str
    cipher: str


def proxy_place(url: str) -> Place:
    """Where a proxy listens."""
    parts = urlsplit(url)
    return Place(parts.hostname or "", parts.port or _PORTS.get(parts.scheme, _SOCKS))


def tunnel_of(url: str) -> Tunnel | None:
    """The tunnel through this proxy; None where it takes more than a plain CONNECT."""
    parts = urlsplit(url)
    if parts.scheme != "http":
        return None
    credentials = None
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        credentials = "Basic " + b64encode(pair.encode()).decode("ascii")
    return Tunnel(proxy_place(url), credentials)


async def addresses(place: Place, timeout: float) -> list[str]:
    """The addresses of a name, in the order of the resolver. Raises OSError (also for the timeout)."""
    loop = asyncio.get_running_loop()
    try:
        found = await within(timeout, loop.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM))
    except UnicodeError:  # of a proxy's host, which nobody has checked
        raise socket.gaierror(socket.EAI_NONAME, "no host name") from None
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


async def reach(place: Place, timeout: float) -> tuple[str, list[str]]:
    """Open a TCP connection and close it: the address that answered, and those that did not.

    Raises the OSError of the last address where none answers.
    """
    return await within(timeout, _reach(place, await addresses(place, timeout)))


async def _reach(place: Place, found: list[str]) -> tuple[str, list[str]]:
    dead: list[str] = []
    for address in found:
        try:
            _, writer = await asyncio.open_connection(address, place.port)
        except OSError:
            dead.append(address)
            if address == found[-1]:
                raise
        else:
            writer.transport.abort()
            await asyncio.sleep(0)
            return address, dead
    raise OSError("the name has no address")


async def shake(
    place: Place, context: ssl.SSLContext, timeout: float, *, tunnel: Tunnel | None = None
) -> Shaken:
    """A TLS handshake, and nothing after it. Raises OSError (ssl.SSLError included) and TunnelRefused."""
    return await within(timeout, _shake(place, context, tunnel))


async def certificate(place: Place, timeout: float, *, tunnel: Tunnel | None = None) -> bytes | None:
    """The certificate that is shown there, accepted or not; None where none is to be had."""
    with suppress(OSError, TunnelRefused):
        return (await shake(place, unchecked(), timeout, tunnel=tunnel)).chain[0]
    return None


async def speaks_tls(place: Place, timeout: float) -> bool:
    """Whether a TLS handshake succeeds there."""
    return await certificate(place, timeout) is not None


async def speaks_http(place: Place, timeout: float) -> bool:
    """Whether plain HTTP is answered with HTTP."""
    with suppress(OSError):
        return await within(timeout, _ask_plainly(place))
    return False


def unchecked() -> ssl.SSLContext:
    """Takes any certificate: for looking at one, never for a request."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def _shake(place: Place, context: ssl.SSLContext, tunnel: Tunnel | None) -> Shaken:
    first = tunnel.place if tunnel else place
    reader, writer = await asyncio.open_connection(first.host, first.port)
    transport: asyncio.BaseTransport = writer.transport
    try:
        if tunnel:
            await _connect(reader, writer, place, tunnel.credentials)
        upgraded = await asyncio.get_running_loop().start_tls(
            writer.transport, writer.transport.get_protocol(), context, server_hostname=place.host
        )
        if upgraded is None:  # the line was cut meanwhile
            raise ConnectionResetError("the line was cut")
        transport = upgraded
        tls: ssl.SSLObject = transport.get_extra_info("ssl_object")
        cipher = tls.cipher()
        return Shaken(_chain(tls, context), tls.version() or "TLS", cipher[0] if cipher else "")
    finally:
        assert isinstance(transport, asyncio.WriteTransport)
        transport.abort()
        await asyncio.sleep(0)


def _chain(tls: ssl.SSLObject, context: ssl.SSLContext) -> tuple[bytes, ...]:
    verified = context.verify_mode is not ssl.CERT_NONE
    ask = getattr(tls, "get_verified_chain" if verified else "get_unverified_chain", None)
    return tuple(ask()) if ask is not None else (tls.getpeercert(True) or b"",)


async def _connect(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, place: Place, credentials: str | None
) -> None:
    lines = [f"CONNECT {place} HTTP/1.1", f"Host: {place}"]
    if credentials:
        lines.append(f"Proxy-Authorization: {credentials}")
    writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace"))
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        raise TunnelRefused(0) from None
    first = head.split(b"\r\n")[0].split(b" ")
    status = int(first[1]) if len(first) > 1 and first[1].isdigit() else 0
    if not 200 <= status < 300:
        raise TunnelRefused(status)


async def _ask_plainly(place: Place) -> bool:
    reader, writer = await asyncio.open_connection(place.host, place.port)
    try:
        writer.write(f"GET / HTTP/1.1\r\nHost: {place}\r\nConnection: close\r\n\r\n".encode("latin-1"))
        return (await reader.read(5)).startswith(b"HTTP/")
    finally:
        writer.transport.abort()
        await asyncio.sleep(0)
