"""Whether a stream is well, what is counted, and the small server that tells probes and Prometheus."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import httpx
import pytest
from streaming import DEADLINE, QuickClock, eventually, reading, serving, threaded, within
from streaming import no_settings as no_settings

from rawlogs.cli.group import run
from rawlogs.delivery.live import cause_of
from rawlogs.errors import ConfigError, ConnectionLost, ProtocolError
from rawlogs.health import heartbeat
from rawlogs.health.address import ListenAddress, parse_address
from rawlogs.health.metrics import Metric, counter, stream_metrics
from rawlogs.health.page import Pages
from rawlogs.health.report import Health, relay_health, stream_health
from rawlogs.health.server import CONNECTIONS, HealthServer
from rawlogs.health.subject import StreamSubject
from rawlogs.ship.stats import ShipStats
from rawlogs.ship.subject import ShipSubject
from rawlogs.status.stats import Stats
from rawlogs.status.vitals import Vitals
from rawlogs.testing.faults import Close, Http, Serve

WELL = Vitals(Stats(), connected=True, answered_ago=3.0, audit=15.0)


# Whether it is well


@pytest.mark.parametrize(
    ("vitals", "ready", "reason"),
    [
        pytest.param(None, False, "starting", id="before the stream is made"),
        pytest.param(replace(WELL, ended=True), False, "the stream has ended", id="ended"),
        pytest.param(replace(WELL, connected=False), False, "the socket is not connected", id="cut"),
        pytest.param(replace(WELL, answered_ago=None), False, "has not answered yet", id="no list yet"),
        pytest.param(replace(WELL, answered_ago=45.1), False, "not answered for 45 s", id="list hangs"),
        pytest.param(replace(WELL, full=True, waiting=9), False, "9 logs wait", id="slow reader"),
        pytest.param(WELL, True, "connected", id="connected"),
        pytest.param(replace(WELL, answered_ago=45.0), True, "connected", id="within three audits"),
        pytest.param(replace(WELL, connected=False, polling=True), True, "polling", id="polling"),
        pytest.param(
            replace(WELL, live_only=True, answered_ago=None), True, "without the list", id="live only"
        ),
    ],
)
def test_a_stream_is_ready_while_it_delivers_what_is_stored(
    vitals: Vitals | None, ready: bool, reason: str
) -> None:
    health = stream_health(vitals)
    assert health.ready is ready
    assert reason in health.reason


@pytest.mark.parametrize(
    ("vitals", "standing_by", "redis_lost", "health"),
    [
        (None, True, False, Health(True, "standing by")),
        (None, False, False, Health(False, "starting")),
        (WELL, False, False, Health(True, "connected")),
        (WELL, False, True, Health(False, "Redis does not answer")),
        (None, True, True, Health(False, "Redis does not answer")),
    ],
)
def test_a_relay_is_ready_while_it_writes_or_stands_by(
    vitals: Vitals | None, standing_by: bool, redis_lost: bool, health: Health
) -> None:
    assert relay_health(vitals, standing_by=standing_by, redis_lost=redis_lost) == health


async def test_a_stream_is_ready_when_it_is_connected_and_the_list_has_answered() -> None:
    async with serving() as server, reading(server) as reader:
        await server.until(lambda: stream_health(reader.logs.vitals()).ready, DEADLINE)


async def test_a_stream_that_polls_is_ready() -> None:
    async with serving() as server, reading(server, transport="poll") as reader:
        await server.until(lambda: stream_health(reader.logs.vitals()).reason == "polling", DEADLINE)


async def test_a_stream_is_not_ready_while_the_list_is_refused() -> None:
    async with serving() as server, reading(server) as reader:
        await server.until(lambda: stream_health(reader.logs.vitals()).ready, DEADLINE)
        server.fault("rest", Http(500))
        reason = "the list has not answered for"
        await eventually(lambda: stream_health(reader.logs.vitals()).reason.startswith(reason))


# What is counted


def values(metrics: Iterable[Metric]) -> dict[str, Any]:
    return {metric.name: dict(metric.values) for metric in metrics}


async def test_the_metrics_of_a_stream_are_its_account() -> None:
    async with serving() as server, reading(server) as reader:
        server.post("one")
        await reader.take()
        log = reader.got[0]
        found = values(stream_metrics(reader.logs.vitals()))
    assert found["logs_delivered"] == {(): 1}
    assert found["last_log_timestamp_seconds"] == {(): log.timestamp.timestamp()}
    assert found["rest_requests"].keys() == {("200",)}
    assert found["websocket_connected"] == {(): 1.0}
    assert found["outbox_logs"] == {(): 0}


async def test_a_reconnect_is_counted_by_its_cause() -> None:
    async with serving() as server:
        server.script([Serve(1), Close(1012)], connection=0)
        async with reading(server) as reader:
            server.post("a")
            await server.until(lambda: reader.logs.stats.reconnects == 1, DEADLINE)
            assert reader.logs.stats.reconnect_causes == {"1012": 1}


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (ConnectionLost("gone", code=1006), "1006"),
        (ConnectionLost("odd", code=4711), "ConnectionLost"),
        (ProtocolError("what"), "ProtocolError"),
    ],
)
def test_a_cause_is_one_of_few_words_whatever_a_server_sends(error: Any, cause: str) -> None:
    assert cause_of(error) == cause


async def test_requests_are_counted_by_the_status_of_their_answer() -> None:
    async with serving() as server:
        server.fault("rest", Http(503), times=2)
        async with reading(server) as reader:
            await server.until(lambda: stream_health(reader.logs.vitals()).ready, DEADLINE)
            answers = reader.logs.vitals().answers
    assert answers["503"] == 2
    assert sum(answers.values()) <= reader.logs.stats.requests


def test_a_shipper_is_not_ready_while_its_receiver_is_troubled_and_does_not_quote_it() -> None:
    stats = ShipStats(shipped=9, acknowledged=5, rejected=1, trouble="it said: s3cr3t")
    subject = ShipSubject(lambda: WELL, stats)
    found = values(subject.metrics())
    assert subject.health() == Health(False, "the receiver does not take what is sent")
    assert (found["ship_logs_acknowledged"], found["ship_logs_in_flight"]) == ({(): 5}, {(): 3})
    stats.trouble = None
    assert subject.health().ready


# Where to listen


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (":9464", ListenAddress("127.0.0.1", 9464)),
        ("9464", ListenAddress("127.0.0.1", 9464)),
        ("0.0.0.0:9464", ListenAddress("0.0.0.0", 9464)),
        ("localhost:0", ListenAddress("localhost", 0)),
        ("[::1]:80", ListenAddress("::1", 80)),
    ],
)
def test_a_place_is_an_address_and_a_port_and_loopback_where_it_has_none(
    text: str, place: ListenAddress
) -> None:
    assert parse_address(text) == place


@pytest.mark.parametrize(
    "text", ["", ":", "localhost", "::1:80", "a b:1", ":65536", "http://localhost:80", "h:١", ":٢", "h:-1"]
)
def test_what_is_no_place_is_refused_with_the_flag(text: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_address(text)
    assert refused.value.setting == "--listen"


# The server


class Patient:
    """A subject whose health a test decides."""

    def __init__(self, health: Health | None = None) -> None:
        self.answer = health or Health(True, "connected")

    def health(self) -> Health:
        return self.answer

    def metrics(self) -> list[Metric]:
        return [counter("logs_delivered", "Logs.", 3)]


@asynccontextmanager
async def listening(
    subject: Patient | None = None, *, host: str = "127.0.0.1", patience: float = DEADLINE
) -> AsyncIterator[ListenAddress]:
    async with HealthServer(Pages(subject or Patient()), ListenAddress(host, 0), patience=patience) as server:
        yield server.address


async def said(place: ListenAddress, text: str) -> bytes:
    """What the server answers to these bytes; nothing where it cuts the connection, before or after they came."""
    reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
    writer.write(text.encode("latin-1"))
    try:
        return await within(reader.read())
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


async def get(place: ListenAddress, path: str) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False) as client:
        return await client.get(f"http://127.0.0.1:{place.port}{path}")


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/readyz?verbose", "/metrics"])
async def test_each_page_is_answered(path: str) -> None:
    async with listening() as place:
        answer = await get(place, path)
    assert answer.status_code == 200
    assert answer.headers["connection"] == "close"


async def test_what_is_not_ready_is_503_with_the_reason_and_lives() -> None:
    async with listening(Patient(Health(False, "the socket is not connected"))) as place:
        ready, alive = await get(place, "/readyz"), await get(place, "/livez")
    assert (ready.status_code, ready.text) == (503, "not ready: the socket is not connected\n")
    assert alive.status_code == 200


async def test_another_path_is_404_and_names_those_that_are_there() -> None:
    async with listening() as place:
        answer = await get(place, "/healthz")
    assert (answer.status_code, answer.text) == (404, "Here are /livez, /readyz, /metrics.\n")


async def test_head_is_answered_without_the_content() -> None:
    async with listening() as place:
        answer = await said(place, "HEAD /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"content-length: 6\r\n" in answer.lower()
    assert answer.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("request_text", "status"),
    [
        pytest.param("POST /livez HTTP/1.1\r\nHost: localhost\r\n\r\n", 405, id="another method"),
        pytest.param("GET /livez HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421, id="DNS rebinding"),
        pytest.param("GET /livez HTTP/1.1\r\n\r\n", 400, id="no Host"),
        pytest.param("GET /livez HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, id="two Hosts"),
        pytest.param("GET /livez HTTP/1.1\r\nHost: localhost/x?\r\n\r\n", 400, id="no host's name"),
        pytest.param("nonsense\r\n\r\n", 400, id="no HTTP"),
        pytest.param("GET /" + "a" * 20_000 + " HTTP/1.1\r\n", 431, id="a head without an end"),
        pytest.param("GET /livez HTTP/1.0\r\nHost: localhost\r\n\r\n", 200, id="HTTP/1.0"),
    ],
)
async def test_a_request_is_answered_by_what_it_is(request_text: str, status: int) -> None:
    async with listening() as place:
        answer = await said(place, request_text)
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())


async def test_listening_for_everybody_it_answers_to_any_name() -> None:
    async with listening(host="0.0.0.0") as place:
        answer = await said(place, "GET /livez HTTP/1.1\r\nHost: worker-7.pods.example:9464\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")


async def test_a_client_that_says_nothing_is_cut() -> None:
    async with listening(patience=0.05) as place:
        reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
        with suppress(ConnectionResetError):
            assert await within(reader.read()) == b""
        writer.close()


async def test_more_connections_than_probes_ever_make_are_cut() -> None:
    async with listening() as place:
        idle = [await asyncio.open_connection("127.0.0.1", place.port) for _ in range(CONNECTIONS)]
        try:
            assert await said(place, "") == b""
            idle[0][1].close()
            await eventually_answers(place)
        finally:
            for _, writer in idle:
                writer.close()


async def eventually_answers(place: ListenAddress) -> None:
    async def ask() -> None:
        while not await said(place, "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"):
            pass

    await within(ask())


async def test_a_place_that_is_taken_is_refused_with_the_flag() -> None:
    async with listening() as place:
        with pytest.raises(ConfigError, match="in use") as refused:
            async with HealthServer(Pages(Patient()), place):
                raise AssertionError
    assert refused.value.setting == "--listen"


# The text format


async def test_the_metrics_are_in_the_text_format_with_the_process_beside() -> None:
    pytest.importorskip("prometheus_client")
    vitals = replace(WELL, last=datetime(2026, 1, 1, tzinfo=timezone.utc), answers={"200": 4, "none": 1})
    vitals.stats.live = 7
    page = Pages(StreamSubject(lambda: vitals)).page("/metrics")
    assert page.content_type.startswith("text/plain; version=")
    lines = page.content.decode().splitlines()
    assert "rawlogs_logs_delivered_total 7.0" in lines
    assert 'rawlogs_rest_requests_total{status="none"} 1.0' in lines
    assert "rawlogs_ready 1.0" in lines
    assert any(line.startswith('rawlogs_build_info{python="') for line in lines)
    assert any(line.startswith("process_resident_memory_bytes ") for line in lines) or sys.platform != "linux"


def test_without_the_extra_the_metrics_say_which_one_and_the_rest_works() -> None:
    code = (
        "import sys; sys.modules['prometheus_client'] = None\n"
        "from rawlogs.health.page import Pages\n"
        "from rawlogs.health.subject import StreamSubject\n"
        "pages = Pages(StreamSubject(lambda: None))\n"
        "print(*((pages.page(path).status, pages.page(path).content) for path in ('/metrics', '/readyz')))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "501" in out
    assert "pip install 'rawlogs[metrics]'" in out
    assert "503, b'not ready: starting" in out


# The file


class CountingClock(QuickClock):
    """A quick clock that counts how often it was slept on."""

    sleeps = 0

    async def sleep(self, seconds: float) -> None:
        self.sleeps += 1
        await super().sleep(seconds)


async def test_the_file_is_touched_while_all_is_well_and_only_then(tmp_path: Path) -> None:
    path, patient, clock = tmp_path / "health", Patient(Health(False, "starting")), CountingClock(1000.0)
    heartbeat.check(path)
    os.utime(path, (0, 0))
    beating = asyncio.create_task(heartbeat.beat(path, patient, clock, pytest.fail))
    await eventually(lambda: clock.sleeps > 3)
    assert path.stat().st_mtime == 0
    patient.answer = Health(True, "connected")
    await eventually(lambda: path.stat().st_mtime > 0)
    os.utime(path, (0, 0))
    await eventually(lambda: path.stat().st_mtime > 0)
    beating.cancel()


async def test_a_file_that_can_be_touched_no_more_is_told_once(tmp_path: Path) -> None:
    path, told, clock = tmp_path / "gone" / "health", list[str](), CountingClock(1000.0)
    beating = asyncio.create_task(heartbeat.beat(path, Patient(), clock, told.append))
    await eventually(lambda: clock.sleeps > 3)
    beating.cancel()
    assert len(told) == 1
    assert "--health-file" in told[0]


@pytest.mark.parametrize("make", [Path.mkdir, None], ids=["a folder", "in no folder"])
def test_a_file_that_cannot_be_touched_is_refused_with_the_flag(
    tmp_path: Path, make: Callable[[Path], None] | None
) -> None:
    path = tmp_path / "here" if make else tmp_path / "nowhere" / "here"
    if make:
        make(path)
    with pytest.raises(ConfigError) as refused:
        heartbeat.check(path)
    assert refused.value.setting == "--health-file"


# The command


Run = Callable[..., tuple[int, str]]


@pytest.fixture
def tail(capfd: pytest.CaptureFixture[str]) -> Run:
    """Run ``rawlogs tail`` in this process; its exit code and what it said on stderr."""

    def call(*arguments: str) -> tuple[int, str]:
        return run(["tail", *arguments]), capfd.readouterr().err

    return call


def test_a_taken_port_is_exit_code_2_before_anything_is_asked(tail: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, err = tail("--api-url", "http://127.0.0.1:9/api", "--listen", f":{taken.getsockname()[1]}")
    assert code == 2
    assert "--listen" in err
    assert "in use" in err


@pytest.mark.parametrize(
    ("flag", "value"), [("--listen", "nowhere"), ("--health-file", "/nowhere/at/all")], ids=str
)
def test_a_place_or_a_file_that_cannot_be_is_exit_code_2(tail: Run, flag: str, value: str) -> None:
    code, err = tail("--api-url", "http://127.0.0.1:9/api", flag, value)
    assert code == 2
    assert flag in err


def test_the_command_answers_and_touches_while_it_streams(tmp_path: Path) -> None:
    path = tmp_path / "health"
    with threaded() as server:
        process = subprocess.Popen(
            [sys.executable, "-m", "rawlogs", "tail", "--listen", ":0", "--health-file", str(path)],
            env={"PATH": os.environ["PATH"], "PREFECT_API_URL": server.api_url},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stdout is not None and process.stderr is not None
            origin = re.findall(r"http://[\d.]+:\d+", process.stderr.readline())[0]
            server.until_subscribed()
            server.post("one")
            process.stdout.readline()
            while httpx.get(f"{origin}/readyz", trust_env=False).status_code != 200:
                time.sleep(0.05)
            metrics = httpx.get(f"{origin}/metrics", trust_env=False).text
            while not path.stat().st_mtime:
                time.sleep(0.05)
        finally:
            process.terminate()
            process.communicate(timeout=DEADLINE)
    assert "rawlogs_logs_delivered_total 1.0" in metrics
    assert "rawlogs_output_bytes_total" in metrics
