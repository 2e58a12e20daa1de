"""Check whether stored logs also come over the socket: by watching both, or by writing one log."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from rawlogs.advice import Advice, advise
from rawlogs.doctor.context import CheckContext
from rawlogs.doctor.findings import Finding, of_error
from rawlogs.errors import ConnectionLost, RawlogsError
from rawlogs.models import Log
from rawlogs.waiting import first_of, within
from rawlogs.wire.connection import Connection
from rawlogs.wire.frames import decode_logs

LATE = timedelta(minutes=2)
"""Maximum delay between a log's timestamp and its storage."""
MARGIN = timedelta(seconds=2)
"""Uncertainty of the server's clock: logs stored so early in the watch are not counted."""
ROWS = 1000
"""The most stored logs that are compared, the newest."""
TRIES = 20
PAUSE = 0.25
LOGGER = "rawlogs.doctor"

_OTHERS = Advice(
    "The server stores logs, but hands none to this client: its log streaming is off, or another server process "
    "takes the logs in, and the processes share no message broker.",
    "Switch on PREFECT_SERVER_LOGS_STREAM_OUT_ENABLED and PREFECT_SERVER_LOGS_STREAM_PUBLISHING_ENABLED in every "
    "server process; several of them need a common broker (Redis). Meanwhile rawlogs finds these logs over REST.",
)
_SOME = Advice(
    "The server dropped logs for this client: it does with bursts beyond 256, and several processes without a "
    "common broker see each their own logs only.",
    "None is lost: `rawlogs tail` lists afterwards what the socket left out. To get all of them live, ask for fewer "
    "(a flow run, a level).",
)


async def delivery(case: CheckContext) -> Finding:
    """Watch the socket and the list, and compare what came."""
    connection = case.connection
    assert connection is not None
    if case.write_test:
        return await _write(case, connection)
    if case.streaming is not None and not all(case.streaming):
        return Finding("skip", "not watched: the server does not stream")
    return await _watch(case, connection)


# -- watching


async def _watch(case: CheckContext, connection: Connection) -> Finding:
    seen: set[str] = set()
    began, opened = case.rest.server_now(), case.clock.monotonic()
    collector = asyncio.create_task(_collect_live(connection, seen))
    try:
        await first_of(collector, case.clock.sleep(case.watch))
        if collector.done():
            return _ended(collector.result(), case.clock.monotonic() - opened, seen)
        stored = await _stored(case, began - LATE)
        # What the server sent before the list is here when it has answered a ping.
        await within(case.patience, connection.ping())
        # A busy server streams from a queue of its own, which it empties later than it answers lists and pings.
        for _ in range(TRIES):
            if collector.done() or not seen or seen.issuperset(_due(stored, began + MARGIN)):
                break
            await case.clock.sleep(PAUSE)
    except TimeoutError:  # no pong in time: what came until now is compared all the same
        pass
    finally:
        collector.cancel()
        await asyncio.gather(collector, return_exceptions=True)
    case.seen_live = bool(seen)
    return compare(seen, stored, began + MARGIN, case.watch)


def _ended(error: RawlogsError, seconds: float, seen: set[str]) -> Finding:
    # A proxy whose idle time is over cuts the connection; a server that ends one says why in a close frame.
    if isinstance(error, ConnectionLost) and error.code == 1006 and not seen:
        text = f"the connection was cut without a word after {seconds:.0f} s in which no log came"
        return of_error(error, advise("line", "idle"), text, idle_seconds=round(seconds, 1))
    return of_error(error)


async def _collect_live(connection: Connection, seen: set[str]) -> RawlogsError:
    """Add the ids of the logs that come to ``seen``, until the connection ends; return why it ended."""
    while True:
        try:
            logs, _ = decode_logs(await connection.batch())
        except RawlogsError as ending:
            return ending
        seen.update(log.id_text for log in logs)


async def _stored(case: CheckContext, after: datetime) -> list[Log]:
    from rawlogs.models import END
    from rawlogs.rest.history import History

    found: list[Log] = []
    async for page in History(case.rest).pages({}, after, END, newest_first=True):
        found += page
        if len(found) >= ROWS:
            break
    return found


def _due(stored: Iterable[Log], since: datetime) -> list[str]:
    """Return the ids of the rows that were stored from ``since`` on, which must have come over the socket."""
    return [log.id_text for log in stored if log.created is not None and log.created >= since]


def compare(seen: set[str], stored: Iterable[Log], since: datetime, watched: float) -> Finding:
    """Compare the ids that came over the socket with the rows of the list; only rows stored from ``since`` on count."""
    due = _due(stored, since)
    missing = [each for each in due if each not in seen]
    facts = {"watched_seconds": watched, "live": len(seen), "stored": len(due), "missing": len(missing)}
    if not seen and not due:
        advice = Advice(
            "Nothing was logged meanwhile, so this says nothing.",
            "Watch longer (--watch 60) while a flow runs, or write one log with --write-test.",
        )
        return Finding("skip", f"no log came by within {watched:g} s", advice, facts=facts)
    if not missing:
        text = f"{_logs(len(seen))} came over the socket; the list has none besides"
        return Finding("ok", text, facts=facts)
    if not seen:
        text = f"{_logs(len(missing))} stored within {watched:g} s, none of them over the socket"
        return Finding("fail", text, _OTHERS, facts=facts)
    text = f"{len(missing)} of {_logs(len(due))} did not come over the socket"
    return Finding("warn", text, _SOME, facts=facts)


def _logs(count: int) -> str:
    return "1 log" if count == 1 else f"{count} logs"


# -- writing


async def _write(case: CheckContext, connection: Connection) -> Finding:
    run = uuid4()
    case.tell(
        f"--write-test: writing one log now (logger {LOGGER!r}, level INFO, flow run {run}, which does not exist)"
    )
    arrived = asyncio.Event()
    collector = asyncio.create_task(_await_run(connection, run, arrived))
    try:
        await case.rest.post("/logs/", _log(case, run))  # type: ignore[arg-type]
        stored = await _list_run(case, run)
        # A log is published before it is stored, so a short while is enough once it has been listed.
        await first_of(arrived.wait(), case.clock.sleep(case.watch), collector)
        live = arrived.is_set()
    finally:
        collector.cancel()
        await asyncio.gather(collector, return_exceptions=True)
    case.seen_live = live
    return written_finding(live, stored, case.streaming)


def _log(case: CheckContext, run: UUID) -> list[Mapping[str, Any]]:
    """Return one log as POST /logs/ takes it; it belongs to a run of its own, so that no log page shows it."""
    return [
        {
            "name": LOGGER,
            "level": 20,
            "message": "rawlogs doctor --write-test",
            "timestamp": case.rest.server_now().isoformat(),
            "flow_run_id": str(run),
        }
    ]


async def _await_run(connection: Connection, run: UUID, arrived: asyncio.Event) -> None:
    try:
        while True:
            logs, _ = decode_logs(await connection.batch())
            if any(log.flow_run_id == run for log in logs):
                arrived.set()
    except RawlogsError:
        return


async def _list_run(case: CheckContext, run: UUID) -> bool:
    body = {"logs": {"flow_run_id": {"any_": [str(run)]}}, "limit": 1}
    for _ in range(TRIES):
        if await case.rest.post("/logs/filter", body):
            return True
        await case.clock.sleep(PAUSE)
    return False


def written_finding(live: bool, stored: bool, streaming: tuple[bool, bool] | None) -> Finding:
    """Return the finding for the log that was written. ``live``: it came over the socket."""
    facts = {"written": 1, "live": live, "stored": stored}
    if live and stored:
        return Finding("ok", "one log was written: it came over the socket, and it is stored", facts=facts)
    if live:
        advice = Advice("The server streams logs before it stores them, and has not stored this one yet.")
        text = "one log was written: it came over the socket, but is not in the list"
        return Finding("warn", text, advice, facts=facts)
    if stored:
        advice = _OTHERS
        if streaming is not None and not all(streaming):
            advice = Advice("Log streaming is off on the server.", _OTHERS.fix)
        text = "one log was written: it is stored, but did not come over the socket"
        return Finding("fail", text, advice, facts=facts)
    advice = Advice("The server accepted a log, and shows it nowhere.", "Look at the server's log.")
    return Finding("fail", "one log was written, and was not seen again", advice, facts=facts)
