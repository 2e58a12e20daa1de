"""``rawlogs fake``: runs a fake Prefect server that produces logs, and fails as it is told."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Mapping
from typing import Any

import click
import orjson

from rawlogs.cli.option_groups import Command
from rawlogs.cli.server_options import address_options, listen_until_signal, tell_address
from rawlogs.cli.time_types import FiniteRange, Seconds
from rawlogs.errors import ConfigError


@click.command(
    cls=Command,
    examples=(
        ("rawlogs fake --rate 100", "100 logs a second on port 4200"),
        ("rawlogs fake --count 5000 --sent sent.jsonl", "5,000 logs, and a list of them"),
        ("rawlogs fake --fault restart:at=5", "a server that restarts after five seconds"),
    ),
)
@click.argument("scenario", required=False, type=click.Path(dir_okay=False))
@address_options
@click.option("--rate", type=FiniteRange(min=0), metavar="N", help="Logs a second (default 10; 0: at once).")
@click.option(
    "--count", type=click.IntRange(min=0), metavar="N", help="Logs in all (default 0: without end)."
)
@click.option("--batch", type=click.IntRange(min=1), metavar="N", help="Logs of one POST (default 1).")
@click.option(
    "--runs", type=click.IntRange(min=1), metavar="N", help="Flow runs that they belong to (default 1)."
)
@click.option("--auth-string", metavar="USER:PASS", help="Ask for this auth string.")
@click.option("--server-version", metavar="V", help="Behave like this Prefect (default 3.8.8).")
@click.option("--fault", "faults", multiple=True, metavar="KIND[:KEY=VALUE,...]", help="A fault; repeatable.")
@click.option("--seed", type=int, default=0, metavar="N", help="All chance comes from it (default 0).")
@click.option(
    "--wait-for", type=click.IntRange(min=0), default=0, metavar="N", help="Begin when N clients subscribed."
)
@click.option(
    "--sent",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Write every stored log there instead of stdout, for `rawlogs check`.",
)
@click.option("--linger", type=Seconds(), metavar="S", help="After --count, serve S seconds more and end.")
def command(scenario: str | None, **given: Any) -> int:
    """Run a fake Prefect server; SCENARIO is a TOML file with what to serve and what to break.

    What it stores goes to stdout, one JSON object a line, so that a client's output can be checked against it:
    `rawlogs fake --count 5000 --sent sent.jsonl`, `rawlogs tail -o json > got.jsonl`, `rawlogs check sent.jsonl
    got.jsonl`. Faults: drop, close, restart, kill, refuse with at=SECONDS, and the steps of docs/fake.md, such as
    --fault slice:size=1 or --fault http:where=rest,status=500,times=3.
    """
    return listen_until_signal(lambda: _serve(scenario, given))


async def _serve(path: str | None, given: Mapping[str, Any]) -> int:
    from rawlogs.output.file import FileSink
    from rawlogs.output.sink import OutputClosed, Sink, StdoutSink
    from rawlogs.testing.scenario_runner import run
    from rawlogs.testing.server import FakeServer

    scenario = _scenario(path, given)
    sink: Sink = FileSink(given["sent"]) if given["sent"] else StdoutSink()
    async with FakeServer(
        scenario.behaviour, host=given["host"], port=given["port"], seed=given["seed"]
    ) as server:
        tell_address(server.api_url, given["host"])
        if given["wait_for"]:
            await server.until_subscribed(given["wait_for"], timeout=3600.0)
        try:
            await run(
                server,
                scenario,
                seed=given["seed"],
                on_stored=lambda row: sink.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)),
            )
            click.echo(f"rawlogs: {len(server.logs)} logs stored; still serving (Ctrl-C ends)", err=True)
            await asyncio.sleep(given["linger"] if given["linger"] is not None else float("inf"))
        except OutputClosed:
            pass
    return 0


def _scenario(path: str | None, given: Mapping[str, Any]) -> Any:
    """Return the file's scenario, with the flags in place of what it says."""
    from rawlogs.testing.scenario import Action, Scenario, fault, read

    chosen = read(path) if path is not None else Scenario()
    traffic = {key: given[key] for key in ("rate", "count", "batch", "runs") if given[key] is not None}
    server: dict[str, Any] = {}
    if given["auth_string"]:
        server["auth_string"] = given["auth_string"]
    if given["server_version"]:
        server["version"] = given["server_version"]
    made = [fault(parse_fault(text), f"--fault {text}") for text in given["faults"]]
    return dataclasses.replace(
        chosen,
        behaviour=dataclasses.replace(chosen.behaviour, **server),
        traffic=dataclasses.replace(chosen.traffic, **traffic),
        faults=(*chosen.faults, *(item for item in made if not isinstance(item, Action))),
        actions=(*chosen.actions, *(item for item in made if isinstance(item, Action))),
    )


def parse_fault(text: str) -> dict[str, Any]:
    """Return ``kind:key=value,key=value`` as a table of a scenario. Raises ConfigError for what is no KEY=VALUE."""
    kind, _, rest = text.partition(":")
    entry: dict[str, Any] = {"kind": kind.strip()}
    for part in filter(None, (item.strip() for item in rest.split(","))):
        key, equals, value = part.partition("=")
        if not equals:
            raise ConfigError(f"--fault {text}: {part!r} is not KEY=VALUE", setting="--fault")
        entry[key.strip()] = _value(value.strip())
    return entry


def _value(text: str) -> Any:
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
