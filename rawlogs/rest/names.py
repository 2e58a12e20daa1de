"""The names of flow runs, and of their flows and deployments, asked for once each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from rawlogs.errors import RawlogsError

if TYPE_CHECKING:
    from rawlogs.rest.flow_runs import FlowRun, Runs

MOST = 10_000
"""How many runs are remembered that were asked for by a log; beyond it the oldest are asked for again."""


class RunNames(NamedTuple):
    """What a log's flow run is called, and its flow and its deployment; None where that is not known."""

    flow_run_name: str | None = None
    flow_name: str | None = None
    deployment_name: str | None = None


class NameLookup:
    """Keeps ``names``: what each run is called, and its flow and deployment."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        self._flows: dict[UUID, str | None] = {}
        self._deployments: dict[UUID, str | None] = {}
        self.names: dict[UUID, RunNames] = {}

    def use(self, runs: Runs) -> None:
        """Ask these from now on."""
        self._runs = runs

    async def add(self, found: Sequence[FlowRun]) -> None:
        """Learn the names of these runs. What the server does not tell stays unknown: a name is worth no failure."""
        try:
            flows = _new((run.flow_id for run in found), self._flows)
            self._flows.update(dict.fromkeys(flows))
            self._flows.update(await self._runs.names("flows", flows))
            deployments = _new((run.deployment_id for run in found), self._deployments)
            self._deployments.update(dict.fromkeys(deployments))
            self._deployments.update(await self._runs.names("deployments", deployments))
        except RawlogsError:
            pass
        for run in found:
            self.names[run.id] = RunNames(
                run.name,
                self._flows.get(run.flow_id) if run.flow_id else None,
                self._deployments.get(run.deployment_id) if run.deployment_id else None,
            )

    async def of_run(self, run_id: UUID | None) -> RunNames:
        """Return the names of a run, which is asked for where that was not done. Raises nothing for a refusal."""
        if run_id is None:
            return RunNames()
        if run_id not in self.names:
            try:
                await self.add([await self._runs.read(run_id)])
            except RawlogsError:
                return RunNames()
            if len(self.names) > MOST:
                del self.names[next(iter(self.names))]
        return self.names[run_id]


def _new(wanted: Iterable[UUID | None], known: dict[UUID, str | None]) -> list[UUID]:
    return sorted({one for one in wanted if one is not None and one not in known})
