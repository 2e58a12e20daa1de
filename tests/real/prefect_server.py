"""A real Prefect server as a subprocess, and plain ways to fill, read and break it.

Nothing of rawlogs is used here: what this says is what rawlogs is held to.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from tests.ports import free_port, is_free

from . import prefect_env

START_TIMEOUT = 240.0
FLOWS = Path(__file__).with_name("flows")
PAGE = 200  # the servers' own maximum
CSRF_CLIENT = "rawlogs-tests"
STREAM_SETTINGS = (
    "PREFECT_SERVER_LOGS_STREAM_OUT_ENABLED",
    "PREFECT_SERVER_LOGS_STREAM_PUBLISHING_ENABLED",
)
PASSED_ON = ("PATH", "LANG", "LC_ALL", "TMPDIR", "TZ", "LD_LIBRARY_PATH")

RUN_MAIN = """

if __name__ == "__main__":
    import json, os, sys

    def _announce(flow, flow_run, state):
        os.write(int(sys.argv[1]), str(flow_run.id).encode())
        os.close(int(sys.argv[1]))

    main.with_options(on_running=[_announce])(**json.loads(sys.argv[2]), return_state=True)
"""


class ApiError(Exception):
    """The server answered a request with an HTTP error."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(f"HTTP {status}: {body}")
        self.status = status
        self.body = body


class FlowProcess:
    """One run of a flow's `main` in a process of its own; `run_id` is known once the run is running."""

    def __init__(
        self, python: Path, script: Path, env: Mapping[str, str], parameters: Mapping[str, Any]
    ) -> None:
        self._log = script.with_suffix(".log")
        reading, writing = os.pipe()
        with self._log.open("wb") as log, open(reading, "rb") as pipe:  # noqa: PTH123
            self._process = subprocess.Popen(
                [str(python), str(script), str(writing), json.dumps(parameters)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(env),
                cwd=script.parent,
                pass_fds=[writing],
                start_new_session=True,
            )
            os.close(writing)
            self.run_id = pipe.read().decode()
        if not self.run_id:
            self.wait()
            raise RuntimeError(f"the flow did not start; it said:\n{_tail(self._log)}")

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def wait(self, timeout: float = 180.0) -> None:
        """Wait for the process to end; by then every log has been sent. A flow in FAILED is no error here."""
        try:
            code = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise RuntimeError(f"the flow ran over {timeout:.0f} s; it said:\n{_tail(self._log)}") from None
        if code > 0:
            raise RuntimeError(f"the flow's process ended with {code}; it said:\n{_tail(self._log)}")

    def kill(self) -> None:
        """End it as a crash would; nothing is sent any more."""
        _signal_group(self._process, signal.SIGKILL)
        self._process.wait()


class PrefectServer:
    """`prefect server start` on 127.0.0.1, with a home of its own and none of the caller's PREFECT_ settings.

    As a context manager it starts at the start, and at the end is stopped and forgotten. `streaming` switches
    on both of the settings that feed /logs/out, which are off by default; `env` adds or replaces settings of
    the server, `arguments` are more words for `prefect server start`. Without a `port` it takes a free one, and
    keeps it through stop() or kill() and start_again(). It starts with a copy of an unused database, unless it
    `migrates` and so makes its own, as a server that is started for the first time does, in 6 s more.
    """

    def __init__(
        self,
        version: str,
        *,
        auth_string: str | None = None,
        streaming: bool = True,
        csrf: bool = False,
        env: Mapping[str, str] | None = None,
        arguments: Sequence[str] = (),
        port: int | None = None,
        home: Path | None = None,
        migrates: bool = False,
    ) -> None:
        self.version = version
        self.auth_string = auth_string
        self.port = port or free_port()
        self._python = prefect_env.require(version)
        self.home = home or Path(tempfile.mkdtemp(prefix="rawlogs-prefect-"))
        self._home_is_ours = home is None
        if self._home_is_ours and not migrates:
            prefect_env.make_database(version)
            shutil.copyfile(prefect_env.database(version), self.home / "prefect.db")
        self._csrf = csrf
        self._arguments = tuple(arguments)
        self._process: subprocess.Popen[bytes] | None = None
        self._flows: list[FlowProcess] = []
        self._env = {name: os.environ[name] for name in PASSED_ON if name in os.environ} | {
            "HOME": str(self.home),
            "PREFECT_HOME": str(self.home),
            "PYTHONUNBUFFERED": "1",
            "DO_NOT_TRACK": "1",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        }
        self._server_env = {
            "PREFECT_SERVER_UI_ENABLED": "false",
            "PREFECT_LOGGING_TO_API_ENABLED": "false",
        }
        self._client_env = {"PREFECT_API_URL": self.api_url, "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false"}
        if streaming:
            self._server_env |= dict.fromkeys(STREAM_SETTINGS, "true")
        if csrf:
            self._server_env["PREFECT_SERVER_CSRF_PROTECTION_ENABLED"] = "true"
        if auth_string is not None:
            self._server_env["PREFECT_SERVER_API_AUTH_STRING"] = auth_string
            self._client_env["PREFECT_API_AUTH_STRING"] = auth_string
        self._server_env |= env or {}

    def __enter__(self) -> PrefectServer:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<PrefectServer {self.version} {self.api_url} {'running' if self.running else 'stopped'}>"

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api"

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The server's process, which leads the process group of all that it starts."""
        if self._process is None:
            raise RuntimeError(f"{self!r} was not started")
        return self._process.pid

    # -- life and death

    def start(self) -> None:
        """Start it and wait until it answers; raises RuntimeError with its last output if it does not."""
        if not is_free(self.port):
            raise RuntimeError(f"port {self.port} is in use: Prefect {self.version} cannot start on it")
        command = [str(self._python), "-m", "prefect", "server", "start", "--host", "127.0.0.1"]
        log = self.home / "server.log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [*command, "--port", str(self.port), *self._arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._env | self._server_env,
                cwd=self.home,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_TIMEOUT
        while not self._healthy():
            try:
                self._process.wait(0.1)
                problem = f"ended with {self._process.returncode}"
            except subprocess.TimeoutExpired:
                if time.monotonic() < deadline:
                    continue
                problem = f"did not answer within {START_TIMEOUT:.0f} s"
                self.kill()
            raise RuntimeError(f"Prefect {self.version} {problem}; its output:\n{_tail(log)}")

    def start_again(self) -> None:
        """Start it on the same port with the same stored logs; a running one is stopped first."""
        self.stop()
        self.start()

    def stop(self) -> None:
        """SIGTERM to the whole process group, and SIGKILL to what is left of it after 20 s."""
        if self._process is not None:
            _signal_group(self._process, signal.SIGTERM)
            try:
                self._process.wait(60)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """SIGKILL to the whole process group, as a machine that dies would."""
        if self._process is not None:
            _signal_group(self._process, signal.SIGKILL)
            self._process.wait()

    def close(self) -> None:
        """Stop it and the flows that still run, and remove its home, where that was a temporary one."""
        for flow in self._flows:
            flow.kill()
        self.stop()
        if self._home_is_ours:
            shutil.rmtree(self.home, ignore_errors=True)

    # -- logs

    def post_logs(
        self, logs: Sequence[Mapping[str, Any]] | None = None, *, n: int = 0, **fields: Any
    ) -> None:
        """Store these logs, or else `n` logs, with one POST; what a log lacks is taken from the fields.

        What they lack too is made up: the messages are "row 0", "row 1", …; the first is of now, the others
        follow 1 µs apart. The server streams only the first 256 logs of one POST.
        """
        now = datetime.now(timezone.utc)
        body = [
            {"name": "rawlogs.tests", "level": 20, "message": f"row {i}"}
            | {"timestamp": now + timedelta(microseconds=i)}
            | fields
            | dict(log)
            for i, log in enumerate([{}] * n if logs is None else logs)
        ]
        self.request("POST", "/logs/", body)

    def list_logs(self, *, sort: str = "TIMESTAMP_ASC", **parts: Any) -> list[dict[str, Any]]:
        """Every stored log that these parts of a LogFilter choose, by plain offset paging.

        Complete only while no log of the choice is being stored.
        """
        found: list[dict[str, Any]] = []
        while True:
            body = {"logs": parts, "sort": sort, "limit": PAGE, "offset": len(found)}
            page = self.request("POST", "/logs/filter", body)
            found += page
            if len(page) < PAGE:
                return found

    def request(self, method: str, path: str, body: Any = None, *, authorized: bool = True) -> Any:
        """One REST call below /api, and its decoded answer; raises ApiError for an HTTP error.

        A 503, which is a server whose SQLite is locked because the machine is busy, is asked again for 30 s.
        """
        headers = {"Content-Type": "application/json"}
        if self.auth_string is not None and authorized:
            headers["Authorization"] = "Basic " + base64.b64encode(self.auth_string.encode()).decode()
        if self._csrf and method != "GET" and authorized:
            token = self.request("GET", f"/csrf-token?client={CSRF_CLIENT}")["token"]
            headers |= {"Prefect-Csrf-Token": token, "Prefect-Csrf-Client": CSRF_CLIENT}
        data = None if body is None else json.dumps(body, default=str).encode()
        call = urllib.request.Request(self.api_url + path, data=data, headers=headers, method=method)
        deadline = time.monotonic() + 30
        while True:
            try:
                with _DIRECT.open(call, timeout=60) as answer:
                    text = answer.read()
                return json.loads(text) if text else None
            except urllib.error.HTTPError as error:
                with error:
                    problem = ApiError(error.code, error.read().decode(errors="replace"))
            if problem.status != 503 or time.monotonic() > deadline:
                raise problem
            time.sleep(0.2)

    # -- flows

    def run_flow(self, flow: str, **parameters: Any) -> str:
        """Run a flow to its end with this server's Prefect, and return its flow run's id.

        `flow` is the name of a file in tests/real/flows, or source text that defines a flow called `main`.
        """
        process = self.start_flow(flow, **parameters)
        process.wait()
        return process.run_id

    def start_flow(self, flow: str, **parameters: Any) -> FlowProcess:
        """The same, but return as soon as the run is running."""
        source = flow if "\n" in flow else (FLOWS / f"{flow}.py").read_text()
        script = self.home / f"flow_{len(self._flows)}.py"
        script.write_text(source + RUN_MAIN)
        process = FlowProcess(self._python, script, self._env | self._client_env, parameters)
        self._flows.append(process)
        return process

    @contextmanager
    def script(self, source: str) -> Iterator[subprocess.Popen[bytes]]:
        """Keep a script running with this server's Prefect as long as this is entered."""
        script = self.home / f"script_{time.monotonic_ns()}.py"
        script.write_text(source)
        log = script.with_suffix(".log")
        with log.open("wb") as output:
            process = subprocess.Popen(
                [self._python, str(script)],
                cwd=self.home,
                env=self._env | self._client_env,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            yield process
        finally:
            _signal_group(process, signal.SIGKILL)
            process.wait()

    def _healthy(self) -> bool:
        try:
            return self.request("GET", "/health") is True
        except (ApiError, OSError):
            return False


# The caller's proxy settings are not for a server on this machine.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    # Reaped means the group's id may belong to others by now.
    if process.poll() is None:
        os.killpg(process.pid, number)


def _tail(log: Path, lines: int = 40) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
