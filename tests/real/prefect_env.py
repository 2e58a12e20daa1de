"""The virtual environments in which real Prefect servers run, one a version; never the one rawlogs runs in.

Run it as a script: `python tests/real/prefect_env.py install 3.9.1 3.4.7`, or `… find 3.12` for the path of a
Python. The environments stand in `$RAWLOGS_PREFECT_ENVS`, or else `.prefect` in this repository.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CONSTRAINTS = ROOT / "constraints"
DEFAULT_VERSIONS = ("3.9.1", "3.4.7")
# The servers were run with their pins on 3.11; some pins of the newest cannot be installed on 3.10.
PREFECT_PYTHONS = ("3.11", "3.12", "3.13")


class PrefectMissing(Exception):
    """A Prefect environment is not there, or can't be made; the text says what to do."""


def known_versions() -> list[str]:
    """Every Prefect version with a file of pins."""
    return sorted(path.stem.removeprefix("prefect-") for path in CONSTRAINTS.glob("prefect-*.txt"))


def env_dir(version: str) -> Path:
    """Where the environment of that Prefect is, or would be."""
    return Path(os.environ.get("RAWLOGS_PREFECT_ENVS") or ROOT / ".prefect") / version


def packages(version: str) -> list[str]:
    """Return what pip is asked to install: Prefect, and its Redis broker where there is a pin for it."""
    pins = CONSTRAINTS / f"prefect-{version}.txt"
    lines = pins.read_text().splitlines() if pins.exists() else []
    return [f"prefect=={version}", *(line for line in lines if line.startswith("prefect-redis=="))]


def is_complete(version: str) -> bool:
    """Whether Prefect is installed there, and no installation was cut short."""
    env = env_dir(version)
    installed = all(
        any(env.glob(f"lib/python3*/site-packages/{name}-{number}.dist-info/METADATA"))
        for name, number in (package.replace("-", "_").split("==") for package in packages(version))
    )
    return installed and (env / "bin/python").exists() and not _unfinished(env).exists()


def require(version: str) -> Path:
    """The Python of a complete environment; raises PrefectMissing with the command that makes it."""
    if not is_complete(version):
        command = "make prefect" if version in DEFAULT_VERSIONS else f"make prefect VERSIONS={version}"
        raise PrefectMissing(f"no Prefect {version} in {env_dir(version)}; install it with: {command}")
    return env_dir(version) / "bin/python"


def database(version: str) -> Path:
    """The SQLite database of a server of that version that was never used; servers of the tests start with a copy."""
    return env_dir(version) / "unused.db"


def make_database(version: str) -> None:
    """Make that database, unless it is there: Prefect's migrations take 6 s of CPU at each first start."""
    if database(version).exists():
        return
    with tempfile.TemporaryDirectory() as home:
        environ = {"HOME": home, "PREFECT_HOME": home, "DO_NOT_TRACK": "1", "PATH": os.defpath}
        upgrade = ("-m", "prefect", "server", "database", "upgrade", "-y")
        _run(version, str(require(version)), *upgrade, env=environ)
        # Renamed, so that another process never sees half of it.
        half = database(version).with_suffix(f".{os.getpid()}")
        shutil.copyfile(Path(home) / "prefect.db", half)
        half.replace(database(version))


def install(version: str) -> None:
    """Make the environment, unless it is complete; one that was left half-made is made again."""
    if is_complete(version):
        _say(version, f"is installed in {env_dir(version)}")
        make_database(version)
        return
    if version not in known_versions():
        known = ", ".join(known_versions())
        raise PrefectMissing(f"no pins for Prefect {version} in {CONSTRAINTS}; there are pins for {known}")
    running = "{}.{}".format(*sys.version_info)
    minors = sorted(PREFECT_PYTHONS, key=lambda minor: minor != running)
    python = next(filter(None, map(find_python, minors)), None)
    if python is None:
        wanted = " or ".join(PREFECT_PYTHONS)
        raise PrefectMissing(f"Prefect {version} needs Python {wanted}: none on PATH or in pyenv")
    env = env_dir(version)
    if env.exists():
        _say(version, f"removing the half-made {env}")
        shutil.rmtree(env)
    env.mkdir(parents=True)
    _unfinished(env).touch()
    _say(version, f"making {env} with {python}")
    _run(version, str(python), "-m", "venv", str(env))
    _say(version, "installing with pip; this takes a minute or two")
    started = time.monotonic()
    pip = (str(env / "bin/python"), "-m", "pip", "--disable-pip-version-check", "--no-input")
    pins = CONSTRAINTS / f"prefect-{version}.txt"
    _run(version, *pip, "install", "--quiet", *packages(version), "-c", str(pins))
    _unfinished(env).unlink()
    make_database(version)
    _say(version, f"ready after {time.monotonic() - started:.0f} s")


def find_python(minor: str) -> Path | None:
    """A Python of that minor version ("3.12") that runs and can make environments: this one, PATH, pyenv."""
    check = "import ensurepip, sys, venv; print('{}.{}'.format(*sys.version_info))"
    for candidate in _candidates(minor):
        # pyenv puts names on PATH that only print an error, so each is tried.
        answer = subprocess.run([candidate, "-c", check], capture_output=True, text=True, check=False)
        if answer.stdout.strip() == minor:
            return candidate
    return None


def _candidates(minor: str) -> Iterator[Path]:
    name = f"python{minor}"
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield Path(sys.executable)
    for folder in os.get_exec_path():
        if found := shutil.which(name, path=folder):
            yield Path(found)
    yield from sorted(pyenv.glob(f"versions/{minor}.*/bin/{name}"), reverse=True)


def _unfinished(env: Path) -> Path:
    # A mark of the unfinished one, not of the finished: an environment made by hand with pip counts too.
    return env / ".unfinished"


def _run(version: str, *command: str, env: Mapping[str, str] | None = None) -> None:
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, env=env
    )
    if done.returncode != 0:
        tail = "\n".join(done.stdout.splitlines()[-20:])
        raise PrefectMissing(f"Prefect {version} could not be installed; {' '.join(command)} said:\n{tail}")


def _say(version: str, text: str) -> None:
    print(f"Prefect {version}: {text}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description="Install Prefect for the tests, or find a Python.")
    commands = parser.add_subparsers(dest="command", required=True)
    installing = commands.add_parser("install", help="install these versions of Prefect")
    installing.add_argument("versions", nargs="*", metavar="VERSION", default=list(DEFAULT_VERSIONS))
    commands.add_parser("find", help="print the path of a Python").add_argument("minor", metavar="3.x")
    options = parser.parse_args()
    if options.command == "find":
        python = find_python(options.minor)
        if python is None:
            print(f"no Python {options.minor} on PATH or in pyenv", file=sys.stderr)
            return 1
        print(python)
        return 0
    try:
        for version in options.versions:
            install(version)
    except PrefectMissing as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
