"""The ledger of one stream: which ranges of time were listed, when, and which to list next. Pure.

All times are the server's. From the low-water mark on, time is cut into disjoint intervals ``[after, before)``:

    final    | checked, not final yet ...... | unread ..............................
             ^ low-water mark                ^ frontier              now - settle

*Unread*: no list has shown it (``checked_at`` is None). *Final*: a list that began ``overlap`` or more after its end
has shown it. The *low-water mark* is the start of the first interval that is not final: every log stamped before it
was delivered, if it became readable no later than ``overlap`` after its own timestamp. A checked interval keeps the
number of its rows, so that looking at it again after ``overlap`` is one request, a count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, Literal

from rawlogs.models import END

LATE_AFTER = timedelta(seconds=5)
"""A sender batches for about 2 s (seen on 3.8.8), so live logs are seldom stamped further before the frontier."""
NEAR = timedelta(seconds=600)
"""After a late log up to this old everything since is listed; after an older one only ``overlap`` from it on."""
LATE_RANGES = 4
"""How many ranges of late logs wait to be listed: a producer's wrong clock must not use up the list."""
GAPS = 16
"""How many separate gaps are remembered: beyond it the nearest two are one, so that wrong clocks cost no memory."""


Count = Callable[[datetime, datetime], int]
"""How many rows are stored from the first moment up to, not including, the second."""


@dataclass(frozen=True, slots=True)
class Range:
    """Timestamps from ``after`` up to, not including, ``before``."""

    after: datetime
    before: datetime

    @property
    def empty(self) -> bool:
        return self.after >= self.before


@dataclass(frozen=True, slots=True)
class ListRequest:
    """What to ask the list: ``list`` reads the rows of a range, ``count`` asks for more rows than ``expect``."""

    kind: Literal["list", "count"]
    range: Range
    expect: int = 0


@dataclass(frozen=True, slots=True)
class Interval(Range):
    """A range and what is known of it.

    checked_at: when the list began that showed it; None: unread.
    rows: how many rows that list found; None: not known, so a count cannot be compared. Of no meaning while unread.
    mark: number of the mark that made it unread; a list that began before that mark does not check it.
    doubted: logs are known or suspected to be missing; an open gap until it is listed.
    """

    checked_at: datetime | None = None
    rows: int | None = None
    mark: int = 0
    doubted: bool = False


class Ledger:
    """The intervals of one stream, in order of time; the last one has no end. Durations are seconds."""

    def __init__(self, start: datetime, *, overlap: float = 60.0, settle: float = 2.0) -> None:
        self.overlap = timedelta(seconds=overlap)
        self.settle = timedelta(seconds=settle)
        self._marks = self._begun = 0
        self.start_at(start)

    def start_at(self, start: datetime, *, passed: datetime | None = None) -> None:
        """Begin anew: everything from ``start`` on is unread.

        ``passed``: up to here only a second look is due, for what was stamped before the stream began and stored after.
        """
        self._intervals = [Interval(start, END, mark=self._marks)]
        # Before the low-water mark, where late logs came; outside what is promised.
        self._late: list[Interval] = []
        if passed is not None and passed > start:
            self._change(Range(start, passed), checked_at=start)

    # What is known

    @property
    def low_water(self) -> datetime:
        """Every stored log stamped before this was delivered."""
        return self._intervals[0].after

    @property
    def frontier(self) -> datetime:
        """Where the unread time without an end begins."""
        checked = (item.before for item in reversed(self._intervals) if item.checked_at is not None)
        return next(checked, self.low_water)

    @property
    def open_gaps(self) -> int:
        """How many ranges are doubted: logs were, or may have been, lost there, and no list has shown them since."""
        return len(self._gaps())

    # What happens

    def mark_unread(self, after: datetime, before: datetime) -> None:
        """Note that logs of this range are, or may be, missing: only a list that begins from now on checks it."""
        self._marks += 1
        if after < self.low_water:
            self._intervals.insert(
                0, Interval(after, self.low_water, END)
            )  # final, but for what is marked now
        self._change(Range(after, before), checked_at=None, mark=self._marks, doubted=True)
        while len(gaps := self._gaps()) > GAPS:
            between = [Range(first.before, second.after) for first, second in pairwise(gaps)]
            nearest = min(between, key=lambda span: span.before - span.after)
            self._change(nearest, checked_at=None, mark=self._marks, doubted=True)

    def doubt(self, before: datetime) -> None:
        """Make an open gap from the frontier up to then, as at a reconnect, or where the list does not answer."""
        frontier = self.frontier
        if frontier < before:
            self._change(Range(frontier, before), doubted=True)

    def end_at(self, before: datetime) -> None:
        """End the gaps there: the stream has read all that it is to read."""
        self._change(Range(before, END), doubted=False)

    def mark_late(self, stamp: datetime) -> bool:
        """Return whether a live log's timestamp is old; others like it may be lost then, so their range is marked."""
        frontier = self.frontier
        if stamp >= frontier - LATE_AFTER:
            return False
        low = self.low_water
        self._marks += 1
        near = stamp >= frontier - NEAR
        if near and frontier > max(stamp, low):
            # It stays doubted where it was; else nothing shows that something is missing there.
            self._change(Range(max(stamp, low), frontier), checked_at=None, mark=self._marks)
        before = low if near else min(low, stamp + self.overlap)
        # A list that has begun since a range was marked may have passed this timestamp: it is marked once more.
        waiting = [item for item in self._late if item.mark > self._begun]
        if stamp < before and not any(item.after <= stamp < item.before for item in waiting):
            outside = [item for item in self._late if not stamp <= item.after < before]
            found = [*outside, Interval(stamp, before, mark=self._marks)]
            self._late = sorted(found, key=lambda item: item.after)[-LATE_RANGES:]
        return True

    def begin_list(self) -> int:
        """Begin a list. Return the number to tell ``listed`` and ``counted``: what is marked later stays unread."""
        self._begun = self._marks
        return self._marks

    def listed(
        self, span: Range, began: datetime, count: Count, marks: int, *, lagging: bool = False
    ) -> None:
        """Note that all rows of a range were read by a request that ``began`` then; ``count`` counts those of a part.

        What is younger than ``settle`` stays unread: rows may still be on their way. ``lagging``: so are older ones,
        as the socket has shown logs that the list has not (5,000 logs take SQLite seconds); then what is younger than
        ``overlap`` stays unread.
        """
        # Everything that could be read by now was shown: what may still be on its way is no gap.
        self._change(span, lambda item: item.mark <= marks, doubted=False)
        edge = min(span.before, began - (self.overlap if lagging else self.settle))
        final = min(edge, began - self.overlap)  # cut here, so that the low-water mark moves as far as it may
        after = max(span.after, self.low_water)
        for part in (Range(after, final), Range(max(after, final), edge)):
            if not part.empty:
                self._check(part, began, count(part.after, part.before), marks)
        self._late = [left for item in self._late if (left := _left(item, span, marks)) is not None]
        self._tidy()

    def counted(self, span: Range, began: datetime, marks: int) -> None:
        """Note that a count over a range, begun then, showed no more rows than were known."""
        self._change(span, lambda item: item.checked_at is not None and item.mark <= marks, checked_at=began)

    def forget_counts(self) -> None:
        """Forget the numbers of rows: the filter has changed, and they cannot be compared any more."""
        self._intervals = [replace(item, rows=None) for item in self._intervals]

    # What to ask for

    def due(self, now: datetime, page: int, *, ahead: bool = False) -> list[ListRequest]:
        """Return the requests that are due, at most one while everything fits into a page.

        ``ahead``: also what has not settled yet, and what is stamped up to ``overlap`` in the future, as by a producer
        whose clock is fast.
        """
        low, frontier = self.low_water, self.frontier
        # A clock was set back: only an answer tells the server's time, so there is always something to ask for.
        ahead = ahead or now + self.overlap < frontier
        horizon = max(now, frontier) + self.overlap if ahead else now - self.settle
        unread = _unread(self._intervals, horizon)
        rechecks = self._rechecks(now - self.overlap, at_least=self.overlap / 2)
        late = [ListRequest("list", span) for span in _unread(self._late, END)]
        holes = bool(unread) and unread[0].after < frontier
        # One list from the low-water mark on is both looks. Not where only new rows are asked for ahead of time,
        # as each poll does: it would show the same half page every time.
        if unread and self._few_rows(page) and (rechecks or holes or not ahead):
            late = [request for request in late if request.range.after < low]
            return [ListRequest("list", Range(low, horizon)), *late]
        return [*rechecks, *(ListRequest("list", span) for span in unread), *late]

    def pending_rechecks(self) -> list[ListRequest]:
        """Return the second looks that are not due yet, for a stream that ends before; cheap ones first.

        What was only passed at the start is none: a busy minute takes long to read.
        """
        listed = [
            item for item in self._intervals if item.checked_at is not None and item.checked_at > item.after
        ]
        return sorted(self._rechecks(END, at_least=timedelta(0), among=listed), key=lambda look: look.kind)

    # Inside

    def _rechecks(
        self, edge: datetime, *, at_least: timedelta, among: Sequence[Interval] | None = None
    ) -> list[ListRequest]:
        """Return one request for each row of neighbours that end by ``edge``: a count, or a list where none is known.

        at_least: how long before ``edge`` the first of them must begin.
        """
        found: list[ListRequest] = []
        items = self._intervals if among is None else among
        due = [item for item in items if self._waits(item) and item.before <= edge]
        while due:
            run = [due.pop(0)]
            known = run[0].rows is not None
            while due and due[0].after == run[-1].before and (due[0].rows is not None) == known:
                run.append(due.pop(0))
            span = Range(run[0].after, run[-1].before)
            # A few seconds alone are not worth a request; after a while they are due together with others.
            if edge - span.after >= at_least:
                expect = sum(item.rows or 0 for item in run)
                found.append(ListRequest("count" if known else "list", span, expect))
        return found

    def _waits(self, item: Interval) -> bool:
        """Return whether an interval was listed once and is to be looked at again."""
        return item.checked_at is not None and not self._final(item)

    def _few_rows(self, page: int) -> bool:
        """Return whether what waits for a second look is less than half a page: then one list is both looks.

        Not where much is final behind the low-water mark: a log of a wrong clock that was dropped would cost a list
        of everything since.
        """
        known = [item.rows for item in self._intervals if self._waits(item)]
        final = sum((item.before - item.after for item in self._intervals if self._final(item)), timedelta(0))
        return None not in known and sum(rows or 0 for rows in known) <= page // 2 and final <= self.overlap

    def _gaps(self) -> list[Range]:
        """Return the doubted ranges, neighbours as one."""
        return _joined(item for item in self._intervals if item.doubted)

    def _final(self, item: Interval) -> bool:
        return item.checked_at is not None and item.checked_at >= item.before + self.overlap

    def _check(self, part: Range, began: datetime, rows: int, marks: int) -> None:
        self._cut(part)
        inside = [item for item in self._intervals if _within(item, part)]
        if all(item.mark <= marks for item in inside):
            checked = [Interval(part.after, part.before, began, rows, max(item.mark for item in inside))]
        else:  # parts of it were marked while it was read: these stay unread, and the others have no known count
            checked = [
                Interval(item.after, item.before, began, None, item.mark) if item.mark <= marks else item
                for item in inside
            ]
        first = self._intervals.index(inside[0])
        self._intervals[first : first + len(inside)] = checked

    def _change(
        self, span: Range, chosen: Callable[[Interval], bool] = lambda item: True, **values: Any
    ) -> None:
        """Set these values of the intervals within a range, all or those that are ``chosen``."""
        self._cut(span)
        self._intervals = [
            replace(item, **values) if _within(item, span) and chosen(item) else item
            for item in self._intervals
        ]
        self._tidy()

    def _cut(self, span: Range) -> None:
        """Make sure that an interval begins at both ends of a range."""
        for moment in (span.after, span.before):
            for n, item in enumerate(self._intervals):
                if item.after < moment < item.before:
                    self._intervals[n : n + 1] = [
                        replace(item, before=moment, rows=None),
                        replace(item, after=moment, rows=None),
                    ]
                    break

    def _tidy(self) -> None:
        """Forget the final intervals at the start; join neighbours of which the same is known and no count kept."""
        items = self._intervals
        while self._final(items[0]) and len(items) > 1:
            del items[0]
        joined = [items[0]]
        for item in items[1:]:
            last = joined[-1]
            final = self._final(last) and self._final(item)
            # Marks are only told apart where the list that is being read was begun between them.
            unread = (
                last.checked_at is item.checked_at is None
                and last.doubted == item.doubted
                and (last.mark > self._begun) == (item.mark > self._begun)
            )
            if final or unread:
                mark = max(last.mark, item.mark)
                checked_at = END if final else None
                joined[-1] = Interval(last.after, item.before, checked_at, None, mark, last.doubted)
            else:
                joined.append(item)
        self._intervals = self._bridged(joined)

    def _bridged(self, items: list[Interval]) -> list[Interval]:
        """Make one gap of those between which everything is unread: each batch that is dropped marks its own range."""
        bridged: list[Interval] = []
        last = -1  # position of the last gap, where only unread time has come since
        for item in items:
            bridged.append(item)
            if item.checked_at is not None:
                last = -1
            elif item.doubted:
                near = last >= 0 and item.after - bridged[last].before <= self.overlap
                # What a list is reading now is not marked anew, so that it counts.
                if near and (bridged[last].mark > self._begun) == (item.mark > self._begun):
                    run = bridged[last:]
                    marks = max(part.mark for part in run)
                    bridged[last:] = [replace(item, after=run[0].after, mark=marks)]
                last = len(bridged) - 1
        return bridged


def _joined(spans: Iterable[Range]) -> list[Range]:
    """Return ranges that are in order as ranges that do not touch; those of late logs may overlap."""
    joined: list[Range] = []
    for span in spans:
        after, before = span.after, span.before
        if joined and joined[-1].before >= after:
            last = joined.pop()
            after, before = last.after, max(last.before, before)
        joined.append(Range(after, before))
    return joined


def _unread(intervals: Sequence[Interval], horizon: datetime) -> list[Range]:
    unread = [item for item in intervals if item.checked_at is None and item.after < horizon]
    return _joined(Range(item.after, min(item.before, horizon)) for item in unread)


def _within(item: Range, span: Range) -> bool:
    return span.after <= item.after and item.before <= span.before


def _left(item: Interval, span: Range, marks: int) -> Interval | None:
    """Return what a list of ``span`` leaves of a late range: a list that broke off has shown its beginning."""
    if item.mark > marks or not span.after <= item.after < span.before:
        return item
    return replace(item, after=span.before) if span.before < item.before else None
