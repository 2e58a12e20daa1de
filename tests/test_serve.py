"""``rawlogs serve`` without a browser: who is let in, what every answer carries, what the page's JSON says."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from importlib.resources import files
from typing import Any

import httpx
import pytest
from browser.serving import serving

from rawlogs.cli.group import run as rawlogs
from rawlogs.errors import ConfigError
from rawlogs.serve.access import open_gate
from rawlogs.testing import Behaviour, FakeServer

TOKEN = "correct-horse-battery-staple"
KEY = "pnu_MARKEDKEYTHATMUSTNOTLEAVE1234567"


@asynccontextmanager
async def visiting(url: str, **options: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=60, **options) as client:
        yield client


async def read_stream(client: httpx.AsyncClient, last: str, **query: str) -> str:
    """What /logs sends, up to this text."""
    text = ""
    async with (
        client.stream("GET", "/logs", params=query) as stream,
        aclosing(stream.aiter_text()) as parts,
    ):
        async for part in parts:
            text += part
            if last in text:
                break
    return text


# Who is let in: the gate


@pytest.mark.parametrize(
    ("host", "options", "problem"),
    [
        ("0.0.0.0", {}, "everybody who reaches this machine"),
        ("logs.example", {}, "everybody who reaches this machine"),
        ("::", {"token": "short"}, "it must have 16 or more"),
        ("::", {"token": "with blanks and more"}, "printable ASCII"),
        ("::", {"token": TOKEN, "behind_proxy": True}, "exclude each other"),
    ],
    ids=["all-interfaces", "a-name", "short", "blanks", "both"],
)
def test_a_gate_that_lets_everybody_in_is_refused(host: str, options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        open_gate(host, 8642, **options)


def test_a_name_of_loopback_that_leads_elsewhere_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As /etc/hosts and some resolvers have it: what counts is where the socket really listens."""
    found = (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("0.0.0.0", 0))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *place, **options: [found])
    assert rawlogs(["serve", "--host", "logs.localhost", "--port", "0"]) == 2
    assert "on logs.localhost (0.0.0.0) everybody" in capsys.readouterr().err


def test_a_gate_shows_its_token_to_nobody() -> None:
    assert TOKEN not in repr(open_gate("::", 8642, token=TOKEN))


# Who is let in: requests


@pytest.mark.parametrize("path", ["/", "/api/about", "/api/runs", "/logs", "/page.js", "/none"])
async def test_a_name_that_only_points_here_is_refused(path: str) -> None:
    """DNS rebinding: the browser sends the attacker's name as Host."""
    async with FakeServer() as fake, serving(fake.api_url) as url, visiting(url) as client:
        answer = await client.get(path, headers={"host": "evil.example:8642"})
        assert (answer.status_code, fake.requests) == (421, [])
        assert "--behind-proxy" in answer.text


async def test_behind_a_proxy_any_name_is_served() -> None:
    async with FakeServer() as fake, serving(fake.api_url, behind_proxy=True) as url, visiting(url) as client:
        assert (await client.get("/", headers={"host": "logs.example"})).status_code == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_scripts_of_other_sites_get_nothing(site: str) -> None:
    async with FakeServer() as fake, serving(fake.api_url) as url, visiting(url) as client:
        for path in ("/api/runs", "/logs"):
            assert (await client.get(path, headers={"sec-fetch-site": site})).status_code == 403
        assert (await client.get("/", headers={"sec-fetch-site": site})).status_code == 200
        assert fake.requests == []


async def test_without_the_token_there_is_only_the_login() -> None:
    async with FakeServer() as fake, serving(fake.api_url, token=TOKEN) as url, visiting(url) as client:
        for path in ("/api/about", "/api/runs", "/api/names", "/logs", "/page.js", "/logstream.js"):
            assert (await client.get(path)).status_code == 401
        page = await client.get("/")
        assert (page.status_code, page.headers["location"]) == (303, "/login")
        assert 'type="password"' in (await client.get("/login")).text
        assert fake.requests == []


async def test_a_token_in_the_url_is_taken_once_and_leaves_the_url() -> None:
    async with FakeServer() as fake, serving(fake.api_url, token=TOKEN) as url, visiting(url) as client:
        assert (await client.get("/", params={"token": "x" * 20})).status_code == 401
        answer = await client.get("/", params={"token": TOKEN, "level": "30"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/?level=30")
        assert (await client.get("/")).status_code == 200


async def test_a_form_without_an_end_is_cut() -> None:
    async with FakeServer() as fake, serving(fake.api_url, token=TOKEN) as url, visiting(url) as client:
        assert (await client.post("/login", content=b"x" * 5000)).status_code == 413


# The files


async def test_files_are_asked_for_again_but_sent_once() -> None:
    async with FakeServer() as fake, serving(fake.api_url) as url, visiting(url) as client:
        tag = (await client.get("/page.js")).headers["etag"]
        assert (await client.get("/page.js", headers={"if-none-match": tag})).status_code == 304


def test_the_files_hold_no_markup_from_text_and_nothing_from_elsewhere() -> None:
    for file in (files("rawlogs.serve") / "static").iterdir():
        text = file.read_text("utf-8")
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|Function\(", text
        )
        assert not re.search(r"""\s(style|on\w+)=["']""", text)
        assert set(re.findall(r"https?://[^\"'\s<>`]+", text)) <= {"http://www.w3.org/2000/svg"}


async def test_the_key_is_in_no_byte_that_is_served() -> None:
    behaviour = Behaviour(api_key=KEY)
    async with (
        FakeServer(behaviour) as fake,
        serving(fake.api_url, api_key=KEY, headers={"X-Secret": f"header-{KEY}"}) as url,
        visiting(url) as client,
    ):
        run = fake.add_run("brave-otter")
        fake.post("the only line", flow_run_id=str(run))
        served = b""
        names = [file.name for file in (files("rawlogs.serve") / "static").iterdir()]
        asked = ["/", "/login", *(f"/{name}" for name in names)]
        asked += ["/api/about", "/api/runs?name=otter", "/api/runs?state=NONE", "/api/runs?id=x"]
        asked += [f"/api/children?flow_run={run}", f"/api/names?flow_run={run}", "/logs?level=x", "/none"]
        for path in asked:
            answer = await client.get(path)
            served += str(answer.headers).encode() + answer.content
        served += (await read_stream(client, "the only line", since="start")).encode()
        fake.refuse()
        served += (await client.get("/api/runs")).content
        assert b"brave-otter" in served and b"event: log" in served
        assert KEY.encode() not in served and KEY[4:].encode() not in served
        assert {request.headers["authorization"] for request in fake.requests} == {f"Bearer {KEY}"}


# The JSON of the page


async def test_runs_are_found_by_name_flow_state_and_deployment() -> None:
    async with FakeServer() as fake, serving(fake.api_url) as url, visiting(url) as client:
        fake.add_run("brave-otter", flow="nightly", deployment="prod")
        fake.add_run("calm-finch", flow="otter-count", state="FAILED")
        fake.add_run("dusty-crane", flow="weekly", deployment="prod", state="COMPLETED")
        fake.add_run("eager-robin", flow="nightly", deployment="staging", state="SCHEDULED")

        async def names(**query: str) -> list[str]:
            answer = await client.get("/api/runs", params=query)
            return sorted(run["name"] for run in answer.json()["runs"])

        assert await names() == ["brave-otter", "calm-finch", "dusty-crane"]
        assert await names(name="OTTER") == ["brave-otter", "calm-finch"]
        assert await names(name="crane") == ["dusty-crane"]
        assert await names(state="FAILED,COMPLETED") == ["calm-finch", "dusty-crane"]
        assert await names(state="SCHEDULED") == ["eager-robin"]
        assert await names(deployment="prod") == ["brave-otter", "dusty-crane"]
        assert await names(deployment="week/prod") == ["dusty-crane"]
        assert await names(deployment="nightly/") == ["brave-otter"]
        assert await names(name="otter", deployment="nightly/prod") == ["brave-otter"]


async def test_a_run_is_told_with_its_flow_its_deployment_and_its_page() -> None:
    async with FakeServer() as fake, serving(fake.api_url) as url, visiting(url) as client:
        run = str(fake.add_run("brave-otter", flow="nightly", deployment="prod"))
        (told,) = (await client.get("/api/runs", params={"name": "none", "id": run})).json()["chosen"]
        assert (told["name"], told["flow"], told["deployment"]) == ("brave-otter", "nightly", "prod")
        assert (told["state"], told["subflow"]) == ("RUNNING", False)
        assert told["page"] == f"{fake.origin}/runs/flow-run/{run}"


async def test_subflows_are_found_at_any_depth() -> None:
    async with FakeServer() as fake, serving(fake.api_url) as url, visiting(url) as client:
        run = fake.add_run("parent")
        child = fake.add_run("child", parent=run)
        fake.add_run("grandchild", parent=child)
        fake.add_run("stranger")
        found = (await client.get("/api/children", params={"flow_run": str(run)})).json()["runs"]
        assert sorted(row["name"] for row in found) == ["child", "grandchild"]


async def test_names_are_told_for_flow_runs_and_task_runs() -> None:
    async with FakeServer() as fake, serving(fake.api_url) as url, visiting(url) as client:
        run = str(fake.add_run("brave-otter"))
        task = fake.state.runs.add_task_run(run, "extract-0")["id"]
        answer = await client.get("/api/names", params={"flow_run": run, "task_run": task})
        assert answer.json() == {"flow_runs": {run: "brave-otter"}, "task_runs": {task: "extract-0"}}


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/api/runs?state=GONE", 400, "no state type: GONE"),
        ("/api/names?task_run=x", 400, "not an id"),
        ("/api/names?" + "task_run=x&" * 201, 400, "at most 200"),
        ("/logs?level=loud", 422, "loud"),
        ("/logs?last_event_id=x", 422, "last_event_id"),
    ],
    ids=["state", "id", "many", "level", "cursor"],
)
async def test_a_wrong_question_is_told_what_is_wrong(path: str, status: int, words: str) -> None:
    async with FakeServer() as fake, serving(fake.api_url) as url, visiting(url) as client:
        answer = await client.get(path)
        assert (answer.status_code, words in answer.text) == (status, True)


async def test_a_prefect_that_is_away_is_told_as_such() -> None:
    async with FakeServer() as fake, serving(fake.api_url) as url, visiting(url) as client:
        fake.refuse()
        answer = await client.get("/api/runs")
        assert (answer.status_code, bool(answer.json()["error"])) == (502, True)


async def test_a_cursor_in_the_url_is_the_header_that_a_script_cannot_send() -> None:
    async with FakeServer() as fake, serving(fake.api_url) as url, visiting(url) as client:
        run = str(fake.add_run())
        fake.post(["one", "two"], flow_run_id=run)

        text = await read_stream(client, '"two"', flow_run_id=run, since="start")
        cursor = re.findall(r"^id: (.+)$", text, re.MULTILINE)[-1]
        fake.post("three", flow_run_id=run)
        text = await read_stream(client, '"three"', flow_run_id=run, since="start", last_event_id=cursor)
        assert text.count('"three"') == 1


# The command


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--host", "0.0.0.0"], "RAWLOGS_SERVE_TOKEN"),
        (["--token", "short"], "16 or more"),
        (["--token", TOKEN, "--behind-proxy"], "exclude each other"),
        (["--host", "no-such-host.invalid", "--behind-proxy"], "there is no address"),
        (["--host", "192.0.2.1", "--port", "0", "--behind-proxy"], "cannot be used"),
    ],
    ids=["open", "short", "both", "no-host", "not-ours"],
)
def test_the_command_says_what_it_cannot_do(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAWLOGS_SERVE_TOKEN", raising=False)
    assert rawlogs(["serve", "--api-url", "http://127.0.0.1:9/api", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_without_the_extra_the_command_names_the_one_that_installs_it() -> None:
    """In a process of its own, in which these packages cannot be found."""
    program = """
import importlib.util, sys
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name in ("starlette", "uvicorn") else real(name, *rest)
from rawlogs.cli.group import run
sys.exit(run(["serve"]))
"""
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 2
    assert "starlette, uvicorn" in ran.stderr
    assert "pip install 'rawlogs[web]'" in ran.stderr


def test_the_command_serves_until_it_is_told_to_stop_even_while_somebody_reads() -> None:
    """From its first line, which says where the page is, to the exit code of SIGTERM within seconds."""
    command = [sys.executable, "-m", "rawlogs", "serve", "--port", "0", "--api-url", "http://127.0.0.1:9/api"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            found = re.search(r"http://127\.0\.0\.1:\d+/", process.stderr.readline())
            assert found is not None
            assert "everybody on this machine" in process.stderr.readline()
            with httpx.stream("GET", f"{found[0]}logs", trust_env=False) as stream:
                assert stream.status_code == 200
                process.terminate()
                process.wait(60)
        finally:
            process.kill()
            process.wait()
        assert process.returncode in (0, -15, 143)
        assert "Traceback" not in process.stderr.read()
