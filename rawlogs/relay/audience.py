"""The readers of a hub, by the flow runs that alone can interest them. What they have in common is worked out once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rawlogs.relay.events import LogEvent

if TYPE_CHECKING:
    from rawlogs.relay.reader import Reader

Runs = tuple[str, ...] | None
"""The flow runs that readers are confined to; None: they may want any log."""


class Audience:
    """Readers of the same runs are handed the same list, so that equal filters are asked once (see ``Sieve``)."""

    def __init__(self) -> None:
        self._runs: dict[Reader, Runs] = {}
        self._alike: dict[Runs, dict[Reader, None]] = {}
        self._with_run: dict[str, list[tuple[str, ...]]] = {}

    def __len__(self) -> int:
        return len(self._runs)

    def __iter__(self) -> Iterator[Reader]:
        return iter(self._runs)

    def __contains__(self, reader: object) -> bool:
        return reader in self._runs

    def add(self, reader: Reader) -> None:
        indexed = reader.indexed()
        runs = None if indexed is None else tuple(sorted(set(indexed)))
        self._runs[reader] = runs
        if runs not in self._alike:
            self._alike[runs] = {}
            for run in runs or ():
                self._with_run.setdefault(run, []).append(runs or ())
        self._alike[runs][reader] = None

    def remove(self, reader: Reader) -> None:
        runs = self._runs.pop(reader)
        del self._alike[runs][reader]
        if self._alike[runs]:
            return
        del self._alike[runs]
        for run in runs or ():
            self._with_run[run].remove(runs or ())
            if not self._with_run[run]:
                del self._with_run[run]

    def offer(self, events: list[LogEvent]) -> None:
        """A round of live events, in order."""
        rounds: dict[Runs, list[LogEvent]] = {None: events} if None in self._alike else {}
        if self._with_run:
            for event in events:
                for runs in self._with_run.get(event.log.data.get("flow_run_id") or "", ()):
                    rounds.setdefault(runs, []).append(event)
        for alike, own in rounds.items():
            for reader in self._alike[alike]:
                reader.offer(own)
