"""Deployments that a reader names: names for Prefect, never a path of its API."""

from __future__ import annotations

from urllib.parse import quote

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette

from rawlogs.relay import BadQuery, Hub, Query
from rawlogs.relay.query import LONGEST_DEPLOYMENT, deployment_problem, parse_query, parse_request
from rawlogs.relay.sse import lifespan, routes
from rawlogs.testing import FakeServer

NO_NAMES = [
    "nightly",
    "/nightly",
    "etl/",
    "etl//",
    "../..",
    "./.",
    "etl/..",
    "../nightly",
    "etl/nightly/..",
    "etl/../nightly",
    " .. / .. ",
    "etl/..;x",
    "..;/nightly",
    "a\\../b",
    "..\\../b",
    "etl/a\\..\\b",
    "etl/%2e%2e",
    "etl/a%2fb",
    "etl/a?b=<c>",
    "etl/a\0b",
    "etl/a\nb",
    "etl/\x9b",
    "etl/\udc80",
    "etl/ ",
    f"etl/{'x' * LONGEST_DEPLOYMENT}",
]


@pytest.mark.parametrize("text", NO_NAMES)
def test_what_would_be_another_path_of_the_api_is_refused(text: str) -> None:
    with pytest.raises(BadQuery) as caught:
        parse_query([("deployment", "etl/nightly"), ("deployment", text)])
    assert list(caught.value.problems) == ["deployment"]
    with pytest.raises(BadQuery, match="deployment"):
        Query(deployment=(text,))


@pytest.mark.parametrize(
    "text",
    [
        "etl/nightly",
        "a.b/c..d",
        ".../..x",
        "Über alles/日本 🚀",
        "a b/c#d?e",
        "a;b/c:d@e",
        "a\\b/c",
        "b57d9c38-8d7a-4d29-8a3c-5a3f1c1b2a10",
    ],
)
def test_names_that_prefect_allows_are_taken(text: str) -> None:
    assert parse_query([("deployment", text)]).deployment == (text,)


@given(st.text(), st.text())
def test_whatever_is_taken_is_one_flow_and_one_deployment_in_the_path(flow: str, name: str) -> None:
    """As the URL is read by whoever sends it: two parts more, and none that leads up."""
    if deployment_problem(f"{flow}/{name}") is not None:
        return
    path = f"/api/deployments/name/{quote(flow, '')}/{quote(name, '')}"
    sent = httpx.URL(f"http://127.0.0.1{path}").raw_path.decode()
    assert sent == path and sent.count("/") == 5


async def test_the_reader_is_told_and_prefect_is_not_asked() -> None:
    async with FakeServer() as server:
        hub = Hub(api_url=server.api_url)
        app = Starlette(routes=routes(hub, authorize=lambda request, query: True), lifespan=lifespan(hub))
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            answer = await client.get("/logs", params={"deployment": "../.."})
        await hub.close()
        assert answer.status_code == 422 and list(answer.json()["parameters"]) == ["deployment"]
        assert server.requests == []


@pytest.mark.parametrize("level", ["1000001", "-1", "1e9", "99999999999999999999"])
def test_a_level_has_a_floor_and_a_ceiling(level: str) -> None:
    for name in ("level", "max_level"):
        with pytest.raises(BadQuery):
            parse_query([(name, level)])
    assert parse_query([("level", "1000000")]).min_level == 1_000_000


def test_of_several_last_event_ids_the_last_counts_and_the_header_before_all() -> None:
    """A browser keeps the URL that it began with, and a script adds to it."""
    pairs = [("last_event_id", f"2026-01-0{day}T00:00:00Z/-") for day in (1, 2, 3)]
    for header, day in ((None, 3), ("", 3), ("2026-01-04T00:00:00Z/-", 4)):
        query, cursor = parse_request(pairs, header)
        assert cursor is not None and query.resumes == cursor.low
        assert cursor.low.day == day
