"""The REST budget: how many requests, and when. Time is a number."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rawlogs.retrying.budget import Budget


@given(st.integers(1, 120), st.lists(st.floats(0.0, 30.0), max_size=200))
def test_no_minute_has_more_requests_than_a_full_bucket_and_a_minute_s_filling(
    limit: int, pauses: list[float]
) -> None:
    """Whoever waits as long as he is told, and asks as fast as he may."""
    budget, now, made = Budget(limit, 0.0), 0.0, []
    for pause in pauses:
        now += pause
        now += budget.wait(now)
        assert budget.wait(now) == 0.0
        budget.spend(now)
        made.append(now)
    for start in made:
        assert sum(start <= at < start + 60.0 for at in made) <= 2 * limit


def test_the_wait_is_until_one_whole_request_has_gathered() -> None:
    """60 a minute: a full bucket of 60, then one a second."""
    budget = Budget(60, 0.0)
    for _ in range(60):
        assert budget.wait(0.0) == 0.0
        budget.spend(0.0)
    assert budget.wait(0.0) == 1.0
    assert budget.wait(0.25) == 0.75
    assert budget.wait(1.0) == 0.0


def test_a_request_that_brought_new_logs_does_not_count() -> None:
    """And never fills the bucket over its rim."""
    budget = Budget(2, 0.0)
    for _ in range(1000):
        assert budget.wait(0.0) == 0.0
        budget.spend(0.0)
        budget.refund()
    budget.refund()
    budget.spend(0.0)
    budget.spend(0.0)
    assert budget.wait(0.0) == 30.0


def test_half_of_the_bucket_is_kept_for_what_comes() -> None:
    """A big list is only begun where the other half pays for it."""
    budget = Budget(60, 0.0)
    assert budget.covers(30, 0.0)
    assert not budget.covers(31, 0.0)
    budget.spend(0.0)
    assert not budget.covers(30, 0.0)
    assert budget.covers(30, 1.0)


def test_0_is_no_limit() -> None:
    """Whatever was spent."""
    budget = Budget(0, 0.0)
    for _ in range(10_000):
        budget.spend(0.0)
    assert budget.wait(0.0) == 0.0
    assert budget.covers(10**9, 0.0)
    assert not budget.limited
