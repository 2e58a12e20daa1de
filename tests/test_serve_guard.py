"""The guard of ``rawlogs serve``: the token, the cookie and its flags, the end of a login, and every answer's headers.

Each line of these tables fails when the check behind it is taken out.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http.cookies import SimpleCookie
from typing import Any

import httpx
import pytest
from browser.serving import serving
from hypothesis import given
from hypothesis import strategies as st

from rawlogs.serve import app as serve_app
from rawlogs.serve.access import Gate, open_gate
from rawlogs.serve.logins import Logins
from rawlogs.testing import FakeServer

TOKEN = "correct-horse-battery-staple"
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; frame-ancestors 'none'; form-action 'self'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
"""Exactly these, on every answer."""
FILES = ("/", "/page.js", "/page.css", "/favicon.svg")
"""Answers that a browser may keep, as long as it asks whether they are still the same."""
OTHERS = ("/api/about", "/api/runs", "/api/names?task_run=x", "/none", "/logs?level=loud")


@asynccontextmanager
async def visiting(**options: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A browser at the page, and what it is served with."""
    async with (
        FakeServer() as fake,
        serving(fake.api_url, **options) as url,
        httpx.AsyncClient(base_url=url, trust_env=False, timeout=60) as client,
    ):
        yield client


async def log_in(client: httpx.AsyncClient) -> httpx.Response:
    return await client.post("/login", data={"token": TOKEN})


# The token


@pytest.mark.parametrize(
    "given",
    [None, "", " ", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), f" {TOKEN}", "ä", "\udc80", "None"],
)
def test_only_the_token_is_the_token(given: str | None) -> None:
    assert not Gate("::", 1, TOKEN).takes_token(given)
    assert Gate("::", 1, TOKEN).takes_token(TOKEN)


@pytest.mark.parametrize("given", [None, "", "None", TOKEN])
def test_where_there_is_no_token_nothing_is_it(given: str | None) -> None:
    assert not Gate("127.0.0.1", 1).takes_token(given)


@pytest.mark.parametrize(
    "form", [{}, {"token": ""}, {"token": "x" * 28}, {"tokens": TOKEN}, {"Token": TOKEN}]
)
async def test_a_form_without_the_token_is_refused_and_gives_no_cookie(form: dict[str, str]) -> None:
    async with visiting(token=TOKEN) as client:
        wrong = await client.post("/login", data=form)
        assert (wrong.status_code, "set-cookie" in wrong.headers) == (401, False)
        assert (await client.get("/api/about")).status_code == 401


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
async def test_the_token_is_taken_from_a_posted_form_only(method: str) -> None:
    async with visiting(token=TOKEN) as client:
        answer = await client.request(method, f"/login?token={TOKEN}", content=f"token={TOKEN}")
        assert (answer.status_code, "set-cookie" in answer.headers) == (200, False)


# The cookie


async def cookie_of(answer: httpx.Response) -> tuple[str, str, dict[str, Any]]:
    """Name, value and flags of the one cookie that an answer sets."""
    (line,) = answer.headers.get_list("set-cookie")
    ((name, morsel),) = SimpleCookie(line).items()
    return name, morsel.value, {flag: value for flag, value in morsel.items() if value}


@pytest.mark.parametrize("way", ["form", "address"])
async def test_the_cookie_of_a_login_and_its_flags(way: str) -> None:
    async with visiting(token=TOKEN) as client:
        answer = await (log_in(client) if way == "form" else client.get("/", params={"token": TOKEN}))
        name, value, flags = await cookie_of(answer)
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        assert name == f"rawlogs_{client.base_url.port}", "two servers on one host do not take each other's"
        assert flags == {"httponly": True, "path": "/", "samesite": "strict"}
        assert TOKEN not in value
        assert (await client.get("/api/about")).status_code == 200


@pytest.mark.parametrize(("scheme", "secure"), [("https", True), ("http", False)])
async def test_the_cookie_is_secure_where_the_proxy_speaks_https(scheme: str, secure: bool) -> None:
    async with visiting(token=TOKEN) as client:
        client.headers["x-forwarded-proto"] = scheme
        for answer in (
            await log_in(client),
            await client.get("/", params={"token": TOKEN}),
            await client.post("/logout"),
        ):
            _, _, flags = await cookie_of(answer)
            assert flags.get("secure", False) is secure


def test_a_cookie_holds_for_its_token_and_its_port_only() -> None:
    gate = Gate("::", 1, TOKEN)
    cookie = Logins(gate).begin()
    assert Logins(gate).holds({"rawlogs_1": cookie}), "a restart ends no login"
    assert not Logins(gate).holds({"rawlogs_2": cookie})
    assert not Logins(Gate("::", 1, TOKEN + "2")).holds({"rawlogs_1": cookie})
    assert Logins(Gate("::", 1)).holds({}), "without a token nobody logs in"


@given(
    st.text()
    | st.builds("{}.{}".format, st.text("aA0_-", min_size=22, max_size=22), st.text("0f", min_size=64))
)
def test_whatever_a_cookie_holds_that_was_not_given_is_none(value: str) -> None:
    assert not Logins(Gate("::", 1, TOKEN)).holds({"rawlogs_1": value})


@given(st.data())
def test_a_cookie_that_was_changed_anywhere_is_none(data: st.DataObject) -> None:
    logins = Logins(Gate("::", 1, TOKEN), number=lambda: "Number-of-22-character")
    cookie = logins.begin()
    place = data.draw(st.integers(0, len(cookie) - 1))
    character = data.draw(st.sampled_from("aZ09_-.é").filter(lambda other: other != cookie[place]))
    assert not logins.holds({"rawlogs_1": cookie[:place] + character + cookie[place + 1 :]})
    assert not logins.holds({"rawlogs_1": cookie[:place] + character + cookie[place:]})
    assert not logins.holds({"rawlogs_1": cookie + character})


def test_every_login_has_a_cookie_of_its_own() -> None:
    logins = Logins(Gate("::", 1, TOKEN))
    assert len({logins.begin() for _ in range(100)}) == 100


# The end of a login


def test_an_ended_login_is_worth_nothing_and_the_others_stay() -> None:
    logins = Logins(Gate("::", 1, TOKEN))
    mine, other = {"rawlogs_1": logins.begin()}, {"rawlogs_1": logins.begin()}
    logins.end(mine)
    assert (logins.holds(mine), logins.holds(other)) == (False, True)


def test_ending_what_is_no_login_is_not_remembered() -> None:
    """Or anybody could fill the memory."""
    logins = Logins(Gate("::", 1, TOKEN))
    for value in ("", "x", f"{'A' * 22}.{'0' * 64}"):
        logins.end({"rawlogs_1": value})
        logins.end({})
    assert logins._ended == set()


async def test_logging_out_ends_the_cookie_also_where_it_was_copied() -> None:
    async with visiting(token=TOKEN) as client:
        await log_in(client)
        copied = dict(client.cookies)
        answer = await client.post("/logout")
        name, value, flags = await cookie_of(answer)
        assert (answer.status_code, answer.headers["location"]) == (303, "/login")
        assert (name, value) == (f"rawlogs_{client.base_url.port}", "")
        assert flags == {"httponly": True, "path": "/", "samesite": "strict", "max-age": "0"}
        assert (await client.get("/api/about")).status_code == 401
        for path in ("/api/about", "/logs", "/page.js"):
            cookie = "; ".join(f"{name}={value}" for name, value in copied.items())
            assert (await client.get(path, headers={"cookie": cookie})).status_code == 401


async def test_the_streams_of_a_login_end_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve_app, "RECHECK", 0.02)
    async with visiting(token=TOKEN) as client:
        await log_in(client)
        async with client.stream("GET", "/logs") as stream:
            assert stream.status_code == 200
            async with httpx.AsyncClient(base_url=client.base_url, trust_env=False, timeout=60) as other:
                await log_in(other)
                async with other.stream("GET", "/logs") as going_on:
                    parts = going_on.aiter_bytes()
                    assert await anext(parts)
                    await client.post("/logout")
                    async for _ in stream.aiter_bytes():
                        pass
                    assert (await other.get("/api/about")).status_code == 200
                    await parts.aclose()


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_another_site_logs_nobody_out(site: str) -> None:
    async with visiting(token=TOKEN) as client:
        await log_in(client)
        assert (await client.post("/logout", headers={"sec-fetch-site": site})).status_code == 403
        assert (await client.get("/logout")).status_code == 404
        assert (await client.get("/api/about")).status_code == 200


@pytest.mark.parametrize(("token", "login"), [(TOKEN, True), (None, False)])
async def test_the_page_knows_whether_there_is_a_login_to_end(token: str | None, login: bool) -> None:
    async with visiting(token=token) as client:
        if token:
            await log_in(client)
        assert (await client.get("/api/about")).json()["login"] is login


# Who asks


@pytest.mark.parametrize("site", ["cross-site", "same-site", "something-new", ""])
@pytest.mark.parametrize("path", ["/api/runs", "/api/about", "/logs", "/page.js", "/none"])
async def test_what_another_site_asks_for_is_refused(site: str, path: str) -> None:
    async with visiting() as client:
        assert (await client.get(path, headers={"sec-fetch-site": site})).status_code == 403


@pytest.mark.parametrize("site", ["same-origin", "none", "cross-site"])
async def test_the_page_itself_may_be_linked(site: str) -> None:
    async with visiting() as client:
        assert (await client.get("/", headers={"sec-fetch-site": site})).status_code == 200
        if site != "cross-site":
            assert (await client.get("/api/about", headers={"sec-fetch-site": site})).status_code == 200


def test_a_gate_on_the_network_wants_a_token_or_a_proxy() -> None:
    assert open_gate("0.0.0.0", 1, token=TOKEN).token == TOKEN
    assert open_gate("0.0.0.0", 1, behind_proxy=True).behind_proxy


# What every answer carries


def carried(answer: httpx.Response) -> dict[str, str]:
    return {name: answer.headers[name] for name in HEADERS if name in answer.headers}


@pytest.mark.parametrize("path", (*FILES, *OTHERS))
async def test_every_answer_carries_the_same_headers(path: str) -> None:
    async with visiting() as client:
        answer = await client.get(path)
        assert carried(answer) == HEADERS
        assert answer.headers["cache-control"] == ("no-cache" if path in FILES else "no-store")
        assert "server" not in answer.headers


async def test_a_refusal_carries_them_too() -> None:
    async with visiting(token=TOKEN) as client:
        answers = [
            await client.get("/", headers={"host": "x/y"}),
            await client.get("/", headers={"host": "evil.example"}),
            await client.get("/logs", headers={"sec-fetch-site": "cross-site"}),
            await client.get("/logs"),
            await client.get("/"),
            await client.get("/login"),
            await client.post("/login", data={"token": "wrong"}),
            await client.post("/login", content=b"x" * 5000),
            await client.post("/logout"),
            await log_in(client),
        ]
        assert [answer.status_code for answer in answers] == [
            400,
            421,
            403,
            401,
            303,
            200,
            401,
            413,
            303,
            303,
        ]
        for answer in answers:
            assert carried(answer) == HEADERS
            assert answer.headers["cache-control"] == "no-store"


async def test_the_stream_carries_them_too() -> None:
    async with visiting() as client, client.stream("GET", "/logs") as stream:
        assert carried(stream) == HEADERS
        assert stream.headers["cache-control"] == "no-store"


async def test_an_error_within_carries_them_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """And says nothing of what went wrong."""
    monkeypatch.setattr(serve_app, "version", lambda: {}["secret"])
    async with visiting() as client:
        answer = await client.get("/api/about")
        assert answer.status_code == 500
        assert carried(answer) == HEADERS
        assert "secret" not in answer.text


async def test_a_form_that_breaks_off_is_no_error_within(capfd: pytest.CaptureFixture[str]) -> None:
    async with visiting(token=TOKEN) as client:
        reader, writer = await asyncio.open_connection("127.0.0.1", client.base_url.port)
        writer.write(b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\ntoken=")
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        assert await reader.read() == b""
        assert (await client.get("/login")).status_code == 200
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("path", ["/logs/", "/api/about/", "/page.css/", "//logs", "//evil.example/logs/"])
async def test_no_answer_leads_to_where_the_client_says(path: str) -> None:
    """A redirect to the same path without its slash would be built from the client's own Host."""
    async with visiting(behind_proxy=True) as client:
        answer = await client.get(str(client.base_url)[:-1] + path, headers={"host": "evil.example"})
        assert (answer.status_code, "location" in answer.headers) == (404, False)
