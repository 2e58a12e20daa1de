"""The image of the Containerfile, on the smallest Debian with a python3 as its base: built, and run as a pod runs it.

As PID 1, as uid 65532, with a read-only root, without a shell around it and without HOME. Marked `matrix`: buildah and
debootstrap come with `make system-matrix`; it needs root, and no base image from a registry.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen
from uuid import uuid4

import pip
import pytest

from tests.otlp_receiver import OtlpReceiver

from .conftest import NEWEST, ServerPool
from .debian import INSTALL, PYTHON
from .prefect_server import PrefectServer
from .services import DEADLINE, program

pytestmark = [pytest.mark.matrix, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
UID = 65532
REGISTRY = ("/etc/ssl/certs", "/etc/pip.conf", "/etc/xdg/pip")
"""Where a machine says how it reaches the registry of packages."""


@dataclass(frozen=True)
class Image:
    """What was built: its files, and what it says of itself."""

    root: Path
    config: Mapping[str, Any]


class Buildah:
    def __init__(self, folder: Path) -> None:
        self._start = [program("buildah"), "--root", f"{folder}/root", "--runroot", f"{folder}/run"]

    def __call__(self, *words: str) -> str:
        environ = {**os.environ, "BUILDAH_ISOLATION": "chroot"}
        done = subprocess.run([*self._start, *words], capture_output=True, text=True, env=environ)
        assert not done.returncode, done.stderr[-3000:]
        return done.stdout.strip()


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    if not PYTHON.exists():
        pytest.fail(f"there is no {PYTHON}: {INSTALL}")
    folder = tmp_path_factory.mktemp("images")
    buildah = Buildah(folder)
    base = buildah("from", "scratch")
    buildah("copy", "--quiet", base, str(PYTHON), "/")
    # Debian's python3 has no pip; a base image of Python has.
    buildah("copy", "--quiet", base, str(Path(pip.__file__).parent), "/usr/lib/python3/dist-packages/pip")
    buildah("commit", "--quiet", base, "localhost/base")
    volumes = [word for path in REGISTRY if Path(path).exists() for word in ("--volume", f"{path}:{path}:ro")]
    build = ["bud", "--quiet", "--pull-never", "--build-arg", "BASE=localhost/base", *volumes]
    buildah(*build, "--file", str(ROOT / "Containerfile"), "--tag", "localhost/rawlogs", str(ROOT))
    config = json.loads(buildah("inspect", "--type", "image", "localhost/rawlogs"))["OCIv1"]["config"]
    made = buildah("from", "--pull-never", "localhost/rawlogs")
    yield Image(Path(buildah("mount", made)), config)
    buildah("umount", made)
    shutil.rmtree(folder)


@contextmanager
def running(
    image: Image, words: Sequence[str], environ: Mapping[str, str], state: Path | None = None
) -> Iterator[subprocess.Popen[str]]:
    """A container as Kubernetes makes it: ``state`` is a volume at /var/lib/rawlogs that it may write to."""
    root = shlex.quote(str(image.root))
    env = [*image.config["Env"], *(f"{name}={value}" for name, value in environ.items())]
    command = ["chroot", f"--userspec={image.config['User']}", str(image.root)]
    command += ["/usr/bin/env", "-C", image.config["WorkingDir"], "-i", *env]
    mounts = [
        f"mount --bind {root} {root}",
        f"mount -o remount,ro,bind {root}",
        f"mount -t proc proc {root}/proc",
    ]
    if state is not None:
        os.chown(state, UID, UID)
        mounts.append(f"mount --bind {shlex.quote(str(state))} {root}/var/lib/rawlogs")
    script = " && ".join([*mounts, f"exec {shlex.join([*command, *image.config['Entrypoint'], *words])}"])
    process = subprocess.Popen(
        ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=DEADLINE)


def first_process(process: subprocess.Popen[str]) -> int:
    """The number, seen from here, of what is PID 1 in there."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return int(children.read_text().split()[0])


def until(condition: Callable[[], Any]) -> None:
    give_up = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.05)


def ready(origin: str) -> bool:
    try:
        with urlopen(f"{origin}/readyz") as answer:
            return answer.status == 200
    except HTTPError as refused:
        refused.close()
        return False


@pytest.fixture
def server(servers: ServerPool) -> PrefectServer:
    return servers.get(NEWEST)


def test_the_image_says_what_it_is_and_how_it_is_stopped(image: Image) -> None:
    assert image.config["User"] == f"{UID}:{UID}"
    assert image.config["Entrypoint"] == ["rawlogs"]
    assert image.config["StopSignal"] == "SIGTERM"
    prefix = "org.opencontainers.image."
    named = {"title", "description", "licenses", "source", "documentation", "version", "revision"}
    assert named <= {label.removeprefix(prefix) for label in image.config["Labels"]}


def test_the_image_has_no_compiler(image: Image) -> None:
    assert not list(image.root.glob("usr/bin/*gcc*")) + list(image.root.glob("usr/bin/cc"))


def test_it_tails_as_pid_1_and_ends_at_sigterm(image: Image, server: PrefectServer, tmp_path: Path) -> None:
    run, environ = str(uuid4()), {"PREFECT_API_URL": server.api_url}
    words = ["tail", "-o", "json", "--flow-run", run, "--listen", ":0", "--cursor-file", "cursor.json"]
    state = tmp_path / "state"
    state.mkdir()
    with running(image, words, environ, state) as process:
        assert process.stdout is not None and process.stderr is not None
        said = ""
        while not (found := re.search(r"http://[\d.]+:\d+", said)):
            line = process.stderr.readline()
            assert line, said
            said += line
        until(lambda: ready(found[0]))
        server.post_logs(n=50, flow_run_id=run)
        messages = [json.loads(process.stdout.readline())["message"] for _ in range(50)]
        number = first_process(process)
        status = Path(f"/proc/{number}/status").read_text()
        mounts = Path(f"/proc/{number}/mountinfo").read_text()
        with urlopen(f"{found[0]}/metrics") as answer:
            metrics = answer.read().decode()
        os.kill(number, signal.SIGTERM)
        code = process.wait(DEADLINE)
    assert messages == [f"row {n}" for n in range(50)]
    assert re.search(r"^NSpid:\t\d+\t1$", status, re.MULTILINE)
    assert re.search(rf"^Uid:\t{UID}\t{UID}\t{UID}\t{UID}$", status, re.MULTILINE)
    assert re.search(r" / / ro[, ]", mounts)
    assert "rawlogs_logs_delivered_total 50.0" in metrics
    assert (state / "cursor.json").exists()
    assert code == 143


async def test_it_ships_what_a_server_stores(image: Image, server: PrefectServer, tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    run, environ = str(uuid4()), {"PREFECT_API_URL": server.api_url}
    async with OtlpReceiver() as receiver:
        words = [
            "ship",
            "--to",
            receiver.to,
            "--flow-run",
            run,
            "--since",
            "1h",
            "--cursor-file",
            "ship.json",
        ]
        with running(image, words, environ, state) as process:
            await asyncio.to_thread(server.post_logs, n=50, flow_run_id=run)
            await receiver.until(lambda: len(receiver.acknowledged) == 50, DEADLINE)
            os.kill(first_process(process), signal.SIGTERM)
            code = await asyncio.to_thread(process.wait, DEADLINE)
    assert set(receiver.taken.values()) == {1}
    assert (state / "ship.json").exists()
    assert code == 143


def test_it_says_what_is_wrong_without_a_setting(image: Image) -> None:
    with running(image, ["tail"], {}) as process:
        _, err = process.communicate(timeout=DEADLINE)
        assert process.returncode == 2
    assert "PREFECT_API_URL" in err
