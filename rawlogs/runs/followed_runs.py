"""Which runs are followed: those that were named, or those of a flow, a deployment or a tag."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from rawlogs.clock import Clock, SystemClock
from rawlogs.errors import ConfigError, RawlogsError

if TYPE_CHECKING:
    from rawlogs.rest.client import RestClient
    from rawlogs.rest.flow_runs import Runs
    from rawlogs.runs.follower import Follower, OnFound, RunSource


class FollowedRuns:
    """What was given to say which runs; false where nothing was.

    names: of runs; also their ids, the beginnings of these, or the URLs of their pages.
    """

    def __init__(
        self,
        names: Sequence[UUID | str] = (),
        *,
        flow: str | None = None,
        deployment: str | None = None,
        tag: str | None = None,
        children: bool = True,
        clock: Clock | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self._names = tuple(map(str, names))
        self._flow = flow
        self._deployment = deployment
        self._tag = tag
        self._children = children
        self._clock = clock or SystemClock()
        self._rng = rng or random.Random()

    def __bool__(self) -> bool:
        return bool(self._names or self._flow or self._deployment or self._tag)

    @property
    def key(self) -> list[object]:
        """What a cursor is known by: the same for the same flags."""
        return [sorted(self._names), self._flow, self._deployment, self._tag, self._children]

    def none_yet(self, *, follow: bool, since: datetime | None) -> str:
        """Return what is said where there is no run: that it waits for one, or where others may be."""
        if self._flow is not None:
            runs = f"of the flow {self._flow!r}"
        elif self._deployment is not None:
            runs = f"of {self._deployment}"
        else:
            runs = f"with the tag {self._tag!r}"
        if follow:
            return f"no run {runs} yet; waiting"
        if since is not None:
            return f"no run {runs} since {since.isoformat(' ', 'seconds')}"
        return f"no run {runs} is going on; --since 1d also finds those that have ended since yesterday"

    @property
    def several(self) -> bool:
        """Whether they may be more than one: each line then has to say whose it is, from the first one on."""
        return self._children or len(self._names) != 1

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
        except ConfigError:  # no URL is set; any other fault is told when the settings are used
            configured = url
        if not same_origin(configured, url):
            raise ConfigError(
                f"{url} is not the server of PREFECT_API_URL ({configured})",
                setting="RUN",
                hint=f"If you mean that server, and your key is meant for it, add --api-url {url} (api_url=)",
            )
        return {**given, "api_url": url}

    async def find(
        self,
        rest: RestClient,
        *,
        since: datetime,
        follow: bool,
        tries: int | None,
        notify: Callable[..., None],
        on_found: OnFound | None = None,
    ) -> Follower:
        """Return what follows the runs, after its first look.

        since: runs of a flow, a deployment or a tag that had ended by then are left out.
        tries: how often it is tried again where the server does not answer; None: without end.
        Raises ConfigError for what there is not, and what the REST client raises.
        """
        from rawlogs.backoff import delay
        from rawlogs.rest.flow_runs import Runs
        from rawlogs.retrying.retry import is_transient
        from rawlogs.runs.follower import Follower

        runs, tried = Runs(rest), 0
        while True:
            try:
                source = await self._source(runs, since)
                follower = Follower(
                    runs,
                    source,
                    children=self._children,
                    follow=follow,
                    notify=notify,
                    on_found=on_found,
                    clock=self._clock,
                )
                await follower.begin()
            except RawlogsError as error:
                if not is_transient(error) or (tries is not None and tried >= tries):
                    raise
                pause = delay(tried, getattr(error, "retry_after", None), self._rng)
                notify("retrying", f"{error.text}; trying again in {pause:.1f} s", attempt=tried + 1)
            else:
                return follower
            tried += 1
            await self._clock.sleep(pause)

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
