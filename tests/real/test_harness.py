"""The harness itself: what the other tests of this folder take for granted about the servers."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest

from . import prefect_env
from .prefect_server import ApiError, PrefectServer

STREAM_SETTINGS = ("stream_out_enabled", "stream_publishing_enabled")


def streaming(server: PrefectServer) -> list[bool]:
    settings = server.request("GET", "/admin/settings")["server"]["logs"]
    return [settings[name] for name in STREAM_SETTINGS]


def test_server_is_of_its_version_and_streams(server: PrefectServer) -> None:
    """A server runs the Prefect it was asked to run, with both stream settings on."""
    assert server.request("GET", "/admin/version") == server.version
    assert streaming(server) == [True, True]


def test_posted_logs_are_all_listed(server: PrefectServer) -> None:
    """300 logs of one POST, more than a page, are all listed, in order."""
    run_id = str(uuid4())
    server.post_logs(n=300, flow_run_id=run_id)
    found = server.list_logs(flow_run_id={"any_": [run_id]})
    assert [log["message"] for log in found] == [f"row {i}" for i in range(300)]


def test_logs_are_posted_as_they_are_given(server: PrefectServer) -> None:
    """Logs given as dictionaries reach the server unchanged."""
    run_id = str(uuid4())
    when = "2026-01-01T00:00:00Z"
    log = {"name": "n", "level": 40, "message": "m", "timestamp": when, "flow_run_id": run_id}
    server.post_logs([log])
    (found,) = server.list_logs(flow_run_id={"any_": [run_id]})
    assert log.items() <= found.items()


def test_auth_server_refuses_strangers(auth_server: PrefectServer) -> None:
    """Without the header an auth server answers 401; with it, it answers."""
    with pytest.raises(ApiError) as refused:
        auth_server.request("GET", "/admin/version", authorized=False)
    assert refused.value.status == 401
    assert auth_server.request("GET", "/admin/version") == auth_server.version


def test_default_server_streams_nothing(default_server: PrefectServer) -> None:
    """Both stream settings are off unless someone switches them on."""
    assert streaming(default_server) == [False, False]


def test_csrf_server_wants_a_token(csrf_server: PrefectServer) -> None:
    """A POST without a CSRF token is refused; the harness sends one."""
    with pytest.raises(ApiError) as refused:
        csrf_server.request("POST", "/logs/filter", {}, authorized=False)
    assert refused.value.status == 403
    csrf_server.post_logs(n=1)
    assert csrf_server.list_logs() != []


def test_flow_run_leaves_its_logs(server: PrefectServer) -> None:
    """A real flow's run completes; its logs and its tasks' are stored under its id, its subflow's are not."""
    run_id = server.run_flow("family")
    messages = [log["message"] for log in server.list_logs(flow_run_id={"any_": [run_id]})]
    assert server.request("GET", f"/flow_runs/{run_id}")["state_type"] == "COMPLETED"
    assert {"the parent speaks", "task one at work", "task two at work"} <= set(messages)
    assert "the child speaks" not in messages


def test_failing_flow_is_no_error_of_the_harness(server: PrefectServer) -> None:
    """A flow that fails gives its run's id like any other."""
    run_id = server.run_flow("failing")
    assert server.request("GET", f"/flow_runs/{run_id}")["state_type"] == "FAILED"


@pytest.mark.matrix
def test_killed_server_keeps_its_logs(newest_version: str) -> None:
    """A server that was killed comes back on the same port with the logs it had stored."""
    with PrefectServer(newest_version, migrates=True) as server:
        server.post_logs(n=5)
        url, pid, before = server.api_url, server.pid, server.list_logs()
        server.kill()
        assert not server.running
        with pytest.raises(OSError):
            server.request("GET", "/health")
        server.start_again()
        assert (server.api_url, server.list_logs()) == (url, before)
        assert server.pid != pid
    assert not server.running
    assert not server.home.exists()


@pytest.mark.matrix
def test_closed_server_leaves_no_flow_behind(newest_version: str) -> None:
    """A flow that waits for ever has its run id told at once, and ends with the server it was started for."""
    source = "import threading\nfrom prefect import flow\n\n@flow\ndef main(): threading.Event().wait()\n"
    with PrefectServer(newest_version) as server:
        process = server.start_flow(source)
        assert server.request("GET", f"/flow_runs/{process.run_id}")["state_type"] == "RUNNING"
    assert not process.running


def test_server_that_cannot_start_says_why(newest_version: str, tmp_path: Path) -> None:
    """The error of a server that does not come up holds the end of its output."""
    wrong = {"PREFECT_SERVER_API_DEFAULT_LIMIT": "many"}
    with pytest.raises(RuntimeError, match=r"(?s)ended with 1; its output:.*should be a valid integer"):
        PrefectServer(newest_version, env=wrong, home=tmp_path).start()


def test_server_is_not_mistaken_for_another(default_server: PrefectServer, tmp_path: Path) -> None:
    """A server does not start on the port of one that runs."""
    with pytest.raises(RuntimeError, match=f"port {default_server.port} is in use"):
        PrefectServer(default_server.version, port=default_server.port, home=tmp_path).start()


@pytest.mark.parametrize(
    ("version", "command"),
    [("3.9.1", "make prefect$"), ("3.5.0", "make prefect VERSIONS=3.5.0$")],
    ids=["a default version", "another version"],
)
def test_missing_prefect_names_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, command: str
) -> None:
    """Without its environment a server fails with the command that makes it."""
    monkeypatch.setenv("RAWLOGS_PREFECT_ENVS", str(tmp_path))
    with pytest.raises(prefect_env.PrefectMissing, match=command):
        PrefectServer(version)


def test_unfinished_environment_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment counts when Prefect of that version is in it and no installation was cut short."""
    monkeypatch.setenv("RAWLOGS_PREFECT_ENVS", str(tmp_path))
    metadata = tmp_path / "3.5.0/lib/python3.11/site-packages/prefect-3.5.0.dist-info/METADATA"
    python = tmp_path / "3.5.0/bin/python"
    assert not prefect_env.is_complete("3.5.0")
    for file in (metadata, python):
        file.parent.mkdir(parents=True)
        file.touch()
    assert prefect_env.is_complete("3.5.0")
    (tmp_path / "3.5.0/.unfinished").touch()
    assert not prefect_env.is_complete("3.5.0")
