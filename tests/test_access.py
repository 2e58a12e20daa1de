"""The right to read: seen with its position, asked again while a stream runs, and gone when it is withdrawn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import django
import httpx
import pytest
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.conf import settings
from django.test import AsyncRequestFactory
from django_site import USERS, Backend, configure
from hypothesis import given
from hypothesis import strategies as st
from relay_source import NOW, HandSource, log
from test_sse import answer, browsing, serving

from rawlogs.contrib.django import PrefectLogsConsumer, prefect_logs_view
from rawlogs.models import BEGINNING
from rawlogs.relay import Hub, Query, access
from rawlogs.relay.cursor import Cursor
from rawlogs.relay.query import LEAD, earliest, parse_request

OFTEN = 0.02
"""Seconds between two questions; how long it really takes is not asserted."""
AN_HOUR = timedelta(hours=1)
OLD = Cursor(NOW - timedelta(days=300)).text


class Right:
    """A hook whose answer a test changes; ``asked`` are the queries."""

    def __init__(self, verdict: object = True) -> None:
        self.verdict = verdict
        self.asked: list[Query] = []
        self.again = asyncio.Event()

    async def until(self, count: int) -> None:
        """Wait until it was asked so often."""
        while len(self.asked) < count:
            self.again.clear()
            await asyncio.wait_for(self.again.wait(), 60)

    async def __call__(self, who: object, query: Query) -> Any:
        self.asked.append(query)
        self.again.set()
        if isinstance(self.verdict, Exception):
            raise self.verdict
        return self.verdict


# What the hook sees


@pytest.mark.parametrize(
    ("query", "earliest"),
    [
        (Query(), NOW - LEAD),
        (Query(since=AN_HOUR), NOW - AN_HOUR),
        (Query(since=NOW - AN_HOUR), NOW - AN_HOUR),
        (Query(since=AN_HOUR, tail=5), NOW - AN_HOUR),
        (Query(since=AN_HOUR, tail=0), NOW - LEAD),
        (Query(tail=5), BEGINNING),
        (Query(since=timedelta(days=10**6)), BEGINNING),
        (Query(resumes=NOW - AN_HOUR), NOW - AN_HOUR),
        (Query(since=timedelta(minutes=1), resumes=NOW - AN_HOUR), NOW - AN_HOUR),
        (Query(resumes=datetime.min.replace(tzinfo=timezone.utc)), BEGINNING),
    ],
)
def test_a_query_says_how_far_back_it_reads(query: Query, earliest: datetime) -> None:
    assert query.earliest(NOW) == earliest


@given(
    st.none() | st.timedeltas(timedelta(0), timedelta(days=400)),
    st.none() | st.integers(0, 3),
    st.none() | st.timedeltas(timedelta(0), timedelta(days=400)),
)
def test_no_reader_reads_further_back_than_its_query_says(
    since: timedelta | None, tail: int | None, back: timedelta | None
) -> None:
    """The hub goes by the same rule."""
    pairs = [("since", f"{int(since.total_seconds())}s")] if since is not None else []
    pairs += [("tail", str(tail))] if tail is not None else []
    pairs += [("last_event_id", Cursor(NOW - back).text)] if back is not None else []
    query, cursor = parse_request(pairs)
    assert query.earliest(NOW) == earliest(query, cursor, NOW)
    assert query.resumes == (cursor and cursor.low)


async def test_a_last_event_id_goes_no_further_back_than_the_hook_allows() -> None:
    """The header as well as the parameter, whatever ``since`` says."""

    def last_hour(request: Any, query: Query) -> bool:
        return query.earliest(NOW) >= NOW - AN_HOUR

    source = HandSource()
    async with Hub(source) as hub:
        path = f"/logs?since=1m&last_event_id={OLD}"
        assert (await answer(hub, path, authorize=last_hour)).status_code == 403
        header = {"Last-Event-ID": OLD}
        async with serving(hub, authorize=last_hour) as url:
            async with httpx.AsyncClient(trust_env=False) as client:
                refused = await client.get(f"{url}/logs?since=1m", headers=header)
                assert refused.status_code == 403
            async with browsing(url, since="1m") as browser:
                assert browser.response.status_code == 200
        assert source.lists == [] or min(after for after, _ in source.lists) >= NOW - AN_HOUR


async def test_a_query_that_resumes_is_read_from_there_without_a_cursor() -> None:
    """What a hook sees means the same to a hub."""
    source = HandSource()
    source.stored.append(log("an hour ago", -3600, created=-3600))
    async with Hub(source) as hub:
        reader = await hub.join(Query(resumes=NOW - 2 * AN_HOUR))
        batches = reader.batches()
        found = [event.log.message for event in await anext(batches) if event.kind == "log"]
        await batches.aclose()
    assert found == ["an hour ago"]


# Starlette


async def test_a_stream_ends_when_the_right_is_withdrawn_and_does_not_come_back() -> None:
    source, right = HandSource(), Right()
    async with (
        Hub(source) as hub,
        serving(hub, authorize=right, recheck=OFTEN) as url,
        browsing(url) as browser,
    ):
        source.send(log("before"))
        before = await browser.until(1)
        right.verdict = False
        async for _ in browser._chunks:
            pass
        assert hub.readers == 0
        source.send(log("after"))
        async with browsing(url, last=before[0]["id"]) as again:
            assert again.response.status_code == 403
        assert right.asked[0].resumes is None
        # As for a reader that comes back: where it stands.
        assert all(query.resumes is not None for query in right.asked[1:])


@pytest.mark.parametrize("verdict", [False, None, 1, "yes", RuntimeError("the database is away")])
async def test_only_true_lets_a_reader_go_on(verdict: object, caplog: pytest.LogCaptureFixture) -> None:
    """A hook that fails is no yes; its error is logged, not sent."""
    right = Right()
    async with (
        Hub(HandSource()) as hub,
        serving(hub, authorize=right, recheck=OFTEN) as url,
        browsing(url) as browser,
    ):
        right.verdict = verdict
        async for part in browser._chunks:
            assert b"database" not in part
        assert hub.readers == 0
    logged = [record for record in caplog.records if "could not be asked for again" in record.getMessage()]
    assert len(logged) == isinstance(verdict, Exception)


async def test_a_hook_that_does_not_answer_is_no_yes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "LONGEST_ANSWER", OFTEN)
    asked: list[Query] = []

    async def authorize(request: Any, query: Query) -> bool:
        asked.append(query)
        if len(asked) > 1:
            await asyncio.Event().wait()
        return True

    async with (
        Hub(HandSource()) as hub,
        serving(hub, authorize=authorize, recheck=OFTEN) as url,
        browsing(url) as browser,
    ):
        async for _ in browser._chunks:
            pass
        assert hub.readers == 0


async def test_a_right_that_stays_is_asked_for_again_and_again() -> None:
    source, right = HandSource(), Right()
    async with Hub(source) as hub, serving(hub, authorize=right, recheck=OFTEN) as url:
        async with browsing(url) as browser:
            await right.until(5)
            source.send(log("still"))
            await browser.until(1)
        async with asking(hub) as other:
            await other.until(2)
            asked = len(right.asked)
            await other.until(5)
            assert len(right.asked) == asked, "nobody asks for a reader that has gone"


async def test_with_none_it_is_asked_once() -> None:
    source, right = HandSource(), Right()
    async with (
        Hub(source) as hub,
        serving(hub, authorize=right, recheck=None) as url,
        browsing(url) as browser,
        asking(hub) as other,
    ):
        right.verdict = False
        await other.until(5)
        source.send(log("on"))
        await browser.until(1)
    assert len(right.asked) == 1


@asynccontextmanager
async def asking(hub: Hub) -> AsyncIterator[Right]:
    """Another reader, by whose questions a test knows that time has passed."""
    right = Right()
    async with serving(hub, authorize=right, recheck=OFTEN) as url, browsing(url):
        yield right


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_a_time_that_is_none_is_refused(seconds: float) -> None:
    hub = Hub(HandSource())
    with pytest.raises(ValueError, match="recheck"):
        serving_routes(hub, seconds)


def serving_routes(hub: Hub, seconds: float) -> Any:
    from rawlogs.relay.sse import routes

    return routes(hub, authorize=Right(), recheck=seconds)


# Django: sessions without a database, and users in a dict


@pytest.fixture(autouse=True)
def _configured() -> None:
    configure()
    USERS.clear()


@pytest.fixture
async def session() -> AsyncIterator[Any]:
    """The session of a user who has logged in."""
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
    from django.contrib.auth.models import User
    from django.contrib.sessions.backends.cache import SessionStore

    USERS[1] = user = User(pk=1, username="ada", is_staff=True, password=uuid4().hex)
    store = SessionStore()
    store[SESSION_KEY] = "1"
    store[BACKEND_SESSION_KEY] = f"{Backend.__module__}.Backend"
    store[HASH_SESSION_KEY] = user.get_session_auth_hash()
    await asyncio.to_thread(store.create)
    yield store


def log_out(session: Any) -> None:
    session.flush()


def change_password(session: Any) -> None:
    USERS[1].password = uuid4().hex


def dismiss(session: Any) -> None:
    USERS[1] = type(USERS[1])(pk=1, username="ada", is_staff=False, password=USERS[1].password)


def delete(session: Any) -> None:
    del USERS[1]


CHANGES = [log_out, change_password, dismiss, delete]


class Staff(PrefectLogsConsumer):
    recheck = OFTEN

    async def authorize(self, scope: Any, query: Any) -> bool:
        return bool(scope["user"].is_authenticated and scope["user"].is_staff)


@pytest.mark.parametrize("change", CHANGES)
async def test_a_consumer_notices_what_became_of_its_user(session: Any, change: Any) -> None:
    """And closes with the code that says whether to log in."""
    from channels.auth import AuthMiddlewareStack

    source = HandSource()
    async with Hub(source) as hub:
        consumer = type("Own", (Staff,), {"hub": lambda self: hub})
        cookie = f"{settings.SESSION_COOKIE_NAME}={session.session_key}".encode()
        path = {"type": "websocket", "path": "/logs", "query_string": b"", "subprotocols": []}
        browser = ApplicationCommunicator(
            AuthMiddlewareStack(consumer.as_asgi()), {**path, "headers": [(b"cookie", cookie)]}
        )
        await browser.send_input({"type": "websocket.connect"})
        assert (await browser.receive_output(timeout=60))["type"] == "websocket.accept"
        source.send(log("before"))
        assert '"before"' in (await browser.receive_output(timeout=60))["text"]
        await asyncio.to_thread(change, session)
        refusal = await browser.receive_output(timeout=60)
        assert '"type":"error"' in refusal["text"]
        end = await browser.receive_output(timeout=60)
        assert end["code"] == (4403 if change is dismiss else 4401)
        assert hub.readers == 0
        await browser.send_input({"type": "websocket.disconnect", "code": end["code"]})
        await browser.wait(timeout=60)


@pytest.mark.parametrize("way", ["user", "auser"] if django.VERSION >= (5,) else ["user"])
@pytest.mark.parametrize("change", CHANGES)
async def test_a_view_notices_what_became_of_its_user(session: Any, change: Any, way: str) -> None:
    from django.contrib.auth import middleware
    from django.contrib.sessions.middleware import SessionMiddleware

    async def staff(request: Any, query: Any) -> bool:
        return bool(await sync_to_async(lambda: request.user.is_authenticated and request.user.is_staff)())

    async def staff_of_django_5(request: Any, query: Any) -> bool:
        user = await request.auser()
        return bool(user.is_authenticated and user.is_staff)

    if way == "auser":
        staff = staff_of_django_5
    async with Hub(HandSource()) as hub:
        view = prefect_logs_view(authorize=staff, hub=lambda: hub, recheck=OFTEN)
        served = SessionMiddleware(middleware.AuthenticationMiddleware(view))
        factory = AsyncRequestFactory()
        factory.cookies[settings.SESSION_COOKIE_NAME] = session.session_key
        response = await served(factory.get("/logs"))
        assert response.status_code == 200
        body = aiter(response)
        await anext(body)
        await asyncio.to_thread(change, session)
        async for _ in body:
            pass
        await asyncio.to_thread(response.close)
        assert hub.readers == 0
        assert (await served(factory.get("/logs"))).status_code == 403


@pytest.mark.parametrize("with_session", [False, True])
async def test_a_user_of_somebodys_own_middleware_stays_that_user(with_session: bool) -> None:
    """It does not come from a session, so nothing is read anew over it."""
    from django.contrib.sessions.backends.cache import SessionStore

    seen: list[Any] = []
    user = object()

    async def authorize(request: Any, query: Any) -> bool:
        seen.append(request.user)
        return len(seen) < 3

    async with Hub(HandSource()) as hub:
        view = prefect_logs_view(authorize=authorize, hub=lambda: hub, recheck=OFTEN)
        request = AsyncRequestFactory().get("/logs")
        request.user = user
        if with_session:
            request.session = SessionStore()
        response = await view(request)
        async for _ in response:
            pass
        await asyncio.to_thread(response.close)
    assert seen == [user] * 3


@pytest.mark.parametrize("with_session", [False, True])
async def test_a_consumer_without_sessions_is_asked_again_with_its_own_scope(with_session: bool) -> None:
    from django.contrib.sessions.backends.cache import SessionStore

    more = {"session": SessionStore(), "user": SimpleNamespace(is_authenticated=True)} if with_session else {}
    seen: list[tuple[str, Any]] = []

    class Token(PrefectLogsConsumer):
        recheck = OFTEN

        async def authorize(self, scope: Any, query: Any) -> bool:
            seen.append((scope["token"], scope.get("user")))
            return len(seen) < 3

    async with Hub(HandSource()) as hub:
        consumer = type("Own", (Token,), {"hub": lambda self: hub})
        path = {"type": "websocket", "path": "/logs", "query_string": b"", "subprotocols": [], "headers": []}
        browser = ApplicationCommunicator(consumer.as_asgi(), {**path, "token": "t", **more})
        await browser.send_input({"type": "websocket.connect"})
        for kind in ("accept", "send", "close"):
            message = await browser.receive_output(timeout=60)
            assert message["type"] == f"websocket.{kind}"
        assert message["code"] == 4403
        await browser.send_input({"type": "websocket.disconnect", "code": 4403})
        await browser.wait(timeout=60)
    assert seen == [("t", more.get("user"))] * 3
