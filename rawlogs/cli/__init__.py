"""The command. Each subcommand is a file of its own, imported when it is called, so ``--help`` is quick."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from datetime import datetime, timezone


def main(arguments: Sequence[str] | None = None) -> None:
    """Run ``rawlogs`` and exit with its code; never with a traceback."""
    try:
        from rawlogs.cli.group import run
        from rawlogs.cli.process_start import process_start
    except KeyboardInterrupt:  # Ctrl-C while Python still reads the files
        from rawlogs.cli.exit_codes import INTERRUPTED

        sys.exit(INTERRUPTED)
    if arguments is None and "_RAWLOGS_COMPLETE" in os.environ:
        from rawlogs.cli.completion import answer

        code = answer()
        sys.stdout.flush()
        os._exit(code)  # a search for the server's address may still be going on
    given = list(arguments) if arguments is not None else sys.argv[1:]
    sys.exit(run(given, started_at=process_start(datetime.now(timezone.utc))))
