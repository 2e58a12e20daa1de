"""The REST client of a stream: a request that fails is sent again later, so that a long list never begins anew."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from rawlogs.backoff import delay
from rawlogs.clock import Clock
from rawlogs.config.settings import Settings
from rawlogs.errors import (
    AuthError,
    ConnectError,
    DataLoss,
    GaveUp,
    HistoryError,
    RawlogsError,
    RedirectRefused,
)
from rawlogs.options import Options
from rawlogs.rest.client import RestClient
from rawlogs.rest.responses import page_limit
from rawlogs.retrying.budget import Budget
from rawlogs.retrying.retry import is_transient, unreachable
from rawlogs.status.notifier import Notifier
from rawlogs.subscription import KeyRotation, Subscription

REFUSALS = (HistoryError, ConnectError, AuthError, RedirectRefused)
NOT_TRANSIENT = 60.0
"""Seconds before a list that was refused for good (401, 403, 404) is asked again beside a socket that works."""
BUSY_CAP = 5.0
"""Seconds at most, with jitter, before a server that said 429 or 503 without Retry-After is asked again: a rate limit
fills up again within seconds, and only asking shows that."""
FIRST_TRIES = 5
"""How often a server that takes connections and gives no answer at all is tried at the start."""


class PatientClient:
    """Sends each request until it is answered, and tells what that takes.

    alone: returns whether the stream has nothing but the list, so that what is refused for good ends it.
    tries: returns how many requests in a row may fail; None: any number.
    verified: returns up to when lists have shown everything, for DataLoss.
    """

    def __init__(
        self,
        rest: RestClient,
        subscription: Subscription,
        options: Options,
        notifier: Notifier,
        clock: Clock,
        rng: random.Random,
        *,
        alone: Callable[[], bool],
        tries: Callable[[], int | None],
        verified: Callable[[], datetime],
    ) -> None:
        self.rest = rest
        self._options, self._clock, self._rng = options, clock, rng
        self._subscription, self._notifier = subscription, notifier
        self._verified = verified
        self._alone = alone
        self._tries = tries
        self._failures = 0
        # When the last request was sent, and the first one that failed.
        self._asked_at = self._failing_since = 0.0
        self._key_rotation = KeyRotation(subscription)
        self._recovered = False
        # An answer came. Whether it can be used is known when whoever asked asks again, or calls ``refused``.
        self._answer_pending = False
        self._judged: tuple[RawlogsError | None, float] = (None, 0.0)
        self._goes_on = False  # the stream has begun, so that what is refused makes gaps to fill
        self._untold: RawlogsError | None = None
        self.ended: RawlogsError | None = None
        """What was raised to end the stream."""
        self.answered_at: float | None = None
        """When the list answered last, by the monotonic clock; None: it has not yet."""
        self.contact = asyncio.Event()
        """Set by the first answer or refusal."""
        self.first_answer = asyncio.Event()

    async def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Return the decoded JSON that answers this body, however long that takes.

        Raises what is refused for good, and what ends the stream (then it is ``ended``).
        """
        self._accept_answer()
        while True:
            used, self._asked_at = self._subscription.settings, self._clock.monotonic()
            try:
                answer = await self.rest.post(path, body, retries=0)
            except REFUSALS as error:
                if isinstance(error, HistoryError) and page_limit(error) is not None:
                    raise  # it has answered: it gives fewer rows at once
                seconds = self.refused(error, used)
                if seconds >= NOT_TRANSIENT and not is_transient(error):
                    raise  # whoever asked decides when to ask anew
                await self._clock.sleep(seconds)
            else:
                self.answered_at = self._clock.monotonic()
                self._goes_on = self._answer_pending = True
                self.contact.set()
                self.first_answer.set()
                self._key_rotation.accepted()
                return answer

    def refused(self, error: RawlogsError, used: Settings) -> float:
        """Return the seconds to wait after this refusal, or after an answer that cannot be read.

        used: the settings with which it was asked. Raises what ends the stream. Asked about the same error again, the
        answer is the same.
        """
        if error is self.ended:
            raise error
        if error is not self._judged[0]:
            try:
                self._judged = error, self._judge(error, used)
            except RawlogsError as final:
                self.ended = final
                raise
        return self._judged[1]

    def goes_on(self) -> None:
        """Note that the socket is open, so that the stream goes on also where the list does not answer."""
        self._goes_on = True
        if self._untold is not None and self.failing:
            self._tell(self._untold)
        self._untold = None

    @property
    def answered(self) -> bool:
        """Whether the list has answered at least once."""
        return self.answered_at is not None

    @property
    def failing(self) -> bool:
        """Whether the last request was refused: what it asked for is not listed."""
        return self._failures > 0 and not self._answer_pending

    def take_recovered(self) -> bool:
        """Return whether the list has answered after an outage since this was asked last."""
        self._accept_answer()
        recovered, self._recovered = self._recovered, False
        return recovered

    def _accept_answer(self) -> None:
        """Count the last answer as one: nobody has called ``refused`` for what is in it."""
        if self._answer_pending and self._failures:
            self._failures = 0
            self._recovered = True
            self._notifier.unsay("history")
        self._answer_pending = False

    def _judge(self, error: RawlogsError, used: Settings) -> float:
        self.contact.set()
        self._answer_pending = False
        if self.answered and self._key_rotation.found(error, used):
            return 0.0
        transient = is_transient(error)
        if not self._failures:
            self._failing_since = self._asked_at
        self._failures += 1
        self._raise_if_final(error, transient=transient)
        self._raise_if_given_up(error)
        if self._goes_on or self._alone() or self._failures > 1:
            self._tell(error)
        else:
            # The socket may be about to end the stream for the same reason, and tells that then.
            self._untold = error
        if not transient:
            return delay(min(self._failures, 6), NOT_TRANSIENT, self._rng)
        asked = getattr(error, "retry_after", None)
        busy = asked is None and getattr(error, "status", None) in (429, 503)
        seconds = delay(self._failures - 1, asked or 0.0, self._rng)
        return min(seconds, BUSY_CAP) if busy else seconds

    def _tell(self, error: RawlogsError) -> None:
        """Tell a refusal, once while it lasts."""
        then = "gaps are filled when it answers again" if self._goes_on else "trying again"
        self._notifier.say_once(f"history: {error.text}", "history_off", f"{error.text}; {then}")

    def _raise_if_final(self, error: RawlogsError, *, transient: bool) -> None:
        if not transient and self._alone():
            raise error
        # A list that has not answered for as long as a log may take to become readable verifies nothing any more.
        lasting = self._clock.monotonic() - self._failing_since >= self._options.overlap
        if self._options.strict and (lasting or not transient):
            raise DataLoss(
                f"The list cannot be read: {error.text}",
                since=self._verified(),
                until=None,
                hint=error.hint,
            ) from error

    def _raise_if_given_up(self, error: RawlogsError) -> None:
        allowed = self._tries()
        unanswered = not self.answered and getattr(error, "status", None) is None
        if self._alone() and unanswered and not self._options.wait:
            # What the user typed is more likely to be wrong than the server to be starting: no try where nobody is
            # there, a few where somebody hangs up.
            few = FIRST_TRIES if getattr(error, "reached", True) else 0
            if self._failures > few:
                raise unreachable(error, self._subscription.settings.api_url) from error
        if allowed is not None and self._failures > allowed:
            raise GaveUp(
                f"Gave up after {self._failures} tries. The last error: {error.text}",
                attempts=self._failures,
                elapsed=self._clock.monotonic() - self._failing_since,
                hint=error.hint,
            ) from error


class MeteredClient:
    """A client whose requests wait for the budget of routine requests."""

    def __init__(self, client: PatientClient, budget: Budget, clock: Clock) -> None:
        self._client = client
        self._budget = budget
        self._clock = clock

    async def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Wait until the budget allows a request; then as ``PatientClient.post``."""
        while (seconds := self._budget.wait(self._clock.monotonic())) > 0:
            await self._clock.sleep(seconds)
        self._budget.spend(self._clock.monotonic())
        return await self._client.post(path, body)
