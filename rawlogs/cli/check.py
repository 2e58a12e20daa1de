"""``rawlogs check``: what was sent against what was received."""

from __future__ import annotations

import sys

import click
import orjson

from rawlogs import files
from rawlogs.cli import exit_codes
from rawlogs.cli.option_groups import Command
from rawlogs.errors import ConfigError

PIPE_PATIENCE = 30.0
"""Seconds that a pipe (``<(command)``) may be silent."""


@click.command(
    cls=Command,
    examples=(
        ("rawlogs check sent.jsonl got.jsonl", "what is missing, repeated, unknown or reordered"),
        ("rawlogs check sent.jsonl - < got.jsonl", "the same from a pipe"),
    ),
)
@click.argument("sent", type=click.Path(dir_okay=False, allow_dash=True))
@click.argument("received", type=click.Path(dir_okay=False, allow_dash=True))
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="json: one object.")
@click.option(
    "--show", type=click.IntRange(min=0), default=5, metavar="N", help="So many ids of each kind (default 5)."
)
def command(sent: str, received: str, output: str, show: int) -> int:
    """Compare two files of logs (JSON lines, frames, or ids): missing, repeated, unknown and reordered ids.

    Exits with 0 when every sent log was received once and nothing else, with 5 otherwise; the order is only told.
    """
    from rawlogs.testing.compare import compare, ids

    result = compare(ids(_lines(sent), sent), ids(_lines(received), received))
    kinds = {"missing": result.missing, "repeated": result.repeated, "unknown": result.unknown}
    if output == "json":
        facts = {"sent": result.sent, "received": result.received, "reordered": result.reordered, **kinds}
        click.echo(orjson.dumps(facts).decode())
    else:
        click.echo(f"sent {result.sent}, received {result.received}")
        for kind, found in kinds.items():
            examples = (
                ": " + " ".join(found[:show]) + (" ..." if len(found) > show else "")
                if found and show
                else ""
            )
            click.echo(f"{kind} {len(found)}{examples}")
        click.echo(f"reordered {result.reordered}")
    return exit_codes.DONE if result.complete else exit_codes.LOSS


def _lines(path: str) -> list[bytes]:
    if path == "-":
        return sys.stdin.buffer.read().split(b"\n")
    try:
        # Not splitlines() of the text: a message may hold other line separators.
        return files.read(path, limit=None, pipe=PIPE_PATIENCE).split(b"\n")
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}", setting=path) from error
