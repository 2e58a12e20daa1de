"""A command whose options come in groups, each declared once and taken out of the command's arguments as one."""

from __future__ import annotations

from collections.abc import Sequence
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
    """A command of rawlogs. ``groups`` are added after its own arguments and options, in their order."""

    def __init__(self, name: str | None, *, groups: Sequence[OptionGroup] = (), **more: Any) -> None:
        own = more.pop("params", None) or []
        super().__init__(
            name, params=[*own, *(option for group in groups for option in group.options)], **more
        )
        self.groups = tuple(groups)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse, and refuse what is not text: it would match nothing, or fail where it is sent."""
        left = super().parse_args(ctx, args)
        for param in self.params:
            # The name of a file may be any bytes.
            if not isinstance(param.type, click.Path) and _not_text(ctx.params.get(param.name or "")):
                raise click.BadParameter("it is not text in this locale's encoding.", ctx, param)
        return left


def _not_text(value: object) -> bool:
    """Tell whether Python had to escape bytes of this argument that the locale's encoding cannot decode."""
    if isinstance(value, str):
        return any("\udc80" <= character <= "\udcff" for character in value)
    return isinstance(value, (tuple, list)) and any(map(_not_text, value))
