"""``rawlogs relay``: the stream into Redis. What needs the extra package is imported only here."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from rawlogs.cli import exit_codes
from rawlogs.cli.access import ACCESS, access_arguments
from rawlogs.cli.option_groups import Command
from rawlogs.cli.signals import run_until_signal
from rawlogs.cli.time_types import Duration, Seconds
from rawlogs.cli.watch_options import WATCH
from rawlogs.cli.watching import watched
from rawlogs.errors import ConfigError

URL = "RAWLOGS_REDIS_URL"
NAME = "RAWLOGS_REDIS_NAME"


@click.command(
    cls=Command,
    groups=(WATCH, ACCESS),
    examples=(("rawlogs relay --to redis://localhost", "all logs, into one Redis stream"),),
)
@click.option(
    "--to",
    metavar="URL",
    help=f"redis://HOST[:PORT][/NUMBER], redis+sentinel://HOST,HOST/SERVICE or redis+cluster://HOST,HOST; "
    f"with a password better set {URL}: every user here can list arguments.",
)
@click.option(
    "--name",
    metavar="NAME",
    help=f"What readers know the workspace by; else {NAME}, or derived from the API's URL.",
)
@click.option(
    "--since",
    type=Duration(),
    default="60s",
    metavar="DURATION",
    help="How far back the very first relay begins (default: 60s).",
)
@click.option(
    "--max-age",
    type=Duration(),
    default="24h",
    metavar="DURATION",
    help="Keep no log longer than that (default: 24h; 0: any age).",
)
@click.option("--max-length", type=click.IntRange(min=0), default=0, metavar="N", help="Keep at most N logs.")
@click.option(
    "--lease",
    type=Seconds(more_than=0),
    default=3.0,
    metavar="S",
    help="Another relay takes over S seconds after this one has died (default: 3).",
)
@click.option("-q", "--quiet", count=True, help="Say less; twice: only errors.")
@click.option("-v", "--verbose", count=True, help="Say more.")
def command(to: str | None, quiet: int, verbose: int, **given: Any) -> int:
    """Write all logs to a Redis stream, each once, for web workers on any number of machines. Needs rawlogs[redis].

    Start it twice, on two machines: one writes, the other takes over when that dies. See docs/redis.md.
    """
    from rawlogs.output.stderr import NoticePrinter

    url = to or os.environ.get(URL)
    if not url:
        raise ConfigError("no Redis is named", setting="--to", hint=f"Add --to redis://HOST, or set {URL}.")
    notices = NoticePrinter(sys.stderr, quiet=quiet, verbose=verbose)
    options = {name: given.pop(name) for name in ("name", "since", "max_age", "max_length", "lease")}
    watch = WATCH.take(given)
    return run_until_signal(lambda: _relay(url, options, watch, access_arguments(given), notices))


async def _relay(
    url: str, options: dict[str, Any], watch: dict[str, Any], access: dict[str, Any], notices: Any
) -> int:
    from rawlogs.relay.redis.relay import RedisRelay
    from rawlogs.relay.redis.store import Retention

    relay = RedisRelay(
        url,
        name=options["name"] or os.environ.get(NAME) or None,
        lease=options["lease"],
        keep=Retention(options["max_age"] or None, options["max_length"] or None),
        since=options["since"],
        on_notice=notices,
        **access,
    )
    async with watched(relay, notices, **watch):
        await relay.run()
    return exit_codes.DONE
