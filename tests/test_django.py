from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest
from asgiref.testing import ApplicationCommunicator
from channels.layers import InMemoryChannelLayer
from django.conf import settings
from django.test import AsyncRequestFactory, RequestFactory
from django_site import configure
from relay_source import HandSource, log

from rawlogs.contrib.django import PrefectLogsConsumer, close_hub, get_hub, prefect_logs_view
from rawlogs.contrib.django.hub import hub_options
from rawlogs.errors import ConfigError, ConnectError
from rawlogs.relay import Hub
from rawlogs.testing import FakeServer

KEY = "pnu_marked_0123456789"
RUN = UUID("00000000-0000-4000-8000-000000000001")


@pytest.fixture(scope="module", autouse=True)
def _configured() -> None:
    configure()


@pytest.fixture
def setting(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Sets one of Django's settings for a test."""
    yield lambda name, value: monkeypatch.setattr(settings, name, value, raising=False)


class Open(PrefectLogsConsumer):
    async def authorize(self, scope: Any, query: Any) -> bool:
        return True


class Shut(PrefectLogsConsumer):
    async def authorize(self, scope: Any, query: Any) -> bool:
        return False


class User:
    def __init__(self, known: bool) -> None:
        self.is_authenticated = known


class Browser(ApplicationCommunicator):  # channels.testing has the like, but needs daphne
    """A WebSocket of a browser; ``frames`` are decoded, ``code`` and ``reason`` are those of the end."""

    def __init__(self, app: Any, query: str, scope: dict[str, Any]) -> None:
        path = {"type": "websocket", "path": "/logs", "query_string": query.encode()}
        super().__init__(app, {**path, "headers": [], "subprotocols": [], **scope})
        self.frames: list[dict[str, Any]] = []
        self.code: int | None = None
        self.reason = ""

    async def open(self) -> None:
        await self.send_input({"type": "websocket.connect"})
        assert (await self.receive_output(timeout=60))["type"] == "websocket.accept"

    async def leave(self) -> None:
        await self.send_input({"type": "websocket.disconnect", "code": 1001})
        await self.wait(timeout=60)

    async def read(self) -> bool:
        """One message more; False for the end."""
        message = await self.receive_output(timeout=60)
        if message["type"] == "websocket.close":
            self.code, self.reason = message["code"], message.get("reason", "")
            return False
        self.frames.append(json.loads(message["text"]))
        return True

    async def until(self, count: int, kind: str = "log") -> list[dict[str, Any]]:
        while len(found := [frame for frame in self.frames if frame["type"] == kind]) < count:
            assert await self.read(), f"closed with {self.code}: {self.reason}"
        return found

    async def end(self) -> list[dict[str, Any]]:
        while await self.read():
            pass
        return self.frames


@asynccontextmanager
async def browsing(consumer: type, hub: Hub | None, query: str = "", **scope: Any) -> AsyncIterator[Browser]:
    own = type(consumer.__name__, (consumer,), {"hub": lambda self: hub}) if hub is not None else consumer
    browser = Browser(own.as_asgi(), query, scope)
    await browser.open()
    try:
        yield browser
    finally:
        await browser.leave()


class TestConsumer:
    async def test_logs_states_and_the_end_as_frames_of_json(self) -> None:
        async with FakeServer() as fake, Hub(api_url=fake.api_url, api_key=KEY) as hub:
            run = fake.add_run("etl")
            fake.store("stored", flow_run_id=str(run))
            async with browsing(Open, hub, f"flow_run_id={run}&since=1h&level=INFO&level=ERROR") as browser:
                await browser.until(1)
                await fake.until_subscribed()
                fake.post("exactly INFO or ERROR", flow_run_id=str(run), level=30)
                fake.post("live", flow_run_id=str(run), level=40)
                logs = await browser.until(2)
                fake.set_state(run, "COMPLETED")
                frames = await browser.end()
                assert [frame["log"]["message"] for frame in logs] == ["stored", "live"]
                assert frames[-1]["type"] == "end"
                assert browser.code == 1000
                assert KEY not in json.dumps(frames)

    async def test_it_goes_on_behind_the_last_event_id(self) -> None:
        source = HandSource()
        async with Hub(source) as hub:
            async with browsing(Open, hub) as browser:
                source.send(log("one"), log("two"))
                first = (await browser.until(2))[0]
            source.send(log("three"))
            await source.settled()
            async with browsing(Open, hub, f"last_event_id={first['id']}") as browser:
                assert [frame["log"]["message"] for frame in await browser.until(2)] == ["two", "three"]

    async def test_a_connection_that_ends_leaves_the_hub(self) -> None:
        async with Hub(HandSource()) as hub:
            async with browsing(Open, hub):
                assert hub.readers == 1
            assert hub.readers == 0

    async def test_a_hub_that_is_closed_asks_to_come_back(self) -> None:
        hub = Hub(HandSource())
        async with browsing(Open, hub) as browser:
            await hub.close()
            await browser.end()
            assert browser.code == 1012

    @pytest.mark.parametrize(
        ("query", "names"),
        [
            ("level=LOUD&tail=x", ["level", "tail"]),
            ("wat=1", ["wat"]),
            ("last_event_id=7", ["last_event_id"]),
        ],
    )
    async def test_wrong_parameters_close_with_4400_and_are_named(self, query: str, names: list[str]) -> None:
        async with Hub(HandSource()) as hub, browsing(Open, hub, query) as browser:
            (frame,) = await browser.end()
            assert (browser.code, frame["code"], list(frame["parameters"])) == (4400, 4400, names)

    @pytest.mark.parametrize(
        ("consumer", "scope", "code"),
        [
            pytest.param(PrefectLogsConsumer, {}, 4403, id="nobody, until authorize is overridden"),
            pytest.param(Shut, {}, 4403, id="no user is known"),
            pytest.param(Shut, {"user": User(False)}, 4401, id="not logged in"),
            pytest.param(Shut, {"user": User(True)}, 4403, id="not theirs"),
        ],
    )
    async def test_who_is_denied_is_told_whether_to_log_in(
        self, consumer: type, scope: dict[str, Any], code: int
    ) -> None:
        async with Hub(HandSource()) as hub, browsing(consumer, hub, **scope) as browser:
            (frame,) = await browser.end()
            assert (browser.code, frame["code"]) == (code, code)
            assert "authorize" not in frame["text"]
            assert hub.readers == 0

    async def test_with_debug_the_denial_says_what_to_override(self, setting: Any) -> None:
        setting("DEBUG", True)
        async with browsing(PrefectLogsConsumer, None) as browser:
            (frame,) = await browser.end()
            assert "override authorize(self, scope, query)" in frame["text"]
            assert len(browser.reason.encode()) <= 123

    async def test_the_hook_sees_the_scope_and_the_query(self) -> None:
        seen = []

        class Looking(PrefectLogsConsumer):
            ignore = ("token",)

            async def authorize(self, scope: Any, query: Any) -> bool:
                seen.append((scope["user"].is_authenticated, query.flow_run_id))
                return True

        asked = f"flow_run_id={RUN}&token=t"
        async with Hub(HandSource()) as hub, browsing(Looking, hub, asked, user=User(True)):
            assert hub.readers == 1
        assert seen == [(True, (RUN,))]

    async def test_a_prefect_that_cannot_be_asked_closes_with_4503_without_its_address(self) -> None:
        async with FakeServer() as fake, Hub(api_url=fake.api_url, api_key=KEY) as hub:
            fake.refuse()
            async with browsing(Open, hub, "deployment=a/b") as browser:
                frames = await browser.end()
                assert browser.code == 4503
                assert str(fake.port) not in json.dumps(frames) + browser.reason

    async def test_an_upstream_that_fails_later_is_a_gap(self) -> None:
        source = HandSource()
        async with Hub(source) as hub, browsing(Open, hub) as browser:
            source.fail(ConnectError("wss://secret", url="wss://secret", phase="tcp"))
            (gap,) = await browser.until(1, "gap")
            assert (gap["open"], gap["trouble"]) == (True, "unreachable")
            assert "secret" not in json.dumps(gap)

    async def test_a_burst_reaches_a_consumer_whole_where_a_channel_layer_drops_it(self) -> None:
        """Why group_send is not used: a channel layer drops what is over its capacity (100) without a word."""
        layer = InMemoryChannelLayer()
        await layer.group_add("logs", "a.consumer")
        for n in range(500):
            await layer.group_send("logs", {"type": "log", "n": n})
        assert layer.channels["a.consumer"].qsize() == 100
        source = HandSource()
        async with Hub(source) as hub, browsing(Open, hub) as browser:
            source.send(*[log(f"log {n}") for n in range(500)])
            frames = await browser.until(500)
            assert [frame["log"]["message"] for frame in frames] == [f"log {n}" for n in range(500)]


class TestView:
    @staticmethod
    async def get(view: Any, path: str = "/logs", **headers: str) -> Any:
        return await view(AsyncRequestFactory().get(path, headers=headers))

    @staticmethod
    def view(hub: Hub, **options: Any) -> Any:
        return prefect_logs_view(hub=lambda: hub, **{"authorize": lambda request, query: True, **options})

    async def test_it_streams_logs_and_leaves_when_the_client_does(self) -> None:
        source = HandSource()
        async with Hub(source) as hub:
            response = await self.get(self.view(hub))
            assert response["Content-Type"].startswith("text/event-stream")
            assert (response["Cache-Control"], response["X-Accel-Buffering"]) == ("no-store", "no")
            body = aiter(response)
            assert (await anext(body)).startswith(b"retry: 3000\nid: ")
            source.send(log("hello\n\nevent: end"))
            chunk = await asyncio.wait_for(anext(body), 60)
            assert chunk.count(b"event: log\ndata: {") == 1
            assert hub.readers == 1
            await asyncio.to_thread(response.close)
            assert hub.readers == 0

    async def test_a_quiet_stream_is_kept_alive(self) -> None:
        async with Hub(HandSource()) as hub:
            body = aiter(await self.get(self.view(hub, ping=0.01)))
            await anext(body)
            assert (await anext(body)).startswith(b": keep-alive\nid: ")
            await body.aclose()

    async def test_a_run_that_has_ended_needs_no_second_visit(self) -> None:
        async with Hub(HandSource()) as hub:
            response = await self.get(self.view(hub), **{"Last-Event-ID": "2026-01-01T00:00:00Z/-/end"})
            assert response.status_code == 204

    @pytest.mark.parametrize(
        ("path", "options", "status", "text"),
        [
            pytest.param("/logs?level=LOUD", {}, 422, "unknown level", id="wrong parameters"),
            pytest.param("/logs", {"authorize": None}, 403, "may not read", id="nobody by default"),
            pytest.param("/logs?deployment=a/b", {}, 422, "deployment", id="no deployments here"),
        ],
    )
    async def test_who_is_turned_away_is_told_why(
        self, path: str, options: dict[str, Any], status: int, text: str
    ) -> None:
        async with Hub(HandSource()) as hub:
            response = await self.get(self.view(hub, **options), path)
            assert response.status_code == status
            assert text in response.content.decode()
            assert hub.readers == 0

    async def test_with_debug_the_denial_says_what_to_give(self, setting: Any) -> None:
        setting("DEBUG", True)
        async with Hub(HandSource()) as hub:
            response = await self.get(self.view(hub, authorize=None))
            assert "prefect_logs_view(authorize=" in response.content.decode()

    async def test_wsgi_is_refused_with_what_to_use(self) -> None:
        async with Hub(HandSource()) as hub:
            response = await self.view(hub)(RequestFactory().get("/logs"))
            assert response.status_code == 501
            assert "ASGI" in response.content.decode()


class TestSettings:
    async def test_the_hub_is_made_from_djangos_settings_once(self, setting: Any) -> None:
        setting("RAWLOGS", {"linger": 1.0})
        setting("PREFECT_API_URL", "http://prefect.example:4200/api")
        setting("PREFECT_API_KEY", KEY)
        assert hub_options() == {
            "linger": 1.0,
            "api_url": "http://prefect.example:4200/api",
            "api_key": KEY,
        }
        hub = get_hub()
        assert get_hub() is hub
        assert "prefect.example:4200" in repr(hub)
        assert KEY not in repr(hub)
        await close_hub()

    async def test_another_source_can_be_named(self, setting: Any) -> None:
        setting("RAWLOGS", {"source": "relay_source.HandSource", "queue": 7})
        assert isinstance(get_hub().source, HandSource)
        assert get_hub().queue == 7
        await close_hub()

    def test_rawlogs_wins_over_the_prefect_names(self, setting: Any) -> None:
        setting("RAWLOGS", {"api_url": "http://a/api"})
        setting("PREFECT_API_URL", "http://b/api")
        assert hub_options() == {"api_url": "http://a/api"}

    @pytest.mark.parametrize("value", [{"api_uri": "x"}, [], "x"])
    def test_a_wrong_setting_is_named(self, setting: Any, value: object) -> None:
        setting("RAWLOGS", value)
        with pytest.raises(ConfigError, match="RAWLOGS"):
            hub_options()

    async def test_the_view_needs_no_channels(self) -> None:
        code = (
            "import sys; sys.modules['channels'] = None; "
            "from rawlogs.contrib.django import prefect_logs_view; prefect_logs_view()"
        )
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
        assert await process.wait() == 0
