"""Names of flow runs, asked of Prefect once a run. A server that does not answer delays shipping by ``PATIENCE``."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any
from uuid import UUID

from rawlogs.clock import Clock
from rawlogs.errors import RawlogsError
from rawlogs.models import Log
from rawlogs.otlp.record import RunLabels
from rawlogs.rest.flow_runs import Api, Runs
from rawlogs.waiting import within

PATIENCE = 2.0
"""Seconds that one batch waits for names at most."""
PAUSE = 30.0
"""Seconds without a question, and so without waiting, after one that was not answered."""
KEPT = 2_000
"""The number of runs, and of flows and deployments, whose names are kept."""


class NameCache:
    """Names of the runs of logs. ``api`` is called for each look-up; where it returns None there are no names.

    ``tell`` gets the text of a problem, once until a look-up succeeds again.
    """

    def __init__(self, api: Callable[[], Api | None], *, clock: Clock, tell: Callable[[str], None]) -> None:
        self._api = api
        self._clock = clock
        self._tell = tell
        self._runs: OrderedDict[UUID, RunLabels] = OrderedDict()
        self._others: OrderedDict[UUID, str | None] = OrderedDict()
        self._not_before = 0.0
        self._failing = False

    async def of(self, logs: Iterable[Log]) -> dict[UUID, RunLabels]:
        """Return the names of the runs of these logs, without those that cannot be had now."""
        wanted = {run for log in logs if (run := log.flow_run_id) is not None}
        unknown = wanted - self._runs.keys()
        if unknown and self._clock.monotonic() >= self._not_before and (api := self._api()) is not None:
            try:
                await within(PATIENCE, self._look_up(Runs(api), unknown))
                self._failing = False
            except (RawlogsError, TimeoutError) as error:
                self._not_before = self._clock.monotonic() + PAUSE
                why = error.text if isinstance(error, RawlogsError) else "no answer in time"
                if not self._failing:
                    self._tell(f"logs are shipped without the names of their runs for now: {why}")
                self._failing = True
        found = {run: self._runs[run] for run in wanted if run in self._runs}
        for run in found:
            self._runs.move_to_end(run)
        _shorten(self._runs)
        _shorten(self._others)
        return found

    async def _look_up(self, runs: Runs, unknown: Iterable[UUID]) -> None:
        """Ask for the runs, their flows and their deployments: three requests for up to 200 runs."""
        found = await runs.by_ids(unknown)
        flows = {run.flow_id for run in found if run.flow_id} - self._others.keys()
        deployments = {run.deployment_id for run in found if run.deployment_id} - self._others.keys()
        self._others.update({**dict.fromkeys(flows), **await runs.names("flows", flows)})
        self._others.update({**dict.fromkeys(deployments), **await runs.names("deployments", deployments)})
        self._runs.update(dict.fromkeys(unknown, RunLabels()))  # also those that are gone
        for run in found:
            self._runs[run.id] = RunLabels(
                run=run.name,
                flow=self._others.get(run.flow_id) if run.flow_id else None,
                deployment=self._others.get(run.deployment_id) if run.deployment_id else None,
                work_pool=run.work_pool_name,
                tags=run.tags,
            )


def _shorten(kept: OrderedDict[UUID, Any]) -> None:
    while len(kept) > KEPT:
        kept.popitem(last=False)
