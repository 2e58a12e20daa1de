"""``rawlogs ship``: its own flags, and what does not go together. The work is done by ``ShipRunner``."""

from __future__ import annotations

import os
import sys
from datetime import datetime
from typing import Any

import click

from rawlogs.cli.access import ACCESS, access_arguments
from rawlogs.cli.option_groups import Command, OptionGroup
from rawlogs.cli.server_names import runs
from rawlogs.cli.stream_options import (
    CURSOR,
    DELIVERY,
    ENDING,
    FILTER,
    FOLLOWED,
    OUTPUT,
    RANGE,
    check_together,
)
from rawlogs.cli.watch_options import WATCH

RECEIVER = OptionGroup(
    "Where to",
    click.Option(
        ["--to"],
        metavar="URL",
        help="otlp+https://HOST:4318 or otlp+http://HOST:4318; else OTEL_EXPORTER_OTLP_ENDPOINT.",
    ),
    click.Option(
        ["--ca-file"],
        type=click.Path(),
        metavar="FILE",
        help="The receiver's CA; else OTEL_EXPORTER_OTLP_CERTIFICATE.",
    ),
)
"""Arguments of ``receiver.resolve``."""

SHIPPING = OptionGroup(
    "How logs are sent",
    click.Option(
        ["--batch-size"],
        type=click.IntRange(min=1),
        default=512,
        metavar="N",
        help="Logs of a request at most (default 512); it is sent after 1 s.",
    ),
    click.Option(
        ["--batch-bytes"],
        type=click.IntRange(min=1),
        default=1 << 20,
        metavar="N",
        help="Bytes of a request, about, before compression (default 1048576).",
    ),
    click.Option(
        ["--dead-letter"],
        type=click.Path(),
        metavar="FILE",
        help="Append the logs that are refused for good here, as JSON lines.",
    ),
)
"""Arguments of ``ShipRunner``."""

FETCHING = DELIVERY.without("live_only", "retries", "wait")
"""A shipper waits for its server, also at the start, and needs the list."""
STDERR = OUTPUT.only("quiet", "verbose")
TIMEOUT = ENDING.only("timeout")
BUFFER = 2_000
"""Logs that wait for a slow receiver; what exceeds it is listed later, so a long outage costs no memory."""
NO_CURSOR = (
    "no --cursor-file: what comes while rawlogs is not running, and what is not acknowledged when it ends, is not "
    "shipped later"
)


@click.command(
    cls=Command,
    groups=(RECEIVER, SHIPPING, CURSOR, FOLLOWED, FILTER, RANGE, TIMEOUT, STDERR, FETCHING, WATCH, ACCESS),
    examples=(
        ("rawlogs ship --to otlp+http://localhost:4318", "what comes from now on"),
        ("rawlogs ship --cursor-file state.json", "go on where it ended"),
    ),
)
@click.argument("run", nargs=-1, shell_complete=runs)
@click.pass_obj
def command(started_at: datetime, /, run: tuple[str, ...], **given: Any) -> int:
    """Send logs to an OpenTelemetry receiver (OTLP/HTTP), each at least once. Needs rawlogs[otlp].

    All logs of the workspace from now on, or those that the filters choose; with RUN, --flow, --deployment or --tag
    those of runs, as with tail. With --cursor-file it goes on where the receiver acknowledged last. Headers, timeout,
    compression and certificates are those of OTEL_EXPORTER_OTLP_..., as for every exporter. See docs/ship.md.
    """
    from rawlogs.output.stderr import NoticePrinter
    from rawlogs.runs.followed_runs import FollowedRuns
    from rawlogs.ship.receiver import resolve

    check_together(run, given)
    where = RECEIVER.take(given)
    receiver = resolve(where["to"], os.environ, ca_file=where["ca_file"])
    from rawlogs.cli.ship_runner import ShipRunner  # says what to install where the extra is missing

    access = access_arguments(given)
    follow = given["follow"]
    options = {
        **FETCHING.take(given),
        **RANGE.take(given),
        **({"retries": None, "wait": True} if follow else {}),
        "started_at": started_at,
        "buffer": BUFFER,
    }
    followed = FollowedRuns(run, **FOLLOWED.take(given))
    forgetful = follow and not followed and given["cursor_file"] is None

    async def ship() -> int:
        runner = ShipRunner(
            access,
            FILTER.take(given),
            options,
            NoticePrinter(sys.stderr, **STDERR.take(given)),
            receiver=receiver,
            notes=[*receiver.notes, *([NO_CURSOR] if forgetful else [])],
            followed=followed if followed else None,
            **SHIPPING.take(given),
            **CURSOR.take(given),
            **TIMEOUT.take(given),
        )
        return await runner.run_watched(**WATCH.take(given))

    import asyncio  # not for --help

    return asyncio.run(ship())
