"""``rawlogs completion``: what makes a shell complete the command, and the answers to its questions."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

import click

from rawlogs.cli.option_groups import Command

VARIABLE = "_RAWLOGS_COMPLETE"
"""Set by the shell's script to what it asks; the name is the one that click gives it."""


@click.command(
    cls=Command,
    examples=(
        ("rawlogs completion bash > ~/.local/share/bash-completion/completions/rawlogs", "bash, for good"),
        ("rawlogs completion zsh > ~/.zfunc/_rawlogs", "zsh, where ~/.zfunc is in fpath"),
        ("rawlogs completion fish > ~/.config/fish/completions/rawlogs.fish", "fish, for good"),
        ('eval "$(rawlogs completion bash)"', "this shell alone; also zsh"),
    ),
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print what makes a shell complete rawlogs: commands, options, files, levels, profiles, deployments and runs.

    Deployments and runs are asked of the configured server, which has 0.3 s to answer; nothing is said if it does not.
    """
    from click.shell_completion import get_completion_class

    from rawlogs.cli.group import cli

    found = get_completion_class(shell)
    assert found is not None
    # Not source(): for bash it starts one to look at its version, and that may not be installed here.
    completer = found(cli, {}, "rawlogs", VARIABLE)
    click.echo(completer.source_template % completer.source_vars())


def answer() -> int:
    """Answer the question of a shell's script, silently: a failure is an empty answer."""
    from click.shell_completion import shell_complete

    from rawlogs.cli.group import cli

    sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 - for the rest of this process
    with suppress(Exception):
        return shell_complete(cli, {}, "rawlogs", VARIABLE, os.environ[VARIABLE])
    return 0
