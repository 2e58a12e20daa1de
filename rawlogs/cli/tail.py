"""``rawlogs tail``: its own flags, and what does not go together. The work is done by ``TailRunner``."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

import click

from rawlogs.cli.access import ACCESS, access_arguments
from rawlogs.cli.option_groups import Command, OptionGroup
from rawlogs.cli.stream_options import CURSOR, DELIVERY, ENDING, FILTER, OUTPUT, RANGE
from rawlogs.cli.watching import WATCH
from rawlogs.errors import ConfigError

FOLLOWED = OptionGroup(
    "Which runs",
    click.Option(
        ["--flow"], metavar="NAME", help="Follow the runs of a flow, those that start later included."
    ),
    click.Option(["--deployment"], metavar="FLOW/DEPLOYMENT", help="Follow the runs of a deployment."),
    click.Option(["--tag"], metavar="TAG", help="Follow the runs with a tag."),
    click.Option(
        ["--children/--no-children"], default=True, help="With a run, also its subflow runs (default: yes)."
    ),
)
"""Arguments of ``FollowedRuns``."""


@click.command(cls=Command, groups=(FOLLOWED, FILTER, RANGE, ENDING, OUTPUT, CURSOR, DELIVERY, WATCH, ACCESS))
@click.argument("run", nargs=-1)
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

    _check(run, given)
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
    return asyncio.run(runner.run_watched(**WATCH.take(given)))


def _check(run: tuple[str, ...], given: dict[str, Any]) -> None:
    """Refuse what does not go together, before anything is opened. Raises ConfigError."""
    ways = [f"--{name}" for name in ("flow", "deployment", "tag") if given[name]] + (["RUN"] if run else [])
    if len(ways) > 1:
        raise ConfigError(f"give one of {', '.join(ways)}, not several", setting=ways[1])
    if ways and (given["flow_run_id"] or given["task_run_id"]):
        raise ConfigError(
            f"{ways[0]} follows runs; --flow-run and --task-run are plain filters: use one of the two"
        )
    if ways and (given["live_only"] or given["transport"] == "ws"):
        wrong = "--live-only" if given["live_only"] else "--transport ws"
        raise ConfigError(f"{ways[0]} also reads stored logs, which {wrong} does not", setting=wrong)
    if given["live_only"] and (given["cursor_file"] or given["strict"]):
        raise ConfigError("--live-only has no REST list, which --cursor-file and --strict need")
    if given["cursor_file"] and given["tail"] is not None:
        raise ConfigError(
            "--cursor-file says where to go on, and --tail where to begin: give one of the two",
            setting="--tail",
        )
    if given["reset_cursor"] and not given["cursor_file"]:
        raise ConfigError("--reset-cursor needs --cursor-file", setting="--reset-cursor")
