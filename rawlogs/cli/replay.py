"""``rawlogs replay``: a recording played back to any Prefect client."""

from __future__ import annotations

import asyncio

import click

from rawlogs.cli.option_groups import Command
from rawlogs.cli.server_options import address_options, listen_until_signal, tell_address
from rawlogs.errors import ConfigError


@click.command(
    cls=Command,
    examples=(
        ("rawlogs replay run.jsonl", "as fast as it was recorded, on port 4200"),
        ("rawlogs replay run.jsonl --port 0 --loop", "on a free port, to every client again"),
    ),
)
@click.argument("file", type=click.Path(dir_okay=False))
@address_options
@click.option("--speed", default="1x", metavar="SPEED", help="1x (default), 4x, 0.5x, or max.")
@click.option("--loop", is_flag=True, help="Begin anew whenever it has been played to its end.")
def command(file: str, host: str, port: int, speed: str, loop: bool) -> int:
    """Serve what `rawlogs record` wrote: each recorded conversation to the next client, its logs over REST.

    Point any Prefect client at it, Prefect's own included: PREFECT_API_URL=http://127.0.0.1:4200/api
    """
    factor = parse_speed(speed)
    return listen_until_signal(lambda: _replay(file, host, port, factor, loop))


def parse_speed(text: str) -> float | None:
    """``2x`` as 2.0; None for ``max``: at once."""
    if text.strip().lower() == "max":
        return None
    try:
        factor = float(text.strip().lower().rstrip("x"))
    except ValueError:
        factor = 0.0
    if not 0 < factor < float("inf"):
        raise ConfigError(f"--speed {text!r}: use a factor such as 1x or 4x, or max", setting="--speed")
    return factor


async def _replay(file: str, host: str, port: int, speed: float | None, loop: bool) -> int:
    from rawlogs.testing.recording import read
    from rawlogs.testing.server import FakeServer

    recording = read(file)
    if recording.problem:
        click.echo(f"rawlogs: {recording.problem}", err=True)
    while True:
        async with FakeServer(recording=recording, host=host, port=port, speed=speed) as server:
            tell_address(server.api_url, host)
            port = server.port
            if not loop:
                await asyncio.sleep(float("inf"))
            await server.until(lambda: server.replayed, timeout=float(1 << 30))
