"""Outcomes as Markdown: what was delivered, and what it cost in REST requests. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from benchmarks.cases import title
from benchmarks.outcomes import Outcome
from benchmarks.tables import markdown

OTHERS = ("Prefect's helper", "REST poller")


def report(machine: str, outcomes: Sequence[Outcome]) -> str:
    """All tables."""
    busy = [one for one in outcomes if one.stored]
    silent = [one for one in outcomes if not one.stored]
    parts = [f"Measured: {machine}."]
    if busy:
        parts += [
            "Delivered of what the server stored, delay from POST to receipt (median / 95th percentile), "
            "REST requests from the first POST to the last log:",
            delivery_table(busy),
        ]
    if silent:
        parts.append(rest_table(silent))
    return "\n\n".join([*parts, bound_table(outcomes)])


def delivery_table(outcomes: Sequence[Outcome]) -> str:
    """A row for each case, a column for each reader; where the command was run beside the library, a second row."""
    rows = []
    for name, group in groupby(outcomes, lambda one: one.case):
        every = list(group)
        others = {one.reader: one for one in every if one.reader in OTHERS}
        ours = [one for one in every if one.reader not in OTHERS]
        for one in ours or [None]:
            text = title(name) if one is None or one.reader == "rawlogs" else f"{title(name)}, {one.reader}"
            cells = [cell(one), *(cell(others.pop(column, None)) for column in OTHERS)]
            rows.append([text, f"{every[0].stored:,}", *cells])
    return markdown(["case", "logs", "rawlogs", *OTHERS], rows)


def cell(one: Outcome | None) -> str:
    """`100 %, 19 / 94 ms, 1 request`, and whatever is remarkable."""
    if one is None:
        return ""
    plural = "" if one.requests == 1 else "s"
    parts = [*delivered(one), delays(one), f"{one.requests} request{plural}"]
    return ", ".join(filter(None, parts))


def delivered(one: Outcome) -> list[str]:
    """`100 %` or how much of it; repeats, logs that are not stored, disorder, failure."""
    return [
        "100 %" if one.is_complete else share(one),
        f"{one.repeats:,} twice" if one.repeats else "",
        f"{one.strangers:,} that are not stored" if one.strangers else "",
        "not in order" if one.steps_back else "",
        f"failed with {one.ended}" if one.ended else "",
    ]


def share(one: Outcome) -> str:
    """Rounded down: 99.96 % is not 100 %."""
    return f"{int(one.delivered / one.stored * 1000) / 10:g} % ({one.delivered:,})"


def delays(one: Outcome) -> str:
    if one.delay_median is None or one.delay_p95 is None:
        return ""
    return f"{_seconds(one.delay_median)} / {_seconds(one.delay_p95)}"


def _seconds(value: float) -> str:
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s"


def rest_table(outcomes: Sequence[Outcome]) -> str:
    """REST requests a minute while nothing happens."""
    rows = [[title(one.case), one.reader, f"{one.per_minute:.1f}"] for one in outcomes]
    return markdown(["case", "reader", "REST requests a minute"], rows)


def bound_table(outcomes: Sequence[Outcome]) -> str:
    """Whether rawlogs stays within its bound of list requests, and what it asks at the start."""
    rows = [
        [
            title(one.case),
            one.reader,
            "counted" if one.at_start is None else str(one.at_start),
            str(one.requests),
            str(one.list_requests),
            str(one.bound),
            "" if one.list_requests <= one.bound else "EXCEEDED",
        ]
        for one in outcomes
        if "rawlogs" in one.reader
    ]
    head = ["case", "reader", "REST requests at the start", "later", "of which lists", "bound", ""]
    return markdown(head, rows)
