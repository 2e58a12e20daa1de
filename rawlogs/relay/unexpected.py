"""Errors that nobody expects in a task that serves many readers: told once with their traceback, and survived."""

from __future__ import annotations

import logging

_logger = logging.getLogger("rawlogs.relay")


class UnexpectedErrors:
    """Logs each kind of error once, at ERROR of the logger ``rawlogs.relay``; ``doing`` names what is tried again."""

    def __init__(self, doing: str) -> None:
        self._doing = doing
        self._told: set[tuple[type[BaseException], str]] = set()

    def tell(self, error: Exception) -> None:
        """Log the error unless the same was logged before."""
        kind = type(error), str(error)
        if kind not in self._told:
            self._told.add(kind)
            _logger.error("unexpected error while %s; trying again", self._doing, exc_info=error)
