"""What the commands that run a fake server share: their address, and who can reach it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import click

from rawlogs.cli.signals import run_until_signal
from rawlogs.errors import ConfigError
from rawlogs.host import is_loopback

F = TypeVar("F", bound=Callable[..., Any])


def address_options(function: F) -> F:
    """Add ``--host`` and ``--port`` to a command."""
    host = click.option(
        "--host", default="127.0.0.1", metavar="HOST", help="Where to listen (default: loopback)."
    )
    port = click.option(
        "--port",
        type=click.IntRange(0, 65535),
        default=4200,
        metavar="PORT",
        help="0 takes a free one (default 4200).",
    )
    return host(port(function))


def tell_address(api_url: str, host: str) -> None:
    """Say on stderr where the server is, and who can reach it."""
    click.echo(f"rawlogs: PREFECT_API_URL={api_url}", err=True)
    if not is_loopback(host):
        click.echo(
            f"rawlogs: listening on {host}: everybody who can reach this machine can reach it", err=True
        )


def listen_until_signal(work: Callable[[], Coroutine[Any, Any, int]]) -> int:
    """Run a server until a signal ends it. Raises ConfigError where the address cannot be had."""
    try:
        return run_until_signal(work)
    except OSError as error:
        raise ConfigError(f"cannot listen: {error.strerror or error}", setting="--port") from error
