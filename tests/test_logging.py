"""Prefect's logs as records of ``logging``: what a record says, and how a stream is handed to a logger."""

from __future__ import annotations

import io
import logging
import time
from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timezone
from typing import Any
from uuid import UUID

import pytest
from streaming import QuickClock, serving, threaded
from streaming import no_settings as no_settings

import rawlogs
from rawlogs.logging import forward

RUN = "0d88f0a1-0000-4000-8000-000000000001"
TASK = "0d88f0a1-0000-4000-8000-00000000000a"
FORMAT = "%(asctime)s.%(msecs)03d %(levelname)s %(name)s %(message)s %(flow_run_id)s"


def log(**fields: Any) -> rawlogs.Log:
    row = {
        "id": "0d88f0a1-0000-4000-8000-0000000000ff",
        "name": "my.app",
        "level": 30,
        "message": "hello",
        "timestamp": "2026-11-20T10:00:00.123456Z",
        "flow_run_id": RUN,
        "task_run_id": None,
        **fields,
    }
    return rawlogs.Log.model_validate(row)


@pytest.fixture
def written() -> Iterator[tuple[logging.Logger, io.StringIO]]:
    """A logger of its own with one handler, and what that has written."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    formatter = logging.Formatter(FORMAT, "%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    logger = logging.getLogger("tests.forwarded")
    logger.addHandler(handler)
    logger.propagate = False
    logger.setLevel(logging.DEBUG)
    yield logger, text
    logger.removeHandler(handler)
    logger.propagate = True


# What a record says.


def test_a_record_has_what_the_log_has() -> None:
    record = log(task_run_id=TASK).to_record()
    assert (record.name, record.levelno, record.levelname) == ("my.app", 30, "WARNING")
    assert record.getMessage() == "hello"
    assert record.created == datetime(2026, 11, 20, 10, 0, 0, 123456, timezone.utc).timestamp()
    assert record.msecs == 123.0
    extras = vars(record)
    assert (extras["flow_run_id"], extras["task_run_id"]) == (RUN, TASK)
    assert UUID(extras["log_id"]) == log().id


def test_a_record_says_nothing_about_this_process() -> None:
    record = log().to_record()
    place = (record.pathname, record.filename, record.module, record.lineno, record.funcName)
    assert place == ("", "", "", 0, "")
    assert (record.process, record.processName, record.thread, record.threadName) == (0, "", 0, "")
    line = "%(process)d %(processName)s %(thread)d %(threadName)s %(filename)s:%(lineno)d %(relativeCreated)d"
    assert logging.Formatter(line).format(record).startswith("0  0  :0 ")


def test_a_record_is_as_old_as_the_log() -> None:
    now = datetime.now(timezone.utc)
    before, after = (log(timestamp=stamp).to_record() for stamp in (now, now.replace(year=now.year + 1)))
    assert after.relativeCreated - before.relativeCreated == pytest.approx(
        (after.created - before.created) * 1000.0
    )


@pytest.mark.parametrize("message", ["100 %", "%s %d", "%(name)s", "{}", "two\nlines", "\x1b[2J", ""])
def test_a_message_is_no_format(message: str) -> None:
    assert log(message=message).to_record().getMessage() == message


@pytest.mark.parametrize(
    ("level", "name"), [(0, "NOTSET"), (25, "Level 25"), (50, "CRITICAL"), (-1, "Level -1")]
)
def test_every_level_has_a_name(level: int, name: str) -> None:
    record = log(level=level).to_record()
    assert (record.levelno, record.levelname) == (level, name)


@pytest.mark.parametrize("stamp", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"])
def test_a_record_can_be_of_any_year(stamp: str) -> None:
    record = log(timestamp=stamp).to_record()
    assert record.created == log(timestamp=stamp).timestamp.timestamp()


# Streams.


async def test_a_stream_goes_through_the_applications_handlers(
    written: tuple[logging.Logger, io.StringIO],
) -> None:
    logger, text = written
    async with serving() as server:
        stamp = "2026-11-20T10:00:00.123Z"
        server.store([{"message": f"{n}", "timestamp": stamp} for n in range(2)], level=40, flow_run_id=RUN)
        arguments: dict[str, Any] = {"tail": 10, "follow": False, "clock": server.state._clock}
        async with rawlogs.stream(api_url=server.api_url, **arguments) as logs:
            assert await forward(logs, logger) == 2
    lines = text.getvalue().splitlines()
    assert sorted(lines) == [f"10:00:00.123 ERROR prefect.flow_runs {n} {RUN}" for n in range(2)]


def test_a_stream_without_async_does_the_same(written: tuple[logging.Logger, io.StringIO]) -> None:
    logger, text = written
    with threaded(clock=QuickClock()) as server:
        server.store(["one", "two"])
        with rawlogs.stream_sync(api_url=server.api_url, tail=10, follow=False) as logs:
            assert forward(logs, logger.name) == 2
    assert [line.split()[3] for line in text.getvalue().splitlines()] == ["one", "two"]


async def test_the_loggers_level_and_filters_decide(written: tuple[logging.Logger, io.StringIO]) -> None:
    logger, text = written
    logger.setLevel(logging.WARNING)

    def only_run(record: logging.LogRecord) -> bool:
        return vars(record)["flow_run_id"] == RUN

    logger.addFilter(only_run)
    try:
        logs = [log(), log(level=20), log(flow_run_id=None), log(level=50)]
        assert forward(logs, logger) == 3
    finally:
        logger.removeFilter(only_run)
    assert [line.split()[1] for line in text.getvalue().splitlines()] == ["WARNING", "CRITICAL"]


async def test_what_ends_the_stream_is_raised(written: tuple[logging.Logger, io.StringIO]) -> None:
    async def logs() -> AsyncIterator[rawlogs.Log]:
        yield log()
        raise rawlogs.AuthError("the key was withdrawn")

    with pytest.raises(rawlogs.AuthError, match="withdrawn"):
        await forward(logs(), written[0])
    assert "hello" in written[1].getvalue()


def test_another_logger_is_refused_before_a_log_is_read() -> None:
    with pytest.raises(TypeError, match=r"logging\.getLogger"):
        forward(iter([log()]), object())  # type: ignore[call-overload]
