"""Compares the ids that were sent with those that were received. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import orjson

from rawlogs.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Comparison:
    """The result of ``compare``; the ids are in the order of the side that has them."""

    sent: int
    received: int
    missing: tuple[str, ...]
    repeated: tuple[str, ...]
    unknown: tuple[str, ...]
    reordered: int
    """How many ids were received after one that was sent later."""

    @property
    def complete(self) -> bool:
        """True if nothing is missing, repeated or unknown."""
        return not (self.missing or self.repeated or self.unknown)


def compare(sent: Iterable[str], received: Iterable[str]) -> Comparison:
    """Compare the received ids with the sent ones."""
    order = {log_id: position for position, log_id in enumerate(dict.fromkeys(sent))}
    counts = Counter(received)  # in the order in which each id came first
    furthest, reordered = -1, 0
    for position in [order[log_id] for log_id in counts if log_id in order]:
        reordered += position < furthest
        furthest = max(furthest, position)
    return Comparison(
        sent=len(order),
        received=sum(counts.values()),
        missing=tuple(log_id for log_id in order if log_id not in counts),
        repeated=tuple(log_id for log_id, count in counts.items() if count > 1),
        unknown=tuple(log_id for log_id in counts if log_id not in order),
        reordered=reordered,
    )


def ids(lines: Iterable[bytes], name: str) -> Iterator[str]:
    """Yield the ids in JSON lines (logs, frames, or strings) or bare lines. Raises ConfigError for any other line."""
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text:
            continue
        found: object = text.decode("utf-8", "replace")
        # A bare line is an id; a frame has its log one level deeper than a log of -o json.
        if text[:1] in (b"{", b'"'):
            try:
                found = orjson.loads(text)
            except orjson.JSONDecodeError:
                raise _bad(name, number) from None
            if isinstance(found, dict):
                log = found.get("log") if found.get("type") == "log" else found
                found = log.get("id") if isinstance(log, dict) else None
        if not isinstance(found, str):
            raise _bad(name, number)
        yield found


def _bad(name: str, number: int) -> ConfigError:
    return ConfigError(f"{name}, line {number}: neither a log in JSON nor an id", setting=name)
