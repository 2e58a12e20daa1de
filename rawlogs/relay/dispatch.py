"""Who gets which live event: an index by flow run, and filters that readers share. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar
from weakref import WeakValueDictionary

from rawlogs.relay.events import LogEvent
from rawlogs.selection import Predicate, wire_tests

if TYPE_CHECKING:
    from rawlogs.relay.query import Query
    from rawlogs.selection import Selection

Runs = tuple[str, ...] | None
"""The flow runs that a subscriber is confined to; None: it may want any log."""


class Subscriber(Protocol):
    """Who is handed live events."""

    def offer(self, events: list[LogEvent]) -> None:
        """Take what is of interest; never wait."""
        ...


S = TypeVar("S", bound=Subscriber)


class SubscriberIndex(Generic[S]):
    """Hand each event only to the subscribers whose flow runs it may belong to.

    Subscribers of the same runs are handed the same list object, which ``SharedFilter`` recognises.
    """

    def __init__(self) -> None:
        self._runs_of: dict[S, Runs] = {}
        self._alike: dict[Runs, dict[S, None]] = {}
        self._with_run: dict[str, list[tuple[str, ...]]] = {}

    def __len__(self) -> int:
        return len(self._runs_of)

    def __iter__(self) -> Iterator[S]:
        return iter(self._runs_of)

    def __contains__(self, subscriber: object) -> bool:
        return subscriber in self._runs_of

    def add(self, subscriber: S, runs: Iterable[str] | None) -> None:
        """Hand events of these flow runs to the subscriber from now on; None: all events."""
        key: Runs = None if runs is None else tuple(sorted(set(runs)))
        self._runs_of[subscriber] = key
        if key not in self._alike:
            self._alike[key] = {}
            for run in key or ():
                self._with_run.setdefault(run, []).append(key or ())
        self._alike[key][subscriber] = None

    def remove(self, subscriber: S) -> None:
        runs = self._runs_of.pop(subscriber)
        del self._alike[runs][subscriber]
        if self._alike[runs]:
            return
        del self._alike[runs]
        for run in runs or ():
            self._with_run[run].remove(runs or ())
            if not self._with_run[run]:
                del self._with_run[run]

    def offer(self, events: list[LogEvent]) -> None:
        """Hand on live events, in order."""
        lists: dict[Runs, list[LogEvent]] = {None: events} if None in self._alike else {}
        if self._with_run:
            for event in events:
                for runs in self._with_run.get(event.log.data.get("flow_run_id") or "", ()):
                    lists.setdefault(runs, []).append(event)
        for alike, own in lists.items():
            for subscriber in self._alike[alike]:
                subscriber.offer(own)


def matcher(selection: Selection) -> Predicate:
    """Return what the server would apply (``selection.wire``) and what ``selection.accepts`` does, as one test.

    All of it is decided here: readers share one upstream that is filtered for none.
    """
    tests = wire_tests(selection.wire)
    if selection.local:
        tests.append(selection.accepts)
    if not tests:
        return lambda log: True
    if len(tests) == 1:
        return tests[0]
    return lambda log: all(test(log) for test in tests)


class SharedFilter:
    """Apply one filter for all readers that gave it; what it chooses of a list of events is worked out once."""

    __slots__ = ("__weakref__", "_chosen", "_events", "_oldest", "matches")

    def __init__(self, matches: Predicate) -> None:
        self.matches = matches
        self._events: list[LogEvent] | None = None
        self._chosen: list[LogEvent] = []
        self._oldest: datetime | None = None

    def select(self, events: list[LogEvent]) -> tuple[list[LogEvent], datetime | None]:
        """Return the chosen events, and their oldest timestamp; None where none is chosen."""
        if events is not self._events:
            self._events = events
            self._chosen = [event for event in events if self.matches(event.log)]
            self._oldest = min((event.log.timestamp for event in self._chosen), default=None)
        return self._chosen, self._oldest


class FilterCache:
    """Keep the filters that are in use."""

    def __init__(self) -> None:
        self._filters: WeakValueDictionary[str, SharedFilter] = WeakValueDictionary()

    def get(self, query: Query, selection: Selection) -> SharedFilter:
        """Return the shared filter of this query, whose selection is ``selection``."""
        # Queries that differ in their backlog or deployments only choose alike: readers bound these themselves.
        # The key is a text because what a program puts into a query need not be hashable.
        key = repr(replace(query, since=None, tail=None, resumes=None, deployment=()))
        found = self._filters.get(key)
        if found is None:
            found = self._filters[key] = SharedFilter(matcher(selection))
        return found
