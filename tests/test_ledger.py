"""Which range is listed next, as sequences of requests, and the theorem that the promise rests on."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rawlogs.delivery.ledger import Ledger, ListRequest, Range
from rawlogs.models import MICROSECOND

NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)
Spans = list[tuple[str, float, float]]


def at(second: float) -> datetime:
    return NOON + timedelta(seconds=second)


def second_of(moment: datetime) -> float:
    return (moment - NOON).total_seconds()


def ledger(**options: float) -> Ledger:
    return Ledger(NOON, **{"overlap": 60.0, "settle": 2.0, **options})


def rows(count: int) -> Callable[[datetime, datetime], int]:
    """So many rows in whatever part is asked for."""
    return lambda after, before: count


def stored(*stamps: float) -> Callable[[datetime, datetime], int]:
    """Rows of these seconds."""
    return lambda after, before: sum(after <= at(stamp) < before for stamp in stamps)


def spans(requests: list[ListRequest]) -> Spans:
    return [
        (request.kind, second_of(request.range.after), second_of(request.range.before))
        for request in requests
    ]


def due(book: Ledger, second: float, page: int = 200, *, ahead: bool = False) -> Spans:
    return spans(book.due(at(second), page, ahead=ahead))


def read(book: Ledger, after: float, before: float, second: float, found: int = 0, **more: Any) -> None:
    """One list of a range, which finds so many rows."""
    book.listed(Range(at(after), at(before)), at(second), rows(found), book.begin_list(), **more)


def audit(book: Ledger, second: float, found: int = 0, page: int = 200) -> Spans:
    """One audit whose lists find so many rows each, and whose counts find no more; the requests that it took."""
    requests = book.due(at(second), page)
    for request in requests:
        if request.kind == "count":
            book.counted(request.range, at(second), book.begin_list())
        else:
            book.listed(request.range, at(second), rows(found), book.begin_list())
    return spans(requests)


def marks_of(book: Ledger) -> tuple[float, float]:
    """Low-water mark and frontier."""
    return second_of(book.low_water), second_of(book.frontier)


def test_a_log_may_become_readable_within_a_minute_and_settles_within_two_seconds() -> None:
    """Unless it is said otherwise."""
    usual = Ledger(NOON)
    assert (usual.overlap, usual.settle) == (timedelta(seconds=60), timedelta(seconds=2))


# Audits


def test_a_quiet_stream_costs_one_request_an_audit() -> None:
    """Everything since the low-water mark fits into one page, so one list is both looks."""
    quiet = ledger()
    sequence = [audit(quiet, second) for second in (15, 30, 90, 105)]
    assert sequence == [[("list", 0, 13)], [("list", 0, 28)], [("list", 0, 88)], [("list", 30, 103)]]


def test_a_busy_stream_is_listed_once_and_counted_once() -> None:
    """What is new each time; what has become old by a count, about twice in an overlap."""
    busy = ledger()
    sequence = [audit(busy, second, found=1500) for second in range(15, 151, 15)]
    assert [requests[-1] for requests in sequence][:3] == [
        ("list", 0, 13),
        ("list", 13, 28),
        ("list", 28, 43),
    ]
    counts = [request for requests in sequence for request in requests if request[0] == "count"]
    assert counts == [("count", 0, 28), ("count", 28, 58), ("count", 58, 88)]


@pytest.mark.parametrize(
    ("found", "requests"),
    [
        pytest.param(100, [("list", 0, 28)], id="half a page"),
        pytest.param(101, [("list", 13, 28)], id="more"),
    ],
)
def test_one_list_is_both_looks_up_to_half_a_page(found: int, requests: Spans) -> None:
    """Beyond that the rows of the first look are not read again."""
    book = ledger()
    read(book, 0, 13, 15, found)
    assert due(book, 30) == requests


def test_where_nothing_was_found_one_list_is_both_looks_whatever_a_page_is() -> None:
    """Also where a page has one row."""
    book = ledger()
    read(book, 0, 13, 15, 0)
    assert due(book, 30, page=1) == [("list", 0, 28)]


def test_a_count_expects_what_the_lists_found() -> None:
    """The rows of all intervals that it spans."""
    busy = ledger()
    for second, found in ((15, 700), (30, 0), (45, 800)):
        audit(busy, second, found=found)
    assert busy.due(at(103), 200)[0] == ListRequest("count", Range(at(0), at(43)), 1500)


@pytest.mark.parametrize(
    ("second", "requests"),
    [
        pytest.param(102.9, [("list", 43, 100.9)], id="its end is younger than the overlap"),
        pytest.param(103, [("count", 0, 43), ("list", 43, 101)], id="the overlap of its end has passed"),
    ],
)
def test_a_second_look_is_due_when_the_overlap_of_the_end_has_passed(second: float, requests: Spans) -> None:
    book = ledger()
    read(book, 0, 43, 45, 700)
    assert due(book, second) == requests


@pytest.mark.parametrize("second", [89.9, 90.0])
def test_a_short_interval_is_looked_at_again_when_half_an_overlap_is_due(second: float) -> None:
    """A few seconds alone are not worth a request, but they are not forgotten."""
    book = ledger()
    read(book, 0, 1, 3, 700)
    assert ("count", 0, 1) not in due(book, 89.9)
    assert due(book, second) == [("count", 0, 1)] * (second >= 90) + [("list", 1, second - 2)]


def test_intervals_apart_from_each_other_are_counted_apart() -> None:
    """A count over what lies between would expect the wrong number; of a part of an interval none is known."""
    book = ledger()
    for second in (15, 30, 45, 60):
        audit(book, second, found=700)
    book.mark_unread(at(14), at(15))
    assert due(book, 150) == [
        ("count", 0, 13),
        ("list", 13, 14),
        ("list", 15, 28),
        ("count", 28, 58),
        ("list", 14, 15),
        ("list", 58, 148),
    ]


def test_after_a_filter_change_nothing_is_counted() -> None:
    """The numbers belong to another filter."""
    changed = ledger()
    for second in (15, 30, 45):
        audit(changed, second, found=700)
    changed.forget_counts()
    assert due(changed, 110) == [("list", 0, 43), ("list", 43, 108)]
    assert spans(changed.pending_rechecks()) == [("list", 0, 43)]


def test_without_a_settled_moment_nothing_is_asked() -> None:
    """An audit right after another one; what settles later is asked for then."""
    eager = ledger()
    audit(eager, 100)
    assert due(eager, 100) == []
    assert due(eager, 100.5) == [("list", 40, 98.5)]


def test_a_clock_set_back_still_asks() -> None:
    """Only an answer tells the server's time."""
    behind = ledger()
    audit(behind, 1000)
    assert due(behind, 937.9) == [("list", 998, 1058)]
    assert due(behind, 938) == []
    assert due(behind, 100, ahead=True) == [("list", 998, 1058)]


def test_after_a_clock_was_set_back_nothing_is_final_too_early() -> None:
    """A list that began before the overlap of a range had passed does not make it final, whatever was listed since."""
    behind = ledger()
    audit(behind, 1000)
    read(behind, 940, 1060, 970)
    assert marks_of(behind) == (940, 998)
    read(behind, 940, 1060, 1010)
    assert marks_of(behind) == (950, 1008)


def test_after_an_outage_of_the_list_everything_since_is_listed_at_once() -> None:
    """However long it was."""
    returned = ledger()
    audit(returned, 15, found=3)
    assert audit(returned, 3600) == [("list", 0, 3598)]
    assert marks_of(returned) == (3540, 3598)


def test_the_first_minute_before_the_start_is_looked_at_once_it_is_over() -> None:
    """The first list does not reach back so far."""
    started = ledger()
    started.start_at(at(0), passed=at(58))
    assert [audit(started, second, found=1) for second in (75, 90, 105, 120, 135)] == [
        [("list", 58, 73)],
        [("list", 73, 88)],
        [("list", 88, 103)],
        [("list", 0, 58), ("list", 103, 118)],
        [("list", 58, 133)],
    ]


def test_what_was_passed_at_the_start_is_not_read_when_the_stream_ends_at_once() -> None:
    """A busy minute takes long to read."""
    started = ledger()
    started.start_at(at(0), passed=at(58))
    assert started.pending_rechecks() == []
    read(started, 58, 73, 75, 3)
    assert spans(started.pending_rechecks()) == [("count", 58, 73)]


def test_a_start_that_has_passed_nothing_is_all_unread() -> None:
    """Also where what has passed ends at the start itself."""
    started = ledger()
    started.start_at(at(10), passed=at(10))
    assert (marks_of(started), due(started, 20)) == ((10, 10), [("list", 10, 18)])


def test_starting_anew_forgets_what_was_known() -> None:
    """Late logs, too; but a list that had begun before a mark does not check what was marked."""
    book = ledger()
    audit(book, 600)
    began = book.begin_list()
    book.mark_late(at(300))
    book.start_at(at(590))
    assert due(book, 610, ahead=True) == [("list", 590, 670)]
    book.listed(Range(at(590), at(670)), at(610), rows(0), began)
    assert book.frontier == at(590)


# Lists


def test_a_catch_up_reads_a_little_ahead() -> None:
    """A producer's clock may be fast; what is listed ahead is not verified."""
    fast = ledger()
    assert due(fast, 100, ahead=True) == [("list", 0, 160)]
    read(fast, 0, 160, 100)
    assert marks_of(fast) == (40, 98)


def test_a_catch_up_with_second_looks_is_one_list_where_that_is_less_than_a_page() -> None:
    """And where nothing is to be looked at again, it begins at the frontier."""
    book = ledger()
    read(book, 0, 43, 45, 7)
    assert due(book, 60, ahead=True) == [("list", 43, 120)]
    assert due(book, 103, ahead=True) == [("list", 0, 163)]
    book = ledger()
    read(book, 0, 43, 45, 101)
    assert due(book, 103, ahead=True) == [("count", 0, 43), ("list", 43, 163)]


def test_what_is_younger_than_settle_stays_unread() -> None:
    """Rows may still be on their way."""
    book = ledger(settle=5.0)
    read(book, 0, 100, 50)
    assert marks_of(book) == (0, 45)


def test_a_list_of_what_is_long_past_moves_the_low_water_mark_with_each_page() -> None:
    """Up to the end of the page, so that a list that breaks off has lost no page."""
    backlog = ledger()
    marks = backlog.begin_list()
    for page in range(10):
        span = Range(at(page * 100), at(page * 100 + 100))
        backlog.listed(span, at(5000 + page), rows(200), marks)
        assert backlog.low_water == span.before
    assert due(backlog, 5100) == [("list", 1000, 5098)]


def test_the_low_water_mark_moves_into_a_page_whose_beginning_is_long_past() -> None:
    """The rest of the page is looked at again, with the number of its own rows."""
    book = ledger()
    book.listed(Range(at(0), at(98)), at(100), stored(1, 39, 40, 41, 97), book.begin_list())
    assert marks_of(book) == (40, 98)
    assert book.pending_rechecks() == [ListRequest("count", Range(at(40), at(98)), 3)]


def test_a_list_that_lags_behind_the_socket_is_final_only_where_its_overlap_has_passed() -> None:
    """Others of a POST that is being stored may be lost; what had been listed before stays listed."""
    book = ledger()
    read(book, 0, 98, 100, lagging=True)
    assert marks_of(book) == (40, 40)
    read(book, 40, 70, 101)
    read(book, 40, 99, 102, lagging=True)
    assert marks_of(book) == (42, 70)


def test_a_list_that_begins_behind_the_frontier_leaves_a_hole() -> None:
    """Which is asked for, alone where the rest was read for good."""
    book = ledger()
    read(book, 10, 98, 100, 700)
    assert marks_of(book) == (0, 98)
    assert due(book, 110) == [("list", 0, 10), ("list", 98, 108)]


def test_a_list_before_the_low_water_mark_changes_nothing_behind_it() -> None:
    """Such as one of late logs."""
    book = ledger()
    audit(book, 100)
    read(book, 0, 30, 110)
    assert (marks_of(book), due(book, 115)) == ((40, 98), [("list", 40, 113)])


def test_counting_makes_final_what_was_listed_and_nothing_else() -> None:
    """What is unread in between stays so."""
    book = ledger()
    read(book, 0, 43, 45, 700)
    book.counted(Range(at(0), at(50)), at(103), book.begin_list())
    assert marks_of(book) == (43, 43)
    read(book, 43, 58, 104, 700)
    book.mark_unread(at(50), at(51))
    book.counted(Range(at(43), at(58)), at(118), book.begin_list())
    assert book.low_water == at(50)


def test_a_count_that_began_too_early_makes_nothing_final() -> None:
    """The overlap of the range had not passed."""
    book = ledger()
    read(book, 0, 43, 45, 700)
    book.counted(Range(at(0), at(43)), at(102.9), book.begin_list())
    assert book.low_water == at(0)


def test_a_count_does_not_check_what_was_marked_while_it_was_asked() -> None:
    """A log was dropped meanwhile, stamped within the range."""
    book = ledger()
    read(book, 0, 43, 45, 700)
    marks = book.begin_list()
    book.mark_unread(at(20), at(21))
    read(book, 20, 21, 50, 1)
    book.counted(Range(at(0), at(43)), at(103), marks)
    assert book.low_water == at(20)


def test_pending_rechecks_are_the_second_looks_that_are_not_due_yet() -> None:
    """For a stream that ends before; the counts first, as a list of what has no known count may take long."""
    book = ledger()
    assert book.pending_rechecks() == []
    read(book, 0, 13, 15, 700)
    read(book, 13, 28, 30, 800)
    assert book.pending_rechecks() == [ListRequest("count", Range(at(0), at(28)), 1500)]
    book.mark_unread(at(27), at(28))
    assert spans(book.pending_rechecks()) == [("count", 0, 13), ("list", 13, 27)]
    book.mark_unread(at(0), at(1))
    read(book, 27, 58, 60, 5)
    book.mark_unread(at(-10), at(-9))  # what is final needs none
    assert spans(book.pending_rechecks()) == [("count", 27, 58), ("list", 1, 27)]


# Drops


def test_what_was_dropped_here_is_unread_again() -> None:
    """From the first of it to the last."""
    behind = ledger()
    audit(behind, 100)
    behind.mark_unread(at(50), at(60))
    assert marks_of(behind) == (40, 98)
    assert due(behind, 101) == [("list", 50, 60), ("list", 98, 99)]
    audit(behind, 119)
    assert (marks_of(behind), behind.open_gaps) == ((40, 117), 0)


def test_an_audit_after_a_drop_begins_with_what_was_dropped() -> None:
    """Also where that is older than what was final."""
    behind = ledger()
    audit(behind, 100)
    behind.mark_unread(at(20), at(21))
    assert (behind.low_water, behind.open_gaps) == (at(20), 1)
    assert audit(behind, 115) == [("list", 20, 113)]
    assert (marks_of(behind), behind.open_gaps) == ((55, 113), 0)


def test_a_catch_up_after_a_drop_begins_with_what_was_dropped() -> None:
    """One list, where what lies between is not much."""
    behind = ledger()
    audit(behind, 100)
    behind.mark_unread(at(20), at(21))
    assert due(behind, 101, ahead=True) == [("list", 20, 161)]


@pytest.mark.parametrize(
    ("stamp", "requests"), [(-21, [("list", -21, 99)]), (-22, [("list", -22, -21), ("list", 98, 99)])]
)
def test_up_to_an_overlap_of_final_time_is_read_again_after_a_drop(stamp: float, requests: Spans) -> None:
    """One request instead of two."""
    behind = ledger()
    audit(behind, 100)
    behind.mark_unread(at(stamp), at(stamp + 1))
    assert due(behind, 101) == requests


@pytest.mark.parametrize("ahead", [False, True])
def test_the_drop_of_a_log_with_a_wrong_clock_costs_no_list_of_everything_since(ahead: bool) -> None:
    """More than an overlap of final time is not read again."""
    behind = ledger()
    audit(behind, 10_000)
    behind.mark_unread(at(-1_000_000), at(-999_999))
    requests = due(behind, 10_010, ahead=ahead)
    assert requests == [("list", -1_000_000, -999_999), ("list", 9_998, 10_070 if ahead else 10_008)]
    audit(behind, 10_010)
    assert (behind.low_water, behind.open_gaps) == (at(9_940), 0)


@pytest.mark.parametrize(
    ("stamp", "frontier"),
    [
        pytest.param(-5, 43, id="before all that was listed"),
        pytest.param(20, 43, id="in what was listed before"),
        pytest.param(35, 43, id="in what is being read"),
        pytest.param(50, 43, id="behind what is being read"),
    ],
)
def test_a_list_does_not_check_what_was_dropped_while_it_was_read(stamp: float, frontier: float) -> None:
    """It may have passed that timestamp before the log was stored. The rest of it counts."""
    behind = ledger()
    read(behind, 0, 28, 30, 500)
    marks = behind.begin_list()
    behind.mark_unread(at(stamp), at(stamp + 0.5))
    behind.listed(Range(at(28), at(43)), at(45), rows(500), marks)
    assert (behind.frontier, behind.open_gaps) == (at(frontier), 1)
    holes = [request for request in due(behind, 60) if request[0] == "list"]
    assert holes == [("list", stamp, stamp + 0.5)] * (stamp < 43) + [("list", 43, 58)]
    audit(behind, 60, found=500)
    assert (behind.frontier, behind.open_gaps) == (at(58), 0)


def test_parts_of_a_range_in_which_something_was_dropped_have_no_known_count() -> None:
    """The others are listed once more instead of counted."""
    behind = ledger()
    marks = behind.begin_list()
    behind.mark_unread(at(20), at(21))
    behind.listed(Range(at(0), at(43)), at(45), rows(500), marks)
    assert due(behind, 60) == [("list", 20, 21), ("list", 43, 58)]
    assert due(behind, 200) == [("list", 0, 20), ("list", 21, 43), ("list", 20, 21), ("list", 43, 198)]
    read(behind, 0, 60, 62)
    behind.counted(Range(at(0), at(60)), at(120), behind.begin_list())
    assert behind.low_water == at(60)


def test_batches_that_are_dropped_one_after_the_other_are_one_gap() -> None:
    """However long the reader stands still; the ledger stays small, also while a list is being read."""
    behind = ledger()
    audit(behind, 100)
    for n in range(2000):
        if n == 1000:
            behind.begin_list()
        second = 100 + n * 0.05
        behind.mark_unread(at(second), at(second + 0.02))
    assert behind.open_gaps <= 2
    assert len(behind._intervals) < 10


def test_a_gap_that_goes_on_while_a_list_is_read_is_one() -> None:
    """Though the list settles only a part of it."""
    behind = ledger()
    behind.mark_unread(at(10), at(11))
    marks = behind.begin_list()
    behind.mark_unread(at(11), at(12))
    assert behind.open_gaps == 1
    behind.listed(Range(at(0), at(98)), at(100), rows(0), marks)
    assert (behind.open_gaps, behind.low_water) == (1, at(11))


def test_a_gap_that_is_being_listed_is_apart_from_one_that_is_marked_meanwhile() -> None:
    """The list counts for the first."""
    behind = ledger()
    behind.mark_unread(at(10), at(11))
    marks = behind.begin_list()
    behind.mark_unread(at(12), at(13))
    behind.listed(Range(at(0), at(98)), at(100), rows(0), marks)
    assert (behind.open_gaps, behind.low_water) == (1, at(12))


def test_drops_from_the_beginning_on_are_one_gap() -> None:
    """The first interval may be one."""
    behind = ledger()
    behind.mark_unread(at(0), at(1))
    behind.mark_unread(at(2), at(3))
    assert behind.open_gaps == 1
    assert due(behind, 10) == [("list", 0, 8)]
    read(behind, 0, 2.5, 10)
    assert (behind.open_gaps, behind.frontier) == (1, at(2.5))


def test_what_is_final_behind_a_gap_takes_no_room() -> None:
    """However many pages it was."""
    behind = ledger()
    audit(behind, 100)
    behind.mark_unread(at(-1000), at(-999))
    for page in range(200):
        read(behind, 98 + page * 10, 108 + page * 10, 3000)
    assert len(behind._intervals) < 10
    lists = [span for span in due(behind, 3000) if span[0] == "list"]
    assert lists == [("list", -1000, -999), ("list", 2098, 2998)]


def test_drops_far_from_each_other_are_gaps_of_their_own() -> None:
    """What lies between was not dropped; an overlap is far."""
    behind = ledger()
    behind.mark_unread(at(10), at(11))
    behind.mark_unread(at(71), at(72))
    assert behind.open_gaps == 1
    behind.mark_unread(at(132.1), at(133))
    assert behind.open_gaps == 2


def test_drops_on_both_sides_of_what_was_listed_are_gaps_of_their_own() -> None:
    """What was listed is not read again."""
    behind = ledger()
    audit(behind, 100, found=500)
    behind.mark_unread(at(50), at(51))
    behind.mark_unread(at(53), at(54))
    assert behind.open_gaps == 2
    assert [span for span in due(behind, 100) if span[0] == "list"] == [("list", 50, 51), ("list", 53, 54)]


def test_beyond_sixteen_gaps_the_nearest_two_are_one() -> None:
    """And no other."""
    behind = ledger()
    stamps = [n * 1000.0 for n in range(17)]
    stamps[9] = stamps[10] - 500.0
    audit(behind, 20_000)
    for stamp in stamps[:9] + stamps[10:]:
        behind.mark_unread(at(stamp), at(stamp + 1))
    assert behind.open_gaps == 16
    behind.mark_unread(at(stamps[9]), at(stamps[9] + 1))
    assert behind.open_gaps == 16
    assert [span[1:] for span in due(behind, 20_000)][8:11] == [
        (8000, 8001),
        (9500, 10_001),
        (11_000, 11_001),
    ]


@pytest.mark.parametrize("step", [-3600.0, 3600.0])
def test_drops_of_wrong_clocks_are_at_most_so_many_gaps(step: float) -> None:
    """The nearest are made one; each is still listed."""
    behind = ledger()
    stamps = [n * step * (1 + n / 1000) for n in range(200)]
    for stamp in stamps:
        behind.mark_unread(at(stamp), at(stamp + 1))
    assert behind.open_gaps <= 16
    assert len(behind._intervals) <= 60
    requests = due(behind, 10_000_000)
    assert all(any(after < stamp + 0.5 < before for _, after, before in requests) for stamp in stamps)
    audit(behind, 10_000_000)
    assert behind.open_gaps == 0


# Doubts


def test_a_doubt_is_an_open_gap_until_that_range_is_listed() -> None:
    """What is not listed yet stays doubted; a list up to now settles it though the youngest rows are on their way."""
    book = ledger()
    audit(book, 50)
    book.doubt(at(60))
    assert (book.open_gaps, book.frontier) == (1, at(48))
    read(book, 48, 55, 61)
    assert book.open_gaps == 1
    read(book, 55, 121, 61)
    assert (book.open_gaps, book.frontier) == (0, at(59))


def test_there_is_no_doubt_about_what_was_listed() -> None:
    """Up to the frontier everything was."""
    book = ledger()
    audit(book, 50)
    book.doubt(at(48))
    assert book.open_gaps == 0


def test_doubts_one_after_the_other_are_one_gap() -> None:
    """A list that does not answer is doubted with each try."""
    book = ledger()
    for second in range(1, 500):
        book.doubt(at(second))
    assert (book.open_gaps, len(book._intervals)) == (1, 2)


def test_what_lies_behind_the_end_of_a_stream_is_no_gap() -> None:
    """It is not asked for; what lies before is a gap as before."""
    book = ledger()
    book.doubt(at(60))
    book.end_at(at(50))
    assert book.open_gaps == 1
    read(book, 0, 50, 70)
    assert (book.open_gaps, marks_of(book)) == (0, (10, 50))


# Late logs


def test_a_late_log_is_looked_for_until_a_list_answers() -> None:
    """From its timestamp up to what was listed last."""
    late = ledger()
    audit(late, 600)
    assert late.mark_late(at(300))
    for _ in range(2):
        assert due(late, 600) == [("list", 540, 598), ("list", 300, 540)]
    read(late, 300, 540, 601, 7)
    assert due(late, 601) == [("list", 540, 599)]
    assert late.open_gaps == 0, "nothing shows that something is missing"


@pytest.mark.parametrize(("back", "late"), [(5.0, False), (5.1, True)])
def test_a_log_of_the_last_seconds_is_not_late(back: float, late: bool) -> None:
    """A sender batches for about 2 s."""
    book = ledger()
    audit(book, 600)
    assert book.mark_late(at(598 - back)) is late
    assert marks_of(book) == (540, 598 - back if late else 598)


def test_a_late_log_behind_the_low_water_mark_leaves_it_where_it_is() -> None:
    """Everything since its timestamp is unread, and what was listed before stays so."""
    book = ledger()
    audit(book, 600)
    assert book.mark_late(at(570))
    assert marks_of(book) == (540, 570)
    assert due(book, 600) == [("list", 570, 598)]


def test_a_late_log_closes_no_gap() -> None:
    """What was dropped behind it is missing as before."""
    book = ledger()
    audit(book, 600)
    book.mark_unread(at(580), at(581))
    book.mark_late(at(570))
    assert book.open_gaps == 1


def test_a_late_log_that_comes_during_its_look_is_looked_for_again() -> None:
    """The rows beside it may have been stored after the list had passed."""
    late = ledger()
    audit(late, 600)
    late.mark_late(at(300))
    marks = late.begin_list()
    late.mark_late(at(310))
    late.listed(Range(at(300), at(540)), at(601), rows(7), marks)
    assert due(late, 601) == [("list", 540, 599), ("list", 310, 540)]
    late.listed(Range(at(310), at(540)), at(602), rows(7), late.begin_list())
    assert due(late, 602) == [("list", 540, 600)]


def test_late_logs_whose_list_has_failed_are_one_request() -> None:
    """However many lists were begun since."""
    late = ledger()
    audit(late, 600)
    for stamp in (300, 310, 290, 320):
        late.mark_late(at(stamp))
        late.begin_list()
    assert due(late, 600) == [("list", 540, 598), ("list", 290, 540)]


def test_a_list_that_breaks_off_leaves_the_rest_of_a_late_range() -> None:
    """It has shown its beginning."""
    late = ledger()
    audit(late, 600)
    late.mark_late(at(300))
    read(late, 300, 400, 601)
    assert due(late, 600) == [("list", 540, 598), ("list", 400, 540)]
    read(late, 450, 600, 602)
    assert ("list", 400, 540) in due(late, 602), "its beginning was not shown"


@pytest.mark.parametrize(
    ("stamps", "expected"),
    [
        pytest.param([500, 410, 450], [(410, 940)], id="everything since the oldest of the last ten minutes"),
        pytest.param([398], [(398, 940)], id="ten minutes"),
        pytest.param([397.9], [(397.9, 457.9)], id="more"),
        pytest.param([-5000], [(-5000, -4940)], id="of long ago only the minute that it begins"),
        pytest.param([-5000, 500], [(-5000, -4940), (500, 940)], id="a clock that is wrong by hours"),
        pytest.param([500, -5000], [(-5000, -4940), (500, 940)], id="whenever it comes"),
        pytest.param(
            [-9000, -8000, -7000, -6000, -5000],
            [(-8000, -7940), (-7000, -6940), (-6000, -5940), (-5000, -4940)],
            id="four of them",
        ),
        pytest.param([-5000, -4990], [(-5000, -4940)], id="of one minute"),
    ],
)
def test_late_logs_of_long_ago_cost_no_list_of_everything_since(
    stamps: list[float], expected: list[tuple[float, float]]
) -> None:
    """A producer's clock may be wrong by hours; the audits cannot wait for a list of hours."""
    late = ledger()
    audit(late, 1000)
    assert all(late.mark_late(at(stamp)) for stamp in stamps)
    near = any(stamp >= 398 for stamp in stamps)
    assert late.frontier == at(940 if near else 998), "one of long ago makes nothing unread"
    assert [span[1:] for span in due(late, 1000) if span[1] < 940] == expected


def test_a_late_log_that_comes_while_its_range_is_listed_leaves_it_unread() -> None:
    """The list may have passed it."""
    late = ledger()
    audit(late, 600, found=500)
    marks = late.begin_list()
    late.mark_late(at(570))
    late.listed(Range(at(540), at(608)), at(610), rows(500), marks)
    assert [span for span in due(late, 610) if span[0] == "list"][:1] == [("list", 570, 598)]


def test_what_a_late_log_makes_unread_is_apart_from_what_is_being_listed() -> None:
    """On either side of it: the list counts for the rest."""
    late = ledger()
    read(late, 0, 28, 30, 500)
    marks = late.begin_list()
    late.mark_late(at(20))
    late.listed(Range(at(28), at(43)), at(45), rows(500), marks)
    assert due(late, 45) == [("list", 20, 28)]
    late = ledger()
    read(late, 0, 10, 30, 500)
    read(late, 20, 28, 30, 500)
    marks = late.begin_list()
    late.mark_late(at(20))
    late.listed(Range(at(10), at(20)), at(45), rows(500), marks)
    assert due(late, 30) == [("list", 20, 28)]


def test_late_logs_one_before_the_other_take_no_room() -> None:
    """Each makes unread what the one before did, and a little more."""
    late = ledger()
    audit(late, 100, found=500)
    for n in range(50):
        late.mark_late(at(92 - n))
    assert len(late._intervals) < 10


def test_late_ranges_that_touch_are_looked_at_both() -> None:
    """Whichever came first."""
    for stamps in ([-5000, -4940], [-4940, -5000]):
        late = ledger()
        audit(late, 1000)
        for stamp in stamps:
            late.mark_late(at(stamp))
        assert due(late, 1000) == [("list", -5000, -4880)]


def test_what_was_listed_of_late_logs_makes_room_for_others() -> None:
    """So does what needs no list of its own, and what comes again."""
    late = ledger()
    audit(late, 1000)
    for stamp in (-9000, -8000, -7000, -6000):
        late.mark_late(at(stamp))
    audit(late, 1000)
    others = (-9500, -8500, -7500, -6500)
    for stamp in (*others, 940, -6500, -6500):
        late.begin_list()
        late.mark_late(at(stamp))
    found = [span[1] for span in due(late, 1000) if span[1] < 0]
    assert found == list(others)


def test_a_late_log_in_what_was_dropped_needs_no_look_of_its_own() -> None:
    """Everything from there on is unread."""
    late = ledger()
    audit(late, 600)
    late.mark_late(at(500))
    late.mark_unread(at(500), at(501))
    assert audit(late, 610) == [("list", 500, 608)]
    assert due(late, 610) == []


# The theorem


class Course:
    """A ledger on its way, and all pages that were listed."""

    def __init__(self, settle: float, page: int) -> None:
        self.ledger = ledger(settle=settle)
        self.page = page
        self.second = 0.0
        self.lists = 0
        self.pages: list[tuple[Range, float, int, str]] = []  # range, when it began, number of the list, kind
        self.marked: list[tuple[datetime, int]] = []  # timestamp, lists that had begun
        self.doubted: list[tuple[float, float, int]] = []  # from, to, pages that had been listed
        self.late_logs: list[tuple[datetime, int]] = []

    def pass_time(self, seconds: float) -> None:
        self.second += seconds

    def set_back(self, seconds: float) -> None:
        """The clock was."""
        self.second -= seconds

    def audit(self, *reading: Any) -> None:
        self.take(self.ledger.due(at(self.second), self.page), *reading)

    def catch_up(self, *reading: Any) -> None:
        self.take(self.ledger.due(at(self.second), self.page, ahead=True), *reading)

    def take(
        self,
        requests: list[ListRequest],
        found: int = 3,
        cuts: list[float] | None = None,
        breaks_off: int | None = None,
        event: tuple[str, float] | None = None,
        lagging: bool = False,
    ) -> None:
        """Read these in pages, cut at these fractions. A list breaks off after so many pages, and the rest is not
        asked for; the event happens while the first page is read."""
        for request in requests:
            marks, began, span = self.ledger.begin_list(), self.second, request.range
            self.lists += 1
            inner = [] if request.kind == "count" else sorted(cuts or [])
            moments = [*(span.after + (span.before - span.after) * cut for cut in (0.0, *inner)), span.before]
            for n, part in enumerate(map(Range, moments, moments[1:])):
                if n == breaks_off:
                    return
                if n == 0 and event is not None:
                    self.second += 0.5
                    getattr(self, event[0])(event[1])
                low = self.ledger.low_water
                self.pages.append((part, began, self.lists, request.kind))
                if request.kind == "count":
                    self.ledger.counted(part, at(began), marks)
                else:
                    self.ledger.listed(part, at(began), rows(found), marks, lagging=lagging)
                assert self.ledger.low_water >= low, "progress was lost"
                began = self.second

    def drop(self, back: float) -> None:
        stamp, low = at(self.second - back), self.ledger.low_water
        self.ledger.mark_unread(stamp, stamp + MICROSECOND)
        self.marked.append((stamp, self.lists))
        assert self.ledger.low_water == min(low, stamp)

    def late(self, back: float) -> None:
        stamp, low, gaps = at(self.second - back), self.ledger.low_water, self.ledger.open_gaps
        if self.ledger.mark_late(stamp):
            self.late_logs.append((stamp, self.lists))
        assert (self.ledger.low_water, self.ledger.open_gaps > 0) == (low, gaps > 0)

    def doubt(self, back: float) -> None:
        after, before = second_of(self.ledger.frontier), self.second - back
        self.ledger.doubt(at(before))
        if after < before:
            self.doubted.append((after, before, len(self.pages)))

    # What is to be expected

    def seen(self, stamp: float, since: float) -> bool:
        """Whether a request that began then or later covers this timestamp."""
        return any(
            span.after <= at(stamp) < span.before and began >= since for span, began, _, _ in self.pages
        )

    def asked(self, stamp: datetime, *kinds: str) -> bool:
        """Whether requests of these kinds that will be due some day cover this timestamp."""
        requests = self.ledger.due(at(1_000_000), 0)
        return any(
            request.range.after <= stamp < request.range.before and request.kind in kinds
            for request in requests
        )

    def listed_since(self, stamp: datetime, lists: int) -> bool:
        """Whether a list that began after so many lists shows this timestamp."""
        return any(
            span.after <= stamp < span.before and n > lists and kind == "list"
            for span, _, n, kind in self.pages
        )

    def expect(self, stamps: list[float], settle: float) -> None:
        """Nothing is passed, nothing is forgotten."""
        for stamp in stamps:
            final, listed = self.seen(stamp, stamp + 60.0), self.seen(stamp, stamp + settle)
            assert final or at(stamp) >= self.ledger.low_water, "the low-water mark passed it"
            assert final or self.asked(at(stamp), "list", "count"), "no second look is to come"
            assert listed or self.asked(at(stamp), "list"), "no list is to come"
        for moment, lists in self.marked:
            if not self.listed_since(moment, lists):
                assert moment >= self.ledger.low_water, "the low-water mark passed what was marked"
                assert self.asked(moment, "list"), "what was marked is not listed again"
                assert self.ledger.open_gaps > 0, "what was marked is no gap"
        for after, before, pages in self.doubted:
            shown = [span for span, _, _, kind in self.pages[pages:] if kind == "list"]
            assert self.ledger.open_gaps > 0 or _covered(after, before, shown), "a doubt was forgotten"


def _covered(after: float, before: float, shown: list[Range]) -> bool:
    at_least = at(after)
    for span in sorted(shown, key=lambda span: span.after):
        if span.after <= at_least < span.before:
            at_least = span.before
    return at_least >= at(before)


events = st.one_of(
    st.none(),
    st.tuples(st.sampled_from(["drop", "late"]), st.floats(0.0, 90.0)),
    st.tuples(st.just("doubt"), st.floats(0.0, 5.0)),
)
reading = (
    st.integers(0, 1500),
    st.lists(st.floats(0.0, 1.0), max_size=4),
    st.one_of(st.none(), st.integers(0, 4)),
    events,
    st.booleans(),
)
acts = st.lists(
    st.one_of(
        st.tuples(st.just("pass_time"), st.floats(0.01, 200.0)),
        st.tuples(st.just("pass_time"), st.floats(0.01, 20.0)),
        st.tuples(st.just("audit"), *reading),
        st.tuples(st.just("catch_up"), *reading),
        st.tuples(st.just("drop"), st.floats(0.0, 200.0)),
        st.tuples(st.just("late"), st.floats(0.0, 2000.0)),
        st.tuples(st.just("doubt"), st.floats(0.0, 5.0)),
        st.tuples(st.just("set_back"), st.floats(0.0, 30.0)),
        st.tuples(st.just("forget_counts")),
    ),
    max_size=30,
)


@settings(max_examples=150)
@given(acts, st.lists(st.floats(0.0, 600.0), min_size=1, max_size=8), st.sampled_from([0.0, 2.0, 5.0]))
def test_every_log_is_looked_at_after_it_became_readable(
    acts: list[tuple[Any, ...]], stamps: list[float], settle: float
) -> None:
    """The theorem: what is stamped t and readable by t + overlap is in a request that began no sooner than that.

    Whatever else happens, neither mark passes a log that no list verifies, and what was marked is listed by a list
    that began after that. Lists that break off lose nothing of what they had shown. In the end nothing is open.
    """
    course = Course(settle, 200)
    for name, *values in acts:
        if name == "forget_counts":
            course.ledger.forget_counts()
        else:
            getattr(course, name)(*values)
        course.expect(stamps, settle)
    course.catch_up()
    ahead = max(at(course.second), course.ledger.frontier) + timedelta(seconds=60)
    ends = [stamp for stamp, _ in course.marked] + [at(before) for _, before, _ in course.doubted]
    if all(end < ahead for end in ends):
        assert course.ledger.open_gaps == 0, "all was listed"
    for _ in range(110):
        course.pass_time(15.0)
        course.audit()
    course.expect(stamps, settle)
    assert course.ledger.low_water >= at(course.second - 60.0 - 15.0)
    assert course.ledger.open_gaps == 0
    assert course.ledger.due(at(course.second), 200) == []
    assert all(course.seen(stamp, stamp + 60.0) for stamp in stamps)
    assert all(course.listed_since(*mark) for mark in course.marked)
    assert len(course.late_logs) > 4 or all(course.listed_since(*late) for late in course.late_logs)


@given(st.lists(st.integers(0, 5), max_size=20))
def test_a_backlog_is_read_once_however_often_its_list_breaks_off(lists: list[int]) -> None:
    """The low-water mark moves with each page, so that the next list begins where the last one broke off."""
    book, page, second = ledger(), 0, 1_000_000.0
    for pages in lists:
        (request,) = book.due(at(second), 200, ahead=True)
        assert request.range.after == book.low_water == at(page * 100)
        marks = book.begin_list()
        for _ in range(pages):
            span = Range(at(page * 100), at(page * 100 + 100))
            book.listed(span, at(second), rows(200), marks)
            assert book.low_water == span.before
            page += 1
            second += 1.0


@settings(max_examples=50)
@given(
    st.lists(st.tuples(st.floats(0.0, 3.0), st.floats(0.0, 50.0)), min_size=50, max_size=300), st.booleans()
)
def test_a_ledger_stays_small_under_drops_and_late_logs_without_end(
    steps: list[tuple[float, float]], listing: bool
) -> None:
    """Also while lists are read in between."""
    book, second = ledger(), 100.0
    for n, (step, back) in enumerate(steps):
        second += step
        book.mark_unread(at(second - back), at(second - back + 0.01))
        book.mark_late(at(second - back * 10))
        if listing and n % 10 == 0:
            audit(book, second, found=150)
    assert len(book._intervals) < 100
    assert book.open_gaps <= 16
    assert len(book.due(at(second), 200)) < 50
