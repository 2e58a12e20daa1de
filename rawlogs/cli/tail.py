"""``rawlogs tail``: its own flags, and what does not go together. The work is done by ``TailRunner``."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from rawlogs.cli.access import ACCESS, access_arguments
from rawlogs.cli.option_groups import Command
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


@click.command(
    cls=Command,
    groups=(FOLLOWED, FILTER, RANGE, ENDING, OUTPUT, CURSOR, DELIVERY, WATCH, ACCESS),
    examples=(
        ("rawlogs tail", "what comes from now on"),
        ("rawlogs tail RUN", "a run to its end; its state is the exit code"),
        ("rawlogs tail RUN -n 20", "its newest 20 lines first"),
        ("rawlogs tail -n 100 -l WARNING", "100 stored warnings first"),
        ("rawlogs tail --since 10m --no-follow -o json", "what is stored"),
        ("rawlogs tail --deployment etl/nightly", "its runs, also later ones"),
        ("rawlogs tail -i timeout -e healthcheck", "with the one, without the other"),
        ("rawlogs tail -o json --cursor-file state.json", "go on where it ended"),
    ),
    epilog="More: rawlogs help follow, filters, time, output, cursor, exit-codes, environment or troubleshooting.",
)
@click.argument("run", nargs=-1, shell_complete=runs)
@click.pass_obj
def command(started_at: datetime, /, run: tuple[str, ...], **given: Any) -> int:
    """Stream logs to stdout, complete and in order of arrival; everything about the stream goes to stderr.

    RUN is a flow run: its id, its name, or the URL of its page. With RUNs the command shows all their logs from the
    start, and ends when they have ended: 0 completed, 1 failed or cancelled. Without RUN it shows what comes from
    now on.
    """
    from rawlogs.cli.stream_output import StreamOutput
    from rawlogs.cli.tail_runner import TailRunner
    from rawlogs.runs.followed_runs import FollowedRuns

    check_together(run, given)
    access = access_arguments(given)
    followed = FollowedRuns(run, **FOLLOWED.take(given))
    output = StreamOutput(**OUTPUT.take(given))
    options = {**DELIVERY.take(given), **RANGE.take(given), "started_at": started_at}
    runner = TailRunner(
        access,
        FILTER.take(given),
        options,
        output,
        followed=followed if followed else None,
        **CURSOR.take(given),
        **ENDING.take(given),
    )
    import asyncio  # not for --help

    return asyncio.run(runner.run_watched(**WATCH.take(given)))
