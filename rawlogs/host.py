"""The Host header of a request: one name or address, perhaps with a port. Pure; shared by all servers in rawlogs.

Anything else is refused and never repaired. A check that reads one value and a URL that is built from another are how
a login is passed by (``Host: x/page.css?``).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass

# Underscores are in no DNS host name, but in names of containers and of Windows machines.
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST = re.compile(
    rf"(?P<name>\[[0-9a-f:.]{{2,45}}\]|{_LABEL}(?:\.{_LABEL})*\.?)(?::(?P<port>[0-9]{{1,5}}))?",
    re.ASCII | re.IGNORECASE,
)
_LONGEST_NAME = 254
"""253 characters, and the dot of the root."""


@dataclass(frozen=True, slots=True)
class Host:
    """``name`` is in lower case, without brackets and without the root's dot; ``port`` is None where none is given."""

    name: str
    port: int | None = None

    @property
    def is_loopback(self) -> bool:
        """True where it can only mean this machine."""
        return is_loopback(self.name)


def parse_host(header: str) -> Host | None:
    """Return what a Host header names; None unless it is a name, an IPv4 or a bracketed IPv6 address, and a port."""
    found = _HOST.fullmatch(header)
    if found is None or len(found["name"]) > _LONGEST_NAME:
        return None
    name, port = found["name"].lower(), None if found["port"] is None else int(found["port"])
    if port is not None and port > 65_535:
        return None
    if name.startswith("["):
        name = name[1:-1]
        if _ipv6(name) is None:
            return None
    return Host(name.removesuffix("."), port)


def only_host(headers: Sequence[str]) -> Host | None:
    """Return the host of a request with these Host headers; None unless there is exactly one and it can be read.

    Of two, a proxy in front may go by one and this server by the other.
    """
    return parse_host(headers[0]) if len(headers) == 1 else None


def is_loopback(name: str) -> bool:
    """Return whether a name or an address (IPv6 with or without brackets) can only mean this machine.

    No name is looked up: a name that only resolves to loopback is somebody else's to change.
    """
    if ":" in name:
        address = _ipv6(name[1:-1] if name.startswith("[") and name.endswith("]") else name)
        # Python counts ::ffff:127.0.0.1 as loopback from 3.13 on.
        return address is not None and (address.ipv4_mapped or address).is_loopback
    host = parse_host(name)
    if host is None:
        return False
    try:
        return ipaddress.IPv4Address(host.name).is_loopback
    except ValueError:
        return host.name == "localhost" or host.name.endswith(".localhost")


def _ipv6(text: str) -> ipaddress.IPv6Address | None:
    if "%" in text:  # the zone of an address means something on one machine only
        return None
    try:
        return ipaddress.IPv6Address(text)
    except ValueError:
        return None
