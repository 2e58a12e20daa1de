"""What Tab does, in the shells themselves, by the functions that ``rawlogs completion`` prints."""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from streaming import ThreadedServer, threaded
from streaming import no_settings as no_settings

pytestmark = pytest.mark.skipif(os.name != "posix", reason="shells of POSIX")

SHELLS = {
    "bash": """
        COMP_WORDS=({words}); COMP_CWORD={cword}
        compopt() {{ COMPREPLY+=("bash: $2"); }}
        _rawlogs_completion rawlogs
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """,
    "zsh": """
        compadd() {{ print -l -- "${{completions[@]}}" }}
        _describe() {{ print -l -- "${{completions_with_descriptions[@]}}" }}
        _path_files() {{ print -l -- *(N) }}
        words=({words}); CURRENT={cword}+1
        _rawlogs_completion
    """,
    "fish": "complete -C {line}",
}
"""How each shell calls the function. The shells' own commands for it work only while somebody edits a line."""


@pytest.fixture
def server() -> Iterator[ThreadedServer]:
    with threaded() as running:
        running.add_run("noisy-bat", flow="etl", deployment="nightly")
        running.add_run("noisy-cat", flow="etl", deployment="hourly")
        running.add_run("$(touch owned)", flow="x;y", deployment="`z`")
        yield running


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    return name


def completed(shell: str, words: Sequence[str], folder: Path, **environ: str) -> list[str]:
    """What the shell offers for the last word, which is being typed, without descriptions."""
    (folder / "rawlogs").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m rawlogs "$@"\n')
    (folder / "rawlogs").chmod(0o755)
    source = {
        "bash": 'complete() { :; }; eval "$(rawlogs completion bash)"',
        "zsh": 'compdef() { :; }; eval "$(rawlogs completion zsh)"',
        "fish": "rawlogs completion fish | source",
    }[shell]
    words = ["rawlogs", *words]
    call = SHELLS[shell].format(
        words=" ".join(map(shlex.quote, words)),
        cword=len(words) - 1,
        line=shlex.quote(shlex.join(words[:-1]) + " " + words[-1]),
    )
    flags = {"bash": ["--norc"], "zsh": ["-f"], "fish": ["--no-config"]}[shell]
    result = subprocess.run(
        [shell, *flags, "-c", f"{source}\n{call}"],
        capture_output=True,
        text=True,
        cwd=folder,
        env={"PATH": f"{folder}:{os.environ['PATH']}", "HOME": str(folder), "LANG": "C.UTF-8", **environ},
        timeout=60,
    )
    assert result.stderr == ""
    separator = "\t" if shell == "fish" else ":"
    return sorted(line.split(separator)[0] for line in result.stdout.splitlines() if line)


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        pytest.param(["ta"], ["tail"], id="a command"),
        pytest.param(["tail", "-l", "w"], ["WARNING"], id="a level, in any case"),
        pytest.param(["tail", "-o", "o"], ["otel"], id="an output"),
        pytest.param(["tail", "--max-l"], ["--max-level"], id="an option"),
        pytest.param(["completion", "f"], ["fish"], id="a shell"),
        pytest.param(["help", "exit"], ["exit-codes"], id="a topic"),
        pytest.param(["tail", "--profile", "pro"], ["production"], id="a profile"),
        pytest.param(["tail", "--api-key", ""], [], id="a key: nothing"),
    ],
)
def test_what_needs_no_server(shell: str, words: list[str], offered: list[str], tmp_path: Path) -> None:
    profiles = tmp_path / "profiles.toml"
    profiles.write_text(
        'active = "local"\n[profiles.production]\nPREFECT_API_KEY = "pnu_secret"\n[profiles.local]\n'
    )
    assert completed(shell, words, tmp_path, PREFECT_PROFILES_PATH=str(profiles)) == offered


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        pytest.param(["tail", "noi"], ["noisy-bat", "noisy-cat"], id="runs"),
        pytest.param(["tail", ""], ["noisy-bat", "noisy-cat"], id="no name that a shell would run"),
        pytest.param(["tail", "--deployment", "etl/n"], ["etl/nightly"], id="deployments"),
        pytest.param(["tail", "--deployment", ""], ["etl/hourly", "etl/nightly"], id="all deployments"),
    ],
)
def test_names_are_asked_of_the_server(
    shell: str,
    server: ThreadedServer,
    words: list[str],
    offered: list[str],
    tmp_path: Path,
) -> None:
    environ = {"PREFECT_API_URL": server.api_url, "RAWLOGS_COMPLETION_TIMEOUT": "30"}
    assert completed(shell, words, tmp_path, **environ) == offered
    assert sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith(".")) == ["rawlogs"]


def test_files_are_offered_where_files_are_meant(shell: str, tmp_path: Path) -> None:
    (tmp_path / "state.json").touch()
    offered = completed(shell, ["tail", "--cursor-file", "sta"], tmp_path)
    # bash is told to offer its own file names; zsh's command for them looks at what was typed itself.
    assert (
        offered
        == {
            "bash": ["bash"],
            "zsh": ["rawlogs", "state.json"],
            "fish": ["state.json"],
        }[shell]
    )


@pytest.mark.parametrize("problem", ["nobody listens", "it never answers", "no settings"])
def test_a_server_that_does_not_answer_is_passed_over_in_silence(problem: str, tmp_path: Path) -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        if problem == "it never answers":
            listening.listen()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/api"
        environ = {} if problem == "no settings" else {"PREFECT_API_URL": url}
        assert completed("bash", ["tail", "x"], tmp_path, **environ) == []
