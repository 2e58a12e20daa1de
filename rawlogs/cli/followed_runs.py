"""Which runs a command follows: those that were named, or those of a flow, a deployment or a tag."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rawlogs.errors import ConfigError

if TYPE_CHECKING:
    from rawlogs.rest.client import RestClient
    from rawlogs.rest.flow_runs import Runs
    from rawlogs.runs.follower import Follower, RunSource


class FollowedRuns:
    """What was typed to say which runs; false where nothing was."""

    def __init__(
        self,
        names: Sequence[str] = (),
        *,
        flow: str | None = None,
        deployment: str | None = None,
        tag: str | None = None,
        children: bool = True,
    ) -> None:
        self._names = tuple(names)
        self._flow = flow
        self._deployment = deployment
        self._tag = tag
        self._children = children

    def __bool__(self) -> bool:
        return bool(self._names or self._flow or self._deployment or self._tag)

    def access(self, given: dict[str, Any]) -> dict[str, Any]:
        """Return the access that goes with pasted URLs: theirs, unless the settings name a server elsewhere.

        Raises ConfigError where they do: a key would go to a server that it was not meant for.
        """
        from rawlogs.config.settings import resolve
        from rawlogs.config.urls import parse, same_origin

        pasted = {parse(text, setting="RUN").api_url for text in self._names if "://" in text}
        if not pasted or given.get("api_url") is not None:
            return given
        if len(pasted) > 1:
            raise ConfigError("the URLs name runs of different APIs", setting="RUN")
        url = pasted.pop()
        try:
            configured = resolve(**given).api_url
        except ConfigError:
            configured = url
        if not same_origin(configured, url):
            raise ConfigError(
                f"{url} is not the server of PREFECT_API_URL ({configured})",
                setting="RUN",
                hint=f"If you mean that server, and your key is meant for it, add --api-url {url}",
            )
        return {**given, "api_url": url}

    async def follower(
        self, rest: RestClient, *, since: datetime, follow: bool, notify: Callable[..., None]
    ) -> Follower:
        """Return what follows them. Raises ConfigError for what there is not, and what the REST client raises.

        since: runs of a flow, a deployment or a tag that had ended by then are left out.
        """
        from rawlogs.rest.flow_runs import Runs
        from rawlogs.runs.follower import Follower

        runs = Runs(rest)
        source = await self._source(runs, since)
        return Follower(runs, source, children=self._children, follow=follow, notify=notify)

    async def _source(self, runs: Runs, since: datetime) -> RunSource:
        from rawlogs.runs.follower import DynamicRuns, NamedRuns, named

        if (flow := self._flow) is not None:
            return DynamicRuns(lambda runs: runs.by_flow(flow, since=since))
        if self._deployment is not None:
            deployment = await runs.deployment(self._deployment)
            return DynamicRuns(lambda runs: runs.by_deployment(deployment, since=since))
        if (tag := self._tag) is not None:
            return DynamicRuns(lambda runs: runs.by_tag(tag, since=since))
        return NamedRuns(await named(runs, self._names))
