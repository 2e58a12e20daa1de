"""Copies frames from a connection to stdout and does nothing else: what waking up costs, whatever a log costs."""

from __future__ import annotations

import asyncio
import os
import sys

from rawlogs.wire.connection import Target, open_connection
from rawlogs.wire.frames import filter_message


async def copy(api_url: str) -> None:
    connection = await open_connection(
        Target(f"{api_url.replace('http', 'ws', 1)}/logs/out"), filter_message({})
    )
    print("ready", file=sys.stderr, flush=True)
    await connection.feed(write)


def write(payloads: list[bytes]) -> None:
    os.write(1, b"\n".join([*payloads, b""]))


if __name__ == "__main__":
    asyncio.run(copy(sys.argv[1]))
