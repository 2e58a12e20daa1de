"""What ``--help``, ``rawlogs help`` and ``rawlogs man`` print, and what a mistyped command gets."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rawlogs.cli import exit_codes
from rawlogs.cli.group import COMMANDS, run
from rawlogs.cli.help import topics

ROOT = Path(__file__).parents[1]
TOPICS = {"exit-codes", "filters", "time", "output", "cursor", "environment", "follow", "troubleshooting"}


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run(list(arguments)) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_shows_examples_before_its_options(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each example calls that command with options that it has."""
    text = printed(capsys, name, "--help")
    examples = text.partition("Examples:\n")[2].partition("\n\n")[0]
    calls = re.findall(r"^ .*\b(rawlogs .*?)(?:  |$)", examples, re.MULTILINE)
    assert calls and all(call.split()[1] == name or name == "help" for call in calls)
    for option in re.findall(r" (-{1,2}[a-z][\w-]*)", " ".join(calls)):
        assert re.search(rf"{option}\b", text.replace(examples, "")), option
    assert text.index("Examples:") < text.index("--help ") - len("  -h, ")


def test_the_options_of_tail_stand_in_groups(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, "tail", "--help")
    titles = re.findall(r"^(\S.*):$", text, re.MULTILINE)
    assert titles[:4] == ["Examples", "Which runs", "Which logs", "From when to when"]
    assert titles[-2:] == ["The server", "Help"]
    assert text.count("--level") == 1


def test_there_is_a_page_for_each_topic(capsys: pytest.CaptureFixture[str]) -> None:
    """Of a screen at most, and on a list with the others."""
    assert set(topics()) == TOPICS
    listed = printed(capsys, "help")
    for name, (title, _) in topics().items():
        page = printed(capsys, "help", name)
        assert page.startswith(f"{title}.\n\n") and len(page.splitlines()) < 36
        assert max(map(len, page.splitlines())) <= 120
        assert re.search(rf"^  {name} +{re.escape(title[:20])}", listed, re.MULTILINE)


def test_the_page_of_exit_codes_has_them_all() -> None:
    known = {value for name, value in vars(exit_codes).items() if name.isupper() and isinstance(value, int)}
    assert {
        int(code) for code in re.findall(r"^ {4,8}(\d+)  ", topics()["exit-codes"][1], re.MULTILINE)
    } == known


def test_a_command_has_its_page_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, "help", "tail") == printed(capsys, "tail", "--help")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(["tial"], "There is no command 'tial'. Did you mean 'tail'?", id="tial"),
        pytest.param(["docter"], "There is no command 'docter'. Did you mean 'doctor'?", id="docter"),
        pytest.param(["xyzzy"], "There is no command 'xyzzy'.\n", id="like none"),
        pytest.param(["help", "exitcodes"], "Did you mean 'exit-codes'?", id="a topic"),
        pytest.param(["help", "filter"], "Did you mean 'filters'?", id="another topic"),
    ],
)
def test_a_mistyped_name_gets_the_one_that_was_meant(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == exit_codes.USAGE
    assert said in capsys.readouterr().err


def test_the_manual_page_is_that_of_this_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert (ROOT / "docs" / "rawlogs.1").read_text() == printed(capsys, "man"), "make man writes it anew"


@pytest.mark.skipif(shutil.which("mandoc") is None, reason="mandoc is not installed")
def test_the_manual_page_has_no_warnings(tmp_path: Path) -> None:
    page = ROOT / "docs" / "rawlogs.1"
    lint = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", page], capture_output=True, text=True)
    assert (lint.returncode, lint.stdout) == (0, "")
    shown = subprocess.run(["mandoc", "-T", "ascii", page], capture_output=True, text=True, check=True).stdout
    plain = re.sub(".\b", "", shown)
    assert "--cursor-file" in plain and "'prefect.task*'" in plain and "TROUBLESHOOTING" in plain


def test_help_loads_no_library_that_it_does_not_need() -> None:
    """Neither the network nor validation: it is to be there at once."""
    code = (
        "import sys; from rawlogs.cli.group import run; run(['help', 'exit-codes'])\n"
        "for name in ('tail', 'run', 'ship'): run([name, '--help'])\n"
        "print(*sorted({'pydantic', 'httpx', 'websockets', 'asyncio'} & set(sys.modules)), file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stderr.split() == []
