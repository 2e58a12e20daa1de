"""The REST client against a real peer that answers, lies, cuts and resets; on a clock turned by hand."""

from __future__ import annotations

import asyncio
import gzip
import random
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from clocks import FakeClock
from http_peer import CLOSE, HANG, RESET, HttpPeer, Request, Step, cut, reply
from ports import refusing_port

from rawlogs.config.settings import Settings, resolve
from rawlogs.errors import AuthError, CertificateError, ConfigError, HistoryError, RedirectRefused
from rawlogs.notices import Notice
from rawlogs.rest.client import RestClient

KEY = "pnu_not-a-real-key-0123456789"
AUTH = "admin:correct-horse"
LOOPBACK_PEM = str(Path(__file__).with_name("loopback.pem"))

ok = reply({"fine": True})
busy = reply({"detail": "busy"}, 503)
no_csrf = reply({"detail": "Missing CSRF token."}, 403)
bad_csrf = reply({"detail": "Invalid CSRF token or client identifier."}, 403)
csrf_off = reply({"detail": "CSRF protection is disabled."}, 422)


class Rig:
    """A client with everything that can be looked at from outside."""

    def __init__(self, settings: Settings, clock: FakeClock | None = None, **options: Any) -> None:
        self.clock = clock or FakeClock()
        self.notices: list[Notice] = []
        self.client = RestClient(
            settings, clock=self.clock, rng=random.Random(1), on_notice=self.notices.append, **options
        )

    @property
    def sleeps(self) -> list[float]:
        return self.clock.sleeps

    @property
    def kinds(self) -> list[str]:
        return [notice.kind for notice in self.notices]


Connect = Callable[..., Rig]


@pytest.fixture
async def connect(tmp_path: Path) -> AsyncIterator[Connect]:
    """Make clients of a peer (or of a URL); they are closed at the end."""
    rigs: list[Rig] = []

    def make(peer: HttpPeer | str, *, options: dict[str, Any] | None = None, **arguments: Any) -> Rig:
        url = peer if isinstance(peer, str) else peer.api_url
        environ = arguments.pop("environ", {})
        rig = Rig(resolve(api_url=url, environ=environ, cwd=tmp_path, **arguments), **(options or {}))
        rigs.append(rig)
        return rig

    yield make
    for rig in rigs:
        await rig.client.close()


# -- requests


async def test_a_get_gives_the_decoded_json(connect: Connect) -> None:
    async with HttpPeer(ok) as peer:
        assert await connect(peer).client.get("/admin/version") == {"fine": True}
        assert peer.paths == ["GET /api/admin/version"]


async def test_a_post_sends_json_and_says_so(connect: Connect) -> None:
    async with HttpPeer(reply([1, 2])) as peer:
        assert await connect(peer).client.post("/logs/filter", {"limit": 2}) == [1, 2]
        (request,) = peer.requests
        assert request.json == {"limit": 2}
        assert request.headers["content-type"] == "application/json"
        assert request.headers["accept"] == "application/json"
        assert request.headers["user-agent"].startswith("rawlogs/")


async def test_a_gzipped_answer_is_unpacked(connect: Connect) -> None:
    packed = reply(gzip.compress(b'{"fine": true}'), headers={"Content-Encoding": "gzip"})
    async with HttpPeer(packed) as peer:
        assert await connect(peer).client.get("/x") == {"fine": True}
        assert "gzip" in peer.requests[0].headers["accept-encoding"]


async def test_one_connection_serves_several_requests(connect: Connect) -> None:
    async with HttpPeer(ok, ok, ok) as peer:
        rig = connect(peer)
        for _ in range(3):
            await rig.client.get("/x")
        assert peer.connections == 1
        assert rig.client.requests == 3


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param({}, None, id="nothing to send"),
        pytest.param({"auth_string": AUTH}, "Basic YWRtaW46Y29ycmVjdC1ob3JzZQ==", id="auth string"),
        pytest.param({"api_key": KEY}, f"Bearer {KEY}", id="key"),
        pytest.param(
            {"api_key": KEY, "headers": {"authorization": "Custom abcdef"}},
            "Custom abcdef",
            id="own header wins",
        ),
    ],
)
async def test_the_authorization_header(connect: Connect, arguments: Any, expected: str | None) -> None:
    async with HttpPeer(ok) as peer:
        await connect(peer, **arguments).client.get("/x")
        assert peer.requests[0].headers.get("authorization") == expected


async def test_custom_headers_are_sent_except_what_describes_the_body(connect: Connect) -> None:
    headers = {
        "CF-Access-Client-Id": "me",
        "X-Name": "ü",
        "Content-Length": "9",
        "Content-Type": "text/plain",
    }
    async with HttpPeer(ok) as peer:
        await connect(peer, headers=headers).client.post("/x", {})
        sent = peer.requests[0].headers
        assert (sent["cf-access-client-id"], sent["x-name"]) == ("me", "ü")
        assert (sent["content-length"], sent["content-type"]) == ("2", "application/json")


async def test_every_request_is_counted_and_told_beforehand(connect: Connect) -> None:
    told: list[int] = []
    async with HttpPeer(busy, ok) as peer:
        rig = connect(peer, options={"on_request": lambda: told.append(len(peer.requests))})
        await rig.client.get("/x")
        assert rig.client.requests == 2
        assert told == [0, 1]


async def test_proxy_variables_of_the_process_are_not_read(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    with refusing_port() as port:
        for name in ("HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{port}")
        async with HttpPeer(ok) as peer:
            assert await connect(peer).client.get("/x") == {"fine": True}


async def test_the_proxy_of_the_settings_is_used_with_its_credentials(connect: Connect) -> None:
    async with HttpPeer(ok) as proxy:
        environ = {"HTTP_PROXY": f"http://me:secret@127.0.0.1:{proxy.port}"}
        rig = connect("http://prefect.invalid:4200/api", environ=environ)
        assert await rig.client.get("/x") == {"fine": True}
        assert proxy.paths == ["GET http://prefect.invalid:4200/api/x"]
        assert proxy.requests[0].headers["proxy-authorization"] == "Basic bWU6c2VjcmV0"


def test_httpx_is_not_loaded_by_the_import() -> None:
    code = "import sys, rawlogs.rest.client, rawlogs.rest.flow_runs; sys.exit('httpx' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], check=False, cwd=Path(__file__).parents[1]).returncode
        == 0
    )


def test_the_repr_shows_no_secret(tmp_path: Path) -> None:
    settings = resolve(api_url="http://u:hidden-word@h/api", environ={}, cwd=tmp_path)
    assert repr(RestClient(settings)) == "<RestClient http://h/api requests=0>"


# -- what is tried again


@pytest.mark.fault(86)
@pytest.mark.parametrize("step", [RESET, CLOSE, cut(ok, 30), cut(ok, len(ok.data) - 20)])
async def test_a_cut_or_reset_connection_is_tried_again(connect: Connect, step: Step) -> None:
    async with HttpPeer(step, ok) as peer:
        rig = connect(peer)
        assert await rig.client.get("/x") == {"fine": True}
        assert len(rig.sleeps) == 1
        assert rig.kinds == ["retrying"]


@pytest.mark.fault(86)
async def test_silence_is_tried_again(connect: Connect) -> None:
    async with HttpPeer(HANG, ok) as peer:
        rig = connect(peer, options={"timeout": 0.05})
        assert await rig.client.get("/x") == {"fine": True}
        assert "did not answer in time" in rig.notices[0].text


@pytest.mark.fault(86)
async def test_a_stalled_body_is_tried_again(connect: Connect) -> None:
    stalled = Step(ok.data[:-3], "hang")
    async with HttpPeer(stalled, ok) as peer:
        rig = connect(peer, options={"timeout": 0.05})
        assert await rig.client.get("/x") == {"fine": True}


@pytest.mark.fault(86)
async def test_a_lasting_reset_ends_as_a_transient_error(connect: Connect) -> None:
    async with HttpPeer(respond=lambda _: RESET) as peer:
        rig = connect(peer, options={"retries": 2})
        with pytest.raises(HistoryError, match=r"the connection was cut \(3 tries\)") as caught:
            await rig.client.get("/x")
        assert (caught.value.status, caught.value.transient) == (None, True)
        assert len(peer.requests) == 3


@pytest.mark.fault(87)
@pytest.mark.parametrize("status", [408, 425, 429, 502, 503, 504])
async def test_a_passing_status_is_tried_again(connect: Connect, status: int) -> None:
    async with HttpPeer(reply({}, status), ok) as peer:
        rig = connect(peer)
        assert await rig.client.get("/x") == {"fine": True}
        assert rig.kinds == ["retrying"]


@pytest.mark.fault(87)
async def test_the_waits_grow_with_full_jitter(connect: Connect) -> None:
    async with HttpPeer(respond=lambda _: busy) as peer:
        rig = connect(peer, options={"retries": 9})
        with pytest.raises(HistoryError, match=r"HTTP 503: busy \(10 tries\)") as caught:
            await rig.client.get("/x")
        assert (caught.value.status, caught.value.transient) == (503, True)
    ceilings = [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    assert len(rig.sleeps) == len(ceilings)
    assert all(0 <= slept <= ceiling for slept, ceiling in zip(rig.sleeps, ceilings, strict=True))
    assert rig.sleeps[-1] != rig.sleeps[-2]


@pytest.mark.fault(87)
@pytest.mark.parametrize(
    ("value", "least", "most"),
    [
        pytest.param("7", 7, 7.5, id="seconds"),
        pytest.param("Thu, 01 Jan 2026 00:00:20 GMT", 20, 20.5, id="a date"),
        pytest.param("Thu, 01 Jan 2015 00:00:00 GMT", 0, 0.5, id="a date long ago"),
        pytest.param("-5", 0, 0.5, id="negative"),
        pytest.param("999999", 300, 300.5, id="huge"),
        pytest.param("soon", 0, 0.5, id="garbage"),
    ],
)
async def test_retry_after_is_the_least_wait(connect: Connect, value: str, least: float, most: float) -> None:
    async with HttpPeer(reply({}, 429, {"Retry-After": value}), ok) as peer:
        rig = connect(peer)
        await rig.client.get("/x")
    assert least <= rig.sleeps[0] <= most


@pytest.mark.fault(87)
async def test_the_error_of_a_single_try_carries_retry_after(connect: Connect) -> None:
    async with HttpPeer(reply({}, 429, {"Retry-After": "7"})) as peer:
        rig = connect(peer)
        with pytest.raises(HistoryError) as caught:
            await rig.client.get("/x", retries=0)
    assert (caught.value.status, caught.value.retry_after, rig.sleeps) == (429, 7.0, [])


async def test_each_retry_says_what_which_and_how_long(connect: Connect) -> None:
    async with HttpPeer(busy, ok) as peer:
        rig = connect(peer)
        await rig.client.get("/x")
        (notice,) = rig.notices
        url = f"{peer.api_url}/x"
    assert notice.text == f"GET {url} was answered with HTTP 503: busy; retry 1 of 5 in {rig.sleeps[0]:.1f} s"
    assert notice.facts == {"what": "rest", "status": 503, "attempt": 1, "of": 5, "delay": rig.sleeps[0]}


async def test_maintenance_is_waited_for_without_counting(connect: Connect) -> None:
    upkeep = reply({}, 503, {"Prefect-Maintenance": "true", "Retry-After": "60"})
    async with HttpPeer(*[upkeep] * 12, ok) as peer:
        rig = connect(peer, options={"retries": 1})
        assert await rig.client.get("/x") == {"fine": True}
        assert min(rig.sleeps) >= 60
        assert "(maintenance); retry in" in rig.notices[0].text


async def test_maintenance_ends_a_single_try(connect: Connect) -> None:
    async with HttpPeer(reply({}, 503, {"Prefect-Maintenance": "true"})) as peer:
        with pytest.raises(HistoryError, match="maintenance"):
            await connect(peer).client.get("/x", retries=0)


@pytest.mark.fault(88)
async def test_a_500_is_tried_three_times_more(connect: Connect) -> None:
    broken = reply({"exception_message": "Internal Server Error"}, 500)
    async with HttpPeer(respond=lambda _: broken) as peer:
        rig = connect(peer, options={"retries": 9})
        with pytest.raises(HistoryError, match="HTTP 500: Internal Server Error") as caught:
            await rig.client.post("/logs/filter", {"logs": {"text": {"query": "x"}}})
        assert (caught.value.status, caught.value.transient) == (500, True)
        assert len(peer.requests) == 4


@pytest.mark.fault(88)
async def test_a_connection_cut_after_a_500_does_not_matter(connect: Connect) -> None:
    """As uvicorn does it: the 500 promises to keep the connection, the next request on it finds it closed."""
    broken = reply({}, 500)
    async with HttpPeer(broken, CLOSE, ok) as peer:
        rig = connect(peer)
        with pytest.raises(HistoryError):
            await rig.client.get("/x", retries=0)
        assert await rig.client.get("/x", retries=0) == {"fine": True}
        assert [request.connection for request in peer.requests] == [1, 1, 2]
        assert rig.sleeps == []


async def test_a_single_try_is_one_request(connect: Connect) -> None:
    async with HttpPeer(busy, ok) as peer:
        rig = connect(peer)
        with pytest.raises(HistoryError):
            await rig.client.post("/x", {}, retries=0)
        assert (rig.client.requests, rig.sleeps, rig.notices) == (1, [], [])


async def test_a_refused_connection_fails_at_once_before_the_first_answer(connect: Connect) -> None:
    with refusing_port() as port:
        rig = connect(f"http://127.0.0.1:{port}/api")
        with pytest.raises(HistoryError, match=r"No connection to 127.0.0.1:.*Connection refused") as caught:
            await rig.client.get("/x")
    assert (caught.value.transient, rig.sleeps) == (True, [])
    assert caught.value.hint == (
        "Nothing listens on this port. Is the server running there, and is the port in PREFECT_API_URL right? In "
        "a container localhost is "
        "the container itself. `rawlogs doctor` checks each step."
    )


async def test_a_refused_connection_is_tried_again_later(connect: Connect) -> None:
    async with HttpPeer(reply({"fine": True}, then="close")) as peer:
        rig = connect(peer, options={"retries": 2})
        await rig.client.get("/x")
    with pytest.raises(HistoryError, match=r"No connection.*\(3 tries\)"):
        await rig.client.get("/x")
    assert rig.kinds == ["retrying", "retrying"]


async def test_another_protocol_is_told_at_once(connect: Connect) -> None:
    async with HttpPeer(Step(b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "close")) as peer:
        rig = connect(peer)
        with pytest.raises(HistoryError, match=r"that is not HTTP: .*SSH-2.0") as caught:
            await rig.client.get("/x")
        assert (caught.value.transient, rig.sleeps) == (False, [])


@pytest.mark.parametrize("patience", [0, 5])
async def test_cancelling_takes_effect_at_once(connect: Connect, patience: int) -> None:
    async with HttpPeer(HANG) as peer:
        rig = connect(peer, options={"retries": patience})
        task = asyncio.create_task(rig.client.get("/x"))
        await peer.asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_cancelling_ends_a_back_off(connect: Connect) -> None:
    class Patient(FakeClock):
        def __init__(self) -> None:
            super().__init__()
            self.asleep = asyncio.Event()

        async def sleep(self, seconds: float) -> None:
            self.asleep.set()
            await asyncio.Event().wait()

    clock = Patient()
    async with HttpPeer(busy) as peer:
        rig = connect(peer, options={"clock": clock})
        task = asyncio.create_task(rig.client.get("/x"))
        await clock.asleep.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


# -- what is refused


@pytest.mark.fault(89)
@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        pytest.param({}, "Set PREFECT_API_AUTH_STRING to the server's user:password.", id="nothing"),
        pytest.param(
            {"api_key": KEY}, "A self-hosted server takes PREFECT_API_AUTH_STRING", id="bearer to a server"
        ),
        pytest.param(
            {"auth_string": AUTH}, "Set it to what the server was started with", id="wrong auth string"
        ),
        pytest.param(
            {"headers": {"Authorization": "B abc"}}, "PREFECT_CLIENT_CUSTOM_HEADERS", id="own header"
        ),
    ],
)
async def test_a_401_says_what_to_set(connect: Connect, arguments: Any, hint: str) -> None:
    async with HttpPeer(reply({"exception_message": "Unauthorized"}, 401)) as peer:
        rig = connect(peer, **arguments)
        with pytest.raises(AuthError, match="HTTP 401: Unauthorized") as caught:
            await rig.client.get("/x")
    assert (caught.value.code, caught.value.reason, rig.sleeps) == (401, "Unauthorized", [])
    assert hint in (caught.value.hint or "")


@pytest.mark.fault(89)
async def test_a_403_of_a_proxy_is_told_from_prefects(connect: Connect) -> None:
    async with HttpPeer(reply(b"<h1>Forbidden</h1>", 403)) as peer:
        with pytest.raises(AuthError, match="HTTP 403: <h1>Forbidden</h1>") as caught:
            await connect(peer).client.get("/x")
    assert caught.value.code == 403
    assert "A proxy, balancer or firewall in front of Prefect refuses" in (caught.value.hint or "")


@pytest.mark.parametrize(
    "arguments", [{}, {"auth_string": "a:b"}, {"api_key": "k"}], ids=["none", "string", "key"]
)
async def test_a_401_with_a_page_is_a_proxy_s(connect: Connect, arguments: Any) -> None:
    """Prefect answers with JSON; the hint of the socket for the same proxy is the same."""
    page = {"Content-Type": "text/html", "WWW-Authenticate": 'Basic realm="staff"'}
    async with HttpPeer(reply(b"<html><h1>401 Authorization Required</h1></html>", 401, page)) as peer:
        rig = connect(peer, **arguments)
        with pytest.raises(AuthError) as caught:
            await rig.client.get("/flow_runs")
    assert caught.value.hint is not None
    assert caught.value.hint.startswith("A proxy in front of Prefect wants credentials of its own")


@pytest.mark.parametrize("status", [401, 418, 503])
async def test_no_error_or_notice_repeats_a_secret(connect: Connect, status: int) -> None:
    def echo(request: Request) -> Step:
        return reply({"detail": f"not you, {request.headers['authorization']} {AUTH}"}, status)

    async with HttpPeer(respond=echo) as peer:
        url = f"http://{AUTH}@127.0.0.1:{peer.port}/api"
        rig = connect(url, options={"retries": 1})
        with pytest.raises((AuthError, HistoryError), match="not you") as caught:
            await rig.client.get("/x")
    shown = f"{caught.value} {vars(caught.value)} {rig.notices}"
    assert "correct-horse" not in shown
    assert "Y29ycmVjdC1ob3JzZ" not in shown


@pytest.mark.fault(90)
async def test_a_csrf_token_is_fetched_once_and_kept(connect: Connect) -> None:
    async with HttpPeer(no_csrf, reply({"token": "t1"}), ok, ok) as peer:
        rig = connect(peer)
        assert await rig.client.post("/logs/filter", {}) == {"fine": True}
        assert await rig.client.post("/logs/filter", {}) == {"fine": True}
        first, fetch, *others = peer.requests
        client = fetch.path.partition("?client=")[2]
        assert "prefect-csrf-token" not in first.headers
        assert fetch.path.startswith("/api/csrf-token?client=")
        for request in others:
            assert request.headers["prefect-csrf-token"] == "t1"
            assert request.headers["prefect-csrf-client"] == client
        assert (rig.sleeps, rig.notices) == ([], [])


@pytest.mark.fault(90)
async def test_an_expired_token_is_fetched_anew(connect: Connect) -> None:
    async with HttpPeer(no_csrf, reply({"token": "t1"}), ok, bad_csrf, reply({"token": "t2"}), ok) as peer:
        rig = connect(peer)
        await rig.client.post("/x", {})
        await rig.client.post("/x", {})
        assert peer.requests[-1].headers["prefect-csrf-token"] == "t2"


@pytest.mark.fault(90)
async def test_a_token_that_is_never_taken_ends_as_an_auth_error(connect: Connect) -> None:
    def respond(request: Request) -> Step:
        return reply({"token": "t"}) if request.method == "GET" else bad_csrf

    async with HttpPeer(respond=respond) as peer:
        with pytest.raises(AuthError, match="Invalid CSRF token") as caught:
            await connect(peer).client.post("/x", {})
        assert caught.value.code == 403
        assert len(peer.requests) == 5


@pytest.mark.fault(90)
async def test_protection_that_is_off_makes_the_403_an_auth_error(connect: Connect) -> None:
    async with HttpPeer(no_csrf, csrf_off) as peer:
        with pytest.raises(AuthError, match="Missing CSRF token"):
            await connect(peer).client.post("/x", {})


@pytest.mark.fault(90)
async def test_a_wrong_path_behind_csrf_is_told_as_such(connect: Connect) -> None:
    async with HttpPeer(no_csrf, reply({"detail": "Not Found"}, 404)) as peer:
        with pytest.raises(HistoryError, match="HTTP 404") as caught:
            await connect(peer).client.post("/x", {})
        assert "No Prefect API answers at" in (caught.value.hint or "")


@pytest.mark.fault(90)
async def test_tasks_that_need_a_token_at_once_share_one(connect: Connect) -> None:
    tokens: list[str] = []

    def respond(request: Request) -> Step:
        if request.method == "GET":
            tokens.append(f"t{len(tokens)}")
            return reply({"token": tokens[-1]})
        held = request.headers.get("prefect-csrf-token")
        return ok if tokens and held == tokens[-1] else bad_csrf if held else no_csrf

    async with HttpPeer(respond=respond) as peer:
        client = connect(peer).client
        assert await asyncio.gather(*(client.post("/x", {}) for _ in range(5))) == [{"fine": True}] * 5
        assert tokens == ["t0"]


@pytest.mark.fault(91)
@pytest.mark.parametrize("body", [b'{"detail":"Not Found"}', b"", b"<html>nothing here</html>"])
async def test_a_404_of_the_path_hints_at_the_base_path(connect: Connect, body: bytes) -> None:
    async with HttpPeer(reply(body, 404)) as peer:
        rig = connect(peer)
        with pytest.raises(HistoryError, match="HTTP 404") as caught:
            await rig.client.post("/logs/filter", {})
        assert (caught.value.status, caught.value.transient, rig.sleeps) == (404, False, [])
        assert "/api" in (caught.value.hint or "")


async def test_a_404_of_a_thing_has_no_hint(connect: Connect) -> None:
    async with HttpPeer(reply({"detail": "Flow run not found"}, 404)) as peer:
        with pytest.raises(HistoryError, match="HTTP 404: Flow run not found") as caught:
            await connect(peer).client.get("/flow_runs/x")
        assert caught.value.hint is None


@pytest.mark.fault(92)
async def test_a_422_hands_on_what_the_server_says(connect: Connect) -> None:
    said = "Invalid limit: must be less than or equal to 50."
    async with HttpPeer(reply({"detail": said}, 422)) as peer:
        rig = connect(peer)
        with pytest.raises(HistoryError, match="HTTP 422: Invalid limit") as caught:
            await rig.client.post("/logs/filter", {"limit": 200})
        assert (caught.value.status, caught.value.transient, caught.value.body) == (422, False, said)
        assert len(peer.requests) == 1


@pytest.mark.fault(93)
@pytest.mark.parametrize(
    ("step", "problem"),
    [
        pytest.param(cut(ok, 5), "was cut off", id="cut off"),
        pytest.param(reply(b"<html><title>Sign in</title>"), "is not JSON: <html><title>Sign in", id="html"),
        pytest.param(reply(b'[{"id": 1}, {"id"'), 'is not JSON: [{"id": 1}', id="half a document"),
        pytest.param(reply(b""), "is empty", id="empty"),
        pytest.param(reply(b"\xff\xfe\x00"), r"is not JSON: \xff\xfe\x00", id="not text"),
        pytest.param(reply(b"\x1b[31m" + b"x" * 500), r"is not JSON: \x1b[31mxxx", id="long, with escapes"),
        pytest.param(
            reply(b"no gzip", headers={"Content-Encoding": "gzip"}), "cannot be unpacked", id="not gzip"
        ),
        pytest.param(
            Step(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n[1, 2\r\n", "close"),
            "was cut off",
            id="chunks cut off",
        ),
    ],
)
async def test_a_broken_page_is_asked_for_again_whole(connect: Connect, step: Step, problem: str) -> None:
    async with HttpPeer(step, reply([1, 2, 3])) as peer:
        rig = connect(peer)
        assert await rig.client.post("/logs/filter", {}) == [1, 2, 3]
        assert problem in rig.notices[0].text
        assert "x" * 81 not in rig.notices[0].text
        assert [request.body for request in peer.requests] == [b"{}", b"{}"]


@pytest.mark.fault(93)
async def test_a_page_that_stays_broken_is_a_transient_error(connect: Connect) -> None:
    async with HttpPeer(respond=lambda _: reply(b"<html>")) as peer:
        with pytest.raises(HistoryError, match=r"is not JSON: <html> \(3 tries\)") as caught:
            await connect(peer, options={"retries": 2}).client.get("/x")
        assert caught.value.transient
        assert "/api is missing at the URL's end" in (caught.value.hint or "")


async def test_a_key_that_no_header_can_hold_is_a_config_error_without_the_key(tmp_path: Path) -> None:
    async with HttpPeer() as peer:
        address = resolve(api_url=peer.api_url, environ={}, cwd=tmp_path).address
        async with RestClient(Settings(address, api_key="secret\nkey")) as client:
            with pytest.raises(ConfigError, match="A header cannot be sent") as caught:
                await client.get("/x")
        assert "secret" not in f"{caught.value} {vars(caught.value)}"
        assert peer.requests == []


@pytest.mark.parametrize("scheme", ["socks4", "socks5"])
async def test_a_proxy_of_the_wrong_kind_is_a_config_error_without_its_password(
    connect: Connect, scheme: str
) -> None:
    rig = connect("http://h.invalid/api", environ={"ALL_PROXY": f"{scheme}://me:very-secret@127.0.0.1:9"})
    with pytest.raises(ConfigError, match="The proxy cannot be used for REST requests") as caught:
        await rig.client.get("/x")
    assert caught.value.setting == "ALL_PROXY"
    assert "secret" not in f"{caught.value}"


async def test_a_proxy_that_wants_credentials_is_told_from_a_server(connect: Connect) -> None:
    async with HttpPeer(reply(b"", 407)) as proxy:
        environ = {"HTTPS_PROXY": f"http://me:very-secret@127.0.0.1:{proxy.port}"}
        rig = connect("https://prefect.invalid/api", environ=environ)
        with pytest.raises(HistoryError, match=r"refused a tunnel to prefect.invalid: 407") as caught:
            await rig.client.get("/x")
    assert (caught.value.status, caught.value.transient) == (407, False)
    assert "secret" not in str(caught.value)


# -- TLS


def tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(LOOPBACK_PEM)
    return context


async def test_a_ca_file_lets_its_certificates_pass(connect: Connect) -> None:
    async with HttpPeer(ok, tls=tls()) as peer:
        assert await connect(peer, ssl_cert_file=LOOPBACK_PEM).client.get("/x") == {"fine": True}


async def test_an_unknown_certificate_is_never_tried_again(connect: Connect) -> None:
    async with HttpPeer(ok, tls=tls()) as peer:
        rig = connect(peer)
        with pytest.raises(CertificateError, match="is not accepted: self-signed certificate") as caught:
            await rig.client.get("/x")
        assert "PREFECT_API_SSL_CERT_FILE" in (caught.value.hint or "")
        assert (rig.client.requests, rig.sleeps) == (1, [])


async def test_a_tls_url_on_a_plain_port_is_told_at_once(connect: Connect) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        rig = connect(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/api")
        with pytest.raises(HistoryError, match=r"No TLS with 127.0.0.1") as caught:
            await rig.client.get("/x")
    assert (caught.value.transient, rig.sleeps) == (False, [])
    assert "Use http:// instead of https://" in (caught.value.hint or "")


async def test_a_plain_url_on_a_tls_port_hints_at_https(connect: Connect) -> None:
    async with HttpPeer(ok, tls=tls()) as peer:
        rig = connect(peer.api_url.replace("https:", "http:"))
        with pytest.raises(HistoryError) as caught:
            await rig.client.get("/x")
    assert "use https://" in (caught.value.hint or "")


# -- redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_within_the_origin_is_followed_with_method_and_body(
    connect: Connect, status: int
) -> None:
    async with HttpPeer(reply({}, status, {"Location": "/base/api/logs/filter"}), ok) as peer:
        rig = connect(peer, auth_string=AUTH)
        assert await rig.client.post("/logs/filter", {"limit": 1}) == {"fine": True}
        assert peer.paths == ["POST /api/logs/filter", "POST /base/api/logs/filter"]
        assert peer.requests[1].json == {"limit": 1}
        assert "authorization" in peer.requests[1].headers
        assert rig.kinds == ["warning"]


async def test_redirects_are_told_once(connect: Connect) -> None:
    def respond(request: Request) -> Step:
        return ok if request.path == "/y" else reply({}, 307, {"Location": "/y"})

    async with HttpPeer(respond=respond) as peer:
        rig = connect(peer)
        await rig.client.get("/x")
        await rig.client.get("/x")
        assert rig.kinds == ["warning"]


async def test_a_redirect_loop_ends(connect: Connect) -> None:
    async with HttpPeer(respond=lambda _: reply({}, 307, {"Location": "/api/x"})) as peer:
        with pytest.raises(HistoryError, match="redirects in a loop") as caught:
            await connect(peer).client.get("/x")
        assert (caught.value.status, caught.value.transient) == (307, False)
        assert len(peer.requests) == 6


@pytest.mark.fault(100)
@pytest.mark.parametrize(
    "location",
    [
        "http://evil.invalid/api/x",
        "https://127.0.0.1:{port}/api/x",
        "http://127.0.0.1:1/api/x",
        "//evil.invalid/api",
        "http://someone:pw-31337@127.0.0.1:{port}/api/x",
        "file:///etc/passwd",
    ],
)
async def test_a_redirect_to_another_origin_is_refused(connect: Connect, location: str) -> None:
    async with HttpPeer() as peer:
        peer.then(reply({}, 307, {"Location": location.format(port=peer.port)}))
        rig = connect(peer, api_key=KEY)
        with pytest.raises(RedirectRefused, match="which is another server: not followed") as caught:
            await rig.client.get("/x")
        assert caught.value.status == 307
        assert "pw-31337" not in str(caught.value)
        assert (rig.client.requests, rig.sleeps) == (1, [])


@pytest.mark.fault(100)
async def test_the_other_origin_never_sees_a_request(connect: Connect) -> None:
    async with HttpPeer(ok) as other, HttpPeer() as peer:
        peer.then(reply({}, 302, {"Location": f"{other.origin}/api/x"}))
        with pytest.raises(RedirectRefused):
            await connect(peer, auth_string=AUTH).client.get("/x")
        assert other.connections == 0


async def test_a_redirect_to_nonsense_is_an_error(connect: Connect) -> None:
    async with HttpPeer(reply({}, 307, {"Location": "http://[nonsense/x"})) as peer:
        with pytest.raises(HistoryError, match="redirects to no URL"):
            await connect(peer).client.get("/x")


# -- clocks


@pytest.mark.fault(76)
@pytest.mark.parametrize(
    ("ahead", "expected"),
    [
        pytest.param(0, 0.0, id="in step"),
        pytest.param(1, 0.0, id="within the grain of the header"),
        pytest.param(-2, 0.0, id="a little behind"),
        pytest.param(90, 90.5, id="ahead"),
        pytest.param(-3600, -3599.5, id="behind"),
    ],
)
async def test_the_servers_clock_is_read_from_the_date_header(
    connect: Connect, ahead: int, expected: float
) -> None:
    begun = FakeClock().now()
    date = format_datetime(begun + timedelta(seconds=ahead), usegmt=True)
    async with HttpPeer(reply({}, headers={"Date": date})) as peer:
        rig = connect(peer)
        assert rig.client.server_now() == begun
        await rig.client.get("/x")
    assert rig.client.skew == expected
    assert rig.client.server_now() == begun + timedelta(seconds=expected)


async def test_the_middle_of_the_round_trip_is_taken_as_the_servers_now(connect: Connect) -> None:
    rig: Rig | None = None

    def respond(_: Request) -> Step:
        assert rig is not None
        rig.clock.advance(4)
        return reply({}, headers={"Date": "Thu, 01 Jan 2026 00:01:00 GMT"})

    async with HttpPeer(respond=respond) as peer:
        rig = connect(peer)
        await rig.client.get("/x")
    assert rig.client.skew == 58.5


async def test_a_slow_answer_does_not_tell_the_time(connect: Connect) -> None:
    rig: Rig | None = None

    def respond(_: Request) -> Step:
        assert rig is not None
        rig.clock.advance(30)
        return reply({}, headers={"Date": "Thu, 01 Jan 2026 00:00:30 GMT"})

    async with HttpPeer(respond=respond) as peer:
        rig = connect(peer)
        await rig.client.get("/x")
    assert rig.client.skew == 0.0


async def test_retry_after_as_a_date_is_read_by_the_servers_clock(connect: Connect) -> None:
    headers = {"Date": "Fri, 02 Jan 2026 00:00:00 GMT", "Retry-After": "Fri, 02 Jan 2026 00:00:10 GMT"}
    async with HttpPeer(reply({}, 503, headers), ok) as peer:
        rig = connect(peer)
        await rig.client.get("/x")
    assert 9.5 <= rig.sleeps[0] <= 10.0


# -- closing


async def test_a_client_that_never_asked_closes(connect: Connect) -> None:
    async with connect("http://127.0.0.1:1/api").client as client:
        assert client.requests == 0


async def test_closing_ends_the_connections(connect: Connect) -> None:
    async with HttpPeer(ok, ok) as peer:
        rig = connect(peer)
        async with rig.client as client:
            await client.get("/x")
        assert await client.get("/x") == {"fine": True}
        assert peer.connections == 2
