"""The version of the installed package."""

from __future__ import annotations

from functools import cache


@cache
def version() -> str:
    """As the package's metadata has it; ``0+unknown`` in a checkout that was never installed."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as of

    try:
        return of("rawlogs")
    except PackageNotFoundError:
        return "0+unknown"
