"""Derive the closing line from the findings: how logs can be had, or why not. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rawlogs.doctor.findings import Blame, Finding, Result

Logs = Literal["live and complete", "REST only", "live only", "none"]

_LIVE = ("upgrade", "subprotocol", "socket auth", "filter", "ping")
_REST = "rest logs"


@dataclass(frozen=True, slots=True)
class Verdict:
    """``blame`` is None where logs can be had."""

    logs: Logs
    text: str
    blame: Blame | None = None


def verdict_of(results: Sequence[Result]) -> Verdict:
    """Derive the verdict from the findings."""
    found = {result.check: result.finding for result in results}
    rest = found[_REST].status in ("ok", "warn")
    # "warn" proves it, too: some logs came.
    proved = found["arrival"].status in ("ok", "warn")
    silent = _first([found["streaming"], found["arrival"]])
    open_line = all(found[name].status in ("ok", "warn") for name in _LIVE)
    # Logs that came prove more than settings that say none can come: another process may have answered.
    if open_line and proved:
        silent = None
    if rest and open_line and silent is None:
        text = "logs: live over the socket and complete over REST"
        if not proved and found["streaming"].status != "ok":
            text += " (that the open socket also carries logs is not proved: see arrival)"
        return Verdict("live and complete", text)
    if rest:
        culprit = silent if open_line else _first([found[name] for name in _LIVE])
        return Verdict("REST only", f"REST only: {_cause(culprit)}")
    if open_line and found["streaming"].status == "ok":
        return Verdict("live only", f"live only, best effort (--live-only): {_cause(found[_REST])}")
    # The other three can fail while logs are to be had.
    culprit = _first(
        [result.finding for result in results if result.check not in ("streaming", "csrf", "version")]
    )
    return Verdict(
        "none", f"no logs can be had: {_cause(culprit)}", culprit.blame if culprit else "unreachable"
    )


def _first(findings: Sequence[Finding]) -> Finding | None:
    return next((finding for finding in findings if finding.status == "fail"), None)


def _cause(finding: Finding | None) -> str:
    if finding is None:
        return "the checks do not tell why"
    return finding.advice.cause if finding.advice else finding.text
