"""What became of one case of the fan-out, and the table of all of them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from benchmarks.tables import markdown

_NAMES = {"rawlogs": "rawlogs' hub", "helper": "one subscriber per reader"}


@dataclass(frozen=True, slots=True)
class Fanout:
    """One design with so many readers. Times are seconds, of processors where they are called CPU."""

    JUDGED: ClassVar = (
        "delivered",
        "missing",
        "repeats",
        "incomplete",
        "delay_p50",
        "delay_p99",
        "delay_max",
        "readers_cpu",
    )

    design: str
    readers: int
    began: int
    """Readers that were let in; the figures are of these."""
    lost: int
    """Connections that were closed by the web process, or never answered."""
    planned: int
    """Logs that were to be posted; a server that stands still takes fewer."""
    stored: int
    """Logs that the Prefect server has stored."""
    post_seconds: float
    """From the first POST to the last."""
    delivered: int
    """Logs that reached a reader, each counted once for each reader."""
    missing: int
    repeats: int
    incomplete: int
    """Readers that lack at least one log."""
    delay_p50: float | None
    delay_p99: float | None
    delay_max: float | None
    """From the beginning of the POST to the receipt."""
    web_cpu: float
    server_cpu: float
    readers_cpu: float
    kb_joined: float
    """Resident KB of the web process for each reader that has joined, before the first log."""
    kb_highest: float
    """The same, at its highest."""
    connections: int
    """WebSockets for logs that the Prefect server accepted from the first reader on."""

    @property
    def us_per_delivery(self) -> float | None:
        """Processor time of the web process for each delivered log, in µs."""
        return self.web_cpu / self.delivered * 1e6 if self.delivered else None


def report(machine: str, outcomes: Sequence[Fanout]) -> str:
    """All of it as Markdown."""
    head = (
        "design",
        "readers",
        "upstream connections",
        "logs taken by Prefect",
        "deliveries due",
        "missing",
        "repeated",
        "delay p50 / p99 / longest, s",
        "web process, µs CPU a delivered log",
        "KB a reader: joined / highest",
        "CPU s: web / Prefect",
    )
    rows = []
    for one in outcomes:
        delays = (one.delay_p50, one.delay_p99, one.delay_max)
        due = one.began * one.stored
        cost = one.us_per_delivery
        rows.append(
            (
                _NAMES[one.design],
                f"{one.readers:,}" if one.began == one.readers else f"{one.began:,} of {one.readers:,}",
                f"{one.connections:,}",
                f"{one.stored:,}" if one.stored == one.planned else f"{one.stored:,} of {one.planned:,}",
                f"{due:,}",
                f"{one.missing:,}" + (f" ({one.missing / due:.0%})" if one.missing else ""),
                f"{one.repeats:,}",
                " / ".join("-" if delay is None else f"{delay:.2f}" for delay in delays),
                "-" if cost is None else f"{cost:.1f}",
                f"{one.kb_joined:.0f} / {one.kb_highest:.0f}",
                f"{one.web_cpu:.1f} / {one.server_cpu:.1f}",
            )
        )
    return f"# Fan-out\n\n{machine}\n\n{markdown(head, rows)}"
