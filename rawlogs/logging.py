"""Prefect's logs as records of the standard library's ``logging``, for an application's own handlers and structlog.

    from rawlogs.logging import forward

    async with rawlogs.stream(level="INFO") as logs:
        await forward(logs, "prefect.remote")

With structlog, whose formatter takes such records:

    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
                structlog.stdlib.ExtraAdder(allow=["flow_run_id", "task_run_id"]),
            ],
            processor=structlog.processors.JSONRenderer(),
        )
    )

httpx, which sends the REST requests, logs each at INFO; ``logging.getLogger("httpx").setLevel("WARNING")`` leaves that
out.
Levels, filters, handlers and formatters are those that the application has configured. The texts are what the flow
wrote, line breaks and escape sequences included: how they are shown is up to the handler.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterable, Coroutine, Iterable
from typing import Any, overload

from rawlogs.models import Log


@overload
def forward(logs: AsyncIterable[Log], logger: logging.Logger | str) -> Coroutine[Any, Any, int]: ...


@overload
def forward(logs: Iterable[Log], logger: logging.Logger | str) -> int: ...


def forward(
    logs: AsyncIterable[Log] | Iterable[Log], logger: logging.Logger | str
) -> Coroutine[Any, Any, int] | int:
    """Send every log to a logger until the stream ends. Return how many the logger was given.

    ``await forward(logs, logger)`` for what is read with ``async for``; ``forward(logs, logger)`` for
    ``rawlogs.stream_sync(...)`` and lists. Raises what iterating raises, and TypeError for another logger than one of
    ``logging``, or its name. A log below the logger's level is left out, and a handler that fails is reported by
    ``logging`` itself. A record keeps the name that the log has; see ``Log.to_record``.

    Do not forward to a logger whose handler sends to the Prefect server that is read: each log would come back.
    """
    target = logging.getLogger(logger) if isinstance(logger, str) else logger
    if not isinstance(target, logging.Logger):
        raise TypeError(
            f"forward wants a logging.Logger or its name, not {type(logger).__name__}: for structlog give "
            'logging.getLogger("...") and let structlog.stdlib.ProcessorFormatter format its records'
        )
    if isinstance(logs, AsyncIterable):
        return _forward_async(logs, target)
    return sum(_hand_over(log, target) for log in logs)


async def _forward_async(logs: AsyncIterable[Log], logger: logging.Logger) -> int:
    count = 0
    async for log in logs:
        count += _hand_over(log, logger)
    return count


def _hand_over(log: Log, logger: logging.Logger) -> bool:
    if not logger.isEnabledFor(log.level):  # ``handle`` does not look at the level
        return False
    logger.handle(log.to_record())
    return True
