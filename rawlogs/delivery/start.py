"""Where a stream begins: from where the list is read, and which stored logs are the stream's own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from datetime import datetime, timedelta

from rawlogs.batch import Batch
from rawlogs.cursor import Resume
from rawlogs.delivery.context import StreamContext
from rawlogs.delivery.ledger import Range
from rawlogs.delivery.merge import Beginning, Merger
from rawlogs.delivery.reader import HistoryReader, counting
from rawlogs.models import BEGINNING, END, Log
from rawlogs.retrying.patient import PatientClient

LEAD = timedelta(seconds=2)
"""How far before its start a stream without ``since`` lists at once: Prefect's API logging sends every 2 s."""
PROMPT = timedelta(seconds=2)
"""Where the clocks differ, what a list shows that has answered this soon after entering was stored before that. What a
later answer shows, as of a list that was refused at first, may have been stored meanwhile."""
OLD_CURSOR = timedelta(days=1)


class Start:
    """Finds where one stream begins, and sets its ledger. ``entered`` is when it started, by this machine's clock."""

    def __init__(
        self,
        context: StreamContext,
        merger: Merger,
        reader: HistoryReader,
        client: PatientClient,
        *,
        entered: datetime,
        resume: Resume | None,
    ) -> None:
        self._options, self._notifier, self._ledger = context.options, context.notifier, context.ledger
        self._subscription, self._clock = context.subscription, context.clock
        self._merger = merger
        self._reader = reader
        self._client, self._rest = client, client.rest
        self._entered = entered
        self._resume = resume
        self.begun = False

    async def begin(self) -> None:
        """Ask what has to be known, and deliver the ``tail``. Raises what the client raises."""
        options = self._options
        after = self._subscription.selection.after or BEGINNING
        if self._resume is not None:
            await self._go_on(self._resume)
        elif options.tail is not None or (options.since is None and options.follow):
            await self._from_now_on(max(await self._since_moment(), after))
        else:
            await self._since(max(await self._since_moment(), after))
        self.begun = True

    async def _go_on(self, resume: Resume) -> None:
        """Go on from a cursor, or from a little before now where that lies in the future."""
        low, now = resume.low, self._rest.server_now()
        if low > now:
            text = f"the cursor is in the future ({low.isoformat()}): going on a little before now"
            self._notifier.notify("cursor", text)
            low = now - self._ledger.settle - self._ledger.overlap
        self._ledger.start_at(low)
        self._merger.seen.load(resume.entries, now.timestamp())
        # A stream "from now on" goes on as such: what was stored before its start is not its own, whatever its stamps.
        started = resume.started if resume.started is not None and resume.started <= now else None
        self._merger.beginning = Beginning(started or self._started(), since=None if started else low)
        if now - low > OLD_CURSOR:
            await self._note_old_cursor(low)

    async def _note_old_cursor(self, low: datetime) -> None:
        """Tell where the server may have deleted what came after the cursor."""
        oldest = await self._reader.oldest(self._client, self._subscription.selection.wire)
        if oldest is not None and oldest > low:
            self._notifier.notify(
                "cursor",
                f"the cursor ({low.isoformat()}) is older than the oldest stored log ({oldest.isoformat()}); "
                "what was between may have been deleted",
            )

    async def _since(self, since: datetime) -> None:
        if self._options.since is not None:  # one in the future is now
            since = min(since, self._rest.server_now())
        self._ledger.start_at(since)
        self._merger.beginning = Beginning(self._started(), since=since)

    async def _since_moment(self) -> datetime:
        """Return the ``since`` that was asked for, by the server's clock; without one the beginning of time."""
        since = self._options.since or BEGINNING
        if not self._options.since_ago:
            return since
        # It was counted back from this machine's clock: an answer tells the server's.
        async for _ in self._newest(self._rest.server_now()):
            break
        return since + (self._rest.server_now() - self._clock.now())

    async def _from_now_on(self, after: datetime) -> None:
        """Read the newest rows: the ``tail`` asked for, and what was stored since the start.

        One page is enough on a quiet server; where it does not reach back to ``overlap`` before the start, what was
        stamped there and is stored later is found when its overlap has passed.
        """
        marks, asked, wanted = self._ledger.begin_list(), self._clock.now(), self._options.tail or 0
        first: list[Log] | None = None
        tail: list[Log] = []
        # Not bounded by now: only the answer tells the server's time.
        async for page in self._newest(self._options.until or END, after):
            if first is None:  # the answer has told the server's time
                first = page
                self._merger.beginning = self._beginning(page)
            tail += [log for log in page if self._merger.is_earlier(log)]
            if len(tail) >= wanted:
                break
        if first is None:
            self._merger.beginning = self._beginning(())
        await self._merger.deliver_tail(tail[:wanted][::-1])
        started, began = self._started(), self._rest.server_time(asked)
        reach = started - max(self._ledger.overlap, LEAD)
        quiet = not first or len(first) < self._reader.page or first[-1].timestamp < reach
        self._ledger.start_at(reach, passed=None if quiet else started - LEAD)
        if quiet:
            shown = [log for log in reversed(first or ()) if log.timestamp >= reach]
            await self._merger.listed(Batch(shown))
            span = Range(reach, began + self._ledger.overlap)
            self._ledger.listed(span, began, counting([log.timestamp for log in shown]), marks)

    def _newest(self, before: datetime, after: datetime = BEGINNING) -> AsyncIterator[list[Log]]:
        return self._reader.newest(self._client, self._subscription.selection.wire, after, before)

    def _started(self) -> datetime:
        return self._rest.server_time(self._entered)

    def _beginning(self, first: Iterable[Log]) -> Beginning:
        """Judge rows by ``created``; where the clocks differ, which is known by the second, by the first list as well.

        first: the rows of the first page; they are only a sign where it came promptly. Not for a process that started
        before it entered the stream: it has asked too late to tell.
        """
        started, entered = self._started(), self._entered
        latest = self._rest.server_time(entered, latest=True)
        differ = not started <= entered <= latest
        prompt = self._options.started_at is None and self._clock.now() - entered <= PROMPT
        doubtful = first if differ and prompt else ()
        before = {log.id_text for log in doubtful if log.created and started <= log.created < latest}
        return Beginning(started, before=frozenset(before))
