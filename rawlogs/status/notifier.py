"""What a stream tells: notices to the user's callback, those of one cause only once while nothing has changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rawlogs.clock import Clock
from rawlogs.notices import Kind, Notice, OnNotice


class Notifier:
    """``fail`` is told what the user's callback raised; nothing is told after that."""

    def __init__(
        self, on_notice: OnNotice | None, clock: Clock, fail: Callable[[BaseException], None]
    ) -> None:
        self._on_notice = on_notice
        self._clock = clock
        self._fail = fail
        self._said: set[str] = set()

    def notify(self, kind: Kind, text: str, **facts: Any) -> None:
        """Tell what has happened. Raises nothing: an error of the callback is the reader's."""
        self.hand_on(Notice(kind, text, self._clock.now(), facts))

    def hand_on(self, notice: Notice) -> None:
        """Tell a notice that was made elsewhere, as by the REST client."""
        if self._on_notice is None:
            return
        try:
            self._on_notice(notice)
        except BaseException as error:
            self._on_notice = None  # it has failed; what it raised must not come again from every task
            self._fail(error)

    def say_once(self, key: str, kind: Kind, text: str, **facts: Any) -> None:
        """Tell this unless it was told under that key before."""
        if key not in self._said:
            self._said.add(key)
            self.notify(kind, text, **facts)

    def unsay(self, prefix: str) -> None:
        """Allow what was told under keys of this prefix to be told again."""
        self._said = {key for key in self._said if not key.startswith(prefix)}
