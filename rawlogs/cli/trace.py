"""``rawlogs trace``: the flags, and the entries of one conversation on their way to stdout."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from rawlogs import files
from rawlogs.cli import exit_codes
from rawlogs.cli.access import ACCESS, settings_of, tell_notes
from rawlogs.cli.option_groups import Command
from rawlogs.cli.signals import on_end
from rawlogs.cli.time_types import Seconds
from rawlogs.errors import ConfigError

if TYPE_CHECKING:
    from rawlogs.config.settings import Settings
    from rawlogs.output.sink import Sink
    from rawlogs.trace.session import Outcome, Plan
    from rawlogs.trace.transcript import Entry, Transcript

EVERY_EVENT = {"occurred": {"until": "2999-01-01T00:00:00Z"}}
"""Without a future ``until`` a server sends no live event: it defaults to the moment of the subscription."""

SCRIPT_LIMIT = 64 << 20
"""How many bytes a script may have."""


@click.command(
    cls=Command,
    groups=(ACCESS,),
    examples=(
        ("rawlogs trace --duration 10", "the handshake, and what comes within ten seconds"),
        ("rawlogs trace --events", "the stream of events instead of logs"),
        ("rawlogs trace --send script.txt", "play frames of your own, and see what the server answers"),
    ),
)
@click.option("--events", is_flag=True, help="Trace /events/out instead of /logs/out.")
@click.option("--filter", "filter_json", metavar="JSON", help="The filter to send (default: everything).")
@click.option(
    "--send",
    "script",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True),
    metavar="FILE",
    help="Play these frames instead of the handshake, unchecked: one a line, and !wait S, !ping, "
    "!close CODE REASON, !binary HEX.",
)
@click.option("--duration", type=Seconds(more_than=0), metavar="S", help="End after S seconds.")
@click.option(
    "--max-frames", type=click.IntRange(min=1), metavar="N", help="End after N frames of both sides."
)
@click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "json"]),
    default="text",
    help="text (default) or JSON lines.",
)
@click.option("--compress", is_flag=True, help="Ask for compression, and measure what it saves.")
@click.option("--legacy", is_flag=True, help="No subprotocol and no auth message (open servers from 3.6.14).")
@click.option("--subprotocol", metavar="NAME", help="Ask for another subprotocol than 'prefect'.")
@click.option("--no-subprotocol", is_flag=True, help="Ask for none.")
@click.option("--show-secrets", is_flag=True, help="Show keys and tokens as they are.")
def command(**given: Any) -> int:
    """Show one conversation with the server, every frame of it, as it happens.

    Both sides' HTTP headers, messages, pings and close frames, with time, size and direction. Keys and tokens are
    shown as *** wherever they turn up, also where the server echoes them.
    """
    job = _job(given)
    return asyncio.run(_Tracing(job).run())


@dataclass(frozen=True, slots=True)
class _Job:
    settings: Settings
    plan: Plan
    as_json: bool
    show_secrets: bool


def _job(given: dict[str, Any]) -> _Job:
    from rawlogs.trace.script import parse_script
    from rawlogs.trace.session import Plan
    from rawlogs.wire.connection import Target
    from rawlogs.wire.handshake import SUBPROTOCOL

    script_name, filter_json = given.pop("script"), given.pop("filter_json")
    events, subprotocol = given.pop("events"), given.pop("subprotocol")
    without, legacy = given.pop("no_subprotocol"), given.pop("legacy")
    options = {
        name: given.pop(name) for name in ("duration", "max_frames", "output", "show_secrets", "compress")
    }
    if script_name is not None and filter_json is not None:
        raise ConfigError("give either --send or --filter: a script sends its own", setting="--send")
    if subprotocol is not None and (without or legacy):
        raise ConfigError("--subprotocol contradicts --no-subprotocol and --legacy", setting="--subprotocol")
    script = None if script_name is None else parse_script(_read(script_name), script_name)
    first = _first(filter_json, events)
    settings = settings_of(given)
    tell_notes(settings)
    target = Target.of(
        settings,
        settings.address.events_url if events else None,
        compress=options["compress"],
        legacy=legacy,
        subprotocol=None if without else subprotocol or SUBPROTOCOL,
    )
    plan = Plan(target, first, script, duration=options["duration"], max_frames=options["max_frames"])
    return _Job(settings, plan, options["output"] == "json", options["show_secrets"])


def _read(name: str) -> str:
    try:
        data = (
            sys.stdin.buffer.read()
            if name == "-"
            else files.read(name, limit=SCRIPT_LIMIT, pipe=files.PIPE_PATIENCE)
        )
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise ConfigError(
            f"{name} is not UTF-8", setting="--send", hint="!binary HEX sends other bytes."
        ) from None
    except OSError as error:
        raise ConfigError(f"cannot read {name}: {error.strerror}", setting="--send") from None


def _first(text: str | None, events: bool) -> str:
    """Return the filter message; that of logs as the server checks it, that of events where it is an object."""
    import orjson

    from rawlogs.wire.frames import filter_message

    try:
        value = None if text is None else orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ConfigError(f"--filter is not JSON: {error}", setting="--filter") from None
    if value is not None and not isinstance(value, dict):
        raise ConfigError("--filter is not a JSON object", setting="--filter")
    if events:
        return filter_message(EVERY_EVENT if value is None else value, backfill=False)
    from rawlogs.filters import LogFilter

    return filter_message(LogFilter.coerce(value).to_wire())


class _Tracing:
    """One call of the command: entries are written in order by a task of its own, so a slow reader stops nothing."""

    def __init__(self, job: _Job) -> None:
        self._job = job
        self._stop_code: int | None = None

    async def run(self) -> int:
        from rawlogs.clock import SystemClock
        from rawlogs.errors import ConnectionLost
        from rawlogs.output.sink import StdoutSink
        from rawlogs.trace.script import tokens_in
        from rawlogs.trace.session import converse
        from rawlogs.trace.transcript import Transcript

        job = self._job
        self._stop = asyncio.Event()
        on_end(self._end)
        secrets = None if job.show_secrets else {*job.settings.secrets(), *tokens_in(job.plan.script or ())}
        clock = SystemClock()
        began = clock.monotonic()
        transcript = Transcript(began, secrets, job.settings.headers)
        lines: asyncio.Queue[bytes | None] = asyncio.Queue()
        writer = asyncio.create_task(self._write(StdoutSink(), lines))
        try:
            outcome = await converse(
                job.plan,
                transcript,
                lambda entry: lines.put_nowait(self._entry(entry)),
                stop=self._stop,
                clock=clock,
            )
            lines.put_nowait(self._summary(transcript, outcome, clock.monotonic() - began))
        finally:
            lines.put_nowait(None)
            await writer
        if self._stop_code is not None:
            return self._stop_code
        ending = outcome.ending
        # However a script makes the conversation end, that is what it was played for.
        if (
            ending is None
            or job.plan.script is not None
            or (isinstance(ending, ConnectionLost) and ending.clean)
        ):
            return exit_codes.DONE
        raise ending

    async def _write(self, sink: Sink, lines: asyncio.Queue[bytes | None]) -> None:
        from rawlogs.output.sink import OutputClosed
        from rawlogs.output.worker import AsyncSink

        out = AsyncSink(sink)
        try:
            while (line := await lines.get()) is not None:
                await out.write(line)
            await out.close()
        except OutputClosed:
            self._stop_code = exit_codes.DONE if self._stop_code is None else self._stop_code
        finally:
            self._stop.set()

    def _entry(self, entry: Entry) -> bytes:
        from rawlogs.trace.render import as_lines, as_object

        return self._object(as_object(entry)) if self._job.as_json else self._lines(as_lines(entry))

    def _summary(self, transcript: Transcript, outcome: Outcome, at: float) -> bytes:
        from rawlogs.trace.render import summary_lines, summary_object

        if self._job.as_json:
            return self._object(summary_object(transcript, outcome, at))
        return self._lines(summary_lines(transcript, outcome, at))

    def _object(self, value: dict[str, Any]) -> bytes:
        from rawlogs.output.json import encode_object

        return encode_object(value) + b"\n"

    def _lines(self, lines: list[str]) -> bytes:
        from rawlogs.output.escape import escape_line

        encoding = (sys.stdout.encoding if sys.stdout else None) or "utf-8"
        return "".join(f"{escape_line(line)}\n" for line in lines).encode(encoding, "backslashreplace")

    def _end(self, code: int) -> None:
        if self._stop_code is not None:
            raise KeyboardInterrupt  # the second time nobody waits for the server's close frame
        self._stop_code = code
        self._stop.set()
