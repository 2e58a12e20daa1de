"""An examination for people (lines) and for a bug report (an object), both without secrets."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Sequence
from datetime import datetime
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from typing import Any

from rawlogs.doctor.findings import Result
from rawlogs.doctor.verdict import Verdict
from rawlogs.testing.redact import Redactor
from rawlogs.version import version

FORMAT = 1
_MARKS = {"ok": "ok", "warn": "warn", "fail": "FAIL", "skip": "-"}
_INDENT = " " * 19


class Report:
    """Shows results. ``secrets`` are hidden in every spelling, whoever said them."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._redactor = Redactor(secrets)

    def lines(self, result: Result) -> list[str]:
        """Return one result for people; what is hostile in it is escaped by who prints it."""
        finding = result.finding
        took = f"  [{_took(result.seconds)}]" if result.seconds is not None else ""
        lines = [f"{_MARKS[finding.status]:<5} {result.check:<12} {finding.text}{took}"]
        lines += [f"{_INDENT}{line}" for line in finding.lines]
        if finding.advice is not None:
            if finding.advice.cause != finding.text:  # the finding of an error has its text for both
                lines.append(f"{_INDENT}cause: {finding.advice.cause}")
            if finding.advice.fix:
                lines.append(f"{_INDENT}fix: {finding.advice.fix}")
        return [self._redactor.text(line) for line in lines]

    def closing(self, verdict: Verdict) -> str:
        """Return the last line."""
        return self._redactor.text(verdict.text)

    def as_object(
        self, results: Sequence[Result], verdict: Verdict, exit_code: int, at: datetime
    ) -> dict[str, Any]:
        """Return everything for a bug report."""
        shown: dict[str, Any] = self._redactor.facts(
            {
                "rawlogs_doctor": FORMAT,
                "at": at.isoformat(),
                "rawlogs": version(),
                "python": platform.python_version(),
                "platform": platform.platform(),
                "libraries": {
                    name: _installed(name) for name in ("websockets", "httpx", "pydantic", "orjson")
                },
                "checks": [_object(result) for result in results],
                "logs": verdict.logs,
                "verdict": verdict.text,
                "exit_code": exit_code,
            }
        )
        return shown


def _object(result: Result) -> dict[str, Any]:
    finding = result.finding
    return {
        "check": result.check,
        "status": finding.status,
        "finding": finding.text,
        "details": list(finding.lines),
        "cause": finding.advice.cause if finding.advice else None,
        "fix": finding.advice.fix if finding.advice else None,
        "seconds": None if result.seconds is None else round(result.seconds, 4),
        "facts": dict(finding.facts),
    }


def _took(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _installed(name: str) -> str | None:
    try:
        return version_of(name)
    except PackageNotFoundError:
        return None
