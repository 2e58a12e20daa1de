"""A stream's list side in one piece: every part is the real one, and the network ends in a table (see ``listing``).

Time passes only on a clock that is turned by hand, so that whole hours take milliseconds.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from email.utils import format_datetime
from typing import Any
from uuid import UUID

import httpx
from clocks import FakeClock
from listing import RUN, Listing

from rawlogs.batch import Batch
from rawlogs.config import urls
from rawlogs.config.settings import Settings
from rawlogs.cursor import Resume
from rawlogs.delivery.audit import Auditor, Round
from rawlogs.delivery.context import StreamContext
from rawlogs.delivery.ledger import Ledger
from rawlogs.delivery.merge import Merger
from rawlogs.delivery.outbox import Outbox
from rawlogs.delivery.reader import HistoryReader
from rawlogs.delivery.schedule import Schedule
from rawlogs.delivery.start import Start
from rawlogs.delivery.supervisor import LAST_TRIES
from rawlogs.errors import HistoryError
from rawlogs.models import Log
from rawlogs.notices import Notice
from rawlogs.options import Options
from rawlogs.rest.client import RestClient
from rawlogs.retrying.patient import PatientClient
from rawlogs.seen import SeenIds
from rawlogs.selection import Selection
from rawlogs.status.notifier import Notifier
from rawlogs.status.stats import Stats
from rawlogs.subscription import Subscription

LOOPBACK = "http://127.0.0.1:4200/api"
ELSEWHERE = "http://prefect.example/api"
Answer = tuple[int, dict[str, str], Any]


class ServerClock(FakeClock):
    """The server's clock: ours, and so many seconds ``ahead``."""

    def __init__(self, ours: FakeClock, ahead: float) -> None:
        super().__init__()
        self.ours = ours
        self.ahead = ahead

    def now(self) -> datetime:
        return self.ours.now() + timedelta(seconds=self.ahead)


class _Body(httpx.AsyncByteStream):
    def __init__(self, content: bytes) -> None:
        self.content = content

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self.content


class TableClient(RestClient):
    """A REST client whose connections end in a function instead of a network."""

    def answer_by(self, answer: Callable[[httpx.Request], Any]) -> None:
        """Ask this function instead of the network, also with other settings later."""
        table = httpx.AsyncClient(transport=httpx.MockTransport(answer))
        self._http._open = lambda: table  # type: ignore[method-assign]


def answer(status: int, detail: Any = "no", **headers: str) -> Answer:
    """An answer other than rows."""
    return status, {name.replace("_", "-"): value for name, value in headers.items()}, {"detail": detail}


async def turns(condition: Callable[[], object]) -> None:
    """Give the other tasks turns until the condition holds."""
    for _ in range(10_000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never holds")


class Delivery:
    """The parts of one stream. ``got`` counts what reached the reader, ``plan`` is how the next requests are answered.

    ahead: seconds by which the server's clock is ahead; latency: seconds that an answer takes.
    alone: the stream has nothing but the list; tries: how many requests in a row may fail.
    """

    def __init__(
        self,
        *,
        page: int = 200,
        ahead: float = 0.0,
        latency: float = 0.0,
        url: str = LOOPBACK,
        selection: Selection | None = None,
        resume: Resume | None = None,
        alone: bool = False,
        tries: int | None = None,
        rest: bool = True,
        reload: Callable[[], Settings] | None = None,
        seen: SeenIds | None = None,
        **options: Any,
    ) -> None:
        self.clock = FakeClock()
        self.start_time = self.clock.now()
        self.server = ServerClock(self.clock, ahead)
        self.listing = Listing(self.server, limit=page)
        self.latency = latency
        self.plan: list[Answer | Exception | Callable[[], None] | None] = []
        self.decide: Callable[[], Answer | None] = lambda: None
        self.requests: list[dict[str, Any]] = []
        self.asked_at: list[float] = []
        self.notices: list[Notice] = []
        self.failures: list[BaseException] = []
        self.got: Counter[str] = Counter()
        self.order: list[str] = []
        self.is_alone, self.tries = alone, tries
        self.options = Options(**options)
        rng = random.Random(1)
        self.settings = Settings(urls.parse(url))
        self.notifier = Notifier(self.notices.append, self.clock, self.failures.append)
        self.subscription = Subscription(
            self.settings, selection or Selection(), self.options, self.notifier, reload
        )
        self.ledger = Ledger(self.clock.now(), overlap=self.options.overlap, settle=self.options.settle)
        self.schedule = Schedule(self.clock, self.options.settle)
        self.stats = Stats(count_gaps=lambda: max(self.ledger.open_gaps, int(self.client.failing)))
        self.context = StreamContext(
            self.options,
            self.subscription,
            self.notifier,
            self.ledger,
            self.schedule,
            self.stats,
            self.clock,
            rng,
        )
        self.outbox = Outbox(self.options.buffer)
        self.rest = TableClient(
            self.settings, clock=self.clock, rng=rng, timeout=30.0, on_notice=self.notifier.hand_on
        )
        self.rest.answer_by(self._answer)
        if rest:
            self.subscription.open_rest(self.rest)
        self.merger = Merger(self.context, self.outbox, seen if seen is not None else SeenIds())
        self.client = PatientClient(
            self.rest,
            self.subscription,
            self.options,
            self.notifier,
            self.clock,
            rng,
            alone=lambda: self.is_alone,
            tries=self._allowed,
            verified=lambda: self.ledger.frontier,
        )
        self.reader = HistoryReader(
            self.ledger, self.merger.seen, self.rest.server_now, by_run=self.options.keep_ids
        )
        self.reader.page = page
        entered = self.options.started_at or self.clock.now()
        self.start = Start(
            self.context, self.merger, self.reader, self.client, entered=entered, resume=resume
        )
        self.auditor = Auditor(self.context, self.start, self.merger, self.reader, self.client)
        self._rounds = self.auditor.rounds()

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        self.clock.advance(self.latency)
        body = json.loads(request.content)
        self.requests.append(body)
        self.asked_at.append(self.second)
        planned = self.plan.pop(0) if self.plan else self.decide()
        if isinstance(planned, Exception):
            raise planned
        status, headers, content = 200, dict[str, str](), None
        if isinstance(planned, tuple):
            status, headers, content = planned
        else:
            if planned is not None:
                planned()
            try:
                content = await self.listing.post("/logs/filter", body)
            except HistoryError:
                status, content = 503, {"detail": "busy"}
        date = format_datetime(self.server.now().replace(microsecond=0), usegmt=True)
        return httpx.Response(
            status, headers={"Date": date, **headers}, stream=_Body(json.dumps(content).encode())
        )

    def _allowed(self) -> int | None:
        """How many requests in a row may fail: as ``tries`` says, and few once ``until`` has passed."""
        until = self.options.until
        over = until is not None and until + self.ledger.settle < self.rest.server_now()
        return LAST_TRIES if over else self.tries

    # What happens

    @property
    def second(self) -> float:
        """Seconds since the start, by our clock."""
        return (self.clock.now() - self.start_time).total_seconds()

    def at(self, second: float) -> datetime:
        """The server's time so many seconds after the start."""
        return self.start_time + timedelta(seconds=second + self.server.ahead)

    def log(
        self, second: float | None = None, *, live: int = 0, delay: float | None = 0.0, run: UUID | None = RUN
    ) -> Log:
        """A log stamped then (None: now): so often on the socket, readable after ``delay`` seconds (None: never)."""
        row = self.listing.row(self.at(self.second if second is None else second), run)
        if delay is not None:
            self.listing.store(row, delay)
        log = Log.from_wire({name: value for name, value in row.items() if name != "created"})
        for _ in range(live):
            self.merger.live(Batch([log]))
        return log

    def stored(self, *seconds: float, live: bool = False) -> list[str]:
        """Rows of these seconds, readable at once; ``live``: they came over the socket, too. Their ids."""
        return [self.log(second, live=int(live)).id_text for second in seconds]

    # What the stream does

    async def round(self) -> Round:
        """The next reading of the list, however long it takes until it is due."""
        return await anext(self._rounds)

    async def read(self) -> list[str]:
        """Read all that waits; the ids."""
        new: list[str] = []
        while len(self.outbox):
            batch = await self.outbox.take()
            assert batch is not None
            new += [log.id_text for log in batch]
        self.got.update(new)
        self.order += new
        return new

    async def catch_up(self) -> None:
        """List everything that no list has shown yet, once."""
        if not self.start.begun:
            await self.start.begin()
        due = self.ledger.due(self.rest.server_now(), self.reader.page, ahead=True)
        await self.auditor._take_all(due)

    async def until(self, second: float) -> None:
        """Rounds until then; the reader takes everything at once."""
        while self.second < second:
            await self.round()
            await self.read()

    async def until_end(self) -> None:
        """Rounds until the stream ends by itself."""
        task = asyncio.ensure_future(self._all_rounds())
        while not task.done():
            await self.read()
            await asyncio.sleep(0)
        await self.read()
        await task

    async def _all_rounds(self) -> None:
        async for _ in self._rounds:
            pass

    async def close(self) -> None:
        await self._rounds.aclose()
        await self.rest.close()

    @property
    def kinds(self) -> list[str]:
        return [notice.kind for notice in self.notices]

    @property
    def low(self) -> float:
        return (self.ledger.low_water - self.at(0)).total_seconds()

    @property
    def frontier(self) -> float:
        return (self.ledger.frontier - self.at(0)).total_seconds()
