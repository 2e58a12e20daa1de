"""When the list is read next: the earlier of what is due and what a suspicion brings forward."""

from __future__ import annotations

import asyncio

import pytest
from clocks import FakeClock
from delivering import turns

from rawlogs.delivery.schedule import Schedule
from rawlogs.waiting import first_of


class StandingStill(FakeClock):
    """A clock on which a sleep ends when a test says so."""

    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        await asyncio.Event().wait()


def due(schedule: Schedule, clock: FakeClock) -> float:
    return round(schedule._due - clock.monotonic(), 6)


async def test_the_first_list_is_due_at_once() -> None:
    clock = FakeClock()
    await Schedule(clock, 2.0).wait()
    assert clock.sleeps == []


@pytest.mark.parametrize(("at_most", "slept"), [(None, 15.0), (20.0, 15.0), (4.0, 4.0), (0.0, 0.0)])
async def test_waiting_ends_when_a_list_is_due_or_after_a_time(at_most: float | None, slept: float) -> None:
    """The earlier of both."""
    clock = FakeClock()
    schedule = Schedule(clock, 2.0)
    schedule.next_in(15.0)
    await schedule.wait(at_most)
    assert sum(clock.sleeps) == slept


async def test_what_is_brought_forward_ends_the_waiting_for_what_is_due_later() -> None:
    """And what is brought forward to a later time than that changes nothing."""
    clock = StandingStill()
    schedule = Schedule(clock, 2.0)
    schedule.next_in(15.0)
    waiting = asyncio.ensure_future(schedule.wait())
    await asyncio.sleep(0)
    schedule.bring_forward(20.0)
    await asyncio.sleep(0)
    schedule.bring_forward(3.0)
    await turns(lambda: len(clock.sleeps) == 2)
    assert clock.sleeps == [15.0, 3.0]
    schedule.bring_forward(0.0)
    await waiting


@pytest.mark.parametrize(
    ("pause", "soon", "seconds"),
    [
        pytest.param(0.0, None, 2.0, id="when what is stored has settled"),
        pytest.param(5.0, None, 5.0, id="after a longer pause"),
        pytest.param(1.0, None, 2.0, id="not after a shorter one"),
        pytest.param(5.0, 0.4, 0.4, id="soon"),
    ],
)
async def test_a_suspicion_brings_the_next_list_forward(
    pause: float, soon: float | None, seconds: float
) -> None:
    clock = FakeClock()
    schedule = Schedule(clock, 2.0)
    schedule.next_in(15.0)
    schedule.suspect(pause=pause, soon=soon)
    assert due(schedule, clock) == seconds
    assert schedule.suspected_at == clock.monotonic()


@pytest.mark.parametrize(("began", "answered"), [(1.9, False), (2.0, True)])
async def test_a_list_answers_a_suspicion_when_it_began_after_all_had_settled(
    began: float, answered: bool
) -> None:
    """An earlier one may have missed what was still being stored."""
    clock = FakeClock()
    schedule = Schedule(clock, 2.0)
    schedule.answered(clock.monotonic())
    schedule.suspect()
    schedule.answered(clock.monotonic() + began)
    assert (schedule.suspected_at is None) is answered


async def test_catching_up_is_due_at_once_and_stays_owed_until_it_begins() -> None:
    clock = FakeClock()
    schedule = Schedule(clock, 2.0)
    schedule.next_in(15.0)
    assert not schedule.catch_up
    schedule.catch_up_now()
    assert (schedule.catch_up, due(schedule, clock)) == (True, 0.0)
    schedule.catch_up = False
    assert not schedule.catch_up


async def test_the_first_of_several_ends_the_others() -> None:
    """What it raises is raised."""
    ended: list[str] = []

    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("endless")

    async def fails() -> None:
        await asyncio.sleep(0)
        raise OSError("fails")

    with pytest.raises(OSError, match="fails"):
        await first_of(endless(), fails())
    assert ended == ["endless"]
    await first_of(endless(), asyncio.sleep(0))
    assert ended == ["endless"] * 2
