"""``rawlogs man``: the manual page, made of what ``--help`` and ``rawlogs help`` print."""

from __future__ import annotations

import re
from collections.abc import Iterator
from inspect import cleandoc

import click

from rawlogs.cli.option_groups import Command

REVISED = "2026-11-26"
"""When the words of the page were last changed. Not the day on which it is made: a build gives the same bytes."""


@click.command(cls=Command, examples=(("rawlogs man > rawlogs.1", "then: man ./rawlogs.1"),))
@click.pass_context
def command(ctx: click.Context) -> None:
    """Print the manual page rawlogs(1), of every command and topic."""
    group = ctx.find_root()
    assert isinstance(group.command, click.Group)
    click.echo("\n".join(page(group)))


def page(group: click.Context) -> Iterator[str]:
    """Yield the lines of the page, in roff with the macros of man(7)."""
    from rawlogs.cli.group import COMMANDS, EXAMPLES
    from rawlogs.cli.help import topics

    assert isinstance(group.command, click.Group)
    yield f'.TH RAWLOGS 1 "{REVISED}" "rawlogs" "User Commands"'
    yield ".SH NAME"
    yield f"rawlogs \\- {_line((group.command.help or '').rstrip('.').lower().replace('prefect', 'Prefect', 1))}"
    yield ".SH SYNOPSIS"
    yield "\\fBrawlogs\\fR \\fICOMMAND\\fR [\\fIOPTION\\fR ...] [\\fIARGUMENT\\fR ...]"
    yield ".SH EXAMPLES"
    yield from _pairs(EXAMPLES)
    yield ".SH COMMANDS"
    for name in COMMANDS:
        found = group.command.get_command(group, name)
        assert isinstance(found, Command)
        yield from _command(found, click.Context(found, info_name=name, parent=group))
    for name, (title, text) in topics().items():
        yield f".SH {_line(name.upper())}"
        yield _line(f"{title}.")
        yield from _text(text)


def _command(command: Command, ctx: click.Context) -> Iterator[str]:
    yield f".SS {_line(ctx.command_path)} {_line(' '.join(command.collect_usage_pieces(ctx)))}"
    yield from _paragraphs(cleandoc(command.help or ""))
    if command.examples:
        yield ".PP\nExamples:"
        yield from _pairs(command.examples)
    for title, options in command.sections(ctx):
        records = [record for option in options if (record := option.get_help_record(ctx)) is not None]
        if records and title != "Help":
            yield f".PP\n{_line(title)}:"
            yield from _pairs(records)


def _pairs(rows: object) -> Iterator[str]:
    for term, text in rows:  # type: ignore[attr-defined]
        yield f".TP\n\\fB{_line(term)}\\fR\n{_line(text)}"


def _text(text: str) -> Iterator[str]:
    """Yield paragraphs that are filled, and indented ones as they are."""
    for block in text.split("\n\n"):
        if block.startswith("  "):
            yield ".PP\n.nf"
            yield from (_line(line) for line in block.split("\n"))
            yield ".fi"
        else:
            yield ".PP"
            yield from _paragraphs(block)


def _paragraphs(text: str) -> Iterator[str]:
    """Yield paragraphs with a macro between them; none before the first, which follows a heading."""
    for number, paragraph in enumerate(text.split("\n\n")):
        if number:
            yield ".PP"
        yield _line(" ".join(paragraph.split()))


def _line(text: str) -> str:
    """Return text without a meaning to roff: backslashes, hyphens, quotes, and a dot or quote that begins a line."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga")
    return re.sub(r"^(?=[.'])", r"\\&", text)
