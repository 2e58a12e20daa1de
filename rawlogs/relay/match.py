"""Whether a selection chooses a log, all of it decided here: readers share one upstream that is filtered for none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from rawlogs.models import Log

if TYPE_CHECKING:
    from rawlogs.relay.events import LogEvent
    from rawlogs.relay.query import Query
    from rawlogs.selection import Selection

Predicate = Callable[[Log], bool]


def matcher(selection: Selection) -> Predicate:
    """What the server would apply (``selection.wire``) and what ``selection.accepts`` does, as one test."""
    tests: list[Predicate] = []
    wire = selection.wire
    if (level := wire.get("level")) is not None:
        tests.append(_between(level.get("ge_"), level.get("le_")))
    for field in ("flow_run_id", "task_run_id"):
        part = wire.get(field, {})
        if part.get("any_") is not None:
            tests.append(_among(field, frozenset(part["any_"])))
        if part.get("is_null_") is not None:
            tests.append(_null(field, part["is_null_"]))
    if selection.local:
        tests.append(selection.accepts)
    if not tests:
        return lambda log: True
    if len(tests) == 1:
        return tests[0]
    return lambda log: all(test(log) for test in tests)


def _between(low: int | None, high: int | None) -> Predicate:
    least = float("-inf") if low is None else low
    most = float("inf") if high is None else high
    return lambda log: least <= log.level <= most


def _among(field: str, ids: frozenset[str]) -> Predicate:
    return lambda log: log.data.get(field) in ids


def _null(field: str, null: bool) -> Predicate:
    return lambda log: (log.data.get(field) is None) is null


class Sieve:
    """One filter of all readers that gave it: a list of events that is handed to them all is sifted once."""

    __slots__ = ("__weakref__", "_chosen", "_events", "_oldest", "matches")

    def __init__(self, matches: Predicate) -> None:
        self.matches = matches
        self._events: list[LogEvent] | None = None
        self._chosen: list[LogEvent] = []
        self._oldest: datetime | None = None

    def sift(self, events: list[LogEvent]) -> tuple[list[LogEvent], datetime | None]:
        """The events it chooses, and the oldest timestamp of them; None where it chooses none."""
        if events is not self._events:
            self._events = events
            self._chosen = [event for event in events if self.matches(event.log)]
            self._oldest = min((event.log.timestamp for event in self._chosen), default=None)
        return self._chosen, self._oldest


class Sieves:
    """The sieves that are in use."""

    def __init__(self) -> None:
        self._sieves: WeakValueDictionary[str, Sieve] = WeakValueDictionary()

    def get(self, query: Query, selection: Selection) -> Sieve:
        """The one for this query, whose filter is ``selection``."""
        # A backlog and deployments are the reader's own affair. (What is in a query need not be hashable.)
        key = repr(replace(query, since=None, tail=None, resumes=None, deployment=()))
        sieve = self._sieves.get(key)
        if sieve is None:
            sieve = self._sieves[key] = Sieve(matcher(selection))
        return sieve
