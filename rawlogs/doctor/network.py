"""Resolve names and open TCP connections, one thing at a time. I/O only: what a failure means is in ``advice``."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from rawlogs.waiting import within

_PORTS = {"http": 80, "https": 443}
_SOCKS = 1080


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Host (an IPv6 address without brackets) and port."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def proxy_endpoint(url: str) -> Endpoint:
    """Return where a proxy listens."""
    parts = urlsplit(url)
    return Endpoint(parts.hostname or "", parts.port or _PORTS.get(parts.scheme, _SOCKS))


async def resolve_host(endpoint: Endpoint, timeout: float) -> list[str]:
    """Return the addresses of a name, in the order of the resolver. Raises OSError (also for the timeout)."""
    loop = asyncio.get_running_loop()
    try:
        found = await within(timeout, loop.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM))
    except UnicodeError:  # of a proxy's host, which nobody has checked
        raise socket.gaierror(socket.EAI_NONAME, "no host name") from None
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


async def tcp_connect(endpoint: Endpoint, timeout: float) -> tuple[str, list[str]]:
    """Open a TCP connection and close it. Return the address that answered, and those tried before it.

    Raises the OSError of the last address where none answers.
    """
    return await within(timeout, _tcp_connect(endpoint, await resolve_host(endpoint, timeout)))


async def _tcp_connect(endpoint: Endpoint, found: list[str]) -> tuple[str, list[str]]:
    dead: list[str] = []
    for address in found:
        try:
            _, writer = await asyncio.open_connection(address, endpoint.port)
        except OSError:
            dead.append(address)
            if address == found[-1]:
                raise
        else:
            writer.transport.abort()  # without a closing handshake to wait for
            await asyncio.sleep(0)
            return address, dead
    raise OSError("the name has no address")
