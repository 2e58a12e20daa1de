"""Following flow runs: which runs belong together, when they have ended, and what was still on its way then."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from streaming import QuickClock, Reader, lists, within
from streaming import no_settings as no_settings
from streaming import serving as serving_slowly

import rawlogs
from rawlogs.models import BEGINNING
from rawlogs.rest.client import RestClient
from rawlogs.rest.flow_runs import Runs
from rawlogs.runs.follower import DynamicRuns, Follower, NamedRuns, named
from rawlogs.testing import Behaviour, FakeServer
from rawlogs.testing.faults import Blackhole, Drop, Http, Sleep, Step

Find = Callable[[Runs], Any]


def serving(behaviour: Behaviour | None = None, **options: Any) -> Any:
    """A fake server on a clock that is quicker still: there are many seconds to wait for after a run's end."""
    return serving_slowly(behaviour, **{"clock": QuickClock(20.0), **options})


class Following(Reader):
    """A stream that a Follower keeps on the right runs."""

    follower: Follower
    task: asyncio.Task[None]

    async def end(self) -> list[str]:
        """Read until all runs have ended; all messages."""
        await self.rest()
        await within(self.task)
        return self.messages


@asynccontextmanager
async def following(
    server: FakeServer,
    *given: UUID | str,
    find: Find | None = None,
    children: bool = True,
    clock: Any = None,
    **arguments: Any,
) -> AsyncIterator[Following]:
    """Follow the runs of these names, ids or URLs, or those that ``find`` finds, as the command does."""
    clock = clock or server.state._clock
    auth_string = arguments.get("auth_string")
    settings = rawlogs.stream(api_url=server.api_url, auth_string=auth_string).settings
    async with RestClient(settings, clock=clock, retries=2) as rest:
        runs = Runs(rest)
        roots: Any = DynamicRuns(find) if find else NamedRuns(await named(runs, map(str, given)))
        follower = Follower(runs, roots, children=children, clock=clock)
        ids = await follower.begin()
        chosen = {"flow_run_id": ids, "since": BEGINNING, "clock": clock}
        arguments = {"keep_ids": True, "audit": 15.0, **chosen, **arguments}
        reader = Following(server, **arguments)
        reader.follower = follower
        follower._notify = reader.logs.notify
        async with reader.logs as logs:
            reader.task = asyncio.create_task(follower.run(logs))
            try:
                yield reader
            finally:
                reader.task.cancel()
                await asyncio.gather(reader.task, return_exceptions=True)


def post(server: FakeServer, run: UUID, *messages: str) -> None:
    server.post(list(messages), flow_run_id=run)


def states(reader: Reader) -> list[str]:
    return [notice.text for notice in reader.notices if notice.kind == "state"]


async def connected(server: FakeServer, clients: int = 1) -> None:
    """Wait until the logs and the events are streamed."""
    await server.until_subscribed(clients)
    await server.until(
        lambda: server.event_connections and server.event_connections[-1].state == "subscribed"
    )


# One run.


async def test_a_run_that_has_ended_long_ago_is_shown_whole_and_at_once() -> None:
    clock = QuickClock()
    clock.ahead = -3600.0
    async with serving(clock=clock) as server:
        run = server.add_run("old", state="RUNNING")
        post(server, run, *(f"{n}" for n in range(300)))
        server.set_state(run, "COMPLETED")
        clock.ahead = 0.0
        async with following(server, run) as reader:
            assert await reader.end() == [f"{n}" for n in range(300)]
            assert reader.follower.outcome == "completed"


async def test_a_running_run_is_shown_from_its_start_to_its_end() -> None:
    async with serving() as server:
        run = server.add_run("busy")
        post(server, run, "before")
        server.post("of nobody")
        async with following(server, run) as reader:
            assert await reader.take() == ["before"]
            await connected(server)
            post(server, run, "live")
            server.post("of another run", flow_run_id=uuid4())
            assert await reader.take() == ["live"]
            server.set_state(run, "COMPLETED")
            assert await reader.end() == ["before", "live"]
            assert states(reader) == ["busy is Completed"]


async def test_logs_that_come_after_the_end_are_swept_up() -> None:
    async with serving() as server:
        run = server.add_run()
        async with following(server, run) as reader:
            await connected(server)
            server.set_state(run, "COMPLETED")
            await reader.until_noted("state")
            post(server, run, "Finished in state Completed()")
            server.store("flushed late, lost live", flow_run_id=run)
            assert sorted(await reader.end()) == ["Finished in state Completed()", "flushed late, lost live"]


async def test_a_log_stamped_long_before_the_end_and_stored_at_it_is_found_by_the_sweep() -> None:
    async with serving() as server:
        now = server.state.now()
        run = server.add_run()
        async with following(server, run) as reader:
            await connected(server)
            server.set_state(run, "COMPLETED")
            server.store("stamped an hour ago", flow_run_id=run, timestamp=now - timedelta(hours=1))
            assert await reader.end() == ["stamped an hour ago"]


async def test_a_sweep_that_still_brought_logs_is_followed_by_another() -> None:
    async with serving() as server:
        run = server.add_run()
        async with following(server, run, audit=1000.0) as reader:
            await connected(server)
            server.set_state(run, "COMPLETED")
            server.store("first sweep", flow_run_id=run, timestamp=server.state.now() - timedelta(hours=1))
            assert await reader.take() == ["first sweep"]
            server.store("second sweep", flow_run_id=run, timestamp=server.state.now() - timedelta(hours=1))
            assert await reader.end() == ["first sweep", "second sweep"]


@pytest.mark.parametrize(
    ("state", "outcome"),
    [("COMPLETED", "completed"), ("FAILED", "failed"), ("CRASHED", "failed"), ("CANCELLED", "failed")],
)
async def test_the_outcome_is_the_run_s_last_state(state: str, outcome: str) -> None:
    async with serving() as server:
        run = server.add_run()
        async with following(server, run) as reader:
            assert reader.follower.outcome == "running"
            await connected(server)
            server.set_state(run, state)
            await reader.end()
            assert reader.follower.outcome == outcome


@pytest.mark.parametrize("state", ["PAUSED", "SCHEDULED", "PENDING", "CANCELLING"])
async def test_a_run_that_only_rests_is_not_over(state: str) -> None:
    async with serving() as server:
        run = server.add_run()
        async with following(server, run) as reader:
            await connected(server)
            server.set_state(run, state)
            await reader.until_noted("state")
            await asyncio.sleep(0.3)  # nothing may end meanwhile
            assert not reader.task.done()
            server.set_state(run, "RUNNING")
            post(server, run, "again")
            assert await reader.take() == ["again"]
            server.set_state(run, "COMPLETED")
            assert await reader.end() == ["again"]


async def test_a_retried_run_is_followed_to_its_last_attempt() -> None:
    async with serving() as server:
        run = server.add_run()
        async with following(server, run) as reader:
            await connected(server)
            post(server, run, "first attempt")
            server.set_state(run, "FAILED")
            await reader.until_noted("state")
            server.set_state(run, "SCHEDULED", name="AwaitingRetry")
            server.set_state(run, "RUNNING", name="Retrying")
            await asyncio.sleep(0.3)  # some looks at the states
            post(server, run, "second attempt")
            assert await reader.take(2) == ["first attempt", "second attempt"]
            server.set_state(run, "COMPLETED")
            await reader.end()
            assert reader.follower.outcome == "completed"


async def test_the_end_of_another_run_is_not_the_end() -> None:
    async with serving() as server:
        run, other = server.add_run(), server.add_run()
        async with following(server, run) as reader:
            await connected(server)
            server.set_state(other, "COMPLETED")
            await asyncio.sleep(0.3)  # nothing may end meanwhile
            assert not reader.task.done()
            server.set_state(run, "COMPLETED")
            await reader.end()


async def test_a_deleted_run_is_not_waited_for_for_ever() -> None:
    async with serving() as server:
        run = server.add_run("doomed")
        async with following(server, run) as reader:
            post(server, run, "last words")
            assert await reader.take() == ["last words"]
            await connected(server)
            del server.state.runs.flow_runs[str(run)]
            await reader.end()
            assert reader.follower.outcome == "failed"
            assert "doomed" in states(reader)[-1]


async def test_without_follow_what_is_stored_is_shown_and_the_outcome_is_running() -> None:
    async with serving() as server:
        run = server.add_run()
        post(server, run, "stored")
        async with following(server, run, follow=False) as reader:
            assert await reader.rest() == ["stored"]
            assert reader.follower.outcome == "running"


# Children.


async def test_children_and_grandchildren_belong_to_a_run() -> None:
    async with serving() as server:
        root = server.add_run("root")
        child = server.add_run("child", parent=root)
        grandchild = server.add_run("grandchild", parent=child)
        for run, name in ((root, "r"), (child, "c"), (grandchild, "g")):
            post(server, run, f"stored {name}")
        async with following(server, root) as reader:
            assert sorted(await reader.take(3)) == ["stored c", "stored g", "stored r"]
            await connected(server)
            for run, name in ((root, "r"), (child, "c"), (grandchild, "g")):
                post(server, run, f"live {name}")
            assert sorted(await reader.take(3)) == ["live c", "live g", "live r"]
            for run in (grandchild, child, root):
                server.set_state(run, "COMPLETED")
            assert len(await reader.end()) == 6
            assert set(reader.follower.names.values()) == {"root", "child", "grandchild"}


async def test_children_that_start_later_are_followed_from_their_first_log() -> None:
    async with serving() as server:
        root = server.add_run("root")
        async with following(server, root) as reader:
            await connected(server)
            expected = []
            parent = root
            for depth in range(3):
                parent = server.add_run(f"child {depth}", parent=parent)
                post(server, parent, f"{depth} at its start")
                expected.append(f"{depth} at its start")
                assert await reader.take() == expected[-1:]
                await server.until_subscribed()
                post(server, parent, f"{depth} later")
                expected.append(f"{depth} later")
                assert await reader.take() == expected[-1:]
            for run in server.state.runs.flow_runs:
                server.set_state(run, "COMPLETED")
            assert await reader.end() == expected


async def test_a_child_that_began_and_ended_between_two_looks_is_swept() -> None:
    async with serving(Behaviour(events=False)) as server:
        root = server.add_run("root")
        async with following(server, root) as reader:
            await connected(server)
            child = server.add_run("short", parent=root)
            post(server, child, *(f"{n}" for n in range(300)))
            server.set_state(child, "COMPLETED")
            server.set_state(root, "COMPLETED")
            assert sorted(await reader.end(), key=int) == [f"{n}" for n in range(300)]


async def test_nothing_of_the_root_is_lost_or_repeated_while_children_are_added() -> None:
    async with serving() as server:
        root = server.add_run("root")
        sent = []
        async with following(server, root) as reader:
            await connected(server)
            for n in range(5):
                child = server.add_run(parent=root)
                for m in range(20):
                    for run, name in ((root, "root"), (child, "child")):
                        post(server, run, f"{name} {n}.{m}")
                        sent.append(f"{name} {n}.{m}")
                    await asyncio.sleep(0.002)
                server.set_state(child, "COMPLETED")
            server.set_state(root, "COMPLETED")
            assert sorted(await reader.end()) == sorted(sent)


async def test_a_child_that_is_found_while_the_socket_is_being_opened_is_streamed_too() -> None:
    async with serving() as server:
        root = server.add_run("root")
        async with following(server, root, audit=1000.0) as reader:
            await connected(server)
            server.fault("logs", Sleep(0.1))
            children = []
            for n in range(3):
                children.append(server.add_run(f"child {n}", parent=root))
                post(server, children[-1], f"{n} at its start")
                assert await reader.take() == [f"{n} at its start"]
            wanted = {str(run) for run in (root, *children)}

            def streamed() -> set[str]:
                return set((server.connections[-1].filter or {}).get("flow_run_id", {}).get("any_", []))

            await server.until(lambda: server.subscribed and streamed() == wanted)
            assert reader.logs.stats.reconnects == 0
            assert "lost" not in reader.kinds


async def test_a_failed_child_is_not_the_outcome_of_the_root() -> None:
    async with serving() as server:
        root = server.add_run("root")
        child = server.add_run("child", parent=root)
        async with following(server, root) as reader:
            await connected(server)
            server.set_state(child, "FAILED")
            server.set_state(root, "COMPLETED")
            await reader.end()
            assert reader.follower.outcome == "completed"


async def test_without_children_only_the_run_itself_is_shown() -> None:
    async with serving() as server:
        root = server.add_run("root")
        child = server.add_run("child", parent=root)
        post(server, child, "of the child")
        async with following(server, root, children=False) as reader:
            await connected(server)
            post(server, root, "of the root")
            server.set_state(root, "COMPLETED")
            assert await reader.end() == ["of the root"]


# Several runs.


async def test_several_runs_end_together_and_fail_together() -> None:
    async with serving() as server:
        one, two = server.add_run("one"), server.add_run("two")
        async with following(server, one, "two") as reader:
            await connected(server)
            server.set_state(one, "FAILED")
            await reader.until_noted("state")
            post(server, two, "still going")
            assert await reader.take() == ["still going"]
            server.set_state(two, "COMPLETED")
            await reader.end()
            assert reader.follower.outcome == "failed"


async def test_a_flow_s_runs_are_followed_and_those_that_start_later() -> None:
    async with serving() as server:
        now = server.state.now()
        run = server.add_run("first", flow="etl")
        other = server.add_run("other", flow="report")
        async with following(server, find=lambda runs: runs.by_flow("etl", since=now)) as reader:
            await connected(server)
            post(server, run, "first")
            post(server, other, "not of this flow")
            assert await reader.take() == ["first"]
            later = server.add_run("second", flow="etl")
            post(server, later, "second")
            assert await reader.take() == ["second"]
            for one in (run, later):
                server.set_state(one, "COMPLETED")
            await asyncio.sleep(0.4)  # nothing may end meanwhile
            assert not reader.task.done()  # another run may come
            third = server.add_run("third", flow="etl")
            post(server, third, "third")
            assert await reader.take() == ["third"]


@pytest.mark.parametrize("by", ["deployment", "tag"])
async def test_a_deployment_s_and_a_tag_s_runs_are_followed(by: str) -> None:
    async with serving() as server:
        now = server.state.now()
        deployment = server.add_deployment("etl", "prod")
        mine: dict[str, Any] = (
            {"flow": "etl", "deployment": "prod"} if by == "deployment" else {"tags": ["nightly"]}
        )
        find: Find = (
            (lambda runs: runs.by_deployment(deployment, since=now))
            if by == "deployment"
            else (lambda runs: runs.by_tag("nightly", since=now))
        )
        async with following(server, find=find) as reader:
            await connected(server)
            run, other = server.add_run(**mine), server.add_run(flow="etl")
            post(server, other, "not mine")
            post(server, run, "mine")
            assert await reader.take() == ["mine"]
            child = server.add_run(parent=run)
            post(server, child, "child's")
            assert await reader.take() == ["child's"]


# How it learns of it.


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param((Behaviour(events=False), []), id="events switched off"),
        pytest.param((Behaviour(), [Http(403)]), id="no events socket"),
        pytest.param((Behaviour(), [Http(503)]), id="events socket unavailable"),
        pytest.param((Behaviour(), [Drop()]), id="events socket dies"),
        pytest.param((Behaviour(), [Blackhole()]), id="events socket never answers"),
    ],
)
async def test_without_events_the_states_are_asked_for(broken: tuple[Behaviour, list[Step]]) -> None:
    behaviour, steps = broken
    async with serving(behaviour) as server:
        if steps:
            server.fault("events", *steps)
        root = server.add_run("root")
        async with following(server, root) as reader:
            await server.until_subscribed()
            child = server.add_run("child", parent=root)
            post(server, child, "child's")
            assert await reader.take() == ["child's"]
            server.set_state(child, "COMPLETED")
            server.set_state(root, "COMPLETED")
            began = time.monotonic()
            assert await reader.end() == ["child's"]
            assert time.monotonic() - began < 3.0


async def test_events_bring_the_news_long_before_the_next_look() -> None:
    async with serving() as server:
        run = server.add_run()
        async with following(server, run) as reader:
            await connected(server)
            await asyncio.sleep(0.1)  # it runs for a while
            server.set_state(run, "COMPLETED")
            began = server.state.now()
            await reader.until_noted("state")
            assert server.state.now() - began < timedelta(seconds=5)
            await reader.end()


async def test_a_lost_events_socket_is_opened_again() -> None:
    async with serving() as server:
        run = server.add_run()
        async with following(server, run) as reader:
            await connected(server)
            await server.drop_all()
            await server.until(lambda: len(server.event_connections) == 2)
            await connected(server)
            server.set_state(run, "COMPLETED")
            await reader.end()


@pytest.mark.parametrize("status", [500, 502, 429])
async def test_states_that_cannot_be_asked_for_are_asked_for_again(status: int) -> None:
    async with serving() as server:
        run = server.add_run()
        async with following(server, run) as reader:
            await connected(server)
            server.fault("rest", Http(status), times=5, path="/flow_runs/filter")
            server.set_state(run, "COMPLETED")
            await reader.end()
            assert reader.follower.outcome == "completed"


async def test_a_run_that_was_found_by_a_look_that_failed_is_read_all_the_same() -> None:
    """One of a flow's runs is found, and the question for its children fails."""
    async with serving() as server:
        server.add_run(flow="etl")
        failed = False

        async def find(runs: Runs) -> Any:
            nonlocal failed
            found = await runs.by_flow("etl")
            if len(found) == 2 and not failed:
                failed = True
                server.fault("rest", Http(500), times=2, path="/flow_runs/filter")
            return found

        async with following(server, find=find) as reader:
            await connected(server)
            second = server.add_run(flow="etl")
            await server.until(lambda: failed)
            post(server, second, "line")
            assert await reader.take() == ["line"]


async def test_a_restart_of_the_server_meanwhile_costs_nothing() -> None:
    async with serving() as server:
        run = server.add_run()
        async with following(server, run) as reader:
            await connected(server)
            post(server, run, "before")
            assert await reader.take() == ["before"]
            restart = asyncio.ensure_future(server.restart(0.1))
            await reader.until_noted("lost")
            server.store("meanwhile", flow_run_id=run)
            server.state.set_state(str(run), "COMPLETED", None, None)
            await restart
            assert await reader.end() == ["before", "meanwhile"]


async def test_following_leaves_no_task_behind() -> None:
    async with serving() as server:
        run = server.add_run()
        async with following(server, run) as reader:
            await connected(server)
            server.set_state(run, "COMPLETED")
            await reader.end()
        await server.until(lambda: server.event_connections[0].state == "ended")
        left = {task.get_coro().__qualname__ for task in asyncio.all_tasks()}  # type: ignore[union-attr]
        assert not {name for name in left if name.startswith(("LogStream", "Follower", "RunEvents"))}


# Which run is meant.


async def find_named(server: FakeServer, *given: str) -> list[UUID]:
    settings = rawlogs.stream(api_url=server.api_url).settings
    async with RestClient(settings) as rest:
        return [run.id for run in await named(Runs(rest), given)]


async def test_a_run_is_given_by_id_name_or_url() -> None:
    async with serving() as server:
        run = server.add_run("brave-otter")
        server.add_run("other")
        task = server.state.runs.add_task_run(str(run), "task-0")["id"]
        for text in (
            str(run),
            run.hex,
            "brave-otter",
            f"{server.origin}/runs/flow-run/{run}",
            f"{server.origin}/runs/task-run/{task}",
        ):
            assert await find_named(server, text) == [run]
        assert await find_named(server, "brave-otter", str(run)) == [run]


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        pytest.param("nobody", rawlogs.ConfigError, "no flow run", id="unknown name"),
        pytest.param(str(uuid4()), rawlogs.ConfigError, "no flow run", id="unknown id"),
        pytest.param("twin", rawlogs.ConfigError, "2 flow runs are named", id="ambiguous name"),
        pytest.param("http://localhost:4200/dashboard", rawlogs.ConfigError, "names no run", id="other page"),
    ],
)
async def test_a_run_that_cannot_be_meant_is_refused(
    text: str, error: type[rawlogs.RawlogsError], said: str
) -> None:
    async with serving() as server:
        server.add_run("twin")
        server.add_run("twin")
        with pytest.raises(error, match=said):
            await find_named(server, text)


async def test_a_rotated_key_is_taken_from_the_settings_by_the_follower_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "admin:old")
    async with serving(Behaviour(auth_string="admin:old")) as server:
        run = server.add_run("root")
        async with following(server, run, auth_string=None) as reader:
            await connected(server)
            server.state.behaviour = replace(server.behaviour, auth_string="admin:new")
            monkeypatch.setenv("PREFECT_API_AUTH_STRING", "admin:new")
            post(server, run, "its last line")
            server.set_state(run, "COMPLETED")
            assert await reader.end() == ["its last line"]
            assert reader.follower.outcome == "completed"


async def test_a_revoked_key_ends_the_following() -> None:
    async with serving(Behaviour(auth_string="admin:old")) as server:
        run = server.add_run("root")
        async with following(server, run, auth_string="admin:old") as reader:
            await connected(server)
            server.state.behaviour = replace(server.behaviour, auth_string="admin:new")
            server.set_state(run, "COMPLETED")
            with pytest.raises(rawlogs.AuthError):
                await within(reader.task)


# What 0.1.0 got wrong (D12, D13).


@pytest.mark.parametrize(
    "step",
    [pytest.param(Http(503), id="HTTP 503"), pytest.param(Drop(), id="cut")],
)
async def test_events_that_cannot_be_had_for_a_while_are_asked_for_again(step: Step) -> None:
    async with serving() as server:
        run = server.add_run()
        server.fault("events", step, times=8)
        async with following(server, run) as reader:
            await server.until(
                lambda: server.event_connections and server.event_connections[-1].state == "subscribed"
            )
            assert len(server.event_connections) == 9
            post(server, run, "live")
            server.set_state(run, "COMPLETED")
            assert await reader.end() == ["live"]


async def test_many_runs_that_end_together_are_swept_with_one_request() -> None:
    async with serving() as server:
        parent = server.add_run("parent")
        children = [server.add_run(parent=parent) for _ in range(100)]
        async with following(server, parent) as reader:
            await connected(server)
            for run in children:
                post(server, run, "done")
            await reader.take(100)
            for run in (*children, parent):
                server.set_state(run, "COMPLETED")
            await reader.end()
            assert reader.follower.outcome == "completed"
            assert len(reader.got) == 100
        assert reader.logs.stats.open_gaps == 0
        sweeps = [
            body
            for body in lists(server)
            if len(body["logs"].get("flow_run_id", {}).get("any_", ())) > 1 and not body["logs"]["timestamp"]
        ]
        assert len(sweeps) <= 6
