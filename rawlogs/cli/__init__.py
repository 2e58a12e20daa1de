"""The command. Each subcommand is a file of its own, imported when it is called, so ``--help`` is quick."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Run ``rawlogs`` and exit with its code; never with a traceback."""
    from rawlogs.cli.group import run

    sys.exit(run(list(arguments) if arguments is not None else sys.argv[1:]))
