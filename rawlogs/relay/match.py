"""Whether a selection chooses a log, all of it decided here: readers share one upstream that is filtered for none."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from rawlogs.models import Log

if TYPE_CHECKING:
    from rawlogs.selection import Selection

Predicate = Callable[[Log], bool]


def matcher(selection: Selection) -> Predicate:
    """What the server would apply (``selection.wire``) and what ``selection.accepts`` does, as one test."""
    tests: list[Predicate] = []
    wire = selection.wire
    if (level := wire.get("level")) is not None:
        tests.append(_between(level.get("ge_"), level.get("le_")))
    for field in ("flow_run_id", "task_run_id"):
        part = wire.get(field, {})
        if part.get("any_") is not None:
            tests.append(_among(field, frozenset(part["any_"])))
        if part.get("is_null_") is not None:
            tests.append(_null(field, part["is_null_"]))
    if selection.local:
        tests.append(selection.accepts)
    if not tests:
        return lambda log: True
    if len(tests) == 1:
        return tests[0]
    return lambda log: all(test(log) for test in tests)


def _between(low: int | None, high: int | None) -> Predicate:
    least = float("-inf") if low is None else low
    most = float("inf") if high is None else high
    return lambda log: least <= log.level <= most


def _among(field: str, ids: frozenset[str]) -> Predicate:
    return lambda log: log.data.get(field) in ids


def _null(field: str, null: bool) -> Predicate:
    return lambda log: (log.data.get(field) is None) is null
