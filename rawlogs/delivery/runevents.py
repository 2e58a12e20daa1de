"""News of flow runs from ``/events/out``: which changed its state, and that one began. Only a hint: REST is asked then.

The server streams events by default (unlike logs). Without a future ``until`` no live event ever comes: it defaults to
the moment of the subscription (seen on 3.8.8).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from rawlogs.clock import Clock
from rawlogs.delivery.retry import delay
from rawlogs.errors import AuthError, RawlogsError, UpgradeRefused
from rawlogs.wire.connection import Target, open_connection
from rawlogs.wire.frames import EventFrame, decode, filter_message

_FLOW_RUN = "prefect.flow-run."
TRIES = 5


def run_event(event: Mapping[str, Any]) -> tuple[UUID, str | None, bool] | None:
    """(flow run, state type or None, whether it has a parent) of an event; None where it is about something else."""
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
    """Keeps the events socket open for as long as it answers; ``usable`` tells whether it does.

    ``on_open`` is told each time that it was opened: nothing tells when the server has begun to send, and what happened
    before is not sent.
    """

    def __init__(
        self,
        target: Target,
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
        """Returns when the events cannot be had; the caller goes on with REST."""
        failures = 0
        message = filter_message(
            {"event": {"prefix": [_FLOW_RUN]}, "occurred": {"until": "2999-01-01T00:00:00Z"}}, backfill=False
        )
        while failures < TRIES:
            try:
                async with await open_connection(self._target, message) as connection:
                    self.usable = True
                    self._on_open()
                    while True:
                        for payload in await connection.batch():
                            failures = 0
                            frame = decode(payload)
                            news = run_event(frame.event) if isinstance(frame, EventFrame) else None
                            if news is not None:
                                self._on_event(*news)
            except (UpgradeRefused, AuthError):
                self.usable = False
                return
            except RawlogsError:
                self.usable = False
                await self._clock.sleep(delay(failures, 0.5, self._rng))
                failures += 1
