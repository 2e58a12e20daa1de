"""The logs of one workspace in Redis: what is read and written, as values. Each method is one step of Redis."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, Literal, TypeVar, get_args

from rawlogs.errors import ConfigError
from rawlogs.log_values import micros
from rawlogs.models import Log
from rawlogs.output.json import encode_object
from rawlogs.relay.redis.client import Client
from rawlogs.relay.redis.scripts import ENTRIES, GIVE_UP, TAKE, TIME, WRITE
from rawlogs.relay.source import Trouble

T = TypeVar("T")
NAME_SETTING = "RAWLOGS_REDIS_NAME"
SLACK = timedelta(minutes=10)
"""How far the low-water mark may go back, for a late log that waits to be written."""
HOLD = timedelta(minutes=15)
"""How long an id is kept at least, whatever the trim does: a stream lists again what is so young."""
BATCH = 500
BATCH_BYTES = 4_000_000
PAGE = 200
SHORTEST = 200
"""A stream of fewer logs would be trimmed faster than readers can see it."""
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_ENTRY_ID = re.compile(rb"\d{1,20}-\d{1,20}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")

Outcome = Literal["written", "lost", "changed"]
EntryId = tuple[int, int]
"""An entry's id as Redis orders them."""
ZERO_ID: EntryId = (0, 0)


@dataclass(frozen=True, slots=True)
class Retention:
    """What stays in the stream: nothing older than ``max_age`` (None: any age), not more than ``max_length`` logs."""

    max_age: timedelta | None = timedelta(hours=24)
    max_length: int | None = None

    def __post_init__(self) -> None:
        if self.max_age is not None and self.max_age <= timedelta(0):
            raise ConfigError("the longest age must be greater than 0", setting="--max-age")
        if self.max_length is not None and self.max_length < SHORTEST:
            raise ConfigError(f"the largest length must be at least {SHORTEST}", setting="--max-length")


@dataclass(frozen=True, slots=True)
class WriterPosition:
    """Where the writing stands, for the next relay: ``mark`` names the last write; ``low`` is None before the first."""

    mark: str
    low: datetime | None


@dataclass(frozen=True, slots=True)
class State:
    """Where the writing stands, for readers.

    Every log stamped from ``covered`` up to ``low`` is in the stream, the last of them at or before ``last``.
    ``trimmed`` is the last entry that was taken away. ``turn`` names who has written last. ``relayed``: a relay holds
    the lease. ``trouble``: its own.
    """

    low: datetime
    covered: datetime
    last: EntryId
    trimmed: EntryId
    turn: str
    trouble: str
    relayed: bool


@dataclass(frozen=True, slots=True)
class Entry:
    """One log of the stream; ``arrived`` by the clock of Redis."""

    id: EntryId
    log: Log

    @property
    def arrived(self) -> datetime:
        return moment(self.id[0] * 1000)


class Store:
    """The keys of one workspace; ``name`` is what relays and readers agree on. Raises what ``Client`` raises."""

    def __init__(self, url: str, name: str, *, timeout: float = 5.0) -> None:
        if not _NAME.fullmatch(name):
            raise ConfigError(
                f"the name {name[:80]!r} cannot be used in Redis",
                setting=NAME_SETTING,
                hint="Up to 64 letters, digits, dots, underscores and hyphens.",
            )
        self.name = name
        self.client = Client(url, timeout=timeout)
        # One hash tag, so that a cluster keeps all of them in one slot.
        self._key = {
            part: f"{{rawlogs:{name}}}:{part}" for part in ("logs", "seen", "index", "cursor", "lease")
        }

    @property
    def stream_key(self) -> str:
        return self._key["logs"]

    async def close(self) -> None:
        await self.client.close()

    # For the relay

    async def take(self, token: str, seconds: float) -> WriterPosition | None:
        """Take the lease; None while another relay has it."""
        keys = [self._key["lease"], self._key["cursor"]]
        found = await self.client.script(TAKE, keys, token, round(seconds * 1000))
        if found is None:
            return None
        mark, low = found
        return WriterPosition(
            self._parsed("mark", _text, mark), None if low is None else self._parsed("low", parse_moment, low)
        )

    async def give_up(self, token: str) -> None:
        await self.client.script(GIVE_UP, [self._key["lease"]], token)

    async def write(
        self,
        logs: Sequence[Row],
        *,
        token: str,
        before: str,
        mark: str,
        lease: float,
        low: datetime | None,
        begin: datetime,
        trouble: str,
        keep: Retention,
    ) -> Outcome:
        """Write rows that are not there yet, and where the writing stands then; see ``WRITE``."""
        head: list[str | bytes | int] = [
            token,
            before,
            mark,
            round(lease * 1000),
            "" if low is None else micros(low),
            micros(begin),
            trouble,
            0 if keep.max_age is None else keep.max_age // timedelta(microseconds=1),
            keep.max_length or 0,
            SLACK // timedelta(microseconds=1),
            HOLD // timedelta(microseconds=1),
        ]
        outcome = await self.client.script(
            WRITE, list(self._key.values()), *head, *(word for row in logs for word in row)
        )
        if isinstance(outcome, int):
            return "written"
        return "lost" if outcome == b"lost" else "changed"

    # For readers

    async def state(self) -> State | None:
        """Return where the writing stands; None where no relay has ever written."""
        fields = ("low", "covered", "last", "trimmed", "mark", "trouble")
        low, covered, last, trimmed, mark, trouble = await self.client.call(
            "HMGET", self._key["cursor"], *fields
        )
        if low is None or covered is None:
            return None
        relayed = await self.client.call("EXISTS", self._key["lease"])
        told = self._parsed("trouble", _text, trouble)
        return State(
            self._parsed("low", parse_moment, low),
            self._parsed("covered", parse_moment, covered),
            self._parsed("last", parse_id, last),
            self._parsed("trimmed", parse_id, trimmed),
            self._parsed("mark", _text, mark).partition(":")[0],
            # A relay of a later version may know more of them.
            told if told in ("", *get_args(Trouble)) else "failed",
            bool(relayed),
        )

    def _parsed(self, field: str, parse: Callable[[bytes | None], T], value: bytes | None) -> T:
        """Return what a field of the position holds. ConfigError for what no relay writes."""
        try:
            return parse(value)
        except (ValueError, OverflowError):
            pass
        raise ConfigError(
            f"The position of {self.name} in Redis at {self.client.address} cannot be read: {field}",
            setting=NAME_SETTING,
            hint=f"Something else has written to {self._key['cursor']}: delete the keys that begin with "
            f"{{rawlogs:{self.name}}}, or choose another name.",
        )

    async def now(self) -> datetime:
        """Return the clock of Redis."""
        seconds, fraction = await self.client.script(TIME, [self._key["logs"]])
        return moment(int(seconds) * 1_000_000 + int(fraction))

    async def follow(self, entry_id: EntryId, seconds: float) -> tuple[EntryId, list[Entry]]:
        """Return what comes behind that entry, after so many seconds at the latest; and the id of the last."""
        reply = await self.client.wait_for(
            self._key["logs"],
            "XREAD",
            *("COUNT", PAGE, "BLOCK", round(seconds * 1000)),
            *("STREAMS", self._key["logs"], id_text(entry_id)),
        )
        rows = reply[0][1] if reply else []
        return parse_id(rows[-1][0]) if rows else entry_id, _entries(rows)

    async def count(self, after: datetime, before: datetime) -> int:
        """Return how many logs of the stream are stamped from ``after`` to ``before``."""
        found: int = await self.client.call("ZCOUNT", self._key["index"], micros(after), micros(before))
        return found

    async def page(
        self, after: datetime, before: datetime, known: Sequence[EntryId], *, newest_first: bool = False
    ) -> list[Entry]:
        """Return the next logs stamped from ``after`` to ``before``, by timestamp, without those in ``known``."""
        low, high = micros(after), micros(before)
        bounds = ("ZREVRANGEBYSCORE", high, low) if newest_first else ("ZRANGEBYSCORE", low, high)
        found = await self.client.call(
            bounds[0], self._key["index"], bounds[1], bounds[2], "LIMIT", 0, PAGE + len(known)
        )
        ids = [text for text in found if self._parsed("index", parse_id, text) not in known]
        rows = await self.client.script(ENTRIES, [self._key["logs"]], *ids) if ids else []
        return _entries(rows)


Row = tuple[bytes, int, bytes]
"""A log's id, its timestamp, itself: as a script takes them."""


def row(log: Log) -> Row:
    return bytes.fromhex(log.id_text.replace("-", "")), micros(log.timestamp), encode_object(dict(log.data))


def chunks(rows: Sequence[Row]) -> list[Sequence[Row]]:
    """Return parts that keep Redis busy for some milliseconds only; one empty part where there are no rows."""
    parts, first, size = [], 0, 0
    for n, (_, _, text) in enumerate(rows):
        if n > first and (n - first >= BATCH or size + len(text) > BATCH_BYTES):
            parts.append(rows[first:n])
            first, size = n, 0
        size += len(text)
    return [*parts, rows[first:]]


def workspace_name(api_url: str) -> str:
    """Return the name that goes with an API where none is given."""
    return hashlib.sha256(api_url.encode()).hexdigest()[:12]


def moment(number: int) -> datetime:
    return _EPOCH + timedelta(microseconds=number)


def parse_moment(text: bytes | None) -> datetime:
    """Return a moment as it stands in Redis. Raises ValueError or OverflowError for what is none."""
    return moment(int(text or b""))


def id_text(entry_id: EntryId) -> str:
    return f"{entry_id[0]}-{entry_id[1]}"


def parse_id(text: bytes | None) -> EntryId:
    """Return the entry id that Redis wrote. Raises ValueError for what is none."""
    if not text:
        return ZERO_ID
    if not _ENTRY_ID.fullmatch(text):
        raise ValueError("no id of a stream entry")
    ms, _, count = text.partition(b"-")
    return int(ms), int(count)


def _text(value: bytes | None) -> str:
    return (value or b"").decode()


def _entries(rows: Sequence[Any]) -> list[Entry]:
    entries = []
    for text, fields in rows:
        try:
            entry = Entry(parse_id(text), Log.model_validate(fields[fields.index(b"d") + 1]))
            _ = entry.arrived
        except (ValueError, OverflowError):
            continue  # not an entry of ours, or one that came at no time of the calendar
        entries.append(entry)
    return entries
