from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import httpx
import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st
from relay_source import HandSource, log
from starlette.applications import Starlette

from rawlogs.relay import Hub
from rawlogs.relay.rounds import CHUNK, joined
from rawlogs.relay.sse import lifespan, routes
from rawlogs.relay.sse_encoding import chunks
from rawlogs.testing import FakeServer

KEY = "pnu_marked_0123456789"


def parse_events(body: str) -> list[dict[str, Any]]:
    """A body as a browser reads it (https://html.spec.whatwg.org/, section 9.2.6), without comments."""
    events: list[dict[str, Any]] = []
    current: dict[str, Any] = {}
    for line in body.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        if not line:
            if "data" in current:
                events.append(current)
            current = {}
        elif not line.startswith(":"):
            field, _, value = line.partition(":")
            value = value.removeprefix(" ")
            current[field] = f"{current['data']}\n{value}" if field == "data" and "data" in current else value
    return events


class Browser:
    """One EventSource: ``events`` as they come, ``received`` all bytes."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.received = b""
        self._chunks = response.aiter_bytes()

    async def until(self, count: int, kind: str = "log") -> list[dict[str, Any]]:
        """Read on until there are so many events of a kind, which are returned."""

        async def read() -> list[dict[str, Any]]:
            while len(found := [event for event in self.events if event.get("event") == kind]) < count:
                self.received += await anext(self._chunks)
            return found

        return await asyncio.wait_for(read(), 60)

    @property
    def events(self) -> list[dict[str, Any]]:
        return parse_events(self.received.decode())


@asynccontextmanager
async def serving(hub: Hub, **options: Any) -> AsyncIterator[str]:
    """The hub's own routes, running."""
    async with running(Starlette(routes=routes(hub, **options), lifespan=lifespan(hub))) as url:
        yield url


@asynccontextmanager
async def running(app: Any) -> AsyncIterator[str]:
    """A real uvicorn on a free port, and its URL."""
    server = uvicorn.Server(
        uvicorn.Config(app, port=0, log_level="error", ws="none", timeout_graceful_shutdown=1)
    )
    sock = server.config.bind_socket()
    sock.listen()
    task = asyncio.create_task(server.serve([sock]))
    try:
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"
    finally:
        server.should_exit = True
        await asyncio.wait_for(task, 60)
        sock.close()


@asynccontextmanager
async def browsing(url: str, *, last: str | None = None, **query: Any) -> AsyncIterator[Browser]:
    headers = {"Last-Event-ID": last} if last else {}
    async with (
        httpx.AsyncClient(trust_env=False, timeout=60) as client,
        client.stream("GET", f"{url}/logs?{urlencode(query, doseq=True)}", headers=headers) as response,
    ):
        yield Browser(response)


def everybody(request: object, query: object) -> bool:
    return True


async def answer(hub: Hub, path: str, **options: Any) -> httpx.Response:
    """The whole answer of a request that is turned away."""
    app = Starlette(routes=routes(hub, **options))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://relay") as client:
        return await client.get(path, headers=options.get("headers"))


class TestStream:
    async def test_backlog_then_live_logs_with_states_and_the_end(self) -> None:
        async with FakeServer() as fake:
            run = fake.add_run("etl")
            fake.store("stored", flow_run_id=str(run))
            hub = Hub(api_url=fake.api_url, api_key=KEY)
            async with (
                serving(hub, authorize=everybody) as url,
                browsing(url, flow_run_id=run, since="1h", level="INFO") as browser,
            ):
                assert browser.response.headers["content-type"].startswith("text/event-stream")
                assert browser.response.headers["cache-control"] == "no-store"
                assert browser.response.headers["x-accel-buffering"] == "no"
                await browser.until(1)
                await fake.until_subscribed()
                fake.post("too detailed", flow_run_id=str(run), level=10)
                fake.post("live", flow_run_id=str(run))
                await browser.until(2)
                fake.set_state(run, "FAILED")
                (end,) = await browser.until(1, "end")
                logs = [json.loads(event["data"]) for event in browser.events if event["event"] == "log"]
                assert [entry["message"] for entry in logs] == ["stored", "live"]
                assert all(event["id"] for event in browser.events)
                assert json.loads(end["data"])["states"] == {str(run): "FAILED"}
                assert browser.received.startswith(b"retry: 3000\n")
                assert KEY.encode() not in browser.received
                async with browsing(url, flow_run_id=run, last=end["id"]) as back:
                    assert back.response.status_code == 204

    async def test_a_browser_that_comes_back_to_another_worker_misses_nothing(self) -> None:
        async with FakeServer() as fake:
            async with (
                serving(Hub(api_url=fake.api_url), authorize=everybody) as url,
                browsing(url) as browser,
            ):
                await fake.until_subscribed()
                fake.post("one")
                (event,) = await browser.until(1)
            fake.store("while it was away")
            async with (
                serving(Hub(api_url=fake.api_url), authorize=everybody) as url,
                browsing(url, last=event["id"]) as browser,
            ):
                messages: list[str] = []
                while "while it was away" not in messages:
                    events = await browser.until(len(messages) + 1)
                    messages = [json.loads(item["data"])["message"] for item in events]

    async def test_a_browser_that_leaves_is_forgotten(self) -> None:
        async with FakeServer() as fake:
            hub = Hub(api_url=fake.api_url, linger=0.0)
            async with serving(hub, authorize=everybody) as url:
                async with browsing(url):
                    await fake.until_subscribed()
                    assert hub.readers == 1
                await fake.until(lambda: fake.subscribed == 0)
                assert hub.readers == 0

    async def test_a_quiet_stream_is_kept_alive_and_its_position_moves(self) -> None:
        hub = Hub(HandSource())
        async with serving(hub, authorize=everybody, ping=0.05) as url, browsing(url) as browser:
            while b": keep-alive\nid: " not in browser.received:
                browser.received += await anext(browser._chunks)

    @pytest.mark.parametrize(
        "message",
        [
            pytest.param("a\r\nb\rc\nd", id="all line ends"),
            pytest.param("x\n\nevent: end\ndata: {}\n\n", id="an event of its own"),
            pytest.param("\ndata: forged\nid: 1\nretry: 1", id="fields"),
            pytest.param("a\u2028b\u2029c\u0085d\x0be\x0cf", id="line ends that only some know"),
            pytest.param(": comment\n\x00\ufeff", id="a comment, NUL and BOM"),
        ],
    )
    async def test_no_log_can_forge_an_event(self, message: str) -> None:
        source = HandSource()
        async with Hub(source) as hub:
            reader = await hub.join()
            source.send(log(message))
            stream = chunks(reader)
            opening = await anext(stream)
            body = (opening + await anext(stream)).decode()
            await stream.aclose()
        (event,) = parse_events(body)
        assert event["event"] == "log"
        assert json.loads(event["data"])["message"] == message
        assert len(body.splitlines()) == len(body.split("\n")) - 1


class TestTurnedAway:
    async def test_wrong_parameters_are_named(self) -> None:
        async with Hub(HandSource()) as hub:
            response = await answer(hub, "/logs?level=LOUD&tail=x&wat=1", authorize=everybody)
        assert response.status_code == 422
        assert sorted(response.json()["parameters"]) == ["level", "tail", "wat"]
        assert hub.readers == 0

    async def test_a_wrong_cursor_is_named(self) -> None:
        async with Hub(HandSource()) as hub:
            response = await answer(hub, "/logs?last_event_id=7", authorize=everybody)
        assert (response.status_code, list(response.json()["parameters"])) == (422, ["last_event_id"])

    async def test_nobody_reads_until_somebody_says_who(self) -> None:
        async with Hub(HandSource()) as hub:
            response = await answer(hub, "/logs")
            assert response.status_code == 403
            assert "authorize" in response.json()["error"]
            assert hub.readers == 0

    @pytest.mark.parametrize("verdict", [False, None, 1, "yes"])
    async def test_only_true_lets_in(self, verdict: object) -> None:
        async with Hub(HandSource()) as hub:
            response = await answer(hub, "/logs", authorize=lambda request, query: verdict)
        assert response.status_code == 403

    async def test_the_hook_sees_the_request_and_the_query_and_may_wait(self) -> None:
        run = uuid4()
        seen = []

        async def authorize(request: Any, query: Any) -> bool:
            await asyncio.sleep(0)
            seen.append((request.query_params["token"], query.flow_run_id))
            return False

        async with Hub(HandSource()) as hub:
            await answer(hub, f"/logs?token=t&flow_run_id={run}", authorize=authorize, ignore=["token"])
        assert seen == [("t", (run,))]

    async def test_a_prefect_that_cannot_be_asked_is_503_without_its_address(self) -> None:
        async with FakeServer() as fake:
            hub = Hub(api_url=fake.api_url, api_key=KEY)
            async with hub:
                fake.refuse()
                response = await answer(hub, "/logs?deployment=a/b", authorize=everybody)
                assert response.status_code == 503
                assert str(fake.port) not in response.text
                assert int(response.headers["retry-after"]) >= 1

    async def test_head_opens_no_reader(self) -> None:
        async with Hub(HandSource()) as hub:
            app = Starlette(routes=routes(hub, authorize=everybody))
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://r") as client:
                response = await client.head("/logs")
            assert response.headers["content-type"].startswith("text/event-stream")
            assert hub.readers == 0


@given(st.lists(st.integers(0, 2 * CHUNK).map(bytes), max_size=8))
def test_what_is_joined_is_what_came_in_chunks_that_are_bounded(parts: list[bytes]) -> None:
    """A reader that does not read keeps one of them."""
    found = list(joined(parts))
    assert b"".join(found) == b"".join(parts)
    longest = max(map(len, parts), default=0)
    assert all(len(chunk) < CHUNK + longest or chunk in parts for chunk in found)
    assert all(len(chunk) >= CHUNK for chunk in found[:-1])
