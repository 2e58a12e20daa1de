"""The options of the commands that stream logs, each declared once, in groups.

Options of FILTER, RANGE and DELIVERY bear the names of the arguments of ``rawlogs.stream`` and of ``Options``, whose
defaults they show; those of OUTPUT and ENDING are taken by ``StreamOutput`` and ``StreamRunner``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from rawlogs.cli.completers import levels
from rawlogs.cli.filter_types import Level, SearchText
from rawlogs.cli.option_groups import OptionGroup
from rawlogs.cli.server_names import deployments
from rawlogs.cli.time_types import Moment, Seconds
from rawlogs.errors import ConfigError
from rawlogs.options import Options

_DEFAULT = Options()


def _not_empty(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    if value == "":  # "$UNSET" in a script; it would be the working directory
        raise click.BadParameter("the name is empty.", ctx, param)
    return value


FOLLOWED = OptionGroup(
    "Which runs",
    click.Option(
        ["--flow"], metavar="NAME", help="Follow the runs of a flow, those that start later included."
    ),
    click.Option(
        ["--deployment"],
        shell_complete=deployments,
        metavar="FLOW/DEPLOYMENT",
        help="Follow the runs of a deployment.",
    ),
    click.Option(["--tag"], metavar="TAG", help="Follow the runs with a tag."),
    click.Option(
        ["--children/--no-children"], default=True, help="With a run, also its subflow runs (default: yes)."
    ),
)
"""Arguments of ``FollowedRuns``."""

FILTER = OptionGroup(
    "Which logs",
    click.Option(
        ["--flow-run", "flow_run_id"],
        type=click.UUID,
        multiple=True,
        help="Only logs of this flow run; need not exist; repeatable.",
    ),
    click.Option(
        ["--task-run", "task_run_id"],
        type=click.UUID,
        multiple=True,
        help="Only logs of this task run; repeatable.",
    ),
    click.Option(
        ["-l", "--level"],
        type=Level(),
        shell_complete=levels,
        metavar="LEVEL",
        help="This level and above: a name or a number.",
    ),
    click.Option(
        ["--max-level"], type=Level(), shell_complete=levels, metavar="LEVEL", help="This level and below."
    ),
    click.Option(
        ["--text"],
        type=SearchText(),
        metavar="QUERY",
        help="Prefect's search syntax over message and logger.",
    ),
    click.Option(
        ["-i", "--include"],
        multiple=True,
        metavar="REGEX",
        help="Only messages that contain this; repeatable (or).",
    ),
    click.Option(
        ["-e", "--exclude"],
        multiple=True,
        metavar="REGEX",
        help="Not messages that contain this; repeatable.",
    ),
    click.Option(
        ["--logger"],
        multiple=True,
        metavar="GLOB",
        help="Only these loggers, such as 'prefect.task*'; repeatable.",
    ),
)
"""Arguments of ``rawlogs.stream``."""

RANGE = OptionGroup(
    "From when to when",
    click.Option(["--since"], type=Moment(), help="Stored logs from then on: 10m, 2h, 1d, or RFC 3339."),
    click.Option(["--until"], type=Moment(), help="End at that time."),
    click.Option(
        ["-n", "--tail"], type=click.IntRange(min=0), metavar="N", help="The newest N stored logs first."
    ),
    click.Option(
        ["-f/-F", "--follow/--no-follow"], default=True, help="Go on with what comes (default), or end."
    ),
)
"""Arguments of ``rawlogs.stream``, too."""

ENDING = OptionGroup(
    "When to end",
    click.Option(["--limit"], type=click.IntRange(min=1), metavar="N", help="End after N logs."),
    click.Option(
        ["--timeout"], type=Seconds(more_than=0), metavar="S", help="End after S seconds, with code 124."
    ),
)

OUTPUT = OptionGroup(
    "Output",
    click.Option(
        ["-o", "--output"],
        type=click.Choice(["text", "json", "logfmt", "raw", "otel", "ecs"]),
        default="text",
        help="text (default); json: an object a line; raw: the frame as received.",
    ),
    click.Option(
        ["--output-file"],
        type=click.Path(),
        callback=_not_empty,
        metavar="PATH",
        help="Append to a file instead of stdout (-); SIGHUP opens it anew.",
    ),
    click.Option(
        ["--timestamps"],
        type=click.Choice(["short", "full", "none"]),
        default="short",
        help="How text shows times.",
    ),
    click.Option(["--utc"], is_flag=True, help="Text in UTC instead of local time."),
    click.Option(
        ["--color"],
        type=click.Choice(["auto", "always", "never"]),
        default="auto",
        help="Colours (also NO_COLOR).",
    ),
    click.Option(["--no-color"], is_flag=True, help="The same as --color never."),
    click.Option(["-q", "--quiet"], count=True, help="Less on stderr; twice: errors only."),
    click.Option(["-v", "--verbose"], count=True, help="More on stderr; twice: with facts."),
)
"""Arguments of ``StreamOutput``."""

CURSOR = OptionGroup(
    "Going on later",
    click.Option(
        ["--cursor-file"],
        type=click.Path(),
        callback=_not_empty,
        metavar="PATH",
        help="Go on where the last run ended: behind what had arrived.",
    ),
    click.Option(["--reset-cursor"], is_flag=True, help="Start anew; an unusable cursor is kept as .bad."),
)

DELIVERY = OptionGroup(
    "How logs are fetched",
    click.Option(
        ["--transport"],
        type=click.Choice(["auto", "ws", "poll"]),
        default=_DEFAULT.transport,
        help="auto: the socket, else REST.",
    ),
    click.Option(["--live-only"], is_flag=True, help="The socket alone, best effort, no REST request."),
    click.Option(
        ["--rest-budget"],
        type=click.IntRange(min=0),
        default=_DEFAULT.rest_budget,
        metavar="N",
        help=f"REST requests a minute beyond those with new logs (default {_DEFAULT.rest_budget}; 0: no limit).",
    ),
    click.Option(
        ["--overlap"],
        type=Seconds(),
        default=_DEFAULT.overlap,
        metavar="S",
        help=f"How late a log may become readable and still be found (default {_DEFAULT.overlap:g}).",
    ),
    click.Option(
        ["--audit"],
        type=Seconds(least=1),
        default=_DEFAULT.audit,
        metavar="S",
        help=f"How often the list is compared (default {_DEFAULT.audit:g}).",
    ),
    click.Option(
        ["--retries"],
        type=click.IntRange(min=-1),
        default=_DEFAULT.retries,
        callback=lambda ctx, param, value: None if value < 0 else value,
        metavar="N",
        help=f"Tries to connect in a row (default {_DEFAULT.retries}; -1: without end).",
    ),
    click.Option(["--wait"], is_flag=True, help="Also wait for a server that does not answer at the start."),
    click.Option(["--strict"], is_flag=True, help="End with an error where completeness cannot be had."),
    click.Option(
        ["--compress"],
        is_flag=True,
        help="Ask for compression; costs the server, useful over the Internet.",
    ),
    click.Option(
        ["--legacy"],
        is_flag=True,
        help="No subprotocol and no auth message (open servers from 3.6.14).",
    ),
)
"""Fields of ``Options``."""


def check_together(run: tuple[str, ...], given: Mapping[str, Any]) -> None:
    """Refuse what does not go together, before anything is opened. Raises ConfigError."""
    live_only = given.get("live_only", False)
    ways = [f"--{name}" for name in ("flow", "deployment", "tag") if given[name]] + (["RUN"] if run else [])
    if len(ways) > 1:
        raise ConfigError(f"give one of {', '.join(ways)}, not several", setting=ways[1])
    if ways and (given["flow_run_id"] or given["task_run_id"]):
        raise ConfigError(
            f"{ways[0]} follows runs; --flow-run and --task-run are plain filters: use one of the two"
        )
    if ways and (live_only or given["transport"] == "ws"):
        wrong = "--live-only" if live_only else "--transport ws"
        raise ConfigError(f"{ways[0]} also reads stored logs, which {wrong} does not", setting=wrong)
    if live_only and (given["cursor_file"] or given["strict"]):
        raise ConfigError("--live-only has no REST list, which --cursor-file and --strict need")
    if given["cursor_file"] and given["tail"] is not None:
        raise ConfigError(
            "--cursor-file says where to go on, and -n (--tail) where to begin: give one of the two",
            setting="--tail",
        )
    if given["reset_cursor"] and not given["cursor_file"]:
        raise ConfigError("--reset-cursor needs --cursor-file", setting="--reset-cursor")
