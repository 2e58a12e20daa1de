"""The list's side: when to read it, what for, and what it means when it does not answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TYPE_CHECKING

from rawlogs.delivery.budget import Budget
from rawlogs.delivery.core import Core
from rawlogs.delivery.intake import Intake
from rawlogs.delivery.lister import Lister
from rawlogs.delivery.retry import delay, is_transient, unreachable
from rawlogs.delivery.schedule import Schedule
from rawlogs.delivery.window import Look, Range
from rawlogs.errors import (
    AuthError,
    ConnectError,
    DataLoss,
    GaveUp,
    HistoryError,
    RawlogsError,
    RedirectRefused,
)
from rawlogs.models import END, MICROSECOND, Log

if TYPE_CHECKING:
    from rawlogs.rest.client import RestClient
    from rawlogs.settings import Settings

HOLD = 2.0
"""How long live logs wait for a list that brings nothing; then they are delivered first."""
POLL = 0.5
"""Seconds between two looks where only the list shows what comes; fewer while logs come closer together."""
POLL_FLOOR = 0.2
MISSES = 2
"""So many audits in a row that found what the socket never showed, and the list is polled beside it."""
LIVE_OFF = (
    "The server does not stream logs live ({why}); following its REST list instead. "
    "For live logs set PREFECT_SERVER_LOGS_STREAM_OUT_ENABLED=true and "
    "PREFECT_SERVER_LOGS_STREAM_PUBLISHING_ENABLED=true on the server."
)


def poll_interval(quiet: float, pause: float, audit: float) -> float:
    """Seconds to the next look where the list is all there is.

    ``quiet``: since a look brought logs; ``pause``: between the last two looks that did; ``audit``: at most.
    """
    return min(max(quiet / 2, min(pause / 2, POLL), POLL_FLOOR), audit)


class Auditor:
    """Reads the list after each connect, every ``audit`` seconds, after a suspicion; polls where there is no socket."""

    def __init__(
        self,
        core: Core,
        schedule: Schedule,
        intake: Intake,
        rest: RestClient,
        *,
        revive: Callable[[], None],
        ping: Callable[[], Awaitable[None]],
        refresh: Callable[[], None],
        on_answer: Callable[[], None],
    ) -> None:
        self._core = core
        self._schedule = schedule
        self._intake = intake
        self.lister = Lister(
            rest,
            core.window,
            Budget(core.options.rest_budget, core.clock.monotonic()),
            clock=core.clock,
            deliver=self._deliver,
            progress=self._progressed,
            by_run=core.options.keep_ids,
        )
        self._revive = revive
        self._ping = ping
        self._refresh = refresh
        self._on_answer = on_answer
        self._refreshed = False
        self._failures = 0
        self._error: RawlogsError | None = None
        self._failing_since = 0.0
        self._misses = 0
        self._recovered = 0
        self._found = self._lags = False
        self._quiet_since = core.clock.monotonic()
        self._pause = 2 * POLL
        self._progress_at = core.clock.monotonic()
        self._drift: float | None = None

    async def run(self) -> None:
        """Until ``until`` has passed; without one, for ever. Raises what cannot be told as a notice."""
        options = self._core.options
        while True:
            await self._schedule.wait(self._until_end())
            await self._check_clock()
            if self._until_end() == 0.0:
                await self._occasion(self.catch_up)
                return
            if self._schedule.catch_up or self._core.polling or self._misses >= MISSES:
                await self._core.outbox.room()
                await self._occasion(self.catch_up)
            else:
                await self._occasion(self._audit)
            if options.until is not None and self._until_end() == 0.0 and not self._failures:
                return

    async def read_stored(self) -> None:
        """Everything that is stored, up to now or ``until``, and no more."""
        until = self._core.options.until or self._core.now() + self._core.window.overlap
        span = Range(self._core.window.fresh, min(until, END - MICROSECOND) + MICROSECOND)

        async def read() -> None:
            await self.lister.read(span, self._core.selection.wire, confirm=True)

        while not await self._occasion(read):
            if self._error is not None and not self._core.history_ok and not self._core.options.wait:
                raise unreachable(self._error, self._core.settings.api_url)
            await self._schedule.wait()

    async def catch_up(self) -> None:
        """Read everything that no list has shown yet; live logs are held until then, and come after it."""
        core, window = self._core, self._core.window
        again = core.stats.reconnects > 0 and self._schedule.catch_up
        began = core.clock.monotonic()
        if core.socket_up:
            self._intake.hold()
        guard = asyncio.ensure_future(self._guard_hold())
        brought = 0
        try:
            while True:
                self._schedule.catch_up = self._intake.dropped = False
                for look in window.catch_up(core.now(), self.lister.history.page):
                    brought += await self.lister.take(look, core.selection.wire)
                if not self._intake.dropped:
                    break
                await core.outbox.room()
        except BaseException:
            self._schedule.catch_up = True  # it is still owed
            raise
        finally:
            guard.cancel()
        self._intake.release()
        brought += await self._stray_look()
        if core.stats.open_gaps and not self._intake.dropped:
            core.stats.open_gaps = 0
            core.unsay("behind")
            if again or brought:
                core.notify("gap_closed", f"recovered {brought} logs from the list", recovered=brought)
        self._looked(began)
        self._note_quiet(brought)
        if self._misses >= MISSES and self._intake.since_audit:
            self._misses = 0
        self._intake.since_audit = 0

    async def last_look(self) -> None:
        """Look once more at what was listed a short while ago: the stream ends before that is due."""
        for look in self._core.window.owed():
            await self.lister.take(look, self._core.selection.wire)

    async def _audit(self) -> None:
        """Compare the list with what has been delivered, over everything that has settled since the last time."""
        core = self._core
        began, suspected = core.clock.monotonic(), self._intake.suspected_at is not None
        brought, self._lags = 0, False
        for look in await self._looks():
            brought += await self.lister.take(look, core.selection.wire)
        brought += await self._stray_look()
        if brought and not self._recovered:
            core.notify("gap_opened", "the live stream lost logs", since=None)
        self._recovered += brought
        self._looked(began)
        if self._intake.suspected_at is None or not brought:
            core.stats.open_gaps = 0
            if self._recovered:
                text = f"recovered {self._recovered} logs that the live stream lost"
                core.notify("gap_closed", text, recovered=self._recovered)
            self._recovered = 0
        self._note_quiet(brought)
        self._note_misses(brought, suspected)
        self._intake.since_audit = 0

    async def _looks(self) -> list[Look]:
        """What has settled; while logs are being lost, everything that can be read by now."""
        core, page = self._core, self.lister.history.page
        suspected, now = self._intake.suspected_at, core.now()
        swept = core.options.keep_ids  # followed runs are read again at their end: soon is enough
        if suspected is None or swept or core.clock.monotonic() >= suspected + core.options.settle:
            return core.window.audit(now, page)
        looks = core.window.catch_up(now, page)
        if not all(self.lister.affords(look.range) for look in looks):
            return core.window.audit(now, page)
        if self._found:
            return looks
        beyond = await self.lister.beyond(looks[0].range, core.selection.wire)
        self._lags = beyond < 0  # logs came live that are not stored yet: others will follow
        return looks if beyond > 0 else looks[1:]

    async def _stray_look(self) -> int:
        look = self._core.window.stray_look()
        return 0 if look is None else await self.lister.take(look, self._core.selection.wire)

    async def _deliver(self, logs: list[Log]) -> int:
        """What the list brought goes to the reader, as soon as there is room."""
        core = self._core
        accepted = core.accepted(logs)
        if accepted:
            if not core.outbox.roomy:
                await core.outbox.room()
            core.stats.recovered += len(accepted)
            core.outbox.put(accepted)
        return len(accepted)

    def _progressed(self, rows: int, stamp: datetime) -> None:
        """A page was read."""
        if not self._core.options.follow:
            self._on_answer()
        self._progress_at = self._core.clock.monotonic()
        if rows >= 10_000 and rows % 10_000 < self.lister.history.page:
            self._core.notify("progress", f"{rows} stored logs read, now at {stamp.isoformat()}", rows=rows)

    async def _occasion(self, work: Callable[[], Awaitable[None]]) -> bool:
        """One occasion to list, and when the next one is; False when the list did not answer."""
        core = self._core
        used = core.settings
        try:
            await work()
        except (HistoryError, ConnectError, AuthError, RedirectRefused) as error:
            self._intake.release()
            self._refused(error, used)
            return False
        core.history_ok = core.listed = True
        self._refreshed = False
        core.window.settle_up(core.now())
        if self._failures:
            self._failures = 0
            core.unsay("history")
            if core.polling:
                self._revive()
        self._schedule.next_in(self._interval())
        return True

    def _refused(self, error: RawlogsError, used: Settings) -> None:
        """The list said no, or nothing: raise it where nothing else is left, else try again later."""
        core = self._core
        if isinstance(error, AuthError) and core.history_ok and not self._refreshed:
            # A key may have been rotated while the stream ran: look once whether the settings have changed.
            self._refreshed = True
            self._refresh()
            # The socket may have been told of the new key, and looked, before.
            if core.settings.authorization != used.authorization:
                self._schedule.next_in(0.0)
                return
        transient = is_transient(error)
        if not transient:
            if core.polling or not core.options.follow:
                raise error
            if core.options.strict:
                raise DataLoss(
                    f"The list cannot be read: {error.text}",
                    since=core.window.fresh,
                    until=None,
                    hint=error.hint,
                ) from error
        if not self._failures:
            self._failing_since = core.clock.monotonic()
        self._failures += 1
        self._error = error
        retries = core.options.retries
        if (core.polling or not core.options.follow) and retries is not None and self._failures > retries:
            raise GaveUp(
                f"Gave up after {self._failures} tries. The last error: {error.text}",
                attempts=self._failures,
                elapsed=self._elapsed(),
                hint=error.hint,
            ) from error
        core.stats.open_gaps = 1
        core.say_once(
            f"history: {error.text}", "history_off", f"{error.text}; gaps are filled when it answers again"
        )
        asked = getattr(error, "retry_after", None) or 0.0
        floor = max(asked, 0.5) if transient else 60.0
        self._schedule.next_in(delay(min(self._failures, 6), floor, core.rng))

    def _interval(self) -> float:
        """Seconds to the next look at the list."""
        options = self._core.options
        if self._schedule.catch_up:
            return 0.0
        if self._core.polling or self._misses >= MISSES:
            quiet = self._core.clock.monotonic() - self._quiet_since
            return poll_interval(quiet, self._pause, options.audit)
        suspected = self._intake.suspected_at
        if suspected is not None:
            left = suspected + options.settle - self._core.clock.monotonic()
            soon = (self._found or self._lags) and not options.keep_ids
            return min(POLL if soon else max(left, POLL), options.audit)
        return options.audit

    def _looked(self, began: float) -> None:
        """A look that began then answers a suspicion if what was stored at that time had settled."""
        suspected = self._intake.suspected_at
        if self.lister.unsettled:
            self.lister.unsettled = False
            self._intake.suspected_at = self._core.clock.monotonic()
        elif suspected is not None and began >= suspected + self._core.options.settle:
            self._intake.suspected_at = None

    def _note_quiet(self, brought: int) -> None:
        self._found = brought > 0
        if brought:
            now = self._core.clock.monotonic()
            self._pause, self._quiet_since = now - self._quiet_since, now

    def _note_misses(self, brought: int, suspected: bool) -> None:
        """Twice in a row logs that the socket never showed, without a suspicion: it is off, or shows only a part."""
        if brought and not suspected:
            self._misses += 1
        elif not brought:
            self._misses = 0
        if self._misses == MISSES:
            why = "some logs do not reach it" if self._intake.since_audit else "nothing comes over the socket"
            self._core.say_once("live_off", "live_off", LIVE_OFF.format(why=why))

    def _until_end(self) -> float | None:
        """Seconds until everything up to ``until`` has settled; None without an ``until``."""
        until = self._core.options.until
        if until is None:
            return None
        return max((until + self._core.window.settle - self._core.now()).total_seconds(), 0.0)

    def _elapsed(self) -> float:
        return self._core.clock.monotonic() - self._failing_since

    async def _guard_hold(self) -> None:
        """Live logs do not wait for a list that stands still."""
        clock = self._core.clock
        while self._intake.holding:
            since = max(self._progress_at, self._intake.held_since)
            left = HOLD - (clock.monotonic() - since)
            if left > 0:
                await clock.sleep(left)
            elif self._core.outbox.full:
                await clock.sleep(HOLD)
            else:
                self._intake.release()

    async def _check_clock(self) -> None:
        """After a sleep of the machine the socket may be dead without a word."""
        drift = self._core.clock.now().timestamp() - self._core.clock.monotonic()
        last, self._drift = self._drift, drift
        if last is not None and abs(drift - last) > self._core.options.overlap / 2 and self._core.socket_up:
            self._core.notify("warning", f"the clock jumped by {drift - last:.0f} s; checking the connection")
            self._schedule.catch_up = True
            await self._ping()
