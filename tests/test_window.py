"""Which range is listed next, as sequences of looks, and the theorem that the promise rests on."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from rawlogs.delivery.window import Look, Range, Window
from rawlogs.models import Log

NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)


def at(second: float) -> datetime:
    return NOON + timedelta(seconds=second)


def window(**options: float) -> Window:
    return Window(NOON, **{"overlap": 60.0, "settle": 2.0, **options})  # type: ignore[arg-type]


def audit(seen: Window, second: float, rows: int = 0, page: int = 200) -> list[Look]:
    """One audit whose lists find so many rows; the looks that it took."""
    looks = seen.audit(at(second), page)
    for look in looks:
        if look.kind == "count":
            seen.counted(look.range, at(second))
        else:
            seen.listed(look.range, rows, at(second))
    return looks


def spans(looks: list[Look]) -> list[tuple[str, float, float]]:
    return [
        (look.kind, (look.range.after - NOON).total_seconds(), (look.range.before - NOON).total_seconds())
        for look in looks
    ]


def test_a_quiet_stream_costs_one_request_an_audit() -> None:
    """Everything since the low-water mark fits into one page, so one list is both looks."""
    quiet = window()
    sequence = [spans(audit(quiet, second)) for second in (15, 30, 90, 105)]
    assert sequence == [[("list", 0, 13)], [("list", 0, 28)], [("list", 0, 88)], [("list", 30, 103)]]


def test_a_busy_stream_is_listed_once_and_counted_once() -> None:
    """The fresh range each time; what has become old by a count, about twice in an overlap."""
    busy = window()
    kinds = [spans(audit(busy, second, rows=1500)) for second in range(15, 151, 15)]
    assert [fresh[-1] for fresh in kinds][:3] == [("list", 0, 13), ("list", 13, 28), ("list", 28, 43)]
    counts = [look for looks in kinds for look in looks if look[0] == "count"]
    assert counts == [("count", 0, 43), ("count", 43, 73)]


def test_a_count_expects_what_the_lists_found() -> None:
    """The rows of all segments that it spans."""
    busy = window()
    for second in range(15, 106, 15):
        for look in busy.audit(at(second), 200):
            if look.kind == "count":
                assert look.expect == 3 * 700
                return
            busy.listed(look.range, 700, at(second))
    raise AssertionError("no count came")


def test_after_a_filter_change_nothing_is_counted() -> None:
    """The numbers belong to another filter."""
    changed = window()
    for second in (15, 30, 45):
        audit(changed, second, rows=700)
    changed.distrust_counts()
    kinds = [look.kind for second in range(60, 151, 15) for look in audit(changed, second, rows=700)]
    assert kinds[:4].count("count") == 0
    assert "list" in kinds


def test_what_was_dropped_here_is_unread_again() -> None:
    """From the first of it."""
    behind = window()
    audit(behind, 100)
    behind.reopen(at(50))
    assert behind.unread(at(101), ahead=False) == Range(at(50), at(99))


def test_a_stray_is_looked_for_once() -> None:
    """From its timestamp up to what was listed last; a log of the last seconds is none."""
    late = window()
    audit(late, 600)
    assert not late.stray(at(595))
    assert late.stray(at(300))
    assert late.stray_look() == Look("list", Range(at(300), at(598)))
    assert late.stray_look() is None


def test_the_past_is_what_was_stored_before_the_start() -> None:
    """By id, or stamped and stored before; a late log that was stored after the start is the stream's own."""
    started = window()
    started.set_past(frozenset({str(UUID(int=1))}), at(10), at(10))

    def row(number: int, stamp: float, created: float) -> Log:
        return Log.from_wire(
            {
                "id": str(UUID(int=number)),
                "level": 20,
                "message": "m",
                "timestamp": at(stamp).isoformat(),
                "created": at(created).isoformat(),
            }
        )

    assert started.is_past(row(1, 12, 12))
    assert started.is_past(row(2, 5, 6))
    assert not started.is_past(row(3, 5, 11))
    assert not started.is_past(row(4, 11, 9))


gaps = st.lists(st.floats(0.1, 120.0), min_size=1, max_size=30)


@given(
    st.floats(0.0, 900.0),
    st.floats(0.0, 60.0),
    gaps,
    st.integers(0, 2000),
    st.sampled_from([0.0, 1.0, 2.0, 5.0]),
)
def test_every_log_is_looked_at_after_it_became_readable(
    stamp: float, lateness: float, waits: list[float], rows: int, settle: float
) -> None:
    """The theorem: stamped t, readable by t + overlap, it is in the range of a look that begins no sooner than that."""
    seen = window(settle=settle)
    readable = stamp + lateness
    found = False
    second = 0.0
    for wait in [*waits, *([61.0] * 40)]:
        second += wait
        for look in seen.audit(at(second), 200):
            covers = look.range.after <= at(stamp) < look.range.before
            found = found or (covers and second >= readable)
            if look.kind == "count":
                seen.counted(look.range, at(second))
            else:
                seen.listed(look.range, rows, at(second))
        assert seen.late <= seen.fresh
        assert found or seen.late <= at(stamp), "the low-water mark passed a log that nothing vouched for"
    assert found
