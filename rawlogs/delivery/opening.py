"""Opens the list side of a stream: the REST client, and what reads, places and audits with it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from rawlogs.cursor import Resume
from rawlogs.delivery.audit import Auditor
from rawlogs.delivery.context import StreamContext
from rawlogs.delivery.merge import Merger
from rawlogs.delivery.reader import HistoryReader
from rawlogs.delivery.start import Start
from rawlogs.rest.body import MAX_SIZE
from rawlogs.rest.client import RestClient
from rawlogs.retrying.patient import PatientClient

REST_TIMEOUT = 30.0
"""Seconds that a server may be silent in an answer."""


def open_auditor(
    context: StreamContext,
    merger: Merger,
    *,
    entered: datetime,
    resume: Resume | None,
    alone: Callable[[], bool],
    tries: Callable[[], int | None],
) -> Auditor:
    """Return the list side of a stream that was ``entered`` then, by this machine's clock.

    alone, tries: see ``PatientClient``.
    """

    def count() -> None:
        context.stats.requests += 1

    options = context.options
    rest = RestClient(
        context.subscription.settings,
        clock=context.clock,
        rng=context.rng,
        timeout=REST_TIMEOUT,
        retries=1,
        # A log that is too large for the socket comes by the list.
        max_size=max(options.max_size, MAX_SIZE),
        on_notice=context.notifier.hand_on,
        on_request=count,
    )
    context.subscription.open_rest(rest)
    client = PatientClient(
        rest,
        context.subscription,
        options,
        context.notifier,
        context.clock,
        context.rng,
        alone=alone,
        tries=tries,
        verified=lambda: context.ledger.frontier,
    )
    reader = HistoryReader(context.ledger, merger.seen, context.now, by_run=options.keep_ids)
    start = Start(context, merger, reader, client, entered=entered, resume=resume)
    return Auditor(context, start, merger, reader, client)
