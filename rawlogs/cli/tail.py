"""``rawlogs tail``: the flags, turned into one Job. The work is in ``tailing``."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from rawlogs.cli.access import access_arguments, access_options
from rawlogs.cli.moments import Moment
from rawlogs.cli.watching import watch_options
from rawlogs.errors import ConfigError

_FOLLOWED = ("flow", "deployment", "tag")


@click.command(context_settings={"show_default": False})
@click.argument("run", nargs=-1)
@click.option("--flow", metavar="NAME", help="Follow the runs of a flow, those that start later included.")
@click.option("--deployment", metavar="FLOW/DEPLOYMENT", help="Follow the runs of a deployment.")
@click.option("--tag", metavar="TAG", help="Follow the runs with a tag.")
@click.option(
    "--children/--no-children", default=True, help="With a run, also its subflow runs (default: yes)."
)
@click.option(
    "--flow-run",
    type=click.UUID,
    multiple=True,
    help="Only logs of this flow run; need not exist; repeatable.",
)
@click.option("--task-run", type=click.UUID, multiple=True, help="Only logs of this task run; repeatable.")
@click.option("-l", "--level", metavar="LEVEL", help="This level and above: a name or a number.")
@click.option("--max-level", metavar="LEVEL", help="This level and below.")
@click.option("--text", metavar="QUERY", help="Prefect's search syntax over message and logger.")
@click.option(
    "-i",
    "--include",
    multiple=True,
    metavar="REGEX",
    help="Only messages that contain this; repeatable (or).",
)
@click.option(
    "-e", "--exclude", multiple=True, metavar="REGEX", help="Not messages that contain this; repeatable."
)
@click.option(
    "--logger", multiple=True, metavar="GLOB", help="Only these loggers, such as 'prefect.task*'; repeatable."
)
@click.option("--since", type=Moment(), help="Stored logs from then on: 10m, 2h, 1d, or RFC 3339.")
@click.option("--until", type=Moment(), help="End at that time.")
@click.option("-n", "--tail", type=click.IntRange(min=0), metavar="N", help="The newest N stored logs first.")
@click.option("-f/-F", "--follow/--no-follow", default=True, help="Go on with what comes (default), or end.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="End after N logs.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    metavar="S",
    help="End after S seconds, with code 124.",
)
@click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "json", "raw", "otel", "ecs"]),
    default="text",
    help="text (default); json: an object a line; raw: the frame as received.",
)
@click.option(
    "--output-file", metavar="PATH", help="Append to a file instead of stdout; SIGHUP opens it anew."
)
@click.option(
    "--timestamps",
    type=click.Choice(["short", "full", "none"]),
    default="short",
    help="How text shows times.",
)
@click.option("--utc", is_flag=True, help="Text in UTC instead of local time.")
@click.option(
    "--color", type=click.Choice(["auto", "always", "never"]), default="auto", help="Colours (also NO_COLOR)."
)
@click.option("--no-color", is_flag=True, help="The same as --color never.")
@click.option("--cursor-file", metavar="PATH", help="Go on where the flushed output ended last time.")
@click.option("--reset-cursor", is_flag=True, help="Start anew; an unusable cursor is kept as .bad.")
@click.option(
    "--transport",
    type=click.Choice(["auto", "ws", "poll"]),
    default="auto",
    help="auto: the socket, else REST.",
)
@click.option("--live-only", is_flag=True, help="The socket alone, best effort, no REST request.")
@click.option(
    "--rest-budget",
    type=click.IntRange(min=0),
    default=60,
    metavar="N",
    help="REST requests a minute beyond those with new logs (default 60; 0: no limit).",
)
@click.option(
    "--overlap",
    type=click.FloatRange(min=0),
    default=60.0,
    metavar="S",
    help="How late a log may become readable and still be found (default 60).",
)
@click.option(
    "--audit",
    type=click.FloatRange(min=1),
    default=15.0,
    metavar="S",
    help="How often the list is compared (default 15).",
)
@click.option(
    "--retries",
    type=click.IntRange(min=-1),
    default=30,
    metavar="N",
    help="Tries to connect in a row (default 30; -1: without end).",
)
@click.option("--wait", is_flag=True, help="Also wait for a server that does not answer at the start.")
@click.option("--strict", is_flag=True, help="End with an error where completeness cannot be had.")
@click.option(
    "--compress", is_flag=True, help="Ask for compression; costs the server, useful over the Internet."
)
@click.option("--legacy", is_flag=True, help="No subprotocol and no auth message (open servers from 3.6.14).")
@watch_options
@click.option("-q", "--quiet", count=True, help="Less on stderr; twice: errors only.")
@click.option("-v", "--verbose", count=True, help="More on stderr; twice: with facts.")
@access_options
@click.pass_obj
def command(started_at: datetime, /, **given: Any) -> int:
    """Stream logs to stdout, complete and in order of arrival; everything about the stream goes to stderr.

    RUN is a flow run: its id, its name, or the URL of its page. With RUNs the command shows all their logs from the
    start, and ends when they have ended: 0 completed, 1 failed or cancelled. Without RUN it shows what comes from
    now on.
    """
    from rawlogs.cli.tailing import Job, tail

    access = access_arguments(given)
    _check(given)
    if given.pop("no_color"):
        given["color"] = "never"
    retries = given.pop("retries")
    return tail(Job(access=access, started_at=started_at, retries=None if retries < 0 else retries, **given))


def _check(given: dict[str, Any]) -> None:
    """What does not go together is said before anything is opened."""
    ways = [name for name in _FOLLOWED if given[name]] + (["RUN"] if given["run"] else [])
    if len(ways) > 1:
        raise ConfigError(
            f"give one of {', '.join(_named(way) for way in ways)}, not several", setting=ways[1]
        )
    if ways and (given["flow_run"] or given["task_run"]):
        raise ConfigError(
            f"{_named(ways[0])} follows runs; --flow-run and --task-run are plain filters: use one of the two"
        )
    if ways and (given["tail"] is not None or given["live_only"] or given["transport"] == "ws"):
        raise ConfigError(
            f"{_named(ways[0])} reads the stored logs: it does not go with --tail, --live-only or ws"
        )
    if given["live_only"] and (given["cursor_file"] or given["strict"]):
        raise ConfigError("--live-only has no REST list, which --cursor-file and --strict need")
    if given["cursor_file"] and (ways or given["tail"] is not None):
        raise ConfigError(
            "--cursor-file goes on where it ended; it does not go with RUN, --flow ... or --tail"
        )
    if given["reset_cursor"] and not given["cursor_file"]:
        raise ConfigError("--reset-cursor needs --cursor-file", setting="--reset-cursor")


def _named(way: str) -> str:
    return way if way.isupper() else f"--{way}"
