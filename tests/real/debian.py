"""Programs and folders of Debian's that cannot be installed beside others, in `.roots` (another place: RAWLOGS_ROOTS).

    python tests/real/debian.py install      makes what is missing (as root, on Debian)

syslog-ng: its package conflicts with rsyslog's, so its files are unpacked. python: the smallest Debian with a python3.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOTS = Path(os.environ.get("RAWLOGS_ROOTS") or Path(__file__).parents[2] / ".roots")
SYSLOG_NG = ROOTS / "syslog-ng"
PYTHON = ROOTS / "python"
INSTALL = "make system-matrix (as root, on Debian)"


def install() -> None:
    """Make what is missing."""
    ROOTS.mkdir(exist_ok=True)
    for root, make in ((SYSLOG_NG, _unpack_syslog_ng), (PYTHON, _bootstrap)):
        if not root.exists():
            print(f"Making {root}", flush=True)
            # Whatever stops it, half a root is never taken for a whole one.
            with tempfile.TemporaryDirectory(dir=ROOTS) as folder:
                made = Path(folder) / "root"
                make(made)
                made.rename(root)


def _unpack_syslog_ng(root: Path) -> None:
    packages = root.parent / "packages"
    (packages / "partial").mkdir(parents=True)
    _run(
        *("apt-get", "install", "-qy", "--download-only", "--no-install-recommends"),
        *("-o", f"Dir::Cache::archives={packages}", "syslog-ng-core", "rsyslog-"),
    )
    for package in packages.glob("*.deb"):
        _run("dpkg", "-x", str(package), str(root))


def _bootstrap(root: Path) -> None:
    suite = platform.freedesktop_os_release()["VERSION_CODENAME"]
    _run("debootstrap", "--variant=minbase", "--include=python3", suite, str(root))
    shutil.rmtree(root / "var/cache/apt", ignore_errors=True)
    shutil.rmtree(root / "var/lib/apt/lists", ignore_errors=True)


def _run(*command: str) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}")


if __name__ == "__main__":
    if sys.argv[1:] != ["install"]:
        raise SystemExit(__doc__)
    install()
