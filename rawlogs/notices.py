"""Notices: what a stream reports about itself, beside the logs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from rawlogs.masking import masker

# fmt: off
Kind = Literal[
    "connected", "lost", "retrying", "gap_opened", "gap_closed", "late", "behind", "bad_frame", "live_off",
    "history_off", "progress", "state", "cursor", "account", "warning",
]
# fmt: on
"""The kinds of notices; tests and readers tell them apart by these words, never by the text."""


@dataclass(frozen=True, slots=True)
class Notice:
    """Event in the life of a stream: ``text`` is for people, ``facts`` for programs."""

    kind: Kind
    text: str
    at: datetime
    facts: Mapping[str, Any] = field(default_factory=dict)


OnNotice = Callable[[Notice], None]


def without_secrets(on_notice: OnNotice, secrets: Callable[[], tuple[str, ...]]) -> OnNotice:
    """Return a callback that hides the secrets of notices; ``secrets`` is called each time, as keys are rotated."""

    def told(notice: Notice) -> None:
        hide = masker(secrets()).text
        facts = {name: hide(fact) if isinstance(fact, str) else fact for name, fact in notice.facts.items()}
        on_notice(replace(notice, text=hide(notice.text), facts=facts))

    return told
