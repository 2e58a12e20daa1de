"""The three pages: which answer belongs to which path. Shared by the small server and the page's server."""

from __future__ import annotations

from dataclasses import dataclass

from rawlogs.health.exposition import MISSING, Exposition
from rawlogs.health.subject import Subject, all_metrics

TEXT = "text/plain; charset=utf-8"
PATHS = ("/livez", "/readyz", "/metrics")


@dataclass(frozen=True, slots=True)
class Page:
    """An answer: its status, its content and what that is."""

    status: int
    content: bytes
    content_type: str = TEXT


class Pages:
    """The pages of one subject."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._exposition: Exposition | None = None

    def page(self, path: str) -> Page:
        """Return the page at that path; one with 404 where there is none."""
        if path == "/livez":  # answered by the subject's own event loop: it turns
            return Page(200, b"alive\n")
        if path == "/readyz":
            health = self._subject.health()
            state = "ready" if health.ready else "not ready"
            return Page(200 if health.ready else 503, f"{state}: {health.reason}\n".encode())
        if path == "/metrics":
            return self._metrics()
        return Page(404, f"Here are {', '.join(PATHS)}.\n".encode())

    def _metrics(self) -> Page:
        if self._exposition is None:
            try:
                self._exposition = Exposition(lambda: all_metrics(self._subject))
            except ModuleNotFoundError:
                return Page(501, MISSING.encode())
        return Page(200, self._exposition.text(), self._exposition.content_type)
