"""What is watched: a command with one stream, a relay, a shipper."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from rawlogs.health.metrics import Metric, common_metrics, stream_metrics
from rawlogs.health.report import Health, stream_health
from rawlogs.status.vitals import Vitals


class Subject(Protocol):
    """Something that runs for long. Both methods are called often, in its event loop, and must not wait."""

    def health(self) -> Health:
        """Return whether it is ready."""
        ...

    def metrics(self) -> Iterable[Metric]:
        """Return what it counts."""
        ...


class StreamSubject:
    """A stream. ``vitals`` returns None before it is made; ``more`` are metrics of what its logs go to."""

    def __init__(
        self, vitals: Callable[[], Vitals | None], more: Callable[[], Iterable[Metric]] = list
    ) -> None:
        self._vitals = vitals
        self._more = more

    def health(self) -> Health:
        """Return whether the stream delivers what is stored."""
        return stream_health(self._vitals())

    def metrics(self) -> list[Metric]:
        """Return the stream's metrics, then the others."""
        vitals = self._vitals()
        return [*(stream_metrics(vitals) if vitals is not None else ()), *self._more()]


def all_metrics(subject: Subject) -> list[Metric]:
    """Return the metrics that every command has, and the subject's own."""
    return [*common_metrics(subject.health()), *subject.metrics()]
