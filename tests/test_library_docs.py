"""What README, docs/api.md and docs/from-prefect.md tell a program to write runs as it stands there."""

from __future__ import annotations

import ast
import os
import re
import shlex
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path
from uuid import UUID

import click
import pytest
from streaming import no_settings as no_settings

import rawlogs
from rawlogs.cli.group import COMMANDS, cli
from rawlogs.testing import FakeServer

ROOT = Path(__file__).parents[1]
README, API, FROM_PREFECT = (ROOT / name for name in ("README.md", "docs/api.md", "docs/from-prefect.md"))
RUN = UUID("6852dfb7-f342-476c-aa75-f78436a10746")
"""The run of the examples."""


def blocks(page: Path, language: str = "python") -> list[str]:
    """The code of a page in this language."""
    parts = re.split(r"^```(\w*)\n", page.read_text("utf-8"), flags=re.MULTILINE)[1:]
    # Language and code of a block, then the fence that closes it and the text up to the next block.
    return [code for begins, code in zip(parts[::4], parts[1::4], strict=True) if begins == language]


def commands() -> list[str]:
    """Those of README's blocks, each to the description beside it, and those of the right cells of from-prefect."""
    lines = re.findall(r"^(rawlogs .*?)(?:  .*)?$", "\n".join(blocks(README, "")), re.MULTILINE)
    cells = re.findall(
        r"^\| .* \| `(rawlogs [a-z]+ [^`]*)`.*\|$", FROM_PREFECT.read_text("utf-8"), re.MULTILINE
    )
    return [*lines, *(cell.partition(" \\|")[0].replace("ID", str(RUN)) for cell in cells)]


@pytest.mark.parametrize("line", commands())
def test_every_command_can_be_typed(line: str) -> None:
    """Its words are parsed as they would be; nothing is run."""
    _, name, *words = shlex.split(line)
    assert name in COMMANDS
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    command.make_context(name, words, obj=datetime.now(timezone.utc))


PRELUDE = """
import asyncio, logging, sys, rawlogs
logging.basicConfig(level=30, stream=sys.stdout, format='%(message)s')
"""
"""What an example takes for granted."""


def program_of(example: str) -> str:
    """An example as a program: what awaits goes into a coroutine."""
    if not re.search(r"^\s*(async|await) ", example, re.MULTILINE):
        return PRELUDE + example
    body = "".join(f"    {line}\n" for line in example.splitlines())
    return f"{PRELUDE}async def main():\n{body}\nasyncio.run(main())"


def examples() -> list[str]:
    """The Python of docs/api.md that is neither a signature, nor the fields or the head of a class."""
    return [block for block in blocks(API) if re.search(r"^(async )?with ", block, re.MULTILINE)]


PROGRAMS = [
    pytest.param(*blocks(README), True, id="README"),
    pytest.param(*blocks(FROM_PREFECT), False, id="from-prefect"),
    *(
        pytest.param(program_of(example), "follow" in example, id=f"api {number}")
        for number, example in enumerate(examples())
    ),
]


@pytest.mark.parametrize(("program", "ends"), PROGRAMS)
def test_every_program_shows_a_log_and_ends_with_the_run_where_it_follows_one(
    program: str, ends: bool, no_settings: Path
) -> None:
    with FakeServer() as server:
        server.add_run("brave-otter", id=RUN)
        environ = {**os.environ, "PREFECT_API_URL": server.api_url}
        command = [sys.executable, "-u", "-c", program]
        with subprocess.Popen(
            command, env=environ, cwd=no_settings, stdout=subprocess.PIPE, text=True
        ) as process:
            try:
                server.run(server.until_subscribed(timeout=60.0))
                server.post("hello", level=30, flow_run_id=RUN)
                assert process.stdout is not None
                assert "hello" in process.stdout.readline()
                server.set_state(RUN, "COMPLETED")
                assert not ends or process.wait(60) == 0
            finally:
                process.kill()


def test_the_other_python_of_the_api_s_page_can_be_read() -> None:
    """What handlers and formatters need, as far as rawlogs has no part in it."""
    for block in blocks(API):
        if "structlog" in block:
            ast.parse(block)


def imports() -> list[str]:
    return re.findall(r"`(from rawlogs[^`]*)`", FROM_PREFECT.read_text("utf-8"))


@pytest.mark.parametrize("line", imports())
def test_every_import_line_imports(line: str) -> None:
    exec(line, {})


@pytest.mark.parametrize(
    "call", re.findall(r"`(rawlogs\.stream\(.*?\))` \|$", FROM_PREFECT.read_text("utf-8"), re.MULTILINE)
)
def test_every_call_beside_prefects_can_be_made(call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    url = "http://127.0.0.1:4200/api"
    monkeypatch.setenv("PREFECT_API_URL", url)
    logs = eval(call, {"rawlogs": rawlogs, "run": RUN, "api_url": url, "api_key": "pnu_key"})
    assert isinstance(logs, rawlogs.LogStream)


def test_pages_have_what_is_tried_here() -> None:
    """A pattern that finds nothing any more would try nothing."""
    assert len(examples()) >= 7
    assert len(imports()) >= 5
    assert len(commands()) >= 13
