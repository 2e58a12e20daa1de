"""Takes logs from a stream, and sends them batch by batch until each is acknowledged, or refused for good.

    stream -> take() -> Batcher (one batch being filled) -> run() (one batch in flight) -> receiver

One batch is in flight at a time, so receivers get logs in the order of the stream, and what a crash repeats is bounded.
Meanwhile the next one is filled; when that is full, ``take`` waits, and the stream keeps back what comes.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol
from uuid import UUID

from rawlogs.backoff import delay
from rawlogs.clock import Clock
from rawlogs.models import Log
from rawlogs.otlp.protobuf import encode_request
from rawlogs.otlp.record import Record, RunLabels, record_of
from rawlogs.ship.batching import Batcher, Received
from rawlogs.ship.dead_letters import DeadLetterFile
from rawlogs.ship.names import NameCache
from rawlogs.ship.stats import ShipStats
from rawlogs.ship.trouble import Notify, Trouble
from rawlogs.ship.verdict import Accepted, Later, Refused, Verdict
from rawlogs.waiting import first_of

BAD_REQUEST = 400


class Sender(Protocol):
    """The part of ``sender.Sender`` that is used here."""

    async def send(self, payload: bytes) -> Verdict: ...


class Shipper:
    """Ships the logs of one stream to one receiver.

    on_settled: called with the number of logs, of those taken last, that are not settled yet; all others need not be
    sent again. dead_letters: where refused logs go, or None. ``resource``, attributes of the server that the logs are
    of, is set before the first log is taken. ``take`` and ``run`` are two tasks' work; one task may take.
    """

    def __init__(
        self,
        sender: Sender,
        names: NameCache,
        *,
        shown: str,
        batcher: Batcher,
        stats: ShipStats,
        on_settled: Callable[[int], None],
        dead_letters: DeadLetterFile | None,
        notify: Notify,
        clock: Clock,
        rng: random.Random | None = None,
    ) -> None:
        self._sender = sender
        self._names = names
        self._batcher = batcher
        self._on_settled = on_settled
        self._dead_letters = dead_letters
        self._notify = notify
        self._clock = clock
        self._rng = rng or random.Random()
        self._trouble = Trouble(shown, notify, clock, stats)
        self._taken = self._settled = 0
        self._draining = False
        self._added, self._emptied, self._progressed = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.resource: Mapping[str, str] = {}
        self.stats = stats

    async def check(self) -> bool:
        """Send an empty request, and return whether the receiver has answered. Raises the error of a wrong setting.

        A receiver that does not answer is told; ``run`` goes on asking.
        """
        verdict = await self._sender.send(encode_request((), self.resource))
        if isinstance(verdict, Later):
            if verdict.error is not None:
                raise verdict.error
            self._trouble.add(verdict.text)
            return False
        return True

    async def take(self, logs: Sequence[Log]) -> None:
        """Take these logs over; waits while as many as may wait are waiting."""
        self._taken += len(logs)
        at = self._clock.now()
        for log in logs:
            while not self._batcher.add(Received(log, at), self._clock.monotonic()):
                self._added.set()
                self._emptied.clear()
                await self._emptied.wait()
            self.stats.waiting += 1
        self._added.set()

    async def run(self) -> None:
        """Send until cancelled. Raises SinkError where a dead letter cannot be written."""
        while True:
            await self._due()
            batch = self._batcher.close()
            self._emptied.set()
            self.stats.waiting -= len(batch)
            self.stats.shipped += len(batch)
            await self._deliver(batch)

    async def drain(self) -> None:
        """Send what waits without waiting for more; returns when everything taken is settled."""
        self._draining = True
        self._added.set()
        while self._settled < self._taken:
            self._progressed.clear()
            await self._progressed.wait()

    async def _due(self) -> None:
        while (seconds := self._batcher.due_in(self._clock.monotonic())) != 0.0:
            if self._draining and seconds is not None:  # None: the batch is empty
                return
            self._added.clear()
            if seconds is None:
                await self._added.wait()
            else:
                await first_of(self._added.wait(), self._clock.sleep(seconds))

    async def _deliver(self, batch: Sequence[Received]) -> None:
        """Send a batch until each log is settled: of what is refused halves are sent, down to single logs."""
        names = await self._names.of(received.log for received in batch)
        waiting = [batch]
        tries = 0
        while waiting:
            part = waiting.pop()
            verdict = await self._sent(encode_request(self._records(part, names), self.resource))
            if isinstance(verdict, Accepted):
                self._note_accepted(verdict, len(part))
            elif len(part) > 1:
                middle = len(part) // 2
                waiting += [part[middle:], part[:middle]]
                continue
            elif not await self._is_poison(verdict):
                self._trouble.add(verdict.text)
                await self._clock.sleep(delay(tries, 0.0, self._rng))
                tries += 1
                waiting.append(part)
                continue
            else:
                await self._leave_behind(part[0].log, verdict)
            tries = 0
            self._settled += len(part)
            self._on_settled(self._taken - self._settled)
            self._progressed.set()

    async def _sent(self, payload: bytes) -> Accepted | Refused:
        """Send a request until it is accepted or refused, however long that takes."""
        tries = 0
        while isinstance(verdict := await self._sender.send(payload), Later):
            self._trouble.add(verdict.text)
            self.stats.retried += 1
            await self._clock.sleep(delay(tries, verdict.floor, self._rng))
            tries += 1
        return verdict

    async def _is_poison(self, refused: Refused) -> bool:
        """Return whether a log alone is to blame for its refusal: then the receiver accepts a request without logs.

        Some refuse that as bad data; they are believed once they have acknowledged a log.
        """
        verdict = await self._sender.send(encode_request((), self.resource))
        if isinstance(verdict, Refused):
            return verdict.status == BAD_REQUEST and self.stats.acknowledged > 0
        return isinstance(verdict, Accepted)

    def _note_accepted(self, accepted: Accepted, count: int) -> None:
        rejected = min(accepted.rejected, count)
        self.stats.acknowledged += count - rejected
        self.stats.rejected += rejected
        self.stats.last_acknowledged = self._clock.now()
        self._trouble.over()
        self._trouble.warn(accepted, count)

    async def _leave_behind(self, log: Log, refused: Refused) -> None:
        where = "it is left out"
        if self._dead_letters is not None:
            at = self._clock.now()
            await self._dead_letters.write(log, reason=refused.text, status=refused.status, at=at)
            self.stats.dead_letters += 1
            where = "it is in the dead-letter file"
        self.stats.poison += 1
        self._trouble.over()
        text = f"the log {log.id_text} ({len(log.message)} characters) is refused for good, {where}: {refused.text}"
        self._notify("warning", text, log_id=log.id_text, status=refused.status)

    def _records(self, part: Iterable[Received], names: Mapping[UUID, RunLabels]) -> Iterable[Record]:
        for log, at in part:
            run = log.flow_run_id
            yield record_of(log, at, names.get(run) if run is not None else None)
