"""Who may see the page: which Host, which token. Pure; ``guard`` applies it to requests."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field

from rawlogs.errors import ConfigError
from rawlogs.host import Host, is_loopback

SHORTEST_TOKEN = 16
TOKEN_VARIABLE = "RAWLOGS_SERVE_TOKEN"
_MAKE_ONE = """python3 -c "import secrets; print(secrets.token_urlsafe())" makes one."""


@dataclass(frozen=True, slots=True)
class Gate:
    """What a request must show. Made by ``open_gate``, which refuses what would let everybody in."""

    host: str
    port: int
    token: str | None = field(default=None, repr=False)
    behind_proxy: bool = False

    @property
    def cookie_name(self) -> str:
        """Return the cookie's name, with the port: cookies know none, and two servers of one host have each its own."""
        return f"rawlogs_{self.port}"

    def knows_host(self, host: Host) -> bool:
        """Return whether a request with this Host header was meant for this server.

        On loopback any website can point a name of its own here (DNS rebinding) and would then read the logs as
        its own pages; so only names of loopback count. Elsewhere the token, or the proxy, keeps others out.
        """
        return self.behind_proxy or not is_loopback(self.host) or host.is_loopback

    def takes_token(self, given: str | None) -> bool:
        """Return whether this is the token; nothing is, where there is none.

        It takes as long for a nearly right one as for any other.
        """
        if self.token is None or given is None:
            return False
        return hmac.compare_digest(given.encode("utf-8", "replace"), self.token.encode())


def open_gate(
    host: str,
    port: int,
    *,
    address: str | None = None,
    token: str | None = None,
    behind_proxy: bool = False,
) -> Gate:
    """Return the gate of a server on that host. ConfigError where anybody on the network could read the logs.

    ``address`` is where the host's name led to: that of ``localhost``, too, is somebody's to set. None: not yet known.
    """
    if token is not None and behind_proxy:
        raise ConfigError("--token and --behind-proxy exclude each other", setting="--token")
    if token is not None and len(token) < SHORTEST_TOKEN:
        raise ConfigError(
            f"the token has {len(token)} characters; it must have {SHORTEST_TOKEN} or more",
            setting="--token",
            hint=_MAKE_ONE,
        )
    if token is not None and not (token.isascii() and token.isprintable() and " " not in token):
        raise ConfigError(
            "the token must be printable ASCII without spaces", setting="--token", hint=_MAKE_ONE
        )
    if token is None and not behind_proxy and not (is_loopback(host) and is_loopback(address or host)):
        where = host if address in (None, host) else f"{host} ({address})"
        raise ConfigError(
            f"on {where} everybody who reaches this machine could read the logs",
            setting="--host",
            hint=f"Set {TOKEN_VARIABLE} (or --token) to a secret that the page asks for, or give --behind-proxy "
            f"where a reverse proxy asks users who they are. {_MAKE_ONE}",
        )
    return Gate(host, port, token, behind_proxy)
