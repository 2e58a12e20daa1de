"""The options that every command takes to reach a server, under the names that users of Prefect and curl know."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from rawlogs.errors import ConfigError

if TYPE_CHECKING:
    from rawlogs.config.settings import Settings

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = (
    click.option("--api-url", metavar="URL", help="The API (or a pasted UI URL); else PREFECT_API_URL."),
    click.option("--api-key", metavar="KEY", help="A Prefect Cloud key; else PREFECT_API_KEY."),
    click.option(
        "--auth-string", metavar="USER:PASS", help="A server's password; else PREFECT_API_AUTH_STRING."
    ),
    click.option(
        "--profile", metavar="NAME", help="A Prefect profile; else PREFECT_PROFILE, or the active one."
    ),
    click.option(
        "-H",
        "--header",
        "headers",
        multiple=True,
        metavar="'NAME: VALUE'",
        help="A custom header; repeatable.",
    ),
    click.option("--cacert", metavar="FILE", help="A CA file; else PREFECT_API_SSL_CERT_FILE."),
    click.option(
        "-k", "--insecure", is_flag=True, default=None, help="Do not check the server's certificate."
    ),
)
NAMES = ("api_url", "api_key", "auth_string", "profile", "headers", "cacert", "insecure")


def access_options(function: F) -> F:
    """Add the options to a command."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def access_arguments(given: dict[str, Any]) -> dict[str, Any]:
    """Take the options out of a command's arguments, as ``resolve`` and ``stream`` take them."""
    options = {name: given.pop(name) for name in NAMES}
    options["ssl_cert_file"] = options.pop("cacert")
    options["headers"] = parse_headers(options["headers"])
    return options


def settings_of(given: dict[str, Any]) -> Settings:
    """The resolved settings of a command."""
    from rawlogs.config.settings import resolve

    return resolve(**access_arguments(given))


def tell_notes(settings: Settings) -> None:
    """Say on stderr what is odd about settings with which something will be asked, as a stream's notices do."""
    from rawlogs.output.escape import escape_line

    for note in settings.notes:
        click.echo(f"rawlogs: {escape_line(note)}", err=True)


def parse_headers(lines: tuple[str, ...]) -> dict[str, str] | None:
    """``NAME: VALUE`` lines as a mapping; ConfigError for what is none (the value is not shown)."""
    headers = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            raise ConfigError("-H/--header takes 'NAME: VALUE'", setting="--header")
        headers[name.strip()] = value.strip()
    return headers or None
