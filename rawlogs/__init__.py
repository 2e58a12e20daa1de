"""Stream Prefect 3 logs without the prefect package: live over its WebSocket, complete through its REST list.

    async with rawlogs.follow(RUN) as logs:  # to the end of a flow run; rawlogs.stream() has no end
        async for log in logs:
            print(log.level_name, log.timestamp, log.message)

The names are loaded when they are first used, so importing this package costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rawlogs._lazy import attach

if TYPE_CHECKING:
    from rawlogs.api import FrameStream as FrameStream
    from rawlogs.api import connect as connect
    from rawlogs.api import follow as follow
    from rawlogs.api import stream as stream
    from rawlogs.delivery.stream import LogStream as LogStream
    from rawlogs.errors import AuthError as AuthError
    from rawlogs.errors import CertificateError as CertificateError
    from rawlogs.errors import ConfigError as ConfigError
    from rawlogs.errors import ConnectError as ConnectError
    from rawlogs.errors import ConnectionLost as ConnectionLost
    from rawlogs.errors import CursorError as CursorError
    from rawlogs.errors import DataLoss as DataLoss
    from rawlogs.errors import FilterRejected as FilterRejected
    from rawlogs.errors import GaveUp as GaveUp
    from rawlogs.errors import HistoryError as HistoryError
    from rawlogs.errors import ProtocolError as ProtocolError
    from rawlogs.errors import RawlogsError as RawlogsError
    from rawlogs.errors import RedirectRefused as RedirectRefused
    from rawlogs.errors import SinkError as SinkError
    from rawlogs.errors import UpgradeRefused as UpgradeRefused
    from rawlogs.filters import LogFilter as LogFilter
    from rawlogs.filters import LogFilterFlowRunId as LogFilterFlowRunId
    from rawlogs.filters import LogFilterLevel as LogFilterLevel
    from rawlogs.filters import LogFilterTaskRunId as LogFilterTaskRunId
    from rawlogs.filters import LogFilterTextSearch as LogFilterTextSearch
    from rawlogs.filters import LogFilterTimestamp as LogFilterTimestamp
    from rawlogs.models import Log as Log
    from rawlogs.notices import Notice as Notice
    from rawlogs.rest.names import RunNames as RunNames
    from rawlogs.runs.run_stream import RunStream as RunStream
    from rawlogs.status.stats import Stats as Stats
    from rawlogs.sync import SyncLogStream as SyncLogStream
    from rawlogs.sync import SyncRunStream as SyncRunStream
    from rawlogs.sync import follow_sync as follow_sync
    from rawlogs.sync import stream_sync as stream_sync
    from rawlogs.wire.events import WireEvent as WireEvent
    from rawlogs.wire.frames import BadFrame as BadFrame
    from rawlogs.wire.frames import LogFrame as LogFrame
    from rawlogs.wire.frames import UnknownFrame as UnknownFrame

_HOMES = {
    "connect": "api",
    "follow": "api",
    "follow_sync": "sync",
    "stream": "api",
    "stream_sync": "sync",
    "FrameStream": "api",
    "LogStream": "delivery.stream",
    "RunNames": "rest.names",
    "RunStream": "runs.run_stream",
    "Stats": "status.stats",
    "SyncLogStream": "sync",
    "SyncRunStream": "sync",
    "Log": "models",
    "Notice": "notices",
    "WireEvent": "wire.events",
    **dict.fromkeys(("BadFrame", "LogFrame", "UnknownFrame"), "wire.frames"),
    **dict.fromkeys(
        (
            "LogFilter",
            "LogFilterFlowRunId",
            "LogFilterLevel",
            "LogFilterTaskRunId",
            "LogFilterTextSearch",
            "LogFilterTimestamp",
        ),
        "filters",
    ),
    **dict.fromkeys(
        (
            "AuthError",
            "CertificateError",
            "ConfigError",
            "ConnectError",
            "ConnectionLost",
            "CursorError",
            "DataLoss",
            "FilterRejected",
            "GaveUp",
            "HistoryError",
            "ProtocolError",
            "RawlogsError",
            "RedirectRefused",
            "SinkError",
            "UpgradeRefused",
        ),
        "errors",
    ),
}

__all__ = sorted(_HOMES)  # pyright: ignore[reportUnsupportedDunderAll]


_load, _ = attach(__name__, _HOMES)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from rawlogs.version import version

        return version()
    return _load(name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
