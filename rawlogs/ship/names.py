"""Names of flow runs, asked of Prefect once a run. A server that does not answer delays shipping by ``PATIENCE``."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from rawlogs.clock import Clock
from rawlogs.errors import RawlogsError
from rawlogs.models import Log
from rawlogs.otlp.record import RunNames
from rawlogs.waiting import within

PATIENCE = 2.0
"""Seconds that one batch waits for names at most."""
PAUSE = 30.0
"""Seconds without a question, and so without waiting, after one that was not answered."""
KEPT = 2_000
"""Of how many runs, flows and deployments the names are kept."""
PAGE = 200
"""As many rows as a server allows in one answer."""
UNKNOWN = RunNames()


class Api(Protocol):
    """What this needs of the REST client."""

    async def post(self, path: str, body: Mapping[str, Any], *, retries: int | None = None) -> Any: ...


class NameCache:
    """Names of the runs of logs. ``api`` is called for each look-up; where it returns None there are no names.

    ``tell`` gets the text of a problem, once until a look-up succeeds again.
    """

    def __init__(self, api: Callable[[], Api | None], *, clock: Clock, tell: Callable[[str], None]) -> None:
        self._api = api
        self._clock = clock
        self._tell = tell
        self._runs: OrderedDict[str, RunNames] = OrderedDict()
        self._others: OrderedDict[str, str] = OrderedDict()
        self._not_before = 0.0
        self._failing = False

    async def of(self, logs: Iterable[Log]) -> dict[str, RunNames]:
        """Return the names of the runs of these logs, by the runs' ids; without those that cannot be had now."""
        wanted = {run for log in logs if (run := log.data.get("flow_run_id"))}
        unknown = [run for run in wanted if run not in self._runs]
        if unknown and self._clock.monotonic() >= self._not_before:
            await self._look_up(unknown)
        found = {run: self._runs[run] for run in wanted if run in self._runs}
        for run in found:
            self._runs.move_to_end(run)
        _shorten(self._runs)
        _shorten(self._others)
        return found

    async def _look_up(self, unknown: list[str]) -> None:
        api = self._api()
        if api is None:
            return
        try:
            await within(PATIENCE, self._ask(api, unknown))
            self._failing = False
        except (RawlogsError, TimeoutError, ValueError) as error:
            self._not_before = self._clock.monotonic() + PAUSE
            if not self._failing:
                self._failing = True
                why = error.text if isinstance(error, RawlogsError) else str(error) or "no answer in time"
                self._tell(f"logs are shipped without the names of their runs for now: {why}")

    async def _ask(self, api: Api, unknown: list[str]) -> None:
        """Three requests for up to 200 runs: the runs, their flows, their deployments."""
        for start in range(0, len(unknown), PAGE):
            runs = await _rows(api, "flow_runs", unknown[start : start + PAGE])
            for kind, key in (("flows", "flow_id"), ("deployments", "deployment_id")):
                ids = {_text(row.get(key)) for row in runs.values()} - self._others.keys() - {None}
                if ids:
                    rows = await _rows(api, kind, sorted(filter(None, ids)))
                    self._others.update((id_, _text(row.get("name")) or "") for id_, row in rows.items())
            for run in unknown[start : start + PAGE]:
                self._runs[run] = self._named(runs.get(run, {}))

    def _named(self, row: Mapping[str, Any]) -> RunNames:
        """The names in a run's row; a run that is gone has none."""
        tags = row.get("tags")
        return RunNames(
            run=_text(row.get("name")),
            flow=self._others.get(_text(row.get("flow_id")) or ""),
            deployment=self._others.get(_text(row.get("deployment_id")) or ""),
            work_pool=_text(row.get("work_pool_name")),
            tags=tuple(tag for tag in tags if isinstance(tag, str)) if isinstance(tags, list) else (),
        )


async def _rows(api: Api, kind: str, ids: list[str]) -> dict[str, Mapping[str, Any]]:
    """The rows of these ids, by id. ValueError for an answer that is no list of objects."""
    rows = await api.post(f"/{kind}/filter", {kind: {"id": {"any_": ids}}, "limit": PAGE}, retries=0)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError(f"the answer of /{kind}/filter is not a list of objects")
    return {id_: row for row in rows if (id_ := _text(row.get("id")))}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _shorten(kept: OrderedDict[str, Any]) -> None:
    while len(kept) > KEPT:
        kept.popitem(last=False)
