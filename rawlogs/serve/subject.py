"""The page's server as a subject of probes and metrics."""

from __future__ import annotations

from rawlogs.health.metrics import Metric, gauge, stream_metrics
from rawlogs.health.report import Health
from rawlogs.relay.hub import Hub
from rawlogs.relay.prefect import PrefectSource
from rawlogs.relay.source import Trouble

REASONS: dict[Trouble | None, str] = {
    None: "connected",
    "unreachable": "the upstream cannot be reached",
    "denied": "the upstream refuses the access of this server",
    "failed": "reading the upstream failed",
}


class HubSubject:
    """What is told of a hub. Its upstream is open only while somebody reads."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def health(self) -> Health:
        """Return whether a reader would get logs, as far as that is known."""
        if not self._hub.reading:
            return Health(True, "nobody reads")
        return Health(self._hub.trouble is None, REASONS[self._hub.trouble])

    def metrics(self) -> list[Metric]:
        """Return how many read, and the metrics of the stream that they read; what Redis brings its relay counts."""
        source = self._hub.source
        vitals = source.vitals() if isinstance(source, PrefectSource) else None
        readers = gauge("readers", "Readers of the stream.", self._hub.readers)
        return [readers, *(stream_metrics(vitals) if vitals is not None else ())]
