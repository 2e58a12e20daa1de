"""Chooses the steps that happen on each connection and request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rawlogs.testing.faults import Step, Where


@dataclass(slots=True)
class Rule:
    """Steps for the connections or requests that fit.

    connection: the number of one connection or request, from 0; None for all.
    path: one path; None for all.
    left: how many more times it applies; None for no limit.
    is_script: the steps are a script; otherwise they come before the normal behaviour.
    """

    where: Where
    steps: tuple[Step, ...]
    connection: int | None = None
    path: str | None = None
    left: int | None = None
    is_script: bool = False

    def fits(self, where: Where, number: int, path: str) -> bool:
        """Return whether the rule applies here, and still."""
        here = self.where == where and self.connection in (None, number) and self.path in (None, path)
        return here and (self.left is None or self.left > 0)

    def use(self) -> tuple[Step, ...]:
        """Return the steps, and count this use."""
        if self.left is not None:
            self.left -= 1
        return self.steps


class FaultPlan:
    """The scripts and faults of one server, in the order in which they were added."""

    def __init__(self) -> None:
        self.rules: list[Rule] = []

    def add(self, rule: Rule) -> None:
        """Add a rule. Raises TypeError for a step that cannot happen there."""
        for step in rule.steps:
            if not (step.on_rest if rule.where == "rest" else step.on_socket):
                kind = "REST request" if rule.where == "rest" else "WebSocket"
                raise TypeError(f"{type(step).__name__} cannot happen to a {kind}")
        self.rules.append(rule)

    def steps(self, where: Where, number: int, path: str, normal: Sequence[Step]) -> Sequence[Step]:
        """Return the steps of this connection or request; ``normal`` are those without any rule.

        A script for exactly this connection comes first, then one for all connections. Without a script every fault
        that fits is applied before the normal steps.
        """
        fitting = [rule for rule in self.rules if rule.fits(where, number, path)]
        scripts = [rule for rule in fitting if rule.is_script]
        if scripts:  # a script replaces everything, faults too
            return next((rule for rule in scripts if rule.connection is not None), scripts[0]).use()
        return [*(step for rule in fitting for step in rule.use()), *normal]
