"""A command whose options come in groups, each declared once and taken out of the command's arguments as one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from inspect import cleandoc
from typing import Any

import click


class OptionGroup:
    """Options that belong together, under a title for the help. Several commands may share a group."""

    def __init__(self, title: str, *options: click.Option) -> None:
        self.title = title
        self.options = options

    def take(self, given: dict[str, Any]) -> dict[str, Any]:
        """Remove this group's options from a command's arguments and return them by name."""
        return {option.name: given.pop(option.name) for option in self.options if option.name is not None}

    def only(self, *names: str) -> OptionGroup:
        """Return the group with these of its options alone."""
        return OptionGroup(self.title, *(option for option in self.options if option.name in names))

    def without(self, *names: str) -> OptionGroup:
        """Return the group without these options."""
        return OptionGroup(self.title, *(option for option in self.options if option.name not in names))


class Command(click.Command):
    """A command of rawlogs.

    Args:
        groups: added after its own arguments and options, in their order.
        examples: what to type, and what it does; they come first in the help.
    """

    def __init__(
        self,
        name: str | None,
        *,
        groups: Sequence[OptionGroup] = (),
        examples: Sequence[tuple[str, str]] = (),
        **more: Any,
    ) -> None:
        own = more.pop("params", None) or []
        super().__init__(
            name, params=[*own, *(option for group in groups for option in group.options)], **more
        )
        self.groups = tuple(groups)
        self.examples = tuple(examples)

    def sections(self, ctx: click.Context) -> Iterator[tuple[str, list[click.Option]]]:
        """Yield the titles of the options' groups with what belongs to each: the command's own first, --help last."""
        options = [param for param in self.get_params(ctx) if isinstance(param, click.Option)]
        grouped = {option for group in self.groups for option in group.options}
        own = [option for option in options if option not in grouped]
        asks = [option for option in own if option.is_eager]
        yield "Options", [option for option in own if option not in asks]
        for group in self.groups:
            yield group.title, list(group.options)
        yield "Help", asks

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what it does in a sentence, then the examples, which most who ask for help look for, then the rest."""
        first, _, rest = cleandoc(self.help or "").partition("\n\n")
        write_text(formatter, first)
        write_examples(formatter, self.examples)
        write_text(formatter, rest)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options under the titles of their groups."""
        for title, params in self.sections(ctx):
            rows = [row for param in params if (row := param.get_help_record(ctx)) is not None]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse, and refuse what is not text: it would match nothing, or fail where it is sent."""
        left = super().parse_args(ctx, args)
        for param in self.params:
            # The name of a file may be any bytes.
            if not isinstance(param.type, click.Path) and _not_text(ctx.params.get(param.name or "")):
                raise click.BadParameter("it is not text in this locale's encoding.", ctx, param)
        return left

    def invoke(self, ctx: click.Context) -> Any:
        """Run it; what its errors say of settings names the flags that were given."""
        from rawlogs.errors import RawlogsError

        try:
            return super().invoke(ctx)
        except RawlogsError as error:
            from rawlogs.cli.flag_names import by_flags

            by_flags(error, ctx.params)
            raise


def write_text(formatter: click.HelpFormatter, text: str) -> None:
    """Write paragraphs, indented and wrapped."""
    if text:
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text(text)


def write_examples(formatter: click.HelpFormatter, examples: Sequence[tuple[str, str]]) -> None:
    """Write what to type beside what it does."""
    if examples:
        with formatter.section("Examples"):
            formatter.write_dl(examples, col_max=50)


def _not_text(value: object) -> bool:
    """Tell whether Python had to escape bytes of this argument that the locale's encoding cannot decode."""
    if isinstance(value, str):
        return any("\udc80" <= character <= "\udcff" for character in value)
    return isinstance(value, (tuple, list)) and any(map(_not_text, value))
