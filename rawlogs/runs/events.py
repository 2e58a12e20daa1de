"""News of flow runs from ``/events/out``: which changed its state, and that one began. Only a hint: REST is asked then.

The server streams events by default (unlike logs). Without a future ``until`` no live event ever comes: it defaults to
the moment of the subscription (seen on 3.8.8).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from rawlogs.backoff import TRANSIENT_STATUSES, delay
from rawlogs.clock import Clock
from rawlogs.errors import AuthError, RawlogsError, UpgradeRefused
from rawlogs.wire.connection import Target, open_connection
from rawlogs.wire.frames import EventFrame, decode, filter_message

_FLOW_RUN = "prefect.flow-run."
REFUSED_FLOOR = 60.0
"""Seconds before a refusal after a success is tried again: a key was rotated, a proxy is being set up."""
LASTED = 10.0
"""Seconds after which a connection that ends is not one of a row of failures."""


def run_event(event: Mapping[str, Any]) -> tuple[UUID, str | None, bool] | None:
    """Return (flow run, state type or None, whether it has a parent); None where an event is about something else."""
    resource = event.get("resource")
    if not isinstance(resource, dict):
        return None
    name = resource.get("prefect.resource.id")
    if not isinstance(name, str) or not name.startswith(_FLOW_RUN):
        return None
    try:
        run = UUID(name[len(_FLOW_RUN) :])
    except ValueError:
        return None
    related = event.get("related")
    child = isinstance(related, list) and any(
        isinstance(item, dict) and item.get("prefect.resource.role") == "task-run" for item in related
    )
    state = resource.get("prefect.state-type")
    return run, state if isinstance(state, str) else None, child


class RunEvents:
    """Keeps the events socket open for as long as it may answer; ``usable`` tells whether it is open now.

    target: gives the address and access as they are now.
    on_event: called with (flow run, state type or None, whether it has a parent).
    on_open: called each time that it was opened: nothing tells when the server has begun to send, and what happened
    before is not sent.
    """

    def __init__(
        self,
        target: Callable[[], Target],
        on_event: Callable[[UUID, str | None, bool], None],
        *,
        clock: Clock,
        rng: random.Random,
        on_open: Callable[[], None] = lambda: None,
    ) -> None:
        self._target = target
        self._on_event = on_event
        self._on_open = on_open
        self._clock = clock
        self._rng = rng
        self.usable = False

    async def run(self) -> None:
        """Read events until cancelled. Returns only where the server refuses them from the start (401, 403, 404)."""
        failures, floor, succeeded = 0, 0.5, False
        message = filter_message(
            {"event": {"prefix": [_FLOW_RUN]}, "occurred": {"until": "2999-01-01T00:00:00Z"}}, backfill=False
        )
        while True:
            opened = None
            try:
                async with await open_connection(self._target(), message) as connection:
                    opened, succeeded, self.usable = self._clock.monotonic(), True, True
                    self._on_open()
                    while True:
                        for payload in await connection.batch():
                            frame = decode(payload)
                            news = run_event(frame.event) if isinstance(frame, EventFrame) else None
                            if news is not None:
                                self._on_event(*news)
            except RawlogsError as error:
                floor = _floor(error)
                # An older server, or no right to read events: that does not change while this runs.
                if floor == REFUSED_FLOOR and not succeeded:
                    return
            finally:
                self.usable = False
            # A connection that lasted is a new beginning, also where a proxy cuts what is idle.
            lasted = opened is not None and self._clock.monotonic() - opened >= LASTED
            failures = 0 if lasted else failures + 1
            await self._clock.sleep(delay(failures, floor, self._rng))


def _floor(error: RawlogsError) -> float:
    """Return the seconds before another try at least."""
    if isinstance(error, UpgradeRefused):
        return (error.retry_after or 0.5) if error.status in TRANSIENT_STATUSES else REFUSED_FLOOR
    return REFUSED_FLOOR if isinstance(error, AuthError) else 0.5
