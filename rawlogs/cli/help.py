"""``rawlogs help``: short pages on what several commands share, and the help of a command."""

from __future__ import annotations

import re
from pathlib import Path

import click

from rawlogs.cli.option_groups import Command


def _complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    commands = ctx.parent.command.list_commands(ctx) if ctx.parent is not None else []  # type: ignore[attr-defined]
    return [name for name in (*topics(), *commands) if name.startswith(incomplete)]


@click.command(
    cls=Command,
    examples=(
        ("rawlogs help exit-codes", "one page"),
        ("rawlogs help tail", "the same as rawlogs tail --help"),
    ),
)
@click.argument("topic", required=False, shell_complete=_complete)
@click.pass_context
def command(ctx: click.Context, topic: str | None) -> None:
    """Print the page of a topic, or the help of a command; without one, what there is."""
    group = ctx.parent
    assert group is not None and isinstance(group.command, click.Group)
    pages = topics()
    if topic is None:
        click.echo(group.get_help() + "\n")
        formatter = ctx.make_formatter()
        with formatter.section("Topics"):
            formatter.write_dl([(name, title) for name, (title, _) in pages.items()])
        click.echo(formatter.getvalue(), nl=False)
    elif topic in pages:
        title, text = pages[topic]
        click.echo(f"{title}.\n\n{text}")
    else:
        found = group.command.get_command(ctx, topic)
        if found is None:
            near = nearest(topic, [*pages, *group.command.list_commands(ctx)])
            raise click.UsageError(f"There is no topic or command {topic!r}.{near}", ctx)
        click.echo(found.get_help(click.Context(found, info_name=topic, parent=group)))


def topics() -> dict[str, tuple[str, str]]:
    """Return the title and the text of each page by its name. The pages are those of docs/help.md."""
    here = Path(__file__).parent / "help.md"  # where the wheel has it
    text = (here if here.exists() else Path(__file__).parents[2] / "docs" / "help.md").read_text("utf-8")
    pages = re.findall(r"^## (\S+)\n\n([^\n]+)\n\n(.*?)(?=\n\n## |\Z)", text, re.MULTILINE | re.DOTALL)
    return {name: (title, re.sub(r"`([^`]+)`", r"\1", page.rstrip())) for name, title, page in pages}


def nearest(text: str, names: list[str]) -> str:
    """Return a sentence with the name that was probably meant, "" where none is like it."""
    from difflib import get_close_matches

    found = get_close_matches(text, names, n=1)
    return f" Did you mean {found[0]!r}?" if found else ""
