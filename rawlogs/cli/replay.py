"""``rawlogs replay``: plays a recording to any Prefect client."""

from __future__ import annotations

import asyncio
from functools import partial

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
@click.option("--loop", is_flag=True, help="Start again whenever it has been played to its end.")
def command(file: str, host: str, port: int, speed: str, loop: bool) -> int:
    """Serve what `rawlogs record` wrote: each recorded connection to the next client, its logs over REST.

    Point any Prefect client at it, Prefect's own included: PREFECT_API_URL=http://127.0.0.1:4200/api
    """
    factor = parse_speed(speed)
    return listen_until_signal(lambda: _replay(file, host, port, factor, loop))


def parse_speed(text: str) -> float | None:
    """Return the factor in ``2x``; None for ``max``. Raises ConfigError for anything else."""
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
    from rawlogs.testing.playback import RefuseLateClient
    from rawlogs.testing.recording import read
    from rawlogs.testing.server import FakeServer

    recording = read(file)
    if recording.problem:
        click.echo(f"rawlogs: {recording.problem}", err=True)
    busy = RefuseLateClient(
        _tell_busy, 1013, "the recording is played to another client; connect again later"
    )
    over = RefuseLateClient(
        _tell_over, 1000, "the recording has no further connection; start the replay again"
    )
    after = [busy if loop else over]
    while True:
        server = FakeServer(recording=recording, host=host, port=port, speed=speed, after_recording=after)
        if loop and server.replayed:
            raise ConfigError(
                f"{file} has no WebSocket of logs, so --loop would have nothing to repeat", setting="--loop"
            )
        async with server:
            tell_address(server.api_url, host)
            port = server.port
            if not loop:
                await asyncio.sleep(float("inf"))
            # The bound that ``until`` requires is 34 years here.
            await server.until(partial(getattr, server, "replayed"), timeout=float(1 << 30))


def _tell_busy() -> None:
    click.echo("rawlogs: a client was refused: the recording is played to another one", err=True)


def _tell_over() -> None:
    click.echo(
        "rawlogs: a client was refused: every recorded connection was played; start the replay again, or use --loop",
        err=True,
    )
