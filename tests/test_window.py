"""Which range is listed next, as sequences of looks, and the theorem that the promise rests on."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rawlogs.delivery.seen import SeenIds
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
        seen.reading()
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
    assert behind.low == at(40)
    behind.reopen(at(20))
    assert behind.low == at(20)


def test_an_audit_after_a_drop_begins_with_what_was_dropped() -> None:
    """Also where that is older than what was final."""
    behind = window()
    audit(behind, 100)
    behind.reopen(at(20))
    assert spans(audit(behind, 115)) == [("list", 20, 113)]
    assert (behind.fresh, behind.late) == (at(113), at(55))


@pytest.mark.parametrize(("stamp", "fresh"), [(-5, 28), (20, 28), (35, 35), (50, 43)])
def test_a_list_does_not_vouch_for_what_was_dropped_while_it_was_read(stamp: float, fresh: float) -> None:
    """It may have passed that timestamp before the log was stored."""
    behind = window()
    audit(behind, 30, rows=500)
    behind.reading()
    behind.reopen(at(stamp))
    behind.listed(Range(at(28), at(43)), 500, at(45))
    assert behind.fresh == at(min(stamp, fresh))
    behind.reading()
    behind.listed(behind.unread(at(60), ahead=False), 500, at(60))
    assert behind.fresh == at(58)


def test_a_stray_is_looked_for_until_a_list_answers() -> None:
    """From its timestamp up to what was listed last; a log of the last seconds is none."""
    late = window()
    audit(late, 600)
    assert not late.stray(at(595))
    assert late.stray(at(300))
    look = Look("list", Range(at(300), at(598)))
    assert late.stray_look() == look
    assert late.stray_look() == look
    late.listed(look.range, 7, at(601))
    assert late.stray_look() is None
    assert late.late == at(541)


def test_a_stray_that_comes_during_its_look_is_looked_for_again() -> None:
    """The rows beside it may have been stored after the list had passed."""
    late = window()
    audit(late, 600)
    late.stray(at(300))
    look = late.stray_look()
    assert look is not None
    late.stray(at(310))
    late.listed(look.range, 7, at(601))
    assert late.stray_look() == Look("list", Range(at(310), at(598)))


@pytest.mark.parametrize(
    ("strays", "expected"),
    [
        pytest.param([500, 410, 450], (410, 998), id="the oldest of the last ten minutes"),
        pytest.param([-5000], (-5000, -4940), id="of long ago only the minute that it begins"),
        pytest.param([-5000, 500], (500, 998), id="a clock that is wrong by hours gives way"),
        pytest.param([500, -5000], (500, 998), id="whenever it comes"),
        pytest.param([-9000, -5000], (-5000, -4940), id="or to the last of its kind"),
    ],
)
def test_strays_of_long_ago_cost_no_list_of_everything_since(
    strays: list[float], expected: tuple[float, float]
) -> None:
    """A producer's clock may be wrong by hours; the audits cannot wait for a list of hours."""
    late = window()
    audit(late, 1000)
    assert all(late.stray(at(stamp)) for stamp in strays)
    assert late.stray_look() == Look("list", Range(at(expected[0]), at(expected[1])))


def test_a_stray_that_was_dropped_again_needs_no_look_of_its_own() -> None:
    """Everything from there on is unread."""
    late = window()
    audit(late, 600)
    late.stray(at(300))
    late.reopen(at(200))
    assert late.stray_look() is None
    late.listed(late.unread(at(610), ahead=True), 5, at(610))
    assert late.stray_look() is None


def test_a_catch_up_reads_a_little_ahead() -> None:
    """A producer's clock may be fast; what is listed ahead is not vouched for."""
    fast = window()
    span = fast.unread(at(100), ahead=True)
    assert span == Range(at(0), at(160))
    fast.listed(span, 3, at(100))
    assert fast.fresh == at(98)


def test_without_a_settled_moment_nothing_is_asked() -> None:
    """An audit right after another one."""
    eager = window()
    audit(eager, 100)
    assert eager.audit(at(100), 200) == []


def test_a_clock_set_back_still_asks() -> None:
    """Only an answer tells the server's time."""
    behind = window()
    audit(behind, 1000)
    assert spans(behind.audit(at(100), 200)) == [("list", 998, 1058)]
    assert behind.unread(at(100), ahead=True) == Range(at(998), at(1058))


def test_after_an_outage_of_the_list_everything_since_is_listed_at_once() -> None:
    """However long it was."""
    returned = window()
    audit(returned, 15, rows=3)
    assert spans(audit(returned, 3600)) == [("list", 0, 3598)]
    assert returned.late == at(3540)


def test_the_first_minute_before_the_start_is_looked_at_once_it_is_over() -> None:
    """The first list does not reach back so far."""
    started = window()
    started.begin(at(58), at(0))
    looks = [spans(audit(started, second, rows=1)) for second in (75, 90, 105, 120, 135)]
    assert looks == [
        [("list", 58, 73)],
        [("list", 73, 88)],
        [("list", 88, 103)],
        [("list", 0, 58), ("list", 103, 118)],
        [("list", 58, 133)],
    ]


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


@pytest.mark.parametrize(
    ("stamp", "created", "keep_all", "forgotten", "vouched"),
    [
        pytest.param(500, 300, False, None, True, id="stored long ago"),
        pytest.param(500, 500, False, None, False, id="stored within the retention: its id would be known"),
        pytest.param(950, 300, False, None, False, id="not final yet"),
        pytest.param(500, None, False, None, False, id="stored nobody knows when"),
        pytest.param(500, 300, True, None, False, id="where every id is kept, none is forgotten"),
        pytest.param(500, 300, True, 400, True, id="but for want of room"),
        pytest.param(500, 450, True, 400, False, id="and then only up to a time"),
    ],
)
def test_a_row_is_vouched_for_when_its_id_was_forgotten(
    stamp: float, created: float | None, keep_all: bool, forgotten: float | None, vouched: bool
) -> None:
    """A row that is not among the seen ids was delivered all the same."""
    seen = SeenIds()
    seen.forgotten = None if forgotten is None else at(forgotten).timestamp()
    long = Window(NOON, overlap=60.0, settle=2.0, retention=600.0, keep_all=keep_all, seen=seen)
    audit(long, 1000)
    row = {"id": str(UUID(int=1)), "level": 20, "message": "m", "timestamp": at(stamp).isoformat()}
    if created is not None:
        row["created"] = at(created).isoformat()
    assert long.vouched(Log.from_wire(row), at(1000)) is vouched


@pytest.mark.parametrize("keep_all", [False, True])
def test_an_id_outlives_the_doubt_about_its_row(keep_all: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though the clocks of arrival and of storage differ; with keep_all it is never forgotten."""
    monkeypatch.setattr("rawlogs.delivery.seen.CHUNK", 1)
    long = Window(NOON, overlap=60.0, settle=2.0, retention=600.0, keep_all=keep_all)
    row = {"id": str(UUID(int=1)), "level": 20, "message": "m", "timestamp": NOON.isoformat()}
    log = Log.from_wire({**row, "created": at(2).isoformat()})
    long.seen.admit([log], NOON.timestamp())
    for second in range(15, 900, 15):
        audit(long, second)
        long.settle_up(at(second))
        assert log in long.seen or long.vouched(log, at(second))
    assert (log in long.seen) is keep_all


class Course:
    """A window on its way, and all looks that were taken: (range, when it began)."""

    def __init__(self, settle: float, page: int) -> None:
        self.window = window(settle=settle)
        self.page = page
        self.second = 0.0
        self.looks: list[tuple[Range, float]] = []
        self.owed: list[tuple[float, float]] = []  # dropped here: (stamp, when)

    def pass_time(self, seconds: float) -> None:
        self.second += seconds

    def take(self, looks: list[Look], rows: int, drop: float | None, fails: bool) -> None:
        """Take these looks, with a drop while the last is read; a list that fails is not heard of."""
        for look in looks:
            self.window.reading()
            if drop is not None:
                self.drop(drop)
            if fails:
                return
            now = at(self.second)
            self.looks.append((look.range, self.second))
            if look.kind == "count":
                self.window.counted(look.range, now)
            else:
                self.window.listed(look.range, rows, now)

    def audit(self, rows: int, drop: float | None = None, fails: bool = False) -> None:
        self.take(self.window.audit(at(self.second), self.page), rows, drop, fails)
        look = self.window.stray_look()
        if look is not None:
            self.take([look], rows, None, fails)

    def catch_up(self, rows: int, drop: float | None = None, fails: bool = False) -> None:
        span = self.window.unread(at(self.second), ahead=True)
        self.take([Look("list", span)], rows, drop, fails)
        if not fails:
            self.take(self.window.second_looks(at(self.second)), rows, None, False)

    def drop(self, back: float) -> None:
        stamp = max(self.second - back, 0.0)
        self.owed.append((stamp, self.second))
        self.window.reopen(at(stamp))

    def seen(self, stamp: float, since: float) -> bool:
        """Whether a look that began then or later covers this timestamp."""
        moment = at(stamp)
        return any(span.after <= moment < span.before and began >= since for span, began in self.looks)


backs = st.one_of(st.none(), st.floats(0.0, 90.0))
acts = st.lists(
    st.one_of(
        st.tuples(st.just("pass_time"), st.floats(0.01, 200.0)),
        st.tuples(st.just("pass_time"), st.floats(0.01, 20.0)),
        st.tuples(st.just("audit"), st.integers(0, 1500), backs, st.booleans()),
        st.tuples(st.just("catch_up"), st.integers(0, 1500), backs, st.booleans()),
        st.tuples(st.just("drop"), st.floats(0.0, 200.0)),
        st.tuples(st.just("stray"), st.floats(0.0, 2000.0)),
        st.tuples(st.just("distrust")),
    ),
    max_size=30,
)


@settings(max_examples=150)
@given(acts, st.lists(st.floats(0.0, 600.0), min_size=1, max_size=8), st.sampled_from([0.0, 2.0, 5.0]))
def test_every_log_is_looked_at_after_it_became_readable(
    acts: list[tuple[Any, ...]], stamps: list[float], settle: float
) -> None:
    """The theorem: what is stamped t and readable by t + overlap is in a look that began no sooner than that.

    Whatever else happens, neither frontier passes a log that no look vouches for; and what was dropped here is
    looked at after it was dropped.
    """
    course = Course(settle, 200)

    def expect_nothing_passed() -> None:
        for stamp in stamps:
            if at(stamp) < course.window.late:
                assert course.seen(stamp, stamp + 60.0), "the low-water mark passed it"
            if at(stamp) < course.window.fresh:
                assert course.seen(stamp, stamp + settle), "the fresh frontier passed it"
        for stamp, when in course.owed:
            assert at(stamp) >= course.window.fresh or course.seen(stamp, when), "what was dropped was passed"

    for name, *values in acts:
        if name == "stray":
            course.window.stray(at(course.second - values[0]))
        elif name == "distrust":
            course.window.distrust_counts()
        else:
            getattr(course, name)(*values)
        expect_nothing_passed()
    for _ in range(70):
        course.pass_time(15.0)
        course.audit(3)
        expect_nothing_passed()
    assert course.window.late >= at(course.second - 60.0 - 15.0)
    assert all(course.seen(stamp, stamp + 60.0) for stamp in stamps)
    assert course.window.stray_look() is None
