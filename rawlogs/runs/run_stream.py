"""``RunStream``: the logs of flow runs, to the end of the runs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from rawlogs.delivery.stream import LogStream
from rawlogs.rest.client import RestClient
from rawlogs.runs.followed_runs import FollowedRuns
from rawlogs.runs.follower import Follower

if TYPE_CHECKING:
    from typing_extensions import Self

FIND_RETRIES = 6
"""How often a request for the followed runs is sent again: half a minute, in which a rate limit has filled up again."""
COMPLETED, ERROR, LOSS, PENDING = 0, 1, 5, 8


class RunStream(LogStream):
    """The logs of flow runs and of their subflows, from their first log on; made by ``rawlogs.follow(...)``.

    The iteration ends when the runs that were asked for have ended and everything that is stored of them was
    delivered. With a flow, a deployment or a tag it has no end: later runs join it.
    """

    called = "rawlogs.follow"

    def __init__(self, followed: FollowedRuns, ended_since: datetime, *parts: Any, **more: Any) -> None:
        """``ended_since``: runs of a flow, a deployment or a tag that had ended by then are left out.

        The others are the arguments of ``LogStream``.
        """
        super().__init__(*parts, **more)
        self._followed = followed
        self._ended_since = ended_since
        self._follower: Follower | None = None

    async def find(self) -> None:
        """Find the runs that there are now; entering does that where it was not done.

        Raises ConfigError for what there is no run of, HistoryError, ConnectError, AuthError, RedirectRefused.
        """
        if self._follower is not None:
            return
        tries, wait = self._options.retries, self._options.wait
        # With ``wait`` each try is told and counted where the runs are looked for.
        retries = 0 if wait else FIND_RETRIES if tries is None else min(tries, FIND_RETRIES)
        rest = RestClient(
            self.settings, clock=self._clock, retries=retries, on_notice=self._context.notifier.hand_on
        )
        async with rest:
            follower = await self._followed.find(
                rest,
                since=self._ended_since,
                follow=self._options.follow,
                tries=tries if wait else 0,
                notify=self.notify,
            )
        self.use_runs(follower.names)
        self.stats.requests += rest.requests
        self._follower = follower

    async def __aenter__(self) -> Self:
        self.check_loop()
        await self.find()
        await super().__aenter__()
        assert self._follower is not None
        self._supervisor.spawn(self._follower.run(self))
        return self

    @property
    def run_names(self) -> Mapping[UUID, str]:
        """The names of the runs that were found so far, by their ids."""
        return {} if self._follower is None else self._follower.names

    @property
    def states(self) -> dict[UUID, str | None]:
        """The last state that is known of each run ("Completed", "AwaitingRetry"), by its id."""
        return {} if self._follower is None else self._follower.states

    @property
    def outcome(self) -> str | None:
        """The worst state type in which the runs that were asked for have ended; None while one has not.

        From bad to good: CRASHED, FAILED, CANCELLED, DELETED (the server does not know the run any more), COMPLETED.
        """
        return None if self._follower is None else self._follower.worst_end

    @property
    def exit_code(self) -> int:
        """What ``rawlogs tail RUN`` exits with: 0 completed, 1 ended otherwise, 8 still running, 5 open gaps."""
        if self.stats.open_gaps:
            return LOSS
        outcome = self.outcome
        return PENDING if outcome is None else COMPLETED if outcome == "COMPLETED" else ERROR
