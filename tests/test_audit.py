"""How often the list is asked where it is all there is."""

from __future__ import annotations

import pytest

from rawlogs.delivery.audit import poll_interval


@pytest.mark.parametrize(
    ("quiet", "pause", "seconds"),
    [
        pytest.param(0.0, 0.1, 0.2, id="logs all the time"),
        pytest.param(0.0, 0.6, 0.3, id="half of the pause between them"),
        pytest.param(0.0, 2.0, 0.5, id="a flow run sends every 2 s"),
        pytest.param(3.0, 0.1, 1.5, id="it has become quiet"),
        pytest.param(300.0, 0.1, 15.0, id="at rest"),
    ],
)
def test_a_poller_keeps_up_with_what_comes_and_slows_down_at_rest(
    quiet: float, pause: float, seconds: float
) -> None:
    assert poll_interval(quiet, pause, 15.0) == seconds


def test_half_a_minute_of_silence_costs_a_dozen_requests_and_then_one_for_each_audit() -> None:
    """From the last log on."""
    at, looks = 0.0, []
    while at < 300.0:
        at += poll_interval(at, 0.2, 15.0)
        looks.append(at)
    assert sum(look <= 30.0 for look in looks) <= 14
    assert sum(150.0 < look <= 210.0 for look in looks) == 4
