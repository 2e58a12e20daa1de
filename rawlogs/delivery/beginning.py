"""Where a stream begins: which stored logs are its own, and which are of the past."""

from __future__ import annotations

from datetime import datetime, timedelta

from rawlogs.delivery.core import Core
from rawlogs.delivery.cursor import Resume
from rawlogs.delivery.seen import SeenIds
from rawlogs.models import BEGINNING, Log
from rawlogs.rest.history import History

LEAD = timedelta(seconds=2)
"""How far before its start a stream without ``since`` looks at once: a Prefect run sends its logs every 2 s.

Up to ``overlap`` before, it looks once that has passed.
"""
PAST_ROWS = 1000


async def begin(core: Core, history: History, resume: Resume | None, flushed: SeenIds | None) -> None:
    """Place the window where the options say, and deliver the ``tail`` newest stored logs.

    Raises HistoryError, AuthError, RedirectRefused.
    """
    options, window = core.options, core.window
    after = core.selection.after or BEGINNING
    if resume is not None:
        _go_on(core, resume, flushed)
    elif options.tail is not None or (options.since is None and options.follow):
        await _look_back(core, history, options.since or after)
    elif options.since is not None:
        since = options.since
        if options.since_ago:
            await history.newest(core.selection.wire, core.now())  # its answer tells the server's clock
            core.listed = True
            since += core.now() - core.clock.now()
        window.fresh = window.late = min(max(since, after), core.now())
        window.set_past(frozenset(), core.now(), window.fresh)
    else:
        window.fresh = window.late = after


def begin_blind(core: Core, resume: Resume | None, flushed: SeenIds | None) -> None:
    """REST does not answer at the start: the list begins where the stream did, once it does."""
    window, now = core.window, core.now()
    if resume is not None:
        _go_on(core, resume, flushed)
        return
    since = core.options.since
    window.fresh = window.late = since or now - LEAD
    if since is None:
        window.set_past(frozenset(), now, now)


def _go_on(core: Core, resume: Resume, flushed: SeenIds | None) -> None:
    window, now = core.window, core.now()
    latest = now - window.settle - window.overlap
    if resume.low > now:
        core.notify(
            "cursor", f"the cursor is in the future ({resume.low.isoformat()}): going on a little before now"
        )
    window.fresh = window.late = latest if resume.low > now else resume.low
    for seen in (window.seen, flushed):
        if seen is not None:
            seen.load(resume.entries, now.timestamp())


async def _look_back(core: Core, history: History, after: datetime) -> None:
    """Read the newest rows: the ``tail`` asked for, and what had been stored when the stream began.

    The server's clock is known by the second only, so what it stored within the present second is told apart by id.
    """
    options, window = core.options, core.window
    wanted = options.tail or 0
    ceiling = options.until or core.now() + window.overlap
    began: datetime | None = None
    rows: list[Log] = []
    kept: list[Log] = []
    async for page in history.pages(core.selection.wire, after, ceiling, newest_first=True):
        began = began or core.now().replace(microsecond=0)
        rows.extend(page)
        kept.extend(log for log in page if core.selection.accepts(log))
        if len(kept) >= wanted and (page[-1].timestamp < began or len(rows) > PAST_ROWS):
            break
        if len(kept) < wanted:
            del rows[PAST_ROWS:]
    core.listed = True
    began = began or core.now().replace(microsecond=0)
    reach = began - max(window.overlap, LEAD)
    # On a quiet server the first list reaches back at once: it fits into one page.
    quiet = len(rows) < history.page or rows[-1].timestamp < reach
    window.begin(reach if quiet else began - LEAD, reach)
    window.set_past(frozenset(log.id_text for log in rows), began, began)
    tail = kept[:wanted][::-1]
    window.seen.admit(tail, began.timestamp())
    core.stats.recovered += len(tail)
    core.outbox.put(tail)


async def note_old_cursor(core: Core, history: History, resume: Resume) -> None:
    """Say so when the server may have deleted what came after the cursor."""
    if core.now() - resume.low < timedelta(days=1):
        return
    async for page in history.pages(core.selection.wire, BEGINNING, core.now()):
        if page[0].timestamp > resume.low:
            core.notify(
                "cursor",
                f"the cursor is of {resume.low.isoformat()}, the oldest stored log of "
                f"{page[0].timestamp.isoformat()}: what was between may have been deleted",
            )
        return
