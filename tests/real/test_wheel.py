"""What is installed from a wheel: everything of the package, and nothing else."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FROM_ELSEWHERE = {
    "rawlogs/cli/prefect-3.8.8-flow.jsonl",  # what "rawlogs demo" plays: of fixtures/
    "rawlogs/cli/help.md",  # what "rawlogs help" prints: of docs/
    "man/man1/rawlogs.1",  # for PREFIX/share, where man looks
}
"""Files that lie elsewhere in the repository."""


@pytest.mark.real
def test_the_wheel_holds_the_whole_package_and_nothing_else(tmp_path: Path) -> None:
    """The build tool comes from the registry, as it does for everybody."""
    quiet = ["--disable-pip-version-check", "--no-input", "--quiet"]
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", *quiet, "--no-deps", "--wheel-dir", str(tmp_path), str(ROOT)],
        check=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = {
        re.sub(r"^rawlogs-[^/]*[.]data/data/share/", "", name)  # the directory's name has the version in it
        for name in zipfile.ZipFile(wheel).namelist()
        if ".dist-info/" not in name
    }
    files = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "rawlogs").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert names == files | FROM_ELSEWHERE
    assert "rawlogs/py.typed" in names
