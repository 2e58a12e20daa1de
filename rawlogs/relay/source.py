"""Where a hub's logs come from: a complete, ordered sequence, and the list behind it. What a hub needs, no more."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal, Protocol

from rawlogs.errors import HistoryError
from rawlogs.log_values import rfc3339
from rawlogs.models import Log
from rawlogs.notices import Notice

if TYPE_CHECKING:
    from rawlogs.rest.flow_runs import Runs
    from rawlogs.selection import Selection
    from rawlogs.wire.connection import Target

Trouble = Literal["unreachable", "denied", "failed"]
"""Why nothing comes now: no connection; the server refuses our access; anything else. No more is told to readers."""

SLOW = 60.0
"""Seconds between two tries where somebody has to change something first (``denied``)."""

Tell = Callable[[Trouble | None], None]
"""Called by a source when its sequence stops for a while (nothing is lost by it), and with None when it goes on."""


def is_trouble(notice: Notice) -> bool | None:
    """Return whether a stream says that nothing comes any more (True), or again (False); None for other news."""
    if notice.kind in ("lost", "retrying"):
        return True
    # A connection that is opened again has a gap before it, which is not closed yet.
    first = notice.kind == "connected" and not notice.facts.get("again")
    return False if first or notice.kind in ("gap_closed", "live_off") else None


@dataclass(frozen=True, slots=True)
class SourceBatch:
    """Logs in the order of the sequence, each with its place.

    A place is a short text without ``/`` and line ends that names one position of one sequence, and no position of
    any other: two processes use the same place only if they read the same sequence (a Redis stream: the entry's id).
    The logs may be a ``rawlogs.batch.Batch``, whose proven payloads are then passed on. Raises ValueError where logs
    and places are not equally many.
    """

    logs: Sequence[Log]
    places: Sequence[str]

    def __post_init__(self) -> None:
        if len(self.logs) != len(self.places):
            raise ValueError(f"a batch has {len(self.logs)} logs and {len(self.places)} places")


Batch = SourceBatch
"""The name that this had in 0.1.0."""


class NotKept(HistoryError):
    """The list has nothing stamped before ``kept_from``, and nobody else can be asked; asking again is of no use."""

    def __init__(self, kept_from: datetime) -> None:
        super().__init__(f"logs before {rfc3339(kept_from)} are not kept here")
        self.kept_from = kept_from


class Source(Protocol):
    """A sequence of all logs of a workspace that the hub's readers may want.

    One hub reads it, in one event loop. It may be read again after a reading ended. ``runs`` and ``events_target``
    serve ``state`` and ``end`` events and deployments; a source without them returns None.
    """

    def read(self, since: datetime, tell: Tell) -> AsyncGenerator[SourceBatch, None]:
        """Open the sequence and go on for ever; closing the iterator (``aclose``) closes the upstream.

        Every log stamped at or after ``since`` is in it, stored ones included, each once, in order of arrival; and
        every log that becomes readable later, however late it is stamped, as far as the upstream shows it. Raises
        RawlogsError for what it cannot overcome itself; the hub then reads again from ``low()``.
        """
        ...

    def low(self) -> datetime | None:
        """Return the moment before which every log has been yielded by ``read``, and taken: it was asked to go on.

        None while nothing can be said. Never later than the true moment; cheap enough to be asked for each batch.
        """
        ...

    def now(self) -> datetime:
        """Return the server's clock, aware."""
        ...

    def history(
        self, selection: Selection, after: datetime, before: datetime, *, newest_first: bool = False
    ) -> AsyncGenerator[list[Log], None]:
        """Yield stored logs stamped from ``after`` to ``before`` (both inclusive), in order of time, page by page.

        It may yield more than ``selection`` chooses (the hub checks each log), never less. Raises NotKept, after all
        that there is, where the range begins before what is kept; and HistoryError, AuthError, ConnectError,
        RedirectRefused for what may go through later.
        """
        ...

    def runs(self) -> Runs | None:
        """Return the flow runs of the same workspace; None where they cannot be had."""
        ...

    def events_target(self) -> Target | None:
        """Return where ``/events/out`` is, so that states are known sooner; None: they are asked for every 2 s."""
        ...

    async def close(self) -> None:
        """Let go of what ``history`` and ``runs`` keep open. A later call would open it again."""
        ...
