"""``RunStream``: the logs of flow runs, to the end of the runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from rawlogs.delivery.stream import LogStream
from rawlogs.rest.client import RestClient
from rawlogs.rest.flow_runs import Runs
from rawlogs.rest.names import NameLookup, RunNames
from rawlogs.runs.followed_runs import FollowedRuns
from rawlogs.runs.follower import Follower
from rawlogs.status.vitals import Vitals

if TYPE_CHECKING:
    from typing_extensions import Self

    from rawlogs.cursor import Resume

FIND_RETRIES = 6
"""How often a request for the followed runs is sent again: half a minute, in which a rate limit has filled up again."""
COMPLETED, ERROR, LOSS, PENDING = 0, 1, 5, 8


class RunStream(LogStream):
    """The logs of flow runs and of their subflows, from their first log on; made by ``rawlogs.follow(...)``.

    The iteration ends when the runs that were asked for have ended and everything that is stored of them was
    delivered. With a flow, a deployment or a tag it has no end: later runs join it.
    """

    called = "rawlogs.follow"

    def __init__(
        self,
        followed: FollowedRuns,
        ended_since: datetime | None,
        *parts: Any,
        look_up_names: bool = False,
        **more: Any,
    ) -> None:
        """Take what is followed, and the arguments of ``LogStream``.

        ended_since: runs of a flow, a deployment or a tag that had ended by then are left out; None: by the start.
        look_up_names: keep ``names_by_run``.
        """
        super().__init__(*parts, **more)
        self._followed = followed
        self._ended_since = ended_since
        self._owed_since: datetime | None = None
        self._lookup: NameLookup | None = None
        self._look_up_names = look_up_names
        self._answers: Counter[str] = Counter()
        self._follower: Follower | None = None

    def resume(self, resume: Resume | None) -> None:
        """Go on where a cursor says; runs that have ended since then are still owed."""
        super().resume(resume)
        self._owed_since = None if resume is None else resume.low

    async def find(self) -> None:
        """Find the runs that there are now; entering does that where it was not done.

        Raises ConfigError for what there is no run of, HistoryError, ConnectError, AuthError, RedirectRefused.
        """
        if self._follower is not None:
            return
        options = self._options
        # With ``wait`` each try is told and counted where the runs are looked for.
        tries = FIND_RETRIES if options.retries is None else min(options.retries, FIND_RETRIES)
        rest = RestClient(
            self.settings,
            clock=self._clock,
            retries=0 if options.wait else tries,
            on_notice=self._context.notifier.hand_on,
        )
        async with rest:
            if self._look_up_names:
                self._lookup = NameLookup(Runs(rest))
            try:
                follower = await self._followed.find(
                    rest,
                    since=self._owed_since or self._ended_since or self._clock.now(),
                    follow=options.follow,
                    tries=options.retries if options.wait else 0,
                    notify=self.notify,
                    on_found=None if self._lookup is None else self._lookup.add,
                )
            finally:
                self.stats.requests += rest.requests
                self._answers.update(rest.answers)
        if not follower.names:
            text = self._followed.none_yet(follow=options.follow, since=self._ended_since)
            self.notify("state", text)
        self._subscription.use_runs(follower.names)
        self._follower = follower

    async def __aenter__(self) -> Self:
        self.check_loop()
        await self.find()
        await super().__aenter__()
        assert self._follower is not None and self.rest is not None
        if self._lookup is not None:
            self._lookup.use(Runs(self.rest))
        self._supervisor.spawn(self._follower.run(self))
        return self

    def vitals(self) -> Vitals:
        """Return how the stream stands now, the search for runs included."""
        vitals = super().vitals()
        return replace(vitals, answers=Counter(vitals.answers) + self._answers)

    @property
    def names_by_run(self) -> Mapping[UUID, RunNames] | None:
        """What the runs, their flows and their deployments are called; None where they are not looked up."""
        return None if self._lookup is None else self._lookup.names

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
        return LOSS if self.stats.open_gaps else code_of(self.outcome)


def code_of(outcome: str | None) -> int:
    """Return the exit code of an ``outcome``."""
    return PENDING if outcome is None else COMPLETED if outcome == "COMPLETED" else ERROR
