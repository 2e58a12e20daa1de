"""``rawlogs url``: what a URL is to rawlogs."""

from __future__ import annotations

from typing import Any

import click

from rawlogs.cli.access import ACCESS, settings_of
from rawlogs.cli.option_groups import Command


@click.command(
    cls=Command,
    groups=(ACCESS,),
    examples=(
        ("rawlogs url", "which API the settings name"),
        ("rawlogs url https://app.prefect.cloud/account/…", "what a page's URL is to rawlogs"),
    ),
)
@click.argument("url", required=False)
def command(url: str | None, **given: Any) -> None:
    """Print the API URL, the socket URL and the run that URL (or the configured API) names.

    A pasted UI URL of Prefect Cloud or of a server is turned into the API URL.
    """
    from rawlogs.config.urls import parse

    address = parse(url, setting="URL") if url is not None else settings_of(given).address
    for change in address.changes:
        click.echo(f"rawlogs: {change}", err=True)
    click.echo(f"API     {address.api_url}")
    click.echo(f"logs    {address.logs_url}")
    click.echo(f"events  {address.events_url}")
    if address.run_id is not None:
        click.echo(f"{address.run_kind}  {address.run_id}")
