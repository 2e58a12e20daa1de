"""``rawlogs record``: writes one WebSocket connection and its REST list as a recording."""

from __future__ import annotations

import asyncio
import os
import stat
import time
from typing import TYPE_CHECKING, Any

import click
import orjson

from rawlogs.cli import exit_codes
from rawlogs.cli.access import ACCESS, settings_of, tell_notes
from rawlogs.cli.completers import levels
from rawlogs.cli.filter_types import Level
from rawlogs.cli.option_groups import Command
from rawlogs.cli.signals import run_until_signal
from rawlogs.cli.time_types import Seconds
from rawlogs.errors import ConfigError, ConnectionLost, HistoryError
from rawlogs.waiting import within

if TYPE_CHECKING:
    from rawlogs.config.settings import Settings
    from rawlogs.testing.recording import Recorder


@click.command(
    cls=Command,
    groups=(ACCESS,),
    examples=(
        ("rawlogs record run.jsonl --duration 60", "one minute of everything"),
        ("rawlogs record --redact bug.jsonl", "for a bug report: messages become placeholders"),
    ),
)
@click.argument("file", type=click.Path(dir_okay=False))
@click.option("--flow-run", type=click.UUID, multiple=True, help="Only logs of this flow run; repeatable.")
@click.option(
    "-l", "--level", type=Level(), shell_complete=levels, metavar="LEVEL", help="This level and above."
)
@click.option("--duration", type=Seconds(), metavar="S", help="End after S seconds (default: Ctrl-C).")
@click.option(
    "--max-frames", type=click.IntRange(min=1), metavar="N", help="End after N messages of the server."
)
@click.option("--force", is_flag=True, help="Replace FILE where it exists.")
@click.option("--redact", is_flag=True, help="Replace messages by placeholders of the same length.")
@click.option("--no-list", is_flag=True, help="Do not add what the REST list shows at the end.")
@click.option("--compress", is_flag=True, help="Ask for compression.")
def command(file: str, **given: Any) -> int:
    """Record one connection to /logs/out as JSON lines, and then what the REST list shows of its logs.

    Tokens are replaced. FILE is created with mode 0600, and must not exist. `rawlogs replay FILE` plays it; see
    docs/recording.md.
    """
    if not given["force"] and _holds_data(file):
        raise ConfigError(
            f"{file} exists and is not empty",
            setting="FILE",
            hint="Name another file, or use --force to replace it.",
        )
    settings = settings_of(given)
    tell_notes(settings)
    return run_until_signal(lambda: _record(file, settings, given))


def _holds_data(path: str) -> bool:
    """Return whether writing to a path would destroy something: it is a file that is not empty."""
    try:
        state = os.stat(path)  # noqa: PTH116  (it is compared with descriptors)
    except OSError:
        return False
    # /dev/stdout after `>> FILE` is that file; it is appended to.
    own = any(os.path.samestat(state, os.fstat(descriptor)) for descriptor in (1, 2))
    return stat.S_ISREG(state.st_mode) and state.st_size > 0 and not own


async def _record(file: str, settings: Settings, given: dict[str, Any]) -> int:
    from rawlogs.filters import LogFilter
    from rawlogs.selection import Selection
    from rawlogs.testing.recording import Recorder

    parts: dict[str, Any] = {}
    if given["flow_run"]:
        parts["flow_run_id"] = {"any_": list(given["flow_run"])}
    if given["level"] is not None:
        parts["level"] = {"ge_": given["level"]}
    wire = Selection(LogFilter.coerce(parts)).wire
    with Recorder(
        file, secrets=settings.secrets(), redact=given["redact"], api_url=settings.api_url
    ) as recorder:
        started = time.time()
        try:
            count = await _converse(recorder, settings, wire, given)
        finally:
            if not given["no_list"]:
                # Most recordings end by Ctrl-C, which must not take the list from them.
                await asyncio.shield(_add_list(recorder, settings, wire, started))
    click.echo(f"rawlogs: {count} messages recorded in {file}", err=True)
    return exit_codes.DONE


async def _converse(
    recorder: Recorder, settings: Settings, wire: dict[str, Any], given: dict[str, Any]
) -> int:
    from rawlogs.wire.connection import Target, open_connection
    from rawlogs.wire.frames import filter_message

    target = Target.of(settings, compress=given["compress"])
    count = 0
    end = None if given["duration"] is None else time.monotonic() + given["duration"]
    async with await open_connection(target, filter_message(wire), tap=recorder) as connection:
        click.echo(f"rawlogs: recording {settings.address.logs_url}; Ctrl-C ends", err=True)
        try:
            while given["max_frames"] is None or count < given["max_frames"]:
                left = None if end is None else max(end - time.monotonic(), 0.0)
                count += len(await within(left, connection.batch()))
        except (TimeoutError, asyncio.CancelledError):
            pass
        except ConnectionLost as lost:
            click.echo(f"rawlogs: {lost.text}", err=True)
    return count


async def _add_list(recorder: Recorder, settings: Settings, wire: dict[str, Any], since: float) -> None:
    """List the logs of the recorded time over REST, and record the requests and answers."""
    from datetime import datetime, timezone

    from rawlogs.rest.client import RestClient
    from rawlogs.rest.history import History
    from rawlogs.testing.upstream import api_path, exchange_events

    class Asking:
        """A REST client whose requests and answers are recorded."""

        def __init__(self, rest: RestClient) -> None:
            self._rest = rest

        async def post(self, path: str, body: Any) -> Any:
            answer = await self._rest.post(path, body)
            api_url_path = api_path(settings, path)
            for event in exchange_events(
                1, ("POST", api_url_path, {}, orjson.dumps(body)), (200, {}, orjson.dumps(answer))
            ):
                recorder(event)
            return answer

    try:
        async with RestClient(settings, retries=1) as rest:
            start = datetime.fromtimestamp(since, timezone.utc)
            async for _ in History(Asking(rest)).pages(wire, start, rest.server_now()):
                pass
    except HistoryError as error:
        click.echo(f"rawlogs: the REST list is not in the recording: {error.text}", err=True)
