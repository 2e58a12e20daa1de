"""What the commands that run a fake server share: its address, its life, its end by a signal."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import click

from rawlogs.cli import codes
from rawlogs.errors import ConfigError
from rawlogs.host import is_loopback

F = TypeVar("F", bound=Callable[..., Any])


def address_options(function: F) -> F:
    """``--host`` and ``--port``."""
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
    """On stderr: where the server is, and who can reach it."""
    click.echo(f"rawlogs: PREFECT_API_URL={api_url}", err=True)
    if not is_loopback(host):
        click.echo(
            f"rawlogs: listening on {host}: everybody who can reach this machine can reach it", err=True
        )


def run_until_signal(work: Callable[[], Coroutine[Any, Any, int]]) -> int:
    """The coroutine's exit code, or that of the signal that ended it."""

    async def guarded() -> int:
        task = asyncio.ensure_future(work())
        stopped: list[int] = []

        def stop(code: int) -> None:
            stopped.append(code)
            task.cancel()

        loop = asyncio.get_running_loop()
        for name, code in (("SIGINT", codes.INTERRUPTED), ("SIGTERM", codes.TERMINATED)):
            with contextlib.suppress(NotImplementedError):
                loop.add_signal_handler(getattr(signal, name), stop, code)
        try:
            return await task
        except asyncio.CancelledError:
            return stopped[0] if stopped else codes.INTERRUPTED

    try:
        return asyncio.run(guarded())
    except OSError as error:
        raise ConfigError(f"cannot listen: {error.strerror or error}", setting="--port") from error
