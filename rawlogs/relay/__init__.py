"""One upstream, many readers: logs for browsers and services, each with its own filter.

    hub = Hub()                                          # where to: Prefect's own settings
    reader = await hub.join(Query(flow_run_id=(run_id,)), cursor=last_event_id)
    async for events in reader.batches():                # LogEvent, GapEvent, StateEvent, EndEvent
        ...

A ``Hub`` reads one ``Source`` (``PrefectSource``: one stream of the whole workspace) for as long as somebody reads,
and hands every log to each ``Reader`` whose query chooses it. A reader that is too slow is told so by a gap and is
caught up from the list; it is never waited for. ``rawlogs.relay.sse`` and ``rawlogs.contrib.django`` are the two ways
to the browser. The names are loaded when they are first used; see docs/relay.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rawlogs._lazy import attach

if TYPE_CHECKING:
    from rawlogs.relay.cursor import Cursor as Cursor
    from rawlogs.relay.events import EndEvent as EndEvent
    from rawlogs.relay.events import Event as Event
    from rawlogs.relay.events import GapEvent as GapEvent
    from rawlogs.relay.events import LogEvent as LogEvent
    from rawlogs.relay.events import StateEvent as StateEvent
    from rawlogs.relay.hub import Hub as Hub
    from rawlogs.relay.prefect import PrefectSource as PrefectSource
    from rawlogs.relay.query import BadQuery as BadQuery
    from rawlogs.relay.query import Query as Query
    from rawlogs.relay.reader import Reader as Reader
    from rawlogs.relay.redis.source import RedisSource as RedisSource
    from rawlogs.relay.redis.source import source_from_environment as source_from_environment
    from rawlogs.relay.source import Batch as Batch
    from rawlogs.relay.source import NotKept as NotKept
    from rawlogs.relay.source import Source as Source
    from rawlogs.relay.source import SourceBatch as SourceBatch
    from rawlogs.relay.source import Tell as Tell
    from rawlogs.relay.source import Trouble as Trouble

_HOMES = {
    "BadQuery": "query",
    "Batch": "source",
    "Cursor": "cursor",
    "EndEvent": "events",
    "Event": "events",
    "GapEvent": "events",
    "Hub": "hub",
    "LogEvent": "events",
    "NotKept": "source",
    "PrefectSource": "prefect",
    "Query": "query",
    "Reader": "reader",
    "RedisSource": "redis.source",
    "Source": "source",
    "SourceBatch": "source",
    "StateEvent": "events",
    "Tell": "source",
    "Trouble": "source",
    "source_from_environment": "redis.source",
}

__all__ = sorted(_HOMES)  # pyright: ignore[reportUnsupportedDunderAll]

__getattr__, __dir__ = attach(__name__, _HOMES)
