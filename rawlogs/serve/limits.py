"""How long and how many: what one client may take of the page's server. Pure."""

from __future__ import annotations

from dataclasses import dataclass

MOST = 2000
"""Connections at once, however many descriptors there are: each reader costs memory, too."""
RESERVED = 128
"""Descriptors that are left for Prefect, for files, and for connections that are just being answered with 503."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Times are seconds. ``connections`` is how many are served at once; those beyond are answered with 503."""

    head: float = 10.0
    """From the connection, or from the end of the answer before, to the end of a request's head."""
    body: float = 20.0
    """From the end of the head to the end of the body."""
    write: float = 30.0
    """How long a client may take nothing of what waits for it. A browser comes back by itself."""
    connections: int = 1000
    turned_away: int = 32
    """How many beyond that are told so at once; what comes beyond these is cut without a word."""
    refusal: float = 2.0
    """How long one that is to be told so may take to ask."""


def limits_for(descriptors: int | None) -> Limits:
    """Return the limits of a process that may have so many descriptors; None where the system has no such bound."""
    if descriptors is None:
        return Limits(connections=MOST)
    return Limits(connections=min(MOST, max(descriptors // 2, descriptors - RESERVED)))
