"""``--listen`` and ``--health-file`` as options; what they do is in ``watching``."""

from __future__ import annotations

import click

from rawlogs.cli.option_groups import OptionGroup

WATCH = OptionGroup(
    "Health and metrics",
    click.Option(
        ["--listen"],
        metavar="ADDR:PORT",
        help="Answer /livez, /readyz and /metrics there, over plain HTTP; :PORT is this machine alone.",
    ),
    click.Option(
        ["--health-file"],
        type=click.Path(),
        metavar="PATH",
        help="Touch this file every 5 s while all is well, for exec probes.",
    ),
)
"""Arguments of ``watching.watched``."""
