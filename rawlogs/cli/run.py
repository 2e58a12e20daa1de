"""``rawlogs run``: start a run of a deployment, and follow it to its end."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import Any

import click

from rawlogs.cli import exit_codes
from rawlogs.cli.access import ACCESS, access_arguments
from rawlogs.cli.option_groups import Command, OptionGroup
from rawlogs.cli.server_names import deployments
from rawlogs.cli.stream_options import DELIVERY, ENDING, FILTER, FOLLOWED, OUTPUT
from rawlogs.cli.time_types import Duration, Moment

STARTING = OptionGroup(
    "The new run",
    click.Option(
        ["-p", "--param"],
        multiple=True,
        metavar="KEY=VALUE",
        help="A parameter: JSON where it is some, else text; repeatable.",
    ),
    click.Option(
        ["--params"],
        type=click.Path(exists=True, dir_okay=False, allow_dash=True),
        metavar="FILE",
        help="Parameters as a JSON object in a file (- is stdin); -p comes first.",
    ),
    click.Option(["--tag"], multiple=True, metavar="TAG", help="A tag of the run; repeatable."),
    click.Option(["--name"], metavar="NAME", help="The run's name, else the server makes one."),
    click.Option(["--in", "delay"], type=Duration(), metavar="DURATION", help="Start after that long."),
    click.Option(["--at"], type=Moment(), metavar="TIME", help="Start at that time."),
    click.Option(
        ["--idempotency-key"], metavar="KEY", help="Make one run for it, however often this is called."
    ),
    click.Option(["--detach"], is_flag=True, help="Print the run's id and end."),
    click.Option(["--cancel-on-interrupt"], is_flag=True, help="Ctrl-C and SIGTERM cancel the run."),
)
LOGS = FILTER.without("flow_run_id", "task_run_id")
FETCHING = DELIVERY.without("live_only", "wait")
CHILDREN = FOLLOWED.only("children")


@click.command(
    cls=Command,
    groups=(STARTING, CHILDREN, LOGS, ENDING, OUTPUT, FETCHING, ACCESS),
    examples=(
        ("rawlogs run etl/nightly", "its logs; its state is the exit code"),
        ("rawlogs run etl/nightly -p day=2026-11-20 -p retries=3", "with parameters"),
        ("rawlogs run etl/nightly --in 10m --detach", "only start it"),
        ("rawlogs run etl/nightly --cancel-on-interrupt", "for a CI job that may be aborted"),
    ),
    epilog="More: rawlogs help follow, output or exit-codes.",
)
@click.argument("deployment", metavar="FLOW/DEPLOYMENT", shell_complete=deployments)
@click.pass_obj
def command(started_at: datetime, /, deployment: str, **given: Any) -> int:
    """Start a run of a deployment, and show its logs to its end as `rawlogs tail RUN` does.

    Exit codes are those of tail: 0 completed, 1 failed or cancelled. Ctrl-C leaves the run running.
    """
    from rawlogs.cli.run_request import read_request

    starting = STARTING.take(given)
    detach, cancel = starting.pop("detach"), starting.pop("cancel_on_interrupt")
    request = read_request(**starting)
    access = access_arguments(given)
    import asyncio  # not for --help

    return asyncio.run(_run(deployment, request, access, given, started_at, detach=detach, cancel=cancel))


async def _run(
    deployment: str,
    request: Any,
    access: dict[str, Any],
    given: dict[str, Any],
    started_at: datetime,
    *,
    detach: bool,
    cancel: bool,
) -> int:
    from rawlogs.cli.run_runner import RunRunner
    from rawlogs.cli.run_starter import RunStarter
    from rawlogs.cli.stream_output import StreamOutput
    from rawlogs.runs.followed_runs import FollowedRuns

    output = StreamOutput(**OUTPUT.take(given))
    started = await RunStarter(access, output.notices, deployment, request, cancels=cancel).start()
    if isinstance(started, int):
        return started
    if detach:
        _print(started.run, as_json=output.name == "json")
        return exit_codes.DONE
    chosen = {**LOGS.take(given), "flow_run_id": (), "task_run_id": ()}
    options = {
        **FETCHING.take(given),
        "since": None,
        "until": None,
        "tail": None,
        "follow": True,
        "live_only": False,
        "wait": False,
        "started_at": started_at,
    }
    followed = FollowedRuns([started.run.id], **CHILDREN.take(given))
    runner = RunRunner(started, access, chosen, options, output, followed=followed, **ENDING.take(given))
    return await runner.run()


def _print(run: Any, *, as_json: bool) -> None:
    if not as_json:
        click.echo(str(run.id))
        return
    from rawlogs.output.json import encode_object

    fields = {"flow_run_id": str(run.id), "flow_run_name": run.name, "state": run.state_type}
    sys.stdout.buffer.write(encode_object(fields) + b"\n")
    sys.stdout.flush()
