"""Cassettes and recordings of a real server, read by rawlogs and by Prefect's own client while the server is down."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from uuid import UUID, uuid4

import pytest

import rawlogs
from rawlogs.config.settings import Settings, resolve
from rawlogs.testing import Cassette, use_cassette

from . import prefect_env
from .conftest import AUTH_STRING
from .prefect_server import PASSED_ON, PrefectServer

POSTED = 5
GUIDE = Path(__file__).parents[2] / "docs" / "testing.md"
# What make test runs of cassettes is tests/test_cassette.py.
pytestmark = [pytest.mark.matrix, pytest.mark.timeout(300)]  # the first test waits for all recordings

SUBSCRIBER = """
import asyncio, sys
from uuid import UUID
from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId
from prefect.logging.clients import PrefectLogsSubscriber

async def main(api_url, run_id, count):
    chosen = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[UUID(run_id)]))
    async with PrefectLogsSubscriber(api_url=api_url, filter=chosen) as logs:
        async for log in logs:
            print(log.id, flush=True)
            count -= 1
            if not count:
                break

asyncio.run(asyncio.wait_for(main(sys.argv[1], sys.argv[2], int(sys.argv[3])), 60))
"""


def settings(server: PrefectServer, home: Path) -> Settings:
    return resolve(api_url=server.api_url, auth_string=AUTH_STRING, environ={}, cwd=home)


def environment(home: Path, **more: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return {**kept, "HOME": str(home), "PREFECT_HOME": str(home), "DO_NOT_TRACK": "1", **more}


def command(home: Path, *arguments: str, **more: str) -> subprocess.Popen[str]:
    """``rawlogs`` in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "rawlogs", *arguments],
        env=environment(home, PYTHONPATH=str(Path(rawlogs.__file__).parents[1]), **more),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=home,
    )


@contextlib.contextmanager
def serving(home: Path, *arguments: str) -> Iterator[str]:
    """``rawlogs replay`` and the like; the API URL that it tells."""
    process = command(home, *arguments)
    try:
        assert process.stderr is not None
        told = process.stderr.readline()
        found = re.search(r"PREFECT_API_URL=(\S+)", told)
        assert found, told
        yield found[1]
    finally:
        process.terminate()
        process.communicate(timeout=60)


def age(path: Path) -> None:
    """Make it a recording of years ago."""
    year = datetime.now(timezone.utc).year
    path.write_text(path.read_text().replace(f'"{year}-', '"2021-'))


def stored(server: PrefectServer, run: UUID | str) -> list[str]:
    return [row["id"] for row in server.list_logs(flow_run_id={"any_": [str(run)]})]


def streamed(api_url: str, run: UUID, server: PrefectServer | None = None) -> list[str]:
    """The application: so many logs of a run; where it is recorded, they are posted meanwhile."""
    with rawlogs.stream_sync(api_url=api_url, auth_string="any:thing", flow_run_id=run) as logs:
        if server is not None:
            server.post_logs(n=POSTED, flow_run_id=str(run))
        return [next(logs).id_text for _ in range(POSTED)]


RUN_PYTEST = """
import sys
sys.path += sys.argv.pop(1).split(";")  # behind Prefect's own packages, which stay those of its environment
import pytest
sys.exit(pytest.main(sys.argv[1:]))
"""


@dataclass
class Recorded:
    """What was recorded while the server ran, each time of one run: the ids that the application read."""

    home: Path
    version: str
    runs: dict[str, UUID] = field(default_factory=dict)
    ids: dict[str, list[str]] = field(default_factory=dict)

    def path(self, story: str) -> Path:
        return self.home / f"{story}.jsonl"

    def replay(self, story: str) -> Cassette:
        return use_cassette(self.path(story), mode="none")


@pytest.fixture(scope="module")
def recorded(newest_version: str, tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """All stories, recorded from one server, which is gone by now; the files seem to be years old."""
    told = Recorded(tmp_path_factory.mktemp("recorded"), newest_version)
    with PrefectServer(newest_version, auth_string=AUTH_STRING) as server:
        upstream = settings(server, told.home)
        for story in (guide_story, stream_story, subscriber_story, record_story, tail_story):
            story(told, server, upstream)
    for name in told.runs:
        age(told.path(name))
    return told


def guide_story(told: Recorded, server: PrefectServer, _: Settings) -> None:
    """The tests of docs/testing.md with Prefect's own subscriber, of which one records."""
    for name, code in re.findall(r"```python\n# (\w+)\.py\n(.*?)```", GUIDE.read_text(), re.DOTALL):
        (told.home / f"{name}.py").write_text(code)
    testing = guide(told, PREFECT_API_URL=server.api_url, PREFECT_API_AUTH_STRING=AUTH_STRING)
    while testing.poll() is None:  # nothing tells when it is subscribed
        server.post_logs([{"message": "boom"}, {"message": "bang"}])
        with contextlib.suppress(subprocess.TimeoutExpired):
            testing.wait(0.3)
    out = testing.communicate()[0]
    assert testing.returncode == 0, out


def guide(told: Recorded, **access: str) -> subprocess.Popen[str]:
    """The guide's tests, run in Prefect's own environment with the pytest of this one."""
    paths = ";".join(str(Path(package.__file__).parents[1]) for package in (rawlogs, pytest))
    words = [paths, "-q", "-o", "asyncio_mode=auto", "-p", "pytest_asyncio.plugin", "test_subscriber.py"]
    return subprocess.Popen(
        [str(prefect_env.require(told.version)), "-c", RUN_PYTEST, *words],
        env=environment(told.home, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1", **access),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=told.home,
    )


def stream_story(told: Recorded, server: PrefectServer, upstream: Settings) -> None:
    """An application that uses rawlogs."""
    run = told.runs["stream"] = uuid4()
    with use_cassette(told.path("stream"), upstream=upstream) as cassette:
        told.ids["stream"] = streamed(cassette.api_url, run, server)
    assert sorted(told.ids["stream"]) == sorted(stored(server, run))


def subscriber_story(told: Recorded, server: PrefectServer, upstream: Settings) -> None:
    """An application that uses Prefect's own subscriber."""
    run = told.runs["subscriber"] = uuid4()
    with use_cassette(told.path("subscriber"), upstream=upstream) as cassette:
        reader = subscriber(told, cassette.api_url, run)
        while reader.poll() is None:  # nothing tells when it is subscribed
            server.post_logs(n=1, flow_run_id=str(run))
            with contextlib.suppress(subprocess.TimeoutExpired):
                reader.wait(0.2)
        told.ids["subscriber"] = read_by(reader)
    assert set(told.ids["subscriber"]) <= set(stored(server, run))


def record_story(told: Recorded, server: PrefectServer, _: Settings) -> None:
    """``rawlogs record``."""
    run = told.runs["record"] = uuid4()
    access = {"PREFECT_API_URL": server.api_url, "PREFECT_API_AUTH_STRING": AUTH_STRING}
    words = ("record", str(told.path("record")), "--flow-run", str(run), "--max-frames", str(POSTED))
    process = command(told.home, *words, **access)
    assert process.stderr is not None
    assert "recording ws" in process.stderr.readline()
    server.post_logs(n=POSTED, flow_run_id=str(run))
    process.communicate(timeout=60)
    assert process.returncode == 0
    told.ids["record"] = stored(server, run)


def tail_story(told: Recorded, server: PrefectServer, upstream: Settings) -> None:
    """``rawlogs tail RUN``, which asks for runs and subflows, too, as they are at the moment."""
    with use_cassette(told.path("tail"), upstream=upstream) as cassette:
        flow = server.start_flow("family")
        run = told.runs["tail"] = UUID(flow.run_id)
        told.ids["tail"] = tailed(told.home, cassette.api_url, run)
        flow.wait()
    assert set(stored(server, run)) < set(told.ids["tail"])


def tailed(home: Path, api_url: str, run: UUID) -> list[str]:
    process = command(home, "tail", str(run), "-o", "json", PREFECT_API_URL=api_url)
    out, said = process.communicate(timeout=90)
    assert process.returncode == 0, said
    return [json.loads(line)["id"] for line in out.splitlines()]


def subscriber(told: Recorded, api_url: str, run: UUID) -> subprocess.Popen[str]:
    """Prefect's own subscriber in its own environment, until it has read so many logs."""
    program = [str(prefect_env.require(told.version)), "-c", SUBSCRIBER, api_url, str(run), str(POSTED)]
    access = {"PREFECT_API_URL": api_url, "PREFECT_API_AUTH_STRING": "any:thing"}
    return subprocess.Popen(
        program,
        env=environment(told.home, **access),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=told.home,
    )


def read_by(reader: subprocess.Popen[str]) -> list[str]:
    """The ids that it printed."""
    out, said = reader.communicate(timeout=90)
    assert reader.returncode == 0, said
    return out.split()


def test_no_secret_of_the_server_is_in_a_recording(recorded: Recorded) -> None:
    for story in recorded.runs:
        text = recorded.path(story).read_text()
        assert AUTH_STRING not in text
        assert AUTH_STRING.partition(":")[2] not in text


def test_rawlogs_reads_from_its_cassette_what_was_recorded(recorded: Recorded) -> None:
    with recorded.replay("stream") as cassette:
        again = streamed(cassette.api_url, recorded.runs["stream"])
    assert sorted(again) == sorted(recorded.ids["stream"])


def test_prefects_own_subscriber_reads_from_a_cassette_of_rawlogs(recorded: Recorded) -> None:
    with recorded.replay("stream") as cassette:
        again = read_by(subscriber(recorded, cassette.api_url, recorded.runs["stream"]))
    assert sorted(again) == sorted(recorded.ids["stream"])


def test_prefects_own_subscriber_reads_from_its_own_cassette(recorded: Recorded) -> None:
    """The time range of its filter is another one each time."""
    with recorded.replay("subscriber") as cassette:
        again = read_by(subscriber(recorded, cassette.api_url, recorded.runs["subscriber"]))
    assert again == recorded.ids["subscriber"]


def test_prefects_own_subscriber_reads_what_rawlogs_replay_plays(recorded: Recorded) -> None:
    path, run = str(recorded.path("record")), recorded.runs["record"]
    with serving(recorded.home, "replay", path, "--port", "0", "--speed", "max") as api_url:
        again = read_by(subscriber(recorded, api_url, run))
    assert sorted(again) == sorted(recorded.ids["record"])


def test_rawlogs_reads_what_rawlogs_replay_plays(recorded: Recorded) -> None:
    path, run = str(recorded.path("record")), recorded.runs["record"]
    with serving(recorded.home, "replay", path, "--port", "0") as api_url:
        again = streamed(api_url, run)
    assert sorted(again) == sorted(recorded.ids["record"])


def test_a_run_is_followed_to_its_end_from_a_cassette(recorded: Recorded) -> None:
    with recorded.replay("tail") as cassette:
        again = tailed(recorded.home, cassette.api_url, recorded.runs["tail"])
    assert sorted(again) == sorted(recorded.ids["tail"])


def test_the_guides_tests_with_prefects_own_subscriber_pass(recorded: Recorded) -> None:
    """With the cassette of the real server, and with a fake one."""
    testing = guide(recorded)
    out = testing.communicate(timeout=120)[0]
    assert testing.returncode == 0, out
    assert "2 passed" in out
