"""What a socket conversation and a REST exchange have in common: one line, and the ways it can end."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from email.utils import format_datetime
from http import HTTPStatus

from rawlogs.testing.faults import Step
from rawlogs.testing.model.state import ServerState
from rawlogs.testing.net.faulty_writer import Ended, FaultyWriter

BAD_REQUEST = (
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\nconnection: close\r\n"
    b"content-length: 30\r\n\r\nInvalid HTTP request received."
)


class Channel:
    """One client on one TCP connection, and the steps that happen to it."""

    def __init__(self, state: ServerState, pipe: FaultyWriter, rng: random.Random) -> None:
        self.state = state
        self.pipe = pipe
        self.rng = rng
        self.mute = False

    async def play(self, steps: Sequence[Step]) -> None:
        """Run the steps in order. Raises Ended where one of them ends the line."""
        for step in steps:
            await step.act(self)

    async def http(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Answer so, and end the line."""
        head = self.head(status, {"content-type": "text/plain", "connection": "close", **headers}, len(body))
        await self.pipe.write(head + body)
        await self.drop()

    def head(self, status: int, headers: Mapping[str, str], length: int) -> bytes:
        """The head of an HTTP answer, with the server's date and name."""
        phrase = HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "Unknown"
        fields = {
            "date": format_datetime(self.state.now(), usegmt=True),
            "server": "uvicorn",
            "content-length": str(length),
            **{name.lower(): value for name, value in headers.items()},
        }
        lines = [f"HTTP/1.1 {status} {phrase}", *(f"{name}: {value}" for name, value in fields.items())]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    async def drop(self) -> None:
        """End the line without a word."""
        await self.pipe.close()
        raise Ended

    def abort(self) -> None:
        """Reset the line."""
        self.pipe.abort()
        raise Ended

    async def silence(self) -> None:
        """Say nothing more by itself; pings are still answered."""
        await asyncio.get_running_loop().create_future()

    async def blackhole(self) -> None:
        """Say nothing at all, and leave the line up: a half-open connection."""
        self.mute = True
        await self.silence()
