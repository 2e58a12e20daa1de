"""A fresh environment with rawlogs, and the size of what an environment holds."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from benchmarks.machine import ROOT, run

_TOOLS = re.compile(r"(pip|setuptools|wheel|_distutils_hack|pkg_resources)\b|distutils-precedence", re.ASCII)


def fresh_environment(path: Path) -> Path:
    """A virtual environment with rawlogs and its default dependencies, as pip installs them; its Python."""
    run([sys.executable, "-m", "venv", "--without-pip", str(path)])
    python = path / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "--python", str(python)]
    run([*pip, "install", "--quiet", str(ROOT), "-c", str(ROOT / "constraints" / "highest.txt")])
    return python


def site_packages(python: Path) -> Path:
    """Where that Python's packages are."""
    return Path(run([str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]).strip())


def size(folder: Path) -> tuple[float, float, int]:
    """Without pip and its kin: MB without .pyc files, MB with them, and the number of distributions."""
    net = gross = 0
    names = [item for item in folder.iterdir() if not _TOOLS.match(item.name)]
    for item in names:
        for file in item.rglob("*") if item.is_dir() else [item]:
            if file.is_file():
                gross += file.stat().st_size
                net += 0 if file.suffix == ".pyc" else file.stat().st_size
    return net / 1e6, gross / 1e6, sum(item.suffix == ".dist-info" for item in names)
