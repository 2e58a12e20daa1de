"""``rawlogs demo``: the main job on an embedded server, without a network, in a few seconds."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import click

from rawlogs.cli.option_groups import Command
from rawlogs.cli.time_types import FiniteRange

RECORDING = "prefect-3.8.8-flow.jsonl"
BURST = 1000


@click.command(
    cls=Command,
    examples=(("rawlogs demo", "ends by itself, after a few seconds"),),
)
@click.option(
    "--speed", type=FiniteRange(min=0, min_open=True), default=4.0, help="Of the replay (default 4)."
)
@click.option("--color", type=click.Choice(["auto", "always", "never"]), default="auto", help="Colours.")
def command(speed: float, color: str) -> None:
    """Stream a recorded flow run from a fake Prefect server, then a burst that the live stream loses most of."""
    asyncio.run(_demo(speed, color))


async def _demo(speed: float, color: str) -> None:
    await _recorded_flow(speed, color)
    await _burst()


async def _recorded_flow(speed: float, color: str) -> None:
    import os

    from rawlogs.api import stream
    from rawlogs.output.color import want_color
    from rawlogs.output.text import TextFormat
    from rawlogs.testing.recording import read
    from rawlogs.testing.server import FakeServer

    recording = read(recording_path())
    click.echo(
        f"1. A real flow run, recorded on Prefect {recording.prefect_version}, streamed from a fake server:"
    )
    form = TextFormat(color=want_color(color, sys.stdout.isatty(), os.environ))  # type: ignore[arg-type]
    logs = sum('"type":"log"' in event.data for event in recording.events if isinstance(event.data, str))
    async with (
        FakeServer(recording=recording_path(), speed=speed) as server,
        stream(api_url=server.api_url) as lines,
    ):
        async for log in lines:
            click.echo("   " + form.line(log))
            logs -= 1
            if not logs:
                break
        click.echo(f"   {lines.stats.line()}\n")


async def _burst() -> None:
    from rawlogs.api import stream
    from rawlogs.testing.server import FakeServer

    click.echo(
        f"2. {BURST} logs sent at once. A Prefect server keeps 256 for each subscriber and drops the rest:"
    )
    async with FakeServer() as server:
        alone = stream(api_url=server.api_url, live_only=True)
        joined = stream(api_url=server.api_url)
        async with alone as socket_only, joined as complete:
            await server.until_subscribed(2)
            server.post([{"message": f"line {number}"} for number in range(BURST)])
            received = 0
            async for batch in complete.batches():
                received += len(batch)
                if received >= BURST:
                    break
            click.echo(f"   the socket alone: {socket_only.stats.delivered} of {BURST}, and nothing tells")
            click.echo(f"   rawlogs:          {received} of {BURST}")
            click.echo(f"   {complete.stats.line()}\n")
    click.echo("Next: rawlogs tail --help, or set PREFECT_API_URL and run: rawlogs tail")


def recording_path() -> Path:
    """Return the path of the recording in the installed package, or in the checkout."""
    here = Path(__file__).parent / RECORDING
    return here if here.exists() else Path(__file__).parents[2] / "fixtures" / RECORDING
