"""What Tab offers of what a server knows: deployments and runs. Silent where it does not answer."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from rawlogs.cli.access import access_arguments
from rawlogs.cli.completers import fitting

if TYPE_CHECKING:
    from rawlogs.rest.client import RestClient

PATIENCE = 0.3
"""Seconds that a server has to answer, in all: whoever pressed Tab is waiting."""
PATIENCE_VARIABLE = "RAWLOGS_COMPLETION_TIMEOUT"


def deployments(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return the server's deployments as FLOW/DEPLOYMENT."""

    async def names(rest: RestClient) -> list[str]:
        from rawlogs.rest.flow_runs import Runs

        return await Runs(rest).deployment_names()

    return fitting(_asked(ctx, names), incomplete)


def runs(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return the names of the newest flow runs."""

    async def names(rest: RestClient) -> list[str]:
        body: dict[str, Any] = {"limit": 200, "sort": "START_TIME_DESC"}
        if incomplete:
            body["flow_runs"] = {"name": {"like_": incomplete}}
        rows = await rest.post("/flow_runs/filter", body)
        return [row["name"] for row in rows if isinstance(row, dict) and isinstance(row.get("name"), str)]

    return fitting(_asked(ctx, names), incomplete)


def _asked(ctx: click.Context, question: Callable[[RestClient], Coroutine[Any, Any, list[str]]]) -> list[str]:
    """Return what the server answers in time, by the settings and the access options that are typed already."""
    import asyncio

    from rawlogs.config.settings import resolve
    from rawlogs.rest.client import RestClient

    found: list[str] = []
    seconds = float(os.environ.get(PATIENCE_VARIABLE) or PATIENCE)

    async def ask() -> None:
        rest = RestClient(resolve(**access_arguments(dict(ctx.params))), retries=0)
        try:
            found.extend(await question(rest))
        finally:
            await rest.close()

    def work() -> None:
        with suppress(Exception):
            asyncio.run(asyncio.wait_for(ask(), seconds))

    # A thread, as the search for an address cannot be cancelled; the process ends without waiting for it.
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    return list(found)
