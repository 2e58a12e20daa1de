"""Which steps happen to which connection or request."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rawlogs.testing.faults import Serve, Step, Where

Model = Callable[[Where, int], Sequence[Step]]
"""What happens where nothing goes wrong."""


@dataclass(slots=True)
class Rule:
    """Steps for one place; ``connection`` None means all, ``left`` None any number of times."""

    where: Where
    steps: tuple[Step, ...]
    connection: int | None = None
    path: str | None = None
    left: int | None = None
    whole: bool = False

    def fits(self, where: Where, number: int, path: str) -> bool:
        return (
            self.where == where
            and self.connection in (None, number)
            and self.path in (None, path)
            and (self.left is None or self.left > 0)
        )


class FaultPlan:
    """The scripts and faults that were asked for, in that order."""

    def __init__(self, model: Model | None = None) -> None:
        self.rules: list[Rule] = []
        self._model = model or (lambda _where, _number: (Serve(),))

    def add(self, rule: Rule) -> None:
        """Raises TypeError for a step that makes no sense in that place."""
        for step in rule.steps:
            if not (step.on_rest if rule.where == "rest" else step.on_socket):
                place = "REST request" if rule.where == "rest" else "WebSocket"
                raise TypeError(f"{type(step).__name__} cannot happen to a {place}")
        self.rules.append(rule)

    def steps(self, where: Where, number: int, path: str) -> Sequence[Step]:
        """What happens to this connection or request.

        A script for exactly this connection says everything; one for all connections comes next; otherwise
        every fault that fits is applied, and then the model serves.
        """
        fitting = [rule for rule in self.rules if rule.fits(where, number, path)]
        scripts = [rule for rule in fitting if rule.whole]
        if scripts:
            chosen = next((rule for rule in scripts if rule.connection is not None), scripts[0])
            self._use(chosen)
            return chosen.steps
        for rule in fitting:
            self._use(rule)
        return [*(step for rule in fitting for step in rule.steps), *self._model(where, number)]

    def _use(self, rule: Rule) -> None:
        if rule.left is not None:
            rule.left -= 1
