"""What is said about the reading of stored logs, and that the stream waits, by the state of its account."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from rawlogs.output.progress import Progress
from rawlogs.status.stats import Reading, Stats

NEWEST = datetime(2026, 11, 21, 3, 0, 12, 500000, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("reading", "now", "text"),
    [
        pytest.param(None, 100, "", id="no list is read"),
        pytest.param(Reading(10, 5000, NEWEST), 11.9, "", id="it is soon done"),
        pytest.param(Reading(10), 12, "reading stored logs: no answer yet", id="a slow server"),
        pytest.param(
            Reading(10, 12000, NEWEST),
            15,
            "12,000 stored logs read, 2,400/s, now at 2026-11-21 03:00:12",
            id="rows, rate and moment",
        ),
    ],
)
def test_the_status_line_tells_how_far_the_reading_is(reading: Reading | None, now: float, text: str) -> None:
    """After two seconds of it."""
    assert Progress(zone=timezone.utc).status(reading, now) == text


@pytest.mark.parametrize(
    ("zone", "newest", "shown"),
    [
        (timezone(timedelta(hours=2)), NEWEST, "2026-11-21 05:00:12"),
        (timezone.utc, datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=5))), "0001-01-01T00:00:00+05:00"),
    ],
)
def test_the_moment_is_shown_in_the_zone_of_the_lines(zone: timezone, newest: datetime, shown: str) -> None:
    """Or as it came, where the zone would lead out of the calendar."""
    assert Progress(zone=zone).status(Reading(0, 1, newest), 9).endswith(f"now at {shown}")


IDLE, BUSY, SEEN = (
    Stats(connections=1),
    Stats(connections=1, reading=Reading(0)),
    Stats(connections=1, live=1),
)


@pytest.mark.parametrize(
    ("looks", "told"),
    [
        pytest.param([(Stats(), 0), (Stats(), 9)], [False, False], id="no connection yet"),
        pytest.param([(IDLE, 0), (IDLE, 0.5), (IDLE, 1)], [False, False, True], id="after a second"),
        pytest.param([(IDLE, 0), (IDLE, 1), (IDLE, 9)], [False, True, False], id="once"),
        pytest.param(
            [(IDLE, 0), (BUSY, 0.5), (IDLE, 1), (IDLE, 2)], [False] * 3 + [True], id="not while it lists"
        ),
        pytest.param([(IDLE, 0), (SEEN, 0.5), (SEEN, 5)], [False] * 3, id="not where logs are seen"),
    ],
)
def test_a_silent_stream_says_that_it_waits(looks: list[tuple[Stats, float]], told: list[bool]) -> None:
    """Once, and only where the screen would stay empty."""
    progress = Progress()
    assert [progress.waits(stats, now) for stats, now in looks] == told


def test_a_stream_that_polls_waits_too() -> None:
    """It has no connection that stays open."""
    progress = Progress()
    assert [progress.waits(Stats(), now, polling=True) for now in (0, 1)] == [False, True]
