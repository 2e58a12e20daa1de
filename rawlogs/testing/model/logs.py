"""The stored logs, and which of them a filter chooses. Pure.

Prefect reads a filter in two ways: ``live`` applies level, timestamp and runs, always all of them; ``listed`` also
applies the text search and ``or_``. Lists are sorted by timestamp alone.
"""

from __future__ import annotations

import bisect
import itertools
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any
from uuid import UUID

import orjson

from rawlogs.log_values import micros
from rawlogs.search import TextQuery
from rawlogs.testing.model.schemas import Ids, LogFilter, LogFilterWithoutText, TaskRunId


def in_utc(moment: datetime) -> datetime:
    """Return the same instant in UTC; unchanged where that is outside of the years 1 to 9999."""
    try:
        return moment.astimezone(timezone.utc)
    except OverflowError:
        return moment


def uuid7(moment: datetime, rng: random.Random) -> UUID:
    """Return an id as the server makes it: ordered by milliseconds, in random order inside one."""
    # RFC 9562, section 5.7: 48 bits of time, the version, 12 random bits, the variant, 62 random bits.
    milliseconds = micros(moment) // 1000 & (1 << 48) - 1
    bits = rng.getrandbits(74)
    return UUID(int=milliseconds << 80 | 0x7 << 76 | (bits >> 62) << 64 | 0b10 << 62 | bits & (1 << 62) - 1)


@dataclass(frozen=True, slots=True)
class Entry:
    """One log: ``row`` as the list shows it, ``stamp`` in microseconds, ``timestamp`` as the sender wrote it."""

    row: dict[str, Any]
    stamp: int
    timestamp: str

    @property
    def id(self) -> str:
        """The log's id."""
        return self.row["id"]  # type: ignore[no-any-return]

    def frame(self) -> bytes:
        """Return the live frame: without ``created`` and ``updated``, and with the sender's own UTC offset."""
        log = {**self.row, "created": None, "updated": None, "timestamp": self.timestamp}
        return orjson.dumps({"type": "log", "log": log})


Predicate = Callable[[Entry], bool]
_StoredRow = tuple[int, int, Entry]
"""The timestamp in microseconds, the number of the arrival, the log."""


def _live_parts(chosen: LogFilterWithoutText) -> Iterator[Predicate]:
    """Yield a predicate for each part of the filter that both readings apply."""
    if (level := chosen.level) is not None:
        yield lambda entry: _in_range(entry.row["level"], level.ge_, level.le_)
    if chosen.timestamp is not None:
        low, high = time_range(chosen)
        yield lambda entry: _in_range(entry.stamp, low, high)
    for field, part in (("flow_run_id", chosen.flow_run_id), ("task_run_id", chosen.task_run_id)):
        if part is not None:
            yield _runs(field, part)


def _in_range(value: int, low: int | None, high: int | None) -> bool:
    return (low is None or value >= low) and (high is None or value <= high)


def _runs(field: str, part: Ids) -> Predicate:
    runs = None if part.any_ is None else frozenset(map(str, part.any_))
    null = part.is_null_ if isinstance(part, TaskRunId) else None
    return lambda entry: (
        (runs is None or entry.row[field] in runs) and (null is None or (entry.row[field] is None) is null)
    )


def live(chosen: LogFilterWithoutText) -> Predicate:
    """Return a predicate of the logs that the WebSocket sends; it accepts text and ``or_``, and ignores them."""
    tests = list(_live_parts(chosen))
    return lambda entry: all(test(entry) for test in tests)


def listed(chosen: LogFilterWithoutText | None) -> Predicate:
    """Return a predicate of the logs that the REST list shows."""
    if chosen is None:
        return lambda _entry: True
    tests = list(_live_parts(chosen))
    if isinstance(chosen, LogFilter) and chosen.text is not None:
        query = TextQuery.parse(chosen.text.query)
        tests.append(lambda entry: query.matches(entry.row["message"], entry.row["name"]))
    # Without any part, or_ chooses everything as and_ does.
    agree = any if tests and chosen.operator == "or_" else all
    return lambda entry: agree(test(entry) for test in tests)


def time_range(chosen: LogFilterWithoutText | None) -> tuple[int | None, int | None]:
    """Return the filter's time range in microseconds, both ends inclusive; None where an end is open."""
    part = chosen.timestamp if chosen is not None else None
    if part is None:
        return None, None
    low, high = part.after_, part.before_
    return None if low is None else micros(low), None if high is None else micros(high)


class LogStore:
    """The logs that REST shows, sorted by timestamp, equal ones by arrival."""

    def __init__(self) -> None:
        self._rows: list[_StoredRow] = []
        self._arrivals = itertools.count()

    def add(self, entries: Iterable[Entry]) -> None:
        """Store logs."""
        for entry in entries:
            bisect.insort(self._rows, (entry.stamp, next(self._arrivals), entry))

    def remove(self, ids: Iterable[str]) -> None:
        """Delete logs by their ids."""
        gone = set(ids)
        self._rows = [row for row in self._rows if row[2].id not in gone]

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Entry]:
        return (entry for _, _, entry in self._rows)

    def list(
        self,
        chosen: LogFilterWithoutText | None,
        *,
        limit: int,
        offset: int = 0,
        newest_first: bool = False,
        shuffle: random.Random | None = None,
    ) -> Sequence[Entry]:
        """Return one page; ``shuffle`` puts rows of one timestamp in a random order."""
        # The rows are sorted by time: a range is found without looking at the others.
        accepts = listed(chosen)
        first, last = 0, len(self._rows)
        # With or_ a log outside of the time range may fit another part of the filter.
        if chosen is None or chosen.operator == "and_":
            low, high = time_range(chosen)
            if low is not None:
                first = bisect.bisect_left(self._rows, (low,))
            if high is not None:
                last = bisect.bisect_left(self._rows, (high + 1,))
        order = range(first, last)
        rows: Iterable[_StoredRow] = (
            self._rows[index] for index in (reversed(order) if newest_first else order)
        )
        if shuffle is not None:
            rows = _shuffled_ties(rows, shuffle)
        found = (entry for _, _, entry in rows if accepts(entry))
        return list(itertools.islice(found, offset, offset + limit))


def _shuffled_ties(rows: Iterable[_StoredRow], rng: random.Random) -> Iterator[_StoredRow]:
    for _, ties in itertools.groupby(rows, key=lambda row: row[0]):
        group = list(ties)
        rng.shuffle(group)
        yield from group
