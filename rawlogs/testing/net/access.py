"""Decides which requests a server on the loopback interface answers at all. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

from rawlogs.host import parse_host

_SEPARATORS = re.compile(r"[/\\]")
_DECODINGS = 4
"""How often a path is decoded at most: some servers decode twice."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """The answer to a request that is not handled."""

    status: int
    text: str


def check_request(
    host: str | None, target: str, *, loopback: bool, origin: str | None = None
) -> Refusal | None:
    """Return why a request is refused; None where it is not.

    host, origin: the request's headers; None where it has none.
    target: the path with its query, as the request line has it.
    loopback: the server listens on the loopback interface only.
    """
    # RFC 9112, section 3.2: no Host, two of them, or a wrong one is answered with 400.
    named = parse_host(host or "")
    if named is None:
        return Refusal(400, "A request needs one Host header: a name or an address, and perhaps a port.")
    if loopback and not named.is_loopback:
        # Any website can point a name of its own here (DNS rebinding), and its pages could then read the answers.
        return Refusal(421, "This server answers to localhost only.")
    if loopback and origin is not None and not _is_loopback_page(origin):
        # A browser lets pages of any site open WebSockets to any port of this machine, and read them.
        return Refusal(403, "Pages of other sites get no answer here.")
    if not target.startswith("/"):
        return Refusal(400, "A request names a path, not a URL.")
    if has_dot_segment(target.partition("?")[0]):
        return Refusal(
            400, "A path with . or .. in it is refused: the next server may read another path in it."
        )
    return None


def _is_loopback_page(origin: str) -> bool:
    scheme, _, host = origin.partition("://")
    named = parse_host(host)
    return scheme in ("http", "https") and named is not None and named.is_loopback


def has_dot_segment(path: str) -> bool:
    """Return whether a path has ``.`` or ``..`` in it, in any spelling that some server would read as one."""
    for _ in range(_DECODINGS):
        names = (name.partition(";")[0] for name in _SEPARATORS.split(path))
        if any(name in (".", "..") for name in names):
            return True
        decoded = unquote(path)
        if decoded == path:
            return False
        path = decoded
    return True  # no honest client encodes a path five times
