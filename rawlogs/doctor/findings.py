"""Findings of the checks, as values. ``verdict`` decides whether logs can be had."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from rawlogs.advice import DOCTOR, Advice
from rawlogs.errors import AuthError, ConfigError, HistoryError, RawlogsError, RedirectRefused, UpgradeRefused

Status = Literal["ok", "warn", "fail", "skip"]
"""``skip``: not reached, since an earlier check makes it impossible, or not to be found out."""

Blame = Literal["config", "auth", "unreachable"]
"""The kind of failure, for the exit code."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Finding of one check.

    ``lines`` are more of it, for people; ``facts`` the same for programs. ``seconds`` is how long the thing itself
    took, where that is not how long the check took (None).
    """

    status: Status
    text: str
    advice: Advice | None = None
    blame: Blame = "unreachable"
    lines: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """Finding under the name of its check; ``seconds`` is None where the check was not reached."""

    check: str
    finding: Finding
    seconds: float | None = None


def of_error(
    error: RawlogsError, advice: Advice | None = None, text: str | None = None, **facts: Any
) -> Finding:
    """Return the failure that an error of this package is; ``text`` replaces its own."""
    if advice is None:
        # Its hint sends the user to the doctor, where they are.
        advice = Advice(error.text, (error.hint or "").removesuffix(DOCTOR).strip() or None)
    return Finding("fail", text or error.text, advice, blame_of(error), facts=facts)


def blame_of(error: RawlogsError) -> Blame:
    """Return whose fault an error is, as the exit codes see it."""
    if isinstance(error, ConfigError):
        return "config"
    return "auth" if isinstance(error, AuthError) else "unreachable"


def status_of(error: RawlogsError) -> int | None:
    """Return the HTTP status that an error stands for; None where there was no answer."""
    if isinstance(error, (HistoryError, UpgradeRefused, RedirectRefused)):
        return error.status
    return error.code if isinstance(error, AuthError) else None
