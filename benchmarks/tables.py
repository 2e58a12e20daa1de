"""Figures as text: Markdown tables, medians, and ratios round by round. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def times(ratios: Sequence[float]) -> str:
    """The median of ratios with their extremes: `6.4 (5.9-7.0)`."""
    digits = 2 if median(ratios) < 10 else 1
    low, middle, high = (f"{value:.{digits}f}" for value in (min(ratios), median(ratios), max(ratios)))
    return f"{middle} ({low}-{high})"


def ratios(numerators: Sequence[float], denominators: Sequence[float]) -> list[float]:
    """Quotients of what was measured in the same round."""
    return [above / below for above, below in zip(numerators, denominators, strict=True)]


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that so large a share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]
