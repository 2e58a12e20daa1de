"""The names of the flows and deployments of followed runs, asked for once each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from uuid import UUID

from rawlogs.errors import RawlogsError
from rawlogs.output.json import RunNames
from rawlogs.rest.flow_runs import FlowRun, Runs


class NameLookup:
    """Keeps ``names``: what each followed run is called, and its flow and deployment."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        self._flows: dict[UUID, str | None] = {}
        self._deployments: dict[UUID, str | None] = {}
        self.names: dict[UUID, RunNames] = {}

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


def _new(wanted: Iterable[UUID | None], known: dict[UUID, str | None]) -> list[UUID]:
    return sorted({one for one in wanted if one is not None and one not in known})
