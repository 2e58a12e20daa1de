"""The options that every command takes to reach a server, under the names that users of Prefect and curl know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from rawlogs.cli.completers import profiles
from rawlogs.cli.option_groups import OptionGroup
from rawlogs.errors import ConfigError

if TYPE_CHECKING:
    from rawlogs.config.settings import Settings

ACCESS = OptionGroup(
    "The server",
    click.Option(["--api-url"], metavar="URL", help="The API (or a pasted UI URL); else PREFECT_API_URL."),
    click.Option(["--api-key"], metavar="KEY", help="A Prefect Cloud key; else PREFECT_API_KEY."),
    click.Option(
        ["--auth-string"], metavar="USER:PASS", help="A server's password; else PREFECT_API_AUTH_STRING."
    ),
    click.Option(
        ["--profile"],
        shell_complete=profiles,
        metavar="NAME",
        help="A Prefect profile; else PREFECT_PROFILE, or the active one.",
    ),
    click.Option(
        ["-H", "--header", "headers"],
        multiple=True,
        metavar="'NAME: VALUE'",
        help="A custom header; repeatable.",
    ),
    click.Option(
        ["--cacert", "ssl_cert_file"],
        type=click.Path(exists=True, dir_okay=False),
        metavar="FILE",
        help="A CA file; else PREFECT_API_SSL_CERT_FILE.",
    ),
    click.Option(
        ["-k", "--insecure"], is_flag=True, default=None, help="Do not check the server's certificate."
    ),
)


def access_arguments(given: dict[str, Any]) -> dict[str, Any]:
    """Take the options out of a command's arguments, as ``resolve`` and ``stream`` take them."""
    options = ACCESS.take(given)
    return {**options, "headers": parse_headers(options["headers"])}


def settings_of(given: dict[str, Any]) -> Settings:
    """Return the resolved settings of a command."""
    from rawlogs.config.settings import resolve

    return resolve(**access_arguments(given))


def tell_notes(settings: Settings) -> None:
    """Say on stderr what is odd about settings with which something will be asked, as a stream's notices do."""
    from rawlogs.output.escape import escape_line

    for note in settings.notes:
        click.echo(f"rawlogs: {escape_line(note)}", err=True)


def parse_headers(lines: tuple[str, ...]) -> dict[str, str] | None:
    """Return ``NAME: VALUE`` lines as a mapping. Raises ConfigError for any other line, without showing the value."""
    headers = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            raise ConfigError("-H/--header takes 'NAME: VALUE'", setting="--header")
        headers[name.strip()] = value.strip()
    return headers or None
