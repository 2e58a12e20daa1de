"""``rawlogs doctor``: the flags, the findings on stdout, and the exit code of the verdict."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING, Any

import click

from rawlogs.cli import exit_codes
from rawlogs.cli.access import ACCESS, access_arguments
from rawlogs.cli.option_groups import Command
from rawlogs.cli.time_types import Seconds

if TYPE_CHECKING:
    from rawlogs.doctor.findings import Result

_CODES = {
    None: exit_codes.DONE,
    "config": exit_codes.USAGE,
    "auth": exit_codes.AUTH,
    "unreachable": exit_codes.UNREACHABLE,
}


@click.command(
    cls=Command,
    groups=(ACCESS,),
    examples=(
        ("rawlogs doctor", "what of this machine's settings works, and what does not"),
        ("rawlogs doctor --watch 60", "look at the socket for a minute while a flow runs"),
        ("rawlogs doctor -o json > report.json", "for a bug report, without secrets"),
    ),
)
@click.option(
    "--watch",
    type=Seconds(),
    default=5.0,
    metavar="S",
    help="How long to watch the socket for logs (default 5).",
)
@click.option("--write-test", is_flag=True, help="Write one log to the server, and see whether it arrives.")
@click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "json"]),
    default="text",
    help="text (default); json: one object for a bug report, without secrets.",
)
def command(**given: Any) -> int:
    """Check step by step whether logs can be had, and say what to do where they cannot.

    Nothing is written to the server, except one log with --write-test. The exit code is 0 if logs can be had.
    """
    watch, write_test, output = (given.pop(name) for name in ("watch", "write_test", "output"))
    return asyncio.run(_examine(access_arguments(given), watch, write_test, output == "json"))


async def _examine(access: dict[str, Any], watch: float, write_test: bool, as_json: bool) -> int:
    from rawlogs.clock import SystemClock
    from rawlogs.doctor.context import CheckContext
    from rawlogs.doctor.report import Report
    from rawlogs.doctor.runner import examine
    from rawlogs.doctor.verdict import verdict_of

    case = CheckContext(access, SystemClock(), watch=watch, write_test=write_test, tell=_tell)

    def show(result: Result) -> None:
        for line in Report(case.secrets()).lines(result):
            _print(line)

    results = await (examine(case) if as_json else examine(case, show))
    verdict = verdict_of(results)
    code = _CODES[verdict.blame]
    report = Report(case.secrets())
    if as_json:
        # ASCII, since it is made for pasting: no character of a hostile log can hide in it.
        click.echo(json.dumps(report.as_object(results, verdict, code, case.clock.now()), indent=2))
    else:
        _print(report.closing(verdict))
    return code


def _print(line: str) -> None:
    from rawlogs.output.escape import escape_line

    encoding = (sys.stdout.encoding if sys.stdout else None) or "utf-8"
    click.echo(escape_line(line).encode(encoding, "backslashreplace").decode(encoding))


def _tell(text: str) -> None:
    click.echo(f"rawlogs: {text}", err=True)
