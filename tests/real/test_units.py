"""systemd and logrotate take the files of deploy/. Marked `matrix`: both programs are Debian's."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from .services import program

pytestmark = pytest.mark.matrix

DEPLOY = Path(__file__).parents[2] / "deploy"
MOST_EXPOSED = 1.5
"""Of 10, as `systemd-analyze security` counts; below 2 it says OK."""


@pytest.fixture
def units(tmp_path: Path) -> list[str]:
    """The units with a program that is there: systemd looks for it."""
    made = []
    for unit in sorted(DEPLOY.glob("systemd/*.service")):
        path = tmp_path / unit.name
        path.write_text(unit.read_text().replace("/opt/rawlogs/bin/rawlogs", sys.executable))
        made.append(str(path))
    assert len(made) == 2
    return made


def test_systemd_finds_nothing_wrong_with_the_units(units: list[str]) -> None:
    done = subprocess.run(
        [program("systemd-analyze"), "verify", "--man=no", *units], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_units_are_hardly_exposed(units: list[str]) -> None:
    words = [program("systemd-analyze"), "security", "--offline=true", "--no-pager", *units]
    said = subprocess.run(words, capture_output=True, text=True).stdout
    levels = [float(level) for level in re.findall(r"exposure level for \S+: ([\d.]+)", said)]
    assert len(levels) == 2
    assert max(levels) <= MOST_EXPOSED


def test_logrotate_takes_its_file() -> None:
    words = [program("logrotate"), "--debug", str(DEPLOY / "logrotate" / "rawlogs")]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0
    assert "error" not in done.stderr
