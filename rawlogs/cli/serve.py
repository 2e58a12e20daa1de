"""``rawlogs serve``: the page in a browser. What needs the extra packages is imported only here."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from typing import Any

import click

from rawlogs.cli.access import ACCESS, access_arguments, settings_of, tell_notes
from rawlogs.cli.option_groups import Command
from rawlogs.errors import ConfigError
from rawlogs.host import is_loopback
from rawlogs.serve.access import TOKEN_VARIABLE, Gate, open_gate

PACKAGES = ("starlette", "sse_starlette", "uvicorn")


@click.command(
    cls=Command,
    groups=(ACCESS,),
    examples=(("rawlogs serve", "the page on http://127.0.0.1:4201"),),
)
@click.option("--host", default="127.0.0.1", metavar="HOST", help="Where to listen (default: 127.0.0.1).")
@click.option(
    "--port", default=8642, type=click.IntRange(0, 65535), help="Default: 8642; 0 takes any free one."
)
@click.option(
    "--token",
    metavar="TOKEN",
    help="What the page asks for before it shows anything. "
    f"Better set {TOKEN_VARIABLE}: every user here can list arguments.",
)
@click.option(
    "--behind-proxy", is_flag=True, help="A reverse proxy asks users who they are; nothing is asked here."
)
def command(host: str, port: int, token: str | None, behind_proxy: bool, **given: Any) -> None:
    """Show logs on a page in the browser: choose runs, filter, follow, search. Needs rawlogs[web].

    It listens on loopback only. Any other --host demands a token or --behind-proxy. The page never sees the
    Prefect key.
    """
    _require_packages()
    from rawlogs.serve.app import make_app
    from rawlogs.serve.server import open_socket, serve

    token = token or (None if behind_proxy else os.environ.get(TOKEN_VARIABLE)) or None
    open_gate(host, port, token=token, behind_proxy=behind_proxy)
    with open_socket(host, port) as listening:
        address, port = listening.getsockname()[:2]
        gate = open_gate(host, port, address=address, token=token, behind_proxy=behind_proxy)
        tell_notes(settings_of(dict(given)))
        app = make_app(gate, access_arguments(given))
        serve(app, listening, started=lambda: _announce(gate))


def _require_packages() -> None:
    if missing := [name for name in PACKAGES if find_spec(name) is None]:
        raise ConfigError(
            f"rawlogs serve needs packages that are not installed: {', '.join(missing)}",
            hint="Install them: pip install 'rawlogs[web]'",
        )


def _announce(gate: Gate) -> None:
    host = "127.0.0.1" if gate.host in ("0.0.0.0", "::") else gate.host
    host = f"[{host}]" if ":" in host and not host.startswith("[") else host
    print(f"rawlogs: the page is at http://{host}:{gate.port}/", file=sys.stderr)
    print(f"rawlogs: {who_may_read(gate)}", file=sys.stderr, flush=True)


def who_may_read(gate: Gate) -> str:
    """Return one sentence on who can see the logs now."""
    if gate.behind_proxy:
        return "whoever reaches this port reads the logs; the reverse proxy must be the only one that does"
    if gate.token is not None:
        unsafe = "" if is_loopback(gate.host) else "; put TLS in front, or the network reads it too"
        return f"the page asks for the token{unsafe}"
    return "everybody on this machine, and nobody else, can read the logs there"
