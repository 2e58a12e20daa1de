"""Where to listen: ``--listen ADDR:PORT``. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from rawlogs.errors import ConfigError
from rawlogs.host import parse_host

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """An address without brackets, or a name, and a port; 0: any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str) -> ListenAddress:
    """Return the address that ``ADDR:PORT`` names; ``:PORT`` and ``PORT`` mean this machine alone.

    Raises ConfigError for anything else.
    """
    bare = text.removeprefix(":")
    # A number alone would be a host's name, and the whole network is reached by writing so (0.0.0.0) only.
    host = parse_host(f"{LOOPBACK}:{bare}" if bare.isascii() and bare.isdigit() else text)
    if host is None or host.port is None:
        raise ConfigError(
            f"--listen {text!r} is no address to listen at",
            setting="--listen",
            hint="It is ADDR:PORT, such as 0.0.0.0:9464, or :9464 for this machine alone.",
        )
    return ListenAddress(host.name, host.port)
