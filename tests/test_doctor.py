"""``rawlogs doctor``: broken set-ups and what it says of them, on real sockets; the tables of causes, row by row."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import json
import os
import re
import socket
import ssl
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from rawlogs.advice import TABLE, Advice, Facts, advise
from rawlogs.cli.group import run
from rawlogs.clock import SystemClock
from rawlogs.doctor import rest_checks, runner, socket_checks
from rawlogs.doctor.context import CheckContext
from rawlogs.doctor.delivery_check import compare, written_finding
from rawlogs.doctor.findings import Finding, Result
from rawlogs.doctor.report import Report
from rawlogs.doctor.runner import CHECKS, Check, examine
from rawlogs.doctor.verdict import Verdict, verdict_of
from rawlogs.models import Log
from rawlogs.network_errors import advice_for
from rawlogs.testing import Behaviour
from rawlogs.testing import FakeServer as TimedServer
from rawlogs.testing.faults import (
    Accept,
    Close,
    Drop,
    ExpectAuth,
    ExpectFilter,
    Html,
    Http,
    Lose,
    Raw,
    Redirect,
    Send,
    Stall,
    WrongAccept,
)
from rawlogs.version import release
from tests.clocks import StandingClock
from tests.http_peer import CLOSE, HANG, HttpPeer, reply
from tests.ports import refusing_port

AUTH = "admin:correct-horse"
PEM = str(Path(__file__).with_name("loopback.pem"))
FINGERPRINT = hashlib.sha256(
    ssl.PEM_cert_to_DER_cert(Path(PEM).read_text()[Path(PEM).read_text().index("-----BEGIN CERT") :].strip())
).hexdigest()


def tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(PEM)
    return context


STARTED = datetime.now(timezone.utc)
"""What the clocks here say, the examined server's and the doctor's own, however long a test takes."""


class FakeServer(TimedServer):
    """A fake server whose clock stands."""

    def __init__(self, behaviour: Behaviour | None = None, **options: Any) -> None:
        super().__init__(behaviour, **{"clock": StandingClock(STARTED), **options})


class Hour(SystemClock):
    """A clock whose sleeps return at once, after ``meanwhile`` was called; its time passes by sleeps alone."""

    def __init__(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        self.slept = 0.0
        self._meanwhile = meanwhile

    def now(self) -> datetime:
        return STARTED + timedelta(seconds=self.slept)

    def monotonic(self) -> float:
        return self.slept

    async def sleep(self, seconds: float) -> None:
        self.slept += seconds
        self._meanwhile()
        await asyncio.sleep(0.005)


class Gateway:
    """A proxy in front of a server: ``change`` makes another of the first request of each connection, or answers.

    Bytes that begin with "HTTP/" are an answer, others go on to the server. ``back`` changes the server's bytes.
    """

    def __init__(
        self,
        port: int,
        change: Callable[[bytes], bytes],
        back: Callable[[bytes], bytes] = lambda data: data,
    ) -> None:
        self._upstream = port
        self._change = change
        self._back = back
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Gateway:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    @property
    def api_url(self) -> str:
        return f"{self.origin}/api"

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            sent = self._change(await reader.readuntil(b"\r\n\r\n"))
            if sent.startswith(b"HTTP/"):
                writer.write(sent)
                await writer.drain()
                return
            upward, downward = await asyncio.open_connection("127.0.0.1", self._upstream)
            downward.write(sent)
            try:
                await asyncio.gather(_copy(reader, downward, bytes), _copy(upward, writer, self._back))
            finally:
                downward.transport.abort()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()


async def _copy(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, change: Callable[[bytes], bytes]
) -> None:
    while data := await reader.read(1 << 16):
        writer.write(change(data))
        await writer.drain()
    writer.close()


def is_upgrade(head: bytes) -> bool:
    return b"upgrade: websocket" in head.lower()


def without(*names: str) -> Callable[[bytes], bytes]:
    """The request without these headers."""

    def change(head: bytes) -> bytes:
        lines = head.split(b"\r\n")
        dropped = tuple(name.lower().encode() + b":" for name in names)
        return b"\r\n".join(line for line in lines if not line.lower().startswith(dropped))

    return change


def answer(status: int, body: bytes = b"", *headers: str) -> Callable[[bytes], bytes]:
    """This answer to upgrades; the rest goes on to the server."""

    def change(head: bytes) -> bytes:
        if not is_upgrade(head):
            return head
        lines = [f"HTTP/1.1 {status} Because", f"Content-Length: {len(body)}", "Server: nginx", *headers]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body

    return change


class Examined:
    """What an examination came to; iterating is over the checks' names and statuses."""

    def __init__(self, results: list[Result]) -> None:
        self.results = {result.check: result for result in results}
        self.verdict = verdict_of(results)

    def __getitem__(self, check: str) -> Finding:
        return self.results[check].finding

    def cause(self, check: str) -> str:
        advice = self[check].advice
        return advice.cause if advice else ""

    def fix(self, check: str) -> str:
        advice = self[check].advice
        return advice.fix or "" if advice else ""

    def statuses(self, *statuses: str) -> list[str]:
        """The checks with one of these statuses."""
        return [name for name, result in self.results.items() if result.finding.status in statuses]

    @property
    def not_reached(self) -> list[str]:
        return [name for name, result in self.results.items() if result.seconds is None]


Examine = Callable[..., Awaitable[Examined]]


@pytest.fixture
def doctor(tmp_path: Path) -> Examine:
    """Examine an API, away from this machine's settings."""

    async def call(
        api_url: str, *, environ: dict[str, str] | None = None, clock: Any = None, **options: Any
    ) -> Examined:
        names = ("api_key", "auth_string", "headers", "ssl_cert_file", "insecure")
        access = {name: options.pop(name) for name in names if name in options}
        access |= {"environ": {"PREFECT_HOME": str(tmp_path), **(environ or {})}, "cwd": tmp_path}
        case = CheckContext({"api_url": api_url, **access}, clock or Hour(), **{"patience": 5.0, **options})
        return Examined(await examine(case))

    return call


# -- set-ups that work


async def test_a_healthy_server_is_found_healthy(doctor: Examine) -> None:
    """Every check passes; nothing was logged meanwhile, which says nothing."""
    async with FakeServer() as server:
        found = await doctor(server.api_url)
        await server.until(lambda: server.subscribed == 0)
    assert found.statuses("warn", "fail") == []
    assert found.statuses("skip") == ["arrival"]
    assert found.not_reached == []
    assert found.verdict == Verdict("live and complete", "logs: live over the socket and complete over REST")
    assert found["version"].facts == {"version": "3.8.8"}


async def test_credentials_are_tried_on_both_sides(doctor: Examine) -> None:
    """With authentication on, REST and the socket both say that the credentials are accepted."""
    async with FakeServer(Behaviour(auth_string=AUTH)) as server:
        found = await doctor(server.api_url, auth_string=AUTH)
    assert found["rest auth"].facts == {"sent": "basic", "server_wants": True}
    assert found["socket auth"].facts == {"token_from": "PREFECT_API_AUTH_STRING", "close": None}
    assert found.verdict.logs == "live and complete"


async def test_credentials_that_nobody_looks_at_are_told_so(doctor: Examine) -> None:
    """A server without authentication accepts any, which proves nothing about them."""
    async with FakeServer() as server:
        found = await doctor(server.api_url, auth_string="anything:at-all")
    assert "are not looked at" in found["rest auth"].text


async def test_an_authorization_header_of_ones_own_is_not_left_out(doctor: Examine) -> None:
    """Where the user's own header wins, whether the server wants one is not found out."""
    async with FakeServer() as server:
        found = await doctor(server.api_url, headers={"Authorization": "Basic abcdef"})
    assert found["rest auth"].facts == {"sent": "custom", "server_wants": None}


async def test_csrf_protection_is_found_and_met(doctor: Examine) -> None:
    """The list is read through it."""
    async with FakeServer(Behaviour(csrf=True)) as server:
        found = await doctor(server.api_url)
    assert found["csrf"].facts == {"csrf": True}
    assert found["rest logs"].status == "ok"
    assert found.verdict.logs == "live and complete"


async def test_a_ca_file_and_its_certificate_are_shown(doctor: Examine) -> None:
    """Whose certificate, until when, and where trust came from."""
    async with FakeServer(tls=tls()) as server:
        found = await doctor(server.api_url, ssl_cert_file=PEM)
    assert found["tls"].status == "ok"
    facts = found["tls"].facts
    assert (facts["subject"], facts["names"]) == ("CN=127.0.0.1", ["127.0.0.1", "localhost"])
    assert facts["not_after"].startswith("2120-01-01")
    assert f"trust: the CA file {PEM} (argument), and nothing else" in found["tls"].lines
    assert found.verdict.logs == "live and complete"


async def test_an_unchecked_certificate_is_worth_a_warning(doctor: Examine) -> None:
    """-k works, and is named for what it is."""
    async with FakeServer(tls=tls()) as server:
        found = await doctor(server.api_url, insecure=True)
    assert found["tls"].status == "warn"
    assert "anyone in between could read the key" in found.cause("tls")
    assert found.verdict.logs == "live and complete"


async def test_a_certificate_that_ends_soon_is_worth_a_warning(doctor: Examine) -> None:
    """Two weeks before its end."""
    clock = Hour()
    clock.slept = (datetime(2119, 12, 25, tzinfo=timezone.utc) - datetime.now(timezone.utc)).total_seconds()
    async with FakeServer(tls=tls()) as server:
        found = await doctor(server.api_url, ssl_cert_file=PEM, clock=clock)
    assert found["tls"].status == "warn"
    assert found["tls"].text == "the certificate is accepted for 7 more days"


async def test_prefect_cloud_need_not_tell_its_settings(doctor: Examine) -> None:
    """Where /admin is closed the log list decides, and what is not proved is said to be so."""
    base = "/api/accounts/a/workspaces/w"
    async with FakeServer(Behaviour(api_key="pnu_0123456789", base_path=base)) as server:
        server.fault("rest", Http(404, body='{"detail":"Not Found"}'), path="/admin/version")
        server.fault("rest", Http(404, body='{"detail":"Not Found"}'), path="/admin/settings")
        environ = {"PREFECT_CLOUD_API_URL": f"{server.origin}/api"}
        found = await doctor(server.api_url, api_key="pnu_0123456789", environ=environ)
        wrong = await doctor(server.api_url, api_key="pnu_9876543210", environ=environ)
    assert found["rest auth"].text == "not told by this route; the log list will tell"
    assert found.statuses("fail") == []
    assert found.verdict.logs == "live and complete"
    assert "is not proved" in found.verdict.text
    assert wrong.verdict.blame == "auth"
    assert "The API key was not accepted" in wrong.verdict.text
    assert "Invalid API key" in wrong["socket auth"].text


# -- set-ups that do not


async def test_a_wrong_path_is_found_and_the_right_one_named(doctor: Examine) -> None:
    """REST answers 404 there, the socket 403; another path of the same origin answers as Prefect."""
    async with FakeServer() as server:
        found = await doctor(f"{server.origin}/prefect/api")
    assert found.fix("health") == f"The API is at {server.api_url}: set PREFECT_API_URL to that."
    assert "the API is at another path" in found.cause("upgrade")
    assert found.statuses("fail") == ["health", "rest logs", "upgrade"]
    assert found.verdict.logs == "none"
    assert found.verdict.text.startswith("no logs can be had: No Prefect API answers at")
    assert found.verdict.blame == "unreachable"


async def test_a_path_that_nobody_knows_is_left_open(doctor: Examine) -> None:
    """Where no other path answers as Prefect, the general advice stays."""
    async with FakeServer(Behaviour(base_path="/deep/down/here")) as server:
        found = await doctor(f"{server.origin}/api")
    assert "PREFECT_SERVER_API_BASE_PATH" in found.fix("health")


async def test_tls_on_a_plain_port(doctor: Examine) -> None:
    """https:// to a server without TLS."""
    async with FakeServer() as server:
        found = await doctor(server.api_url.replace("http:", "https:"))
    assert found.statuses("fail") == ["tls"]
    assert found.cause("tls") == "This port speaks plain HTTP, but PREFECT_API_URL begins with https://."
    assert found.fix("tls").endswith(server.api_url)
    assert found.not_reached == [check.name for check in CHECKS][6:]
    assert found["arrival"].text == "not reached (tls)"
    assert found.verdict.text.endswith("begins with https://.")


async def test_a_plain_url_on_a_tls_port(doctor: Examine) -> None:
    """http:// to a server with TLS."""
    async with FakeServer(tls=tls()) as server:
        found = await doctor(server.api_url.replace("https:", "http:"))
    assert found.statuses("fail") == ["http"]
    assert found.cause("http") == "This port speaks TLS, but PREFECT_API_URL begins with http://."


async def test_a_self_signed_certificate(doctor: Examine) -> None:
    """Its fingerprint is shown, and the command that shows the rest of it."""
    async with FakeServer(tls=tls()) as server:
        found = await doctor(server.api_url)
    assert found.statuses("fail") == ["tls"]
    assert "self-signed" in found.cause("tls")
    assert "--cacert" in found.fix("tls")
    assert found["tls"].lines == (
        f"SHA-256 {FINGERPRINT}",
        f"to see it: openssl s_client -connect 127.0.0.1:{server.port} -servername 127.0.0.1 </dev/null"
        " | openssl x509 -noout -subject -issuer -dates -ext subjectAltName",
        "trust: certifi's list and the system's",
    )
    assert (found["tls"].facts["code"], found["tls"].facts["sha256"]) == (18, FINGERPRINT)


@pytest.mark.skipif(sys.platform == "darwin", reason="127.0.0.2 is no address there")
async def test_a_certificate_for_another_host(doctor: Examine) -> None:
    """Trusted, but not for that name."""
    async with FakeServer(host="127.0.0.2", tls=tls()) as server:
        found = await doctor(server.api_url, ssl_cert_file=PEM)
    assert found.cause("tls") == "The certificate is for another address."


async def test_a_ca_file_that_is_none(doctor: Examine, tmp_path: Path) -> None:
    """The setting is to blame."""
    (tmp_path / "ca.pem").write_text("no certificate")
    found = await doctor("https://127.0.0.1:1/api", ssl_cert_file=str(tmp_path / "ca.pem"))
    assert found["tcp"].status == "fail"
    async with FakeServer() as server:
        found = await doctor(
            server.api_url.replace("http:", "https:"), ssl_cert_file=str(tmp_path / "ca.pem")
        )
    assert found["tls"].blame == found.verdict.blame == "config"


async def test_neither_tls_nor_http(doctor: Examine) -> None:
    """A port that hangs up on everybody."""
    server = await asyncio.start_server(lambda _, writer: writer.transport.abort(), "127.0.0.1", 0)
    async with server:
        place = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        plain, secure = await doctor(f"http://{place}/api"), await doctor(f"https://{place}/api")
    assert "does not answer as an HTTP server does" in plain.cause("http")
    assert "does not speak TLS" in secure.cause("tls")


async def test_a_server_that_hangs_is_not_waited_for(doctor: Examine) -> None:
    """Each answer has its time."""
    async with HttpPeer(respond=lambda _: HANG) as peer:
        found = await doctor(peer.api_url, patience=0.05)
    assert "did not answer in time" in found["http"].text
    assert found.verdict.blame == "unreachable"


async def test_a_proxy_that_strips_the_subprotocol_on_an_open_server(doctor: Examine) -> None:
    """The upgrade goes through, without what makes authentication possible; --legacy would work."""
    async with FakeServer() as server, Gateway(server.port, without("Sec-WebSocket-Protocol")) as proxy:
        found = await doctor(proxy.api_url)
    assert found["upgrade"].status == "ok"
    assert found.statuses("fail") == ["subprotocol"]
    assert "strips the header Sec-WebSocket-Protocol" in found.cause("subprotocol")
    assert "--legacy" in found.fix("subprotocol")
    assert found.verdict.text == "REST only: A proxy in between strips the header Sec-WebSocket-Protocol."
    assert found.verdict.blame is None


async def test_a_proxy_that_strips_the_subprotocol_from_the_answer(doctor: Examine) -> None:
    """The server authenticates all the same, so logs come live; the proxy is named."""

    def back(data: bytes) -> bytes:
        return without("Sec-WebSocket-Protocol")(data) if data.startswith(b"HTTP/1.1 101") else data

    async with FakeServer() as server, Gateway(server.port, bytes, back) as proxy:
        found = await doctor(proxy.api_url)
    assert found["subprotocol"].facts == {"offered": "prefect", "chosen": None}
    assert (found.statuses("fail"), found.statuses("warn")) == ([], ["subprotocol"])
    assert "strips the header Sec-WebSocket-Protocol" in found.cause("subprotocol")
    assert found["socket auth"].status == "ok"
    assert found.verdict.logs == "live and complete"


@pytest.mark.parametrize("step", [Http(403), Drop()])
async def test_where_legacy_does_not_help_it_is_not_advised(doctor: Examine, step: Any) -> None:
    """The upgrade is refused without the subprotocol, or ends after it."""
    async with FakeServer() as server, Gateway(server.port, without("Sec-WebSocket-Protocol")) as proxy:
        server.script([ExpectFilter(), Drop()] if isinstance(step, Drop) else [step], connection=1)
        found = await doctor(proxy.api_url)
    assert found.statuses("fail") == ["subprotocol"]
    assert "--legacy" not in found.fix("subprotocol")


@pytest.mark.parametrize("behaviour", [Behaviour(auth_string=AUTH), Behaviour(version="3.5.0")])
async def test_a_proxy_that_strips_the_subprotocol_where_the_server_needs_it(
    doctor: Examine, behaviour: Behaviour
) -> None:
    """A server with authentication, and one before 3.6.14, answers 403 then."""
    async with (
        FakeServer(behaviour) as server,
        Gateway(server.port, without("Sec-WebSocket-Protocol")) as proxy,
    ):
        found = await doctor(proxy.api_url, auth_string=AUTH)
    assert found.statuses("fail") == ["upgrade"]
    assert "strips the header Sec-WebSocket-Protocol" in found.cause("upgrade")
    assert found.verdict.logs == "REST only"


async def test_a_proxy_that_answers_404_to_upgrades_only(doctor: Examine) -> None:
    """REST is fine."""
    async with FakeServer() as server, Gateway(server.port, answer(404, b"<h1>Not Found</h1>")) as proxy:
        found = await doctor(proxy.api_url)
    assert found.statuses("fail") == ["upgrade"]
    assert found.cause("upgrade").startswith(
        "A proxy in front of Prefect answers 404 to WebSocket upgrades only"
    )
    assert found["upgrade"].text.endswith("HTTP 404 by nginx")
    assert found.verdict.logs == "REST only"


async def test_a_proxy_that_drops_the_upgrade_headers(doctor: Examine) -> None:
    """Prefect answers the plain GET with its own 404."""
    async with FakeServer() as server, Gateway(server.port, without("Upgrade", "Connection")) as proxy:
        found = await doctor(proxy.api_url)
    assert "reached Prefect as a plain GET" in found.cause("upgrade")
    assert "proxy_set_header Upgrade" in found.fix("upgrade")


async def test_a_proxy_that_swallows_upgrades(doctor: Examine) -> None:
    """REST is answered, the upgrade never."""
    async with FakeServer() as server:
        server.fault("logs", Stall("upgrade"))
        found = await doctor(server.api_url, patience=0.1)
    assert found.cause("upgrade").startswith("REST is answered, but not the WebSocket upgrade")


async def test_a_proxy_that_wants_credentials_of_its_own(doctor: Examine) -> None:
    """401 to an upgrade is never Prefect's."""
    async with FakeServer() as server, Gateway(server.port, answer(401)) as proxy:
        found = await doctor(proxy.api_url)
    assert "wants credentials of its own" in found.cause("upgrade")
    assert (found["upgrade"].blame, found.verdict.logs) == ("auth", "REST only")


async def test_a_redirect_elsewhere_names_the_place_and_not_its_secrets(doctor: Examine) -> None:
    """A login page on another origin; the query of the Location is left out."""
    async with FakeServer() as server:
        server.fault("logs", Redirect("https://login.example.com/start?token=geheim123"))
        server.fault("rest", Redirect("https://login.example.com/start?token=geheim123"))
        found = await doctor(server.api_url)
    assert "https://login.example.com/start?***" in found.cause("upgrade") + found.cause("health")
    assert "geheim123" not in str(found.results)
    assert found.verdict.logs == "none"


async def test_a_wrong_accept_key(doctor: Examine) -> None:
    """Something answers 101 without knowing WebSockets."""
    async with FakeServer() as server:
        server.fault("logs", WrongAccept())
        found = await doctor(server.api_url)
    assert found.statuses("fail") == ["upgrade"]
    assert "accepted the upgrade wrongly" in found["upgrade"].text


async def test_another_subprotocol_than_offered(doctor: Examine) -> None:
    """No Prefect server does that."""
    async with FakeServer() as server:
        server.fault("logs", Accept("graphql"))
        found = await doctor(server.api_url)
    assert found["subprotocol"].text == "'prefect' was offered, 'graphql' chosen"


async def test_no_http_in_answer_to_an_upgrade(doctor: Examine) -> None:
    """REST is fine, but the upgrade ends in something else."""
    async with FakeServer() as server:
        server.fault("logs", Raw(b"SSH-2.0-OpenSSH\r\n"), Drop())
        found = await doctor(server.api_url)
    assert found.statuses("fail") == ["upgrade"]
    assert "SSH-2.0" in found["upgrade"].text


async def test_streaming_off_is_the_default_and_said_so(doctor: Examine) -> None:
    """The socket looks healthy; the settings tell."""
    async with FakeServer(Behaviour(streaming=False, publishing=False)) as server:
        found = await doctor(server.api_url)
    assert found.statuses("fail") == ["streaming"]
    assert "PREFECT_SERVER_LOGS_STREAM_OUT_ENABLED=true" in found.fix("streaming")
    assert found["arrival"].text == "not watched: the server does not stream"
    assert found.verdict.text.startswith("REST only: Log streaming is off on the server")
    assert found.verdict.blame is None


async def test_only_one_of_the_two_settings_is_off(doctor: Examine) -> None:
    """The one that is off is named, the other not."""
    async with FakeServer(Behaviour(publishing=False)) as server:
        found = await doctor(server.api_url)
    assert found.fix("streaming") == (
        "Start the server with PREFECT_SERVER_LOGS_STREAM_PUBLISHING_ENABLED=true."
    )


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        pytest.param(
            {"auth_string": "admin:wrong"}, "PREFECT_API_AUTH_STRING is not the server's", id="wrong"
        ),
        pytest.param({}, "The server wants an auth string, and none is set", id="none"),
        pytest.param({"api_key": "pnu_0123456789"}, "but PREFECT_API_KEY was sent", id="a key instead"),
    ],
)
@pytest.mark.parametrize("version", ["3.4.7", "3.8.8"])
async def test_a_wrong_auth_string(
    doctor: Examine, options: dict[str, str], cause: str, version: str
) -> None:
    """REST and the socket are told apart, and agree."""
    async with FakeServer(Behaviour(auth_string=AUTH, version=version)) as server:
        found = await doctor(server.api_url, **options)
    assert found.statuses("fail") == ["rest auth", "socket auth"]
    assert cause in found.cause("rest auth")
    assert cause in found.cause("socket auth")
    assert found["filter"].text == "not reached (socket auth)"
    assert found["clock"].status == "ok"
    assert (found.verdict.logs, found.verdict.blame) == ("none", "auth")


async def test_a_token_that_is_not_ascii(doctor: Examine) -> None:
    """Servers from 3.6.22 on hang up on it, right or wrong."""
    async with FakeServer(Behaviour(auth_string="admin:pass")) as server:
        found = await doctor(server.api_url, auth_string="admin:pässwörd")
    assert "not plain ASCII" in found.cause("socket auth")


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param([Accept(), ExpectAuth(answer=False), Close(1012)], id="restart"),
        pytest.param([Accept(), ExpectAuth(answer=False), Drop()], id="drop"),
    ],
)
async def test_an_auth_message_that_is_not_answered(doctor: Examine, steps: list[Any]) -> None:
    """A server that fails or stops, not a wrong token."""
    async with FakeServer() as server:
        server.script(steps)
        found = await doctor(server.api_url)
    assert "the auth message was not answered" in found.cause("socket auth")
    assert found["socket auth"].blame == "unreachable"


async def test_an_auth_message_that_is_answered_with_something_else(doctor: Examine) -> None:
    """An echo server, for example."""
    async with FakeServer() as server:
        server.script([Accept(), ExpectAuth(answer=False), Send('{"type":"hello"}')])
        found = await doctor(server.api_url)
    assert "answered the auth message with something else" in found["socket auth"].text


@pytest.mark.parametrize(
    ("last", "text"),
    [(Drop(), "the conversation ended after the filter"), (Close(1002, "no"), "(close 1002:")],
)
async def test_a_line_that_ends_after_the_filter(doctor: Examine, last: Any, text: str) -> None:
    """Nothing acknowledges a filter; that the line is still up is all there is."""
    async with FakeServer() as server:
        server.script([ExpectFilter(subscribe=False), last])
        found = await doctor(server.api_url)
    assert found.statuses("fail") == ["filter"]
    assert text in found["filter"].text


async def test_pings_that_are_not_answered(doctor: Examine) -> None:
    """A line that will not last."""

    def back(data: bytes) -> bytes:
        return b"" if data.startswith(b"\x8a") else data

    async with FakeServer() as server, Gateway(server.port, bytes, back) as proxy:
        found = await doctor(proxy.api_url, patience=0.3)
    assert found.statuses("fail") == ["ping"]
    assert found.verdict.text.startswith("REST only: Pings are not answered")


async def test_a_ping_that_takes_long_is_worth_a_warning() -> None:
    """More than a second there and back."""
    found = await socket_checks.ping(CheckContext({}, SystemClock(), round_trip=1.25))
    assert (found.status, found.text, found.seconds) == ("warn", "there and back in 1.2 s", 1.25)


@pytest.mark.parametrize(
    ("skew", "text"),
    [(120.0, "2 minutes ahead of"), (-120.0, "2 minutes behind"), (7300.0, "2 hours ahead of")],
)
async def test_a_clock_that_is_off(doctor: Examine, skew: float, text: str) -> None:
    """Told in words; logs can be had all the same."""
    async with FakeServer(Behaviour(clock_skew=skew)) as server:
        found = await doctor(server.api_url)
    assert found["clock"].status == "warn"
    assert text in found["clock"].text
    assert found["clock"].facts["skew_seconds"] == pytest.approx(skew, abs=2)
    assert found.verdict.logs == "live and complete"


async def test_a_clock_a_little_off_is_not_worth_a_word(doctor: Examine) -> None:
    """The Date header has whole seconds."""
    async with FakeServer(Behaviour(clock_skew=1.0)) as server:
        assert (await doctor(server.api_url))["clock"].status == "ok"


async def test_a_server_that_is_too_old(doctor: Examine) -> None:
    """403 on /logs/out, but REST is fine."""
    async with FakeServer(Behaviour(version="3.4.6")) as server:
        found = await doctor(server.api_url)
    assert found["version"].status == "warn"
    assert found.cause("upgrade") == "The server is Prefect 3.4.6, and live logs came with 3.4.7."
    assert found.verdict.text == "REST only: The server is Prefect 3.4.6, and live logs came with 3.4.7."


async def test_nothing_listens(doctor: Examine, unused_port: int) -> None:
    """A port without a server."""
    found = await doctor(f"http://127.0.0.1:{unused_port}/api")
    assert found.statuses("fail") == ["tcp"]
    assert found["tcp"].text == f"no connection to 127.0.0.1:{unused_port} (Connection refused)"
    assert found.verdict == Verdict(
        "none", "no logs can be had: Nothing listens on this port.", "unreachable"
    )


async def test_a_name_that_does_not_resolve(doctor: Examine) -> None:
    """.invalid never does."""
    found = await doctor("http://prefect.invalid/api", patience=20.0)
    assert found.statuses("fail") == ["dns"]
    assert found["dns"].facts["host"] == "prefect.invalid"
    assert found["tcp"].text == "not reached (dns)"


async def test_a_proxy_whose_name_cannot_exist(doctor: Examine) -> None:
    """A label of a name has at most 63 characters."""
    found = await doctor("http://prefect.invalid/api", environ={"HTTP_PROXY": f"http://{'x' * 64}:80"})
    assert (found["dns"].status, found.cause("dns")) == ("fail", "There is no such name.")


async def test_a_name_with_a_dead_address_is_told(doctor: Examine) -> None:
    """localhost may lead to ::1 first, where a server on 127.0.0.1 does not listen."""
    async with FakeServer() as server:
        found = await doctor(f"http://localhost:{server.port}/api")
    assert found["tcp"].facts["address"] == "127.0.0.1"
    assert found["dns"].text.startswith("localhost is ")


async def test_a_cloud_url_without_a_workspace(doctor: Examine) -> None:
    """Found before anything is opened."""
    found = await doctor("https://api.prefect.cloud/api")
    assert found.statuses("fail") == ["settings"]
    assert "names no workspace of Prefect Cloud" in found.verdict.text
    assert found.verdict.blame == "config"


async def test_a_login_page(doctor: Examine) -> None:
    """Somebody else answers everything, with 200 and a page."""
    async with FakeServer() as server:
        server.fault("rest", Html())
        server.fault("logs", Html())
        found = await doctor(server.api_url)
    assert "health" in found.statuses("fail")
    assert "with a web page" in found.cause("health")
    assert "with a web page" in found.cause("upgrade")
    assert found.verdict.text.startswith("no logs can be had: Something other than a Prefect API answered")


async def test_a_json_api_that_is_not_prefects(doctor: Examine) -> None:
    """It answers everything, with something."""
    async with HttpPeer(respond=lambda _: reply({"hello": "world"})) as peer:
        found = await doctor(peer.api_url)
    assert found.cause("health") == "Some JSON was answered, but not Prefect's."
    assert found.cause("rest logs") == "Some JSON was answered, but no list of logs."
    assert found["csrf"].status == "warn"
    assert found["version"].text == "the server does not tell its version"


async def test_admin_routes_that_a_proxy_closes_do_not_close_the_logs(doctor: Examine) -> None:
    """The logs can be had all the same."""
    async with FakeServer() as server:
        for path in ("/admin/version", "/admin/settings", "/csrf-token"):
            server.fault("rest", Http(403, body="nope"), path=path)
        found = await doctor(server.api_url)
    assert found["rest auth"].status == "warn"
    assert found.verdict.logs == "live and complete"


async def test_a_server_that_fails_on_its_version(doctor: Examine) -> None:
    """500 on one route is a warning, as long as the logs can be read."""
    async with FakeServer() as server:
        server.fault("rest", Http(500), path="/admin/version")
        server.fault("rest", Http(500), path="/csrf-token")
        found = await doctor(server.api_url)
    assert (found["rest auth"].status, found["csrf"].status) == ("warn", "warn")
    assert found.verdict.logs == "live and complete"


async def test_a_line_that_is_cut_on_one_route(doctor: Examine) -> None:
    """No answer at all is a failure."""
    async with FakeServer() as server:
        server.fault("rest", Drop(), path="/admin/version")
        found = await doctor(server.api_url)
    assert found["rest auth"].status == "fail"
    assert found["rest logs"].text == "not reached (rest auth)"


async def test_rest_that_cannot_list_leaves_the_live_stream(doctor: Examine) -> None:
    """Live only, and why."""
    async with FakeServer() as server:
        server.fault("rest", Http(500), path="/logs/filter")
        found = await doctor(server.api_url)
        assert found.verdict == Verdict(
            "live only", "live only, best effort (--live-only): The server failed while it answered."
        )
        server.heal()
        server.fault("rest", Drop(), path="/logs/filter")
        assert (await doctor(server.api_url)).verdict.logs == "live only"


async def test_a_stored_log_that_cannot_be_read_is_a_warning(doctor: Examine) -> None:
    """The list answers; its content is for others to judge."""
    async with FakeServer() as server:
        server.fault("rest", Http(200, body='[{"id":1}]'), path="/logs/filter")
        found = await doctor(server.api_url, write_test=False, clock=SystemClock(), watch=0.0)
    assert found["rest logs"].status == "warn"


# -- proxies of the environment


async def test_a_proxy_is_named_with_its_variable_and_without_its_password(
    doctor: Examine, unused_port: int
) -> None:
    """The connection that fails is the one to the proxy."""
    environ = {"HTTP_PROXY": f"http://me:very-secret@127.0.0.1:{unused_port}"}
    found = await doctor("http://prefect.invalid/api", environ=environ)
    assert found["proxy"].facts == {"proxy": f"http://***@127.0.0.1:{unused_port}", "origin": "HTTP_PROXY"}
    assert found["tcp"].text.startswith(f"no connection to the proxy 127.0.0.1:{unused_port}")
    assert "very-secret" not in str(found.results)


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        (407, "The proxy wants credentials."),
        (403, "The proxy does not let connections to this server through"),
    ],
)
async def test_a_proxy_that_refuses_a_tunnel(doctor: Examine, status: int, cause: str) -> None:
    """Seen before TLS."""
    async with HttpPeer(respond=lambda _: reply(b"", status)) as proxy:
        found = await doctor("https://prefect.invalid/api", environ={"HTTPS_PROXY": proxy.origin})
        assert proxy.paths == ["CONNECT prefect.invalid:443"]
    assert found.statuses("fail") == ["tls"]
    assert found.cause("tls").startswith(cause)


async def test_a_proxy_that_is_none(doctor: Examine) -> None:
    """It hangs up on CONNECT."""
    async with HttpPeer(respond=lambda _: CLOSE) as proxy:
        found = await doctor("https://prefect.invalid/api", environ={"HTTPS_PROXY": proxy.origin})
    assert found.cause("tls") == "What listens there is no HTTP proxy."


async def test_tls_is_looked_at_through_a_tunnel(doctor: Examine) -> None:
    """The credentials go with CONNECT; the certificate is the server's."""
    async with FakeServer(tls=tls()) as server, Tunnel() as proxy:
        environ = {"HTTPS_PROXY": proxy.url.replace("//", "//me:very-secret@")}
        found = await doctor(f"https://localhost:{server.port}/api", environ=environ, ssl_cert_file=PEM)
        assert all(b"roxy-Authorization: Basic bWU6" in head for head in proxy.heads)
    assert found["tls"].facts["subject"] == "CN=127.0.0.1"
    assert found.verdict.logs == "live and complete"


async def test_a_proxy_that_forwards_plain_requests_and_no_tunnels(doctor: Examine) -> None:
    """REST over http:// needs no tunnel, a WebSocket always does."""
    async with FakeServer() as server:

        def change(head: bytes) -> bytes:
            if head.startswith(b"CONNECT"):
                return b"HTTP/1.1 405 No\r\nContent-Length: 0\r\n\r\n"
            return head.replace(server.origin.encode(), b"", 1)

        async with Gateway(server.port, change) as proxy:
            found = await doctor(server.api_url, environ={"HTTP_PROXY": proxy.origin})
    assert found["rest logs"].status == "ok"
    assert found["upgrade"].status == "fail"
    assert "they always need a tunnel (CONNECT)" in found.cause("upgrade")


async def test_a_proxy_that_answers_407_to_plain_requests(doctor: Examine) -> None:
    """Never the server's own answer."""
    async with HttpPeer(respond=lambda _: reply(b"", 407)) as proxy:
        found = await doctor("http://prefect.invalid/api", environ={"HTTP_PROXY": proxy.origin})
    assert found.statuses("fail") == ["http"]
    assert found.cause("http") == "The proxy wants credentials."


async def test_tls_through_another_proxy_is_left_to_the_next_checks(doctor: Examine) -> None:
    """A SOCKS proxy is no CONNECT."""
    async with HttpPeer(respond=lambda _: CLOSE) as proxy:
        environ = {"HTTPS_PROXY": proxy.origin.replace("http:", "socks5:")}
        found = await doctor("https://prefect.invalid/api", environ=environ)
    assert found["tls"].text.startswith("not looked at through such a proxy")


class Tunnel:
    """An HTTP proxy that knows CONNECT only."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []

    async def __aenter__(self) -> Tunnel:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self._tasks: set[asyncio.Task[None]] = set()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            self.heads.append(head)
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            port = int(head.split(b" ")[1].rpartition(b":")[2])
            upward, downward = await asyncio.open_connection("127.0.0.1", port)
            try:
                await asyncio.gather(_copy(reader, downward, bytes), _copy(upward, writer, bytes))
            finally:
                downward.transport.abort()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()


@pytest.fixture
def unused_port() -> Iterator[int]:
    """A port that is taken, and on which nobody listens."""
    with refusing_port() as port:
        yield port


# -- whether logs arrive


async def test_logs_that_arrive_prove_the_stream(doctor: Examine) -> None:
    """Both sides show the same logs."""
    async with FakeServer(clock=(clock := Hour())) as server:
        posted: list[Any] = []

        def meanwhile() -> None:
            posted.extend(server.post([f"log {n}" for n in range(3)]))

        clock._meanwhile = meanwhile
        found = await doctor(server.api_url, clock=clock)
    assert found["arrival"].text == "3 logs came over the socket; the list has none besides"
    assert found["arrival"].facts == {"watched_seconds": 5.0, "live": 3, "stored": 3, "missing": 0}


async def test_logs_that_are_stored_but_not_streamed(doctor: Examine) -> None:
    """Another server process takes them in."""
    clock = Hour()
    async with FakeServer(clock=clock) as server:
        clock._meanwhile = lambda: server.store(["one", "two"])
        found = await doctor(server.api_url, clock=clock)
    assert found["arrival"].text == "2 logs stored within 5 s, none of them over the socket"
    assert found.verdict.text.startswith("REST only: The server stores logs, but hands none to this client")


async def test_logs_of_which_some_are_missing(doctor: Examine) -> None:
    """A warning: the list has the others."""
    clock = Hour()
    async with FakeServer(clock=clock) as server:
        server.fault("logs", Lose(2))
        clock._meanwhile = lambda: server.post([f"log {n}" for n in range(4)])
        found = await doctor(server.api_url, clock=clock)
    assert (found["arrival"].status, found["arrival"].facts["missing"]) == ("warn", 2)
    assert found.verdict.logs == "live and complete"


async def test_logs_that_are_streamed_after_they_are_listed_arrive(doctor: Examine) -> None:
    """A busy server lists a log before it streams it: 3.9.1 does, with two cores under load."""
    clock = Hour()
    async with FakeServer(clock=clock) as server:
        listed: list[Any] = []

        def meanwhile() -> None:
            if listed:
                server.publish(listed)
            else:
                server.post(["at once"])
                (row,) = server.store(["later"])
                listed.append({name: row[name] for name in row if name not in ("created", "updated")})

        clock._meanwhile = meanwhile
        found = await doctor(server.api_url, clock=clock)
    assert found["arrival"].text == "2 logs came over the socket; the list has none besides"


async def test_old_logs_are_not_counted_as_missing(doctor: Examine) -> None:
    """What was stored before the watch began was never due."""
    clock = Hour()
    async with FakeServer(clock=clock) as server:
        server.store([f"log {n}" for n in range(1100)])
        found = await doctor(server.api_url, clock=clock)
    assert found["arrival"].status == "skip"
    assert "--write-test" in found.fix("arrival")


async def test_a_line_that_ends_during_the_watch(doctor: Examine) -> None:
    """Told for what it is."""
    clock = Hour()
    async with FakeServer(clock=clock) as server:
        tasks = []
        clock._meanwhile = lambda: tasks.append(asyncio.ensure_future(server.close_all(1012)))
        clock.sleep = lambda seconds: _never(clock)  # type: ignore[method-assign, assignment]
        found = await doctor(server.api_url, clock=clock)
        await asyncio.gather(*tasks)
    assert "1012" in found["arrival"].text
    assert found.verdict.logs == "REST only"


async def test_an_idle_connection_that_is_cut_names_the_timeouts_of_proxies(doctor: Examine) -> None:
    """No close frame, and no log before it."""
    clock = Hour()
    async with FakeServer(clock=clock) as server:
        tasks = []
        clock._meanwhile = lambda: tasks.append(asyncio.ensure_future(server.drop_all()))
        clock.sleep = lambda seconds: _never(clock)  # type: ignore[method-assign, assignment]
        found = await doctor(server.api_url, clock=clock)
        await asyncio.gather(*tasks)
    assert "in which no log came" in found["arrival"].text
    assert "cuts connections on which nothing is sent" in found.cause("arrival")
    assert "proxy_read_timeout" in found.fix("arrival")
    assert "timeout tunnel" in found.fix("arrival")
    assert found.verdict.text.startswith("REST only: A proxy, balancer or firewall in between cuts")


async def _never(clock: Hour) -> None:
    clock._meanwhile()
    await asyncio.Event().wait()


async def test_a_write_test_is_announced_and_proves_both_sides(doctor: Examine) -> None:
    """One log, of a run that does not exist, so that no page shows it."""
    told: list[str] = []
    async with FakeServer(Behaviour(csrf=True)) as server:

        def tell(text: str) -> None:
            assert server.logs == []
            told.append(text)

        found = await doctor(server.api_url, write_test=True, tell=tell, clock=SystemClock())
        (log,) = server.logs
    assert found["arrival"].text == "one log was written: it came over the socket, and it is stored"
    assert "writing one log now" in told[0]
    assert (log["name"], log["level"], str(log["flow_run_id"]) in told[0]) == ("rawlogs.doctor", 20, True)


async def test_nothing_is_written_without_being_asked(doctor: Examine) -> None:
    """Only GET requests and the list."""
    async with FakeServer() as server:
        await doctor(server.api_url)
        posts = {request.path for request in server.requests if request.method != "GET"}
    assert posts == {"/logs/filter"}


@pytest.mark.parametrize(
    ("behaviour", "status", "text", "logs"),
    [
        pytest.param(
            Behaviour(streaming=False),
            "fail",
            "it is stored, but did not come over the socket",
            "REST only",
            id="off",
        ),
        pytest.param(
            Behaviour(commit_delay=None),
            "warn",
            "but is not in the list",
            "live and complete",
            id="rolled back",
        ),
        pytest.param(
            Behaviour(commit_delay=None, streaming=False),
            "fail",
            "was not seen again",
            "REST only",
            id="neither",
        ),
    ],
)
async def test_a_write_test_that_fails(
    doctor: Examine, behaviour: Behaviour, status: str, text: str, logs: str
) -> None:
    """Which side lacks the log."""
    async with FakeServer(behaviour) as server:
        found = await doctor(server.api_url, write_test=True)
    assert found["arrival"].status == status
    assert text in found["arrival"].text
    assert found.verdict.logs == logs


async def test_a_write_that_is_refused(doctor: Examine) -> None:
    """The server's word is shown."""
    async with FakeServer() as server:
        server.fault("rest", Http(422, body='{"detail":"no"}'), path="/logs/")
        found = await doctor(server.api_url, write_test=True)
    assert "HTTP 422: no" in found["arrival"].text


# -- secrets, and the command


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Awaitable[tuple[int, str, str]]]:
    """Run ``rawlogs doctor`` as a shell would: (exit code, stdout, stderr)."""
    for name in list(os.environ):
        if name.startswith("PREFECT_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    async def call(*arguments: str) -> tuple[int, str, str]:
        code = await asyncio.to_thread(run, ["doctor", *arguments])
        return code, *capsys.readouterr()

    return call


async def test_the_command_prints_findings_and_the_closing_line(command: Any) -> None:
    """Text for people, the verdict last, exit code 0."""
    async with FakeServer() as server:
        code, out, err = await command("--api-url", server.api_url, "--watch", "0")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[-1] == "logs: live over the socket and complete over REST"
    names = [line[6:18].strip() for line in lines[:-1] if not line.startswith("      ")]
    assert names == [check.name for check in CHECKS]


async def test_the_command_says_beforehand_that_it_writes(command: Any) -> None:
    """On stderr."""
    async with FakeServer() as server:
        code, out, err = await command("--api-url", server.api_url, "--write-test", "-o", "json")
    assert (code, json.loads(out)["exit_code"]) == (0, 0)
    assert err.startswith("rawlogs: --write-test: writing one log now")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        pytest.param(("--api-url", "https://api.prefect.cloud/api"), 2, id="configuration"),
        pytest.param((), 2, id="no URL at all"),
        pytest.param(("--api-url", "http://127.0.0.1:1/api"), 4, id="unreachable"),
    ],
)
async def test_the_exit_code_tells_what_kind_of_trouble(
    command: Any, arguments: tuple[str, ...], code: int
) -> None:
    """As with the other commands."""
    found, out, err = await command(*arguments)
    assert (found, err) == (code, "")
    assert out.splitlines()[-1].startswith("no logs can be had: ")


async def test_the_json_of_an_examination_can_be_pasted(command: Any) -> None:
    """Every spelling of every secret is hidden, also where the server echoes it; nothing in it can act up."""
    key, password, header = "pnu_0123456789abcdefghij", "correct-horse", "header-secret-value"
    echo = f"key {key} header {header} password {password} \x1b[31m \u202e <b>"
    async with FakeServer(Behaviour(auth_string=f"admin:{password}x")) as server:
        server.fault("rest", Http(500, body=echo), path="/admin/version")
        server.fault("logs", Http(403, {"server": key}, echo))
        url = server.api_url.replace("//", f"//admin:{password}@")
        code, out, _ = await command(
            "--api-url", url, "--api-key", key, "-H", f"X-Access: {header}", "-o", "json", "--watch", "0"
        )
        _, text, _ = await command(
            "--api-url", url, "--api-key", key, "-H", f"X-Access: {header}", "--watch", "0"
        )
    assert code == 3
    for secret in (key, password, header, "YWRtaW46Y29ycmVjdC1ob3JzZQ=="):
        assert secret not in out + text
    assert out.isascii()
    assert "\x1b" not in text
    assert "\u202e" not in text
    report = json.loads(out)
    assert report["rawlogs_doctor"] == 1
    assert [check["check"] for check in report["checks"]] == [check.name for check in CHECKS]
    assert report["checks"][0]["facts"]["settings"]["PREFECT_API_KEY"]["value"].startswith(
        "pnu_… (24 characters"
    )
    assert report["logs"] == "none"


async def test_where_each_setting_came_from_is_shown(
    command: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what it means that a file of the folder decides where a key of one's own goes."""
    (tmp_path / ".env").write_text("PREFECT_API_URL=http://127.0.0.1:1/api\n")
    (tmp_path / "prefect.toml").write_text("[client.custom_headers]\nX-A = 'b'\n")
    (tmp_path / "profiles.toml").write_text(
        "active = 'p'\n[profiles.p]\nPREFECT_API_AUTH_STRING = 'admin:correct-horse'\n"
    )
    monkeypatch.setenv("PREFECT_API_KEY", "pnu_0123456789abcdefghij")
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    _, out, _ = await command()
    origins = dict(re.findall(r"(PREFECT_\w+): .+ \(([^()]+)\)$", out, re.MULTILINE))
    assert origins == {
        "PREFECT_API_URL": ".env",
        "PREFECT_API_KEY": "environment",
        "PREFECT_API_AUTH_STRING": "profile p",
        "PREFECT_CLIENT_CUSTOM_HEADERS": "prefect.toml",
    }
    assert (
        "note: http://127.0.0.1:1, which PREFECT_API_URL (.env) of the working directory names, gets "
        "PREFECT_API_KEY (environment) and PREFECT_API_AUTH_STRING (profile p)"
    ) in out


async def test_secrets_are_hidden_where_the_settings_cannot_be_read(command: Any) -> None:
    """A key that is refused is not quoted."""
    _, out, _ = await command("--api-url", "http://h/api", "--api-key", "pnu_with space", "-o", "json")
    assert "with space" not in out


async def test_a_fault_of_one_check_does_not_cost_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told as what it is, and only what needs the check is left out."""

    async def fine(_: CheckContext) -> Finding:
        return Finding("ok", "fine")

    async def broken(_: CheckContext) -> Finding:
        raise KeyError("oops")

    checks = (Check("a", broken), Check("b", fine), Check("c", fine, ("a",)), Check("d", fine, ("c",)))
    monkeypatch.setattr(runner, "CHECKS", checks)
    results = await examine(CheckContext({}, SystemClock()))
    assert [result.finding.text for result in results] == [
        "the check itself failed: KeyError: 'oops'",
        "fine",
        "not reached (a)",
        "not reached (a)",
    ]


def test_every_need_of_a_check_comes_before_it() -> None:
    """The table is in the order of what builds on what."""
    seen: set[str] = set()
    for check in CHECKS:
        assert set(check.needs) <= seen
        seen.add(check.name)


# -- the tables

OLD = Facts(rest=True, version="3.4.6")
NEW = Facts(rest=True, version="3.8.8", authenticated=False)
HTML = "<!DOCTYPE html>"
JSON_404 = '{"detail":"Not Found"}'

UPGRADES = [
    pytest.param(307, Facts(location="https://x.example"), "leads elsewhere: https://x.example", id="307"),
    pytest.param(200, Facts(body=HTML), "web page", id="200 page"),
    pytest.param(200, Facts(), "plain request", id="200"),
    pytest.param(
        401, replace(NEW, sent="custom"), "did not accept the Authorization header", id="401 custom"
    ),
    pytest.param(401, NEW, "wants credentials of its own", id="401"),
    pytest.param(403, OLD, "Prefect 3.4.6, and live logs came with 3.4.7", id="403 too old"),
    pytest.param(403, Facts(cloud=True, rest=True), "Prefect Cloud, or something", id="403 Cloud"),
    pytest.param(
        403, Facts(url="ws://h/x", rest=False), "No Prefect API answers at ws://h/x", id="403 wrong path"
    ),
    pytest.param(
        403, replace(NEW, body="Forbidden"), "refuses WebSockets (Prefect's own", id="403 with a text"
    ),
    pytest.param(403, replace(NEW, authenticated=True), "strips the header", id="403 with authentication"),
    pytest.param(403, replace(NEW, version="3.6.13"), "strips the header", id="403 before 3.6.14"),
    pytest.param(403, NEW, "refuses WebSockets, or sends them", id="403"),
    pytest.param(
        403,
        Facts(),
        "This path is no WebSocket (is the API under another base path?), the server is older",
        id="403, nothing known",
    ),
    pytest.param(404, Facts(), "or a proxy drops the headers", id="404, nothing known"),
    pytest.param(400, Facts(body="sent to HTTPS port"), "This port speaks TLS", id="400 of a TLS port"),
    pytest.param("loop", Facts(), "redirects each request to the next", id="a loop"),
    pytest.param(404, replace(NEW, body=JSON_404), "as a plain GET", id="404 of Prefect"),
    pytest.param(404, replace(NEW, body=HTML), "404 to WebSocket upgrades only", id="404 of a proxy"),
    pytest.param(404, Facts(rest=False), "another path", id="404 wrong path"),
    pytest.param(407, NEW, "The proxy wants credentials", id="407"),
    pytest.param(426, NEW, "does not pass the WebSocket upgrade on", id="426"),
    pytest.param(429, NEW, "rate limit", id="429"),
    pytest.param(502, NEW, "to an address where no Prefect server answers", id="502, REST fine"),
    pytest.param(502, Facts(), "cannot reach the Prefect server", id="502"),
    pytest.param(503, NEW, "not ready", id="503"),
    pytest.param(504, NEW, "in time", id="504"),
    pytest.param(500, NEW, "The server failed", id="500"),
    pytest.param(418, NEW, "not one that Prefect gives", id="418"),
]
RESTS = [
    pytest.param(200, Facts(body=HTML), "web page", id="200 page"),
    pytest.param(200, Facts(), "not what Prefect answers", id="200"),
    pytest.param(302, Facts(location="x"), "leads elsewhere: x", id="302"),
    pytest.param(403, Facts(body="Missing CSRF token."), "CSRF token, and did not take", id="403 CSRF"),
    pytest.param(
        401,
        Facts(sent="custom"),
        "Authorization header of PREFECT_CLIENT_CUSTOM_HEADERS",
        id="401 custom",
    ),
    pytest.param(401, Facts(cloud=True, sent="basic"), "takes an API key", id="401 Cloud, auth string"),
    pytest.param(401, Facts(cloud=True, sent="bearer"), "The API key was not accepted", id="401 Cloud"),
    pytest.param(403, Facts(cloud=True, sent="bearer"), "may not read this workspace", id="403 Cloud"),
    pytest.param(401, Facts(cloud=True), "wants an API key, and none is set", id="401 Cloud, none"),
    pytest.param(401, Facts(sent="none"), "none is set", id="401 none"),
    pytest.param(401, Facts(sent="bearer"), "PREFECT_API_KEY was sent", id="401 key"),
    pytest.param(401, Facts(sent="basic"), "is not the server's", id="401"),
    pytest.param(401, Facts(sent="basic", body=HTML), "A proxy in front of Prefect wants", id="401 page"),
    pytest.param(403, Facts(), "firewall in front of Prefect", id="403"),
    pytest.param(404, Facts(body=HTML), "web page", id="404 page"),
    pytest.param(404, Facts(url="http://h"), "answers at http://h", id="404"),
    pytest.param(407, Facts(), "The proxy wants credentials", id="407"),
    pytest.param(429, Facts(), "rate limit", id="429"),
    pytest.param(502, Facts(rest=True), "cannot reach", id="502"),
    pytest.param(503, Facts(), "not ready", id="503"),
    pytest.param(504, Facts(), "in time", id="504"),
    pytest.param(599, Facts(), "The server failed", id="599"),
    pytest.param(418, Facts(), "not one that Prefect gives", id="418"),
]


@pytest.mark.parametrize(("status", "known", "cause"), UPGRADES)
def test_a_status_instead_of_101(status: int, known: Facts, cause: str) -> None:
    """Each has its likely cause, and something to do."""
    advice = advise("upgrade", status, known)
    assert cause in advice.cause
    assert advice.fix
    assert "{" not in advice.cause + advice.fix


@pytest.mark.parametrize(("status", "known", "cause"), RESTS)
def test_a_status_of_rest(status: int, known: Facts, cause: str) -> None:
    """Each has its likely cause, and something to do."""
    advice = advise("rest", status, known)
    assert cause in advice.cause
    assert advice.fix


def fitting(channel: str, code: int | str | None, known: Facts) -> int:
    """The number of the row that explains a failure."""
    return next(
        number
        for number, row in enumerate(TABLE)
        if channel in row.channels.split() and (not row.codes or code in row.codes) and row.when(known)
    )


def test_every_row_is_reached() -> None:
    """No row is hidden by one before it."""
    reached = {fitting("upgrade", *case.values[:2]) for case in UPGRADES}
    reached |= {fitting("rest", *case.values[:2]) for case in RESTS}
    # The rows of the other channels are told apart by their codes and by who sent which token.
    reached |= {
        fitting(channel, code, known)
        for row in TABLE
        for channel in row.channels.split()
        if channel not in ("rest", "upgrade")
        for code in (*row.codes, None)
        for known in KNOWN
    }
    assert reached == set(range(len(TABLE)))


KNOWN = (
    Facts(),
    Facts(rest=True),
    Facts(url="ws://h"),
    *(
        Facts(token=token, cloud=cloud)
        for token in ("", "PREFECT_API_KEY", "PREFECT_API_AUTH_STRING")
        for cloud in (False, True)
    ),
)


@pytest.mark.parametrize(
    ("reason", "known", "cause"),
    [
        ("Auth required but no token provided", Facts(), "none is set"),
        ("", Facts(), "No credentials are set"),
        ("", Facts(cloud=True, token="PREFECT_API_KEY"), "did not accept PREFECT_API_KEY"),
        ("Invalid token", Facts(token="PREFECT_API_KEY"), "but PREFECT_API_KEY was sent"),
        ("Invalid token", Facts(token="PREFECT_API_AUTH_STRING"), "is not the server's"),
    ],
)
def test_a_refused_token(reason: str, known: Facts, cause: str) -> None:
    """By what the server says and what was sent."""
    assert cause in advise("token", "none" if "no token" in reason else reason, known).cause


@pytest.mark.parametrize(
    ("advice", "cause"),
    [
        (advise("certificate", 10), "has expired"),
        (advise("certificate", 9), "not valid yet"),
        (advise("certificate", 21), "issuer is not known"),
        (advise("certificate", 62), "another host name"),
        (advise("certificate", 99), "is not accepted"),
        (advice_for(socket.gaierror(socket.EAI_NONAME, "x")), "no such name"),
        (advice_for(socket.gaierror(socket.EAI_AGAIN, "x")), "The resolver itself"),
        (advice_for(socket.gaierror("x")), "cannot be resolved"),
        (advice_for(OSError(errno.ECONNREFUSED, "x")), "Nothing listens"),
        (advice_for(TimeoutError()), "No answer at all"),
        (advice_for(OSError(errno.ENETUNREACH, "x")), "no way to this network"),
        (advice_for(OSError(errno.EPERM, "x")), "No TCP connection"),
    ],
)
def test_what_the_system_says_in_words(advice: Advice, cause: str) -> None:
    """Numbers of OpenSSL, the resolver and the system."""
    assert cause in advice.cause


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("3.8.8", (3, 8, 8)),
        ("3.7.0rc1", (3, 7, 0)),
        ("3.5.0+12.gabc", (3, 5, 0)),
        ("3.4", (3, 4)),
        ("3.x", None),
        ("latest", None),
        ("", None),
        (None, None),
    ],
)
def test_versions_compare_as_numbers(text: str | None, numbers: tuple[int, ...] | None) -> None:
    """What is no version is None."""
    assert release(text) == numbers


@pytest.mark.parametrize(
    ("url", "others"),
    [
        ("http://h/prefect/api", ["http://h/prefect/api/api", "http://h/api", "http://h/prefect"]),
        ("http://h:1/api", ["http://h:1/api/api"]),
        ("http://h/a/b/c/d", ["http://h/a/b/c/d/api", "http://h/api", "http://h/a/b/c", "http://h/a/b"]),
    ],
)
def test_where_the_api_may_be_instead(url: str, others: list[str]) -> None:
    """Below, at the usual path, above; never at another origin."""
    assert rest_checks.elsewhere(url) == others


def row(identity: str, created: datetime | None) -> Log:
    stamp = "2026-01-01T00:00:00Z"
    data = {"id": identity, "name": "n", "level": 20, "message": "m", "timestamp": stamp}
    return Log.from_wire({**data, "created": created and created.isoformat()})


def test_only_rows_that_were_stored_during_the_watch_were_due() -> None:
    """Rows from before, and rows that do not tell, are not missed."""
    since = datetime(2026, 1, 1, tzinfo=timezone.utc)
    ids = [str(uuid4()) for _ in range(3)]
    stored = [row(ids[0], since - timedelta(seconds=1)), row(ids[1], None), row(ids[2], since)]
    found = compare(set(), stored, since, 5.0)
    assert (found.status, found.facts["stored"], found.facts["missing"]) == ("fail", 1, 1)
    assert (
        compare({ids[2]}, stored, since, 5.0).text == "1 log came over the socket; the list has none besides"
    )


def test_a_written_log_that_streaming_cannot_bring() -> None:
    """Where the settings are known to be off, that is the cause."""
    assert written_finding(False, True, (True, False)).advice == Advice(
        "Log streaming is off on the server.",
        written_finding(False, True, None).advice.fix,  # type: ignore[union-attr]
    )


def results(**found: Finding) -> list[Result]:
    """All checks, fine where nothing else is said."""
    named = {name.replace("_", " "): finding for name, finding in found.items()}
    return [Result(check.name, named.get(check.name, Finding("ok", "fine")), 0.1) for check in CHECKS]


BAD = Finding("fail", "bad", Advice("because"), "auth")


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        pytest.param({}, ("live and complete", None), id="all fine"),
        pytest.param({"health": BAD}, ("live and complete", None), id="health alone does not matter"),
        pytest.param(
            {"streaming": BAD}, ("live and complete", None), id="a log that came proves more than settings"
        ),
        pytest.param(
            {"streaming": BAD, "arrival": Finding("skip", "")}, ("REST only", None), id="streaming off"
        ),
        pytest.param({"ping": BAD, "arrival": Finding("skip", "")}, ("REST only", None), id="socket bad"),
        pytest.param({"rest_logs": BAD, "arrival": Finding("skip", "")}, ("live only", None), id="list bad"),
        pytest.param(
            {"rest_logs": BAD, "streaming": Finding("skip", ""), "arrival": Finding("skip", "")},
            ("none", "auth"),
            id="list bad, streaming unknown",
        ),
        pytest.param(
            {"rest_logs": BAD, "upgrade": BAD, "arrival": Finding("skip", "")},
            ("none", "auth"),
            id="both bad",
        ),
    ],
)
def test_the_verdict(found: dict[str, Finding], verdict: tuple[str, str | None]) -> None:
    """How logs can be had, by what was found."""
    judged = verdict_of(results(**found))
    assert (judged.logs, judged.blame) == verdict
    assert found == {} or "because" in judged.text or judged.logs == "live and complete"


def test_a_report_shows_a_cause_that_is_the_finding_once() -> None:
    """An error's own text need not stand there twice."""
    lines = Report([]).lines(Result("tcp", Finding("fail", "it broke", Advice("it broke", "mend it")), 1.5))
    assert lines == ["FAIL  tcp          it broke  [1.5 s]", "                   fix: mend it"]
