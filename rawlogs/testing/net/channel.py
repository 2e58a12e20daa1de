"""``Channel``: one client being served, and ``Step``: one thing that a script makes happen to it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.utils import format_datetime
from http import HTTPStatus
from typing import Any, ClassVar, NoReturn

from rawlogs.testing.model.bounds import Checked
from rawlogs.testing.model.state import ServerState
from rawlogs.testing.net.faulty_writer import Ended, FaultyWriter

BAD_REQUEST = (
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\nconnection: close\r\n"
    b"content-length: 30\r\n\r\nInvalid HTTP request received."
)


class Step(Checked):
    """One step of a script. Steps are values: they can be compared and reused."""

    on_socket: ClassVar[bool] = True
    on_rest: ClassVar[bool] = True

    async def act(self, channel: Any) -> None:
        """Do it; ``channel`` is a ``WebSocketSession``, for REST a ``RestExchange``."""
        raise NotImplementedError


@dataclass(eq=False)
class Channel:
    """One client on one TCP connection."""

    state: ServerState
    writer: FaultyWriter
    rng: random.Random
    mute = False

    async def play(self, steps: Sequence[Step]) -> None:
        """Run the steps in order. Raises Ended where a step ends the connection."""
        for step in steps:
            await step.act(self)

    async def serve(self, frames: int | None = None) -> None:
        """Behave like Prefect from here on; on a socket until ``frames`` logs or events are sent."""
        raise NotImplementedError

    async def http(self, status: int, headers: Mapping[str, str], body: bytes) -> NoReturn:
        """Send this HTTP answer and close the connection."""
        head = self.head(status, {"content-type": "text/plain", "connection": "close", **headers}, len(body))
        await self.writer.write(head + body)
        await self.drop()

    def head(self, status: int, headers: Mapping[str, str], length: int) -> bytes:
        """Return the head of an HTTP answer, with the server's date and name."""
        # A script may send a status that has no name, such as 599.
        phrase = HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "Unknown"
        fields = {
            "date": format_datetime(self.state.now(), usegmt=True),
            "server": "uvicorn",
            "content-length": str(length),
            **{name.lower(): value for name, value in headers.items()},
        }
        lines = [f"HTTP/1.1 {status} {phrase}", *(f"{name}: {value}" for name, value in fields.items())]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    async def drop(self) -> NoReturn:
        """Close the TCP connection without a close frame."""
        await self.writer.close()
        raise Ended

    def abort(self) -> NoReturn:
        """Reset the TCP connection."""
        self.writer.abort()
        raise Ended

    async def silence(self) -> NoReturn:
        """Send nothing more for ever; pings are still answered unless ``mute`` is set."""
        raise await asyncio.get_running_loop().create_future()
