"""Whether a command is well, by the state of its stream. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from rawlogs.status.vitals import Vitals

AUDITS = 3
"""So many intervals without an answer of the list, and the stream is not ready: one request may fail, or take long."""


@dataclass(frozen=True, slots=True)
class Health:
    """Whether the command is ready, and the reason in a few words, which name nothing of a log or a secret."""

    ready: bool
    reason: str


def relay_health(vitals: Vitals | None, *, standing_by: bool, redis_lost: bool) -> Health:
    """Return whether a relay is of use. ``vitals``: of the stream that it writes; None while it does not write."""
    if redis_lost:
        return Health(False, "Redis does not answer")
    if vitals is None and standing_by:
        return Health(True, "standing by")
    return stream_health(vitals)


def stream_health(vitals: Vitals | None) -> Health:
    """Return whether a stream delivers what is stored, soon; None: it has not been made yet."""
    if vitals is None:
        return Health(False, "starting")
    if vitals.ended:
        return Health(False, "the stream has ended")
    if not (vitals.connected or vitals.polling):
        return Health(False, "the socket is not connected")
    if vitals.full:
        return Health(False, f"the reader of the output is too slow: {vitals.waiting} logs wait for it")
    if vitals.live_only:
        return Health(True, "connected, without the list")
    if vitals.answered_ago is None:
        return Health(False, "the list has not answered yet")
    if vitals.answered_ago > AUDITS * vitals.audit:
        return Health(False, f"the list has not answered for {vitals.answered_ago:.0f} s")
    return Health(True, "connected" if vitals.connected else "polling")
