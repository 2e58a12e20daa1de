"""The list of subcommands, loaded one by one, and the one place where an error becomes a text and an exit code."""

from __future__ import annotations

import contextlib
import os
import sys
from datetime import datetime, timezone
from importlib import import_module

import click

from rawlogs.cli.exit_codes import ERROR, INTERRUPTED, USAGE, exit_code
from rawlogs.cli.option_groups import write_examples
from rawlogs.errors import RawlogsError

COMMANDS = {
    "tail": ("rawlogs.cli.tail", "Stream logs: live, complete, to stdout or a file."),
    "ship": (
        "rawlogs.cli.ship",
        "Send logs to an OpenTelemetry receiver, each at least once (needs rawlogs[otlp]).",
    ),
    "run": ("rawlogs.cli.run", "Start a run of a deployment, and follow it to its end."),
    "doctor": ("rawlogs.cli.doctor", "Check step by step whether logs can be had, and say what to do."),
    "trace": ("rawlogs.cli.trace", "Show one conversation with the server, frame by frame."),
    "record": ("rawlogs.cli.record", "Record a conversation and the stored logs as JSON lines."),
    "replay": ("rawlogs.cli.replay", "Serve a recording to any Prefect client."),
    "fake": ("rawlogs.cli.fake", "Run a fake Prefect server that produces logs and faults."),
    "check": ("rawlogs.cli.check", "Compare sent with received logs."),
    "serve": ("rawlogs.cli.serve", "Show logs on a page in the browser (needs rawlogs[web])."),
    "relay": (
        "rawlogs.cli.relay",
        "Write all logs to a Redis stream, for many readers (needs rawlogs[redis]).",
    ),
    "url": ("rawlogs.cli.url", "Print the API URL, the socket URL and the run that a URL names."),
    "demo": ("rawlogs.cli.demo", "Show the main job on an embedded server, without a network."),
    "help": ("rawlogs.cli.help", "Print a page on exit codes, filters, times, output, settings and more."),
    "completion": ("rawlogs.cli.completion", "Print what makes bash, zsh or fish complete rawlogs."),
    "man": ("rawlogs.cli.man", "Print the manual page."),
}
EXAMPLES = (
    ("rawlogs tail", "what comes from now on"),
    ("rawlogs tail RUN", "a run to its end"),
    ("rawlogs doctor", "why no logs come"),
    ("rawlogs help", "all topics"),
)


class _Commands(click.Group):
    """Knows the commands' names and one-liners without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = import_module(COMMANDS[cmd_name][0]).command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        # click would not say which command has a similar name.
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from rawlogs.cli.help import nearest

            ctx.fail(f"There is no command {args[0]!r}.{nearest(args[0], list(COMMANDS))}")
        return super().resolve_command(ctx, args)

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_help_text(ctx, formatter)
        write_examples(formatter, EXAMPLES)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


def _print_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        from rawlogs.version import version

        click.echo(f"rawlogs {version()}")
        ctx.exit()


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Whoever has Prefect configured needs to configure nothing: profiles, prefect.toml, .env and the "
    "PREFECT_ variables are read as Prefect reads them.",
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version.",
)
def cli() -> None:
    """Stream Prefect 3 logs without the prefect package."""


def run(arguments: list[str], *, started_at: datetime | None = None) -> int:
    """Run the command and return its exit code. ``started_at``: when its process was started; None: now."""
    started_at = started_at or datetime.now(timezone.utc)
    try:
        result = cli.main(arguments, prog_name="rawlogs", standalone_mode=False, obj=started_at)
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        error.show()
        return USAGE
    except RawlogsError as error:
        complain(str(error))
        return exit_code(error)
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except BrokenPipeError:  # whoever reads the pipe has seen enough: rawlogs help | head
        silence_stdout()
        return 0
    except Exception as error:
        if os.environ.get("RAWLOGS_TRACEBACK"):
            raise
        complain(
            f"an unexpected error: {type(error).__name__}: {error}\n"
            "Please report it; RAWLOGS_TRACEBACK=1 shows where it comes from."
        )
        return ERROR


def complain(text: str) -> None:
    """Print an error on stderr, its control characters made visible, what to try indented below it."""
    from rawlogs.output.escape import escape_text

    with contextlib.suppress(OSError, ValueError):
        shown = escape_text(text).replace("\n", "\n  ")
        print(f"rawlogs: {shown}", file=sys.stderr)


def silence_stdout() -> None:
    """Lead stdout nowhere: its reader has gone, and the interpreter would complain when it flushes at exit."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
