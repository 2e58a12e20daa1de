"""What is vouched for, and which range to list next. Pure: no clock, no socket; times are the server's.

    ... final | late ......................... fresh ............ now - settle ... now
    listed     listed once since it was          the socket only;   may still
    after its  stamped; looked at once more      listed by the      grow
    overlap    when its overlap has passed       next audit

``fresh``: every stored log stamped before it has been listed at least once. ``late``: every stored log stamped
before it has been listed, or counted against what was listed, after ``overlap`` had passed since its stamp; so a log
that became readable no later than ``overlap`` after its own timestamp has been delivered. The ranges between the two
are remembered as segments with the number of rows found, so that the second look is one request: a count, by asking
for what lies beyond that many rows.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from rawlogs.delivery.seen import SeenIds
from rawlogs.models import BEGINNING, END, Log

STRAY_AFTER = timedelta(seconds=5)
"""A sender batches for about 2 s, so a live log is normally not much older than what was listed last."""
DOUBT = timedelta(seconds=30)
"""Arrivals are dated by our clock and rows by the server's: an id is kept for longer than its row is doubted."""


@dataclass(frozen=True, slots=True)
class Range:
    """Timestamps from ``after`` up to, not including, ``before``."""

    after: datetime
    before: datetime

    @classmethod
    def all(cls) -> Range:
        """Every timestamp there is."""
        return cls(BEGINNING, END)

    @property
    def empty(self) -> bool:
        return self.after >= self.before

    def covers(self, other: Range) -> bool:
        return self.after <= other.after and other.before <= self.before


@dataclass(frozen=True, slots=True)
class Look:
    """One look at the list: ``list`` reads all rows, ``count`` asks whether there are more than ``expect``."""

    kind: Literal["list", "count"]
    range: Range
    expect: int = 0


@dataclass(frozen=True, slots=True)
class _Segment:
    range: Range
    rows: int | None  # None: not known, a count cannot be compared with it


class Window:
    """The frontiers of one stream and the logs it has delivered. Durations are seconds."""

    def __init__(
        self,
        start: datetime,
        *,
        overlap: float = 60.0,
        settle: float = 2.0,
        retention: float = 600.0,
        keep_all: bool = False,
        seen: SeenIds | None = None,
    ) -> None:
        self.fresh = start
        self.late = start
        self.seen = seen if seen is not None else SeenIds()
        self.overlap = timedelta(seconds=overlap)
        self.settle = timedelta(seconds=settle)
        self._retention = timedelta(seconds=retention)
        self._keep_all = keep_all
        self._segments: deque[_Segment] = deque()
        self._past: frozenset[str] = frozenset()
        self._began: datetime | None = None
        self._since = start
        self._strays: datetime | None = None
        self._stray_range: Range | None = None  # asked for, not listed yet
        self._dropped: datetime | None = None  # since the list began that is being read

    @property
    def low(self) -> datetime:
        """Every stored log stamped before it has been delivered; ``fresh`` is older where logs were dropped here."""
        return min(self.fresh, self.late)

    def set_past(self, ids: frozenset[str], began: datetime, since: datetime) -> None:
        """Logs that were stored before the stream began are not its own.

        A row is of the past when it is among ``ids``, which the first request showed, or when it is stamped before
        ``since`` and was stored before ``began`` (both by the server's clock, ``began`` in whole seconds).
        """
        self._past, self._began, self._since = ids, began, since

    def is_past(self, log: Log) -> bool:
        """Whether a listed row had been stored before the stream began and was not asked for."""
        if log.id_text in self._past:
            return True
        if self._began is None or log.timestamp >= self._since:
            return False
        created = log.created
        return created is None or created < self._began

    def begin(self, fresh: datetime, late: datetime) -> None:
        """Nothing before ``late`` is this stream's; between the two a later look is owed, the first is not."""
        self.fresh, self.late = fresh, late
        if late < fresh:
            self._segments.append(_Segment(Range(late, fresh), None))

    def stray(self, stamp: datetime) -> bool:
        """A live log came stamped well before what was listed: others of its kind may have been lost.

        True where that range is now to be looked at. One stamped within the retention counts more than one of a
        producer whose clock is wrong by hours.
        """
        if stamp >= self.fresh - STRAY_AFTER:
            return False
        self._note_stray(stamp)
        return True

    def reopen(self, stamp: datetime) -> None:
        """Logs stamped from ``stamp`` on were dropped here: they have to be listed (again)."""
        if self._dropped is None or stamp < self._dropped:
            self._dropped = stamp
        if stamp < self.fresh:
            self._forget_segments(stamp)
            self.fresh = stamp

    def distrust_counts(self) -> None:
        """The filter has changed: what was counted before cannot be compared any more."""
        self._segments = deque(_Segment(segment.range, None) for segment in self._segments)

    def unread(self, now: datetime, *, ahead: bool) -> Range:
        """What no list has shown yet.

        ``ahead`` also covers what is stamped up to ``overlap`` in the future (a producer's clock that is fast); else
        the range ends where the server's rows have settled.
        """
        if not ahead:
            return Range(self.fresh, now - self.settle)
        # Where our clock was set back, only an answer tells the server's: there is always something to ask for.
        return Range(self.fresh, max(now, self.fresh) + self.overlap)

    def audit(self, now: datetime, page: int) -> list[Look]:
        """The looks that a routine audit takes: at most one request while everything fits into one page."""
        settled = now - self.settle
        if settled <= self.fresh:
            set_back = now + self.overlap < self.fresh
            return [Look("list", self.unread(now, ahead=True))] if set_back else []
        if self._few(page):
            return [Look("list", Range(self.low, settled))]
        return [*self.second_looks(now), Look("list", Range(self.fresh, settled))]

    def catch_up(self, now: datetime, page: int) -> list[Look]:
        """All that no list has shown yet, and the second looks that are due: one request where that is possible."""
        span, due = self.unread(now, ahead=True), self.second_looks(now)
        if due and self._few(page):
            return [Look("list", Range(self.low, span.before))]
        return [Look("list", span), *due]

    def second_looks(self, now: datetime) -> list[Look]:
        """Counts over the segments whose overlap has passed, once they are worth a request."""
        due = []
        edge = now - self.overlap
        for segment in self._segments:
            if segment.range.before > edge:
                break
            due.append(segment)
        if not due or due[-1].range.before - due[0].range.after < self.overlap / 2:
            return []
        span = Range(due[0].range.after, due[-1].range.before)
        if any(segment.rows is None for segment in due):
            return [Look("list", span)]
        return [Look("count", span, sum(segment.rows or 0 for segment in due))]

    def owed(self) -> list[Look]:
        """The second looks that are not due yet, for a stream that ends before they are."""
        counted = [segment for segment in self._segments if segment.rows is not None]
        if not counted:
            return []
        span = Range(counted[0].range.after, counted[-1].range.before)
        rows = sum(segment.rows or 0 for segment in counted)
        return [Look("count", span, rows)] if len(counted) == len(self._segments) else []

    def stray_look(self) -> Look | None:
        """The range in which stray logs were seen, until it has been listed. Rows are then judged by ``vouched``.

        It ends where the lists ended; for a log older than the retention, ``overlap`` after its timestamp.
        """
        if self._stray_range is not None:
            self._note_stray(self._stray_range.after)  # it was asked for, and not answered
        low, self._strays, self._stray_range = self._strays, None, None
        if low is None:
            return None
        near = low >= self.fresh - self._retention
        self._stray_range = Range(low, self.fresh if near else low + self.overlap)
        return None if self._stray_range.empty else Look("list", self._stray_range)

    def reading(self) -> None:
        """A list begins: it can show what was dropped here before, but not all that is dropped from now on."""
        self._dropped = None

    def edge(self, span: Range, began: datetime) -> datetime:
        """Up to where a list of ``span`` that began then is final: younger rows may still be on their way."""
        return min(span.before, began - self.settle)

    def listed(self, span: Range, rows: int | None, began: datetime, *, missing: int = 0) -> bool:
        """All rows of ``span`` have been read; ``rows`` of them were stamped before ``edge(span, began)``.

        ``missing``: so many logs came live in that range and the list does not show them yet: their POST is still
        being stored (5,000 logs take seconds on SQLite), and others of it may be lost. Such a range is not final
        until its overlap has passed; False then.
        """
        edge = self.edge(span, began)
        if missing and self.fresh < edge:
            edge = min(edge, max(self.fresh, began - self.overlap))
            rows = None
        if self._dropped is not None:
            edge, rows = min(edge, self._dropped), rows if edge <= self._dropped else None
        if self._stray_range is not None and span.covers(self._stray_range):
            self._stray_range = None
        if span.after <= self.fresh < edge:
            self._forget_segments(span.after)
            self._segments.append(_Segment(Range(span.after, edge), rows))
            self.fresh = edge
        self._advance(span, began)
        return not missing

    def counted(self, span: Range, now: datetime) -> None:
        """A count over ``span`` showed nothing new."""
        self._advance(span, now)

    def settle_up(self, now: datetime) -> None:
        """Forget what no list can return any more."""
        if not self._keep_all:
            self.seen.forget(self.late, now - self._retention - DOUBT, now.timestamp())

    def vouched(self, log: Log, now: datetime) -> bool:
        """Whether a row that is not among the seen ids was delivered so long ago that its id was forgotten."""
        if log.timestamp >= self.late or (created := log.created) is None:
            return False
        if self._keep_all:
            forgotten = self.seen.forgotten
            return forgotten is not None and created.timestamp() < forgotten
        return created < now - self._retention

    def _few(self, page: int) -> bool:
        """Whether all that is owed a second look is less than a page."""
        known = [segment.rows for segment in self._segments]
        return None not in known and sum(n or 0 for n in known) <= page // 2

    def _note_stray(self, stamp: datetime) -> None:
        horizon = self.fresh - self._retention
        if self._strays is None or self._strays < horizon or horizon <= stamp < self._strays:
            self._strays = stamp

    def _advance(self, span: Range, now: datetime) -> None:
        edge = min(span.before, now - self.overlap, self.fresh)
        if span.after <= self.late < edge:
            self.late = edge
        while self._segments and self._segments[0].range.before <= self.late:
            self._segments.popleft()

    def _forget_segments(self, since: datetime) -> None:
        """Cut the segments back to what is stamped before ``since``."""
        while self._segments and self._segments[-1].range.before > since:
            last = self._segments.pop()
            if last.range.after < since:
                self._segments.append(_Segment(Range(last.range.after, since), None))
                break
