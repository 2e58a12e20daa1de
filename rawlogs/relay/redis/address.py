"""Where Redis is, as its URL says: one server, a service that Sentinels know, or a cluster. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import parse_qsl, unquote, urlencode

SETTING = "RAWLOGS_REDIS_URL"
FORM = (
    "It looks like redis://[USER:PASSWORD@]HOST[:PORT][/NUMBER] (rediss:// with TLS), unix:///PATH, "
    "redis+sentinel://[USER:PASSWORD@]HOST[:PORT],HOST[:PORT].../SERVICE[/NUMBER], or "
    "redis+cluster://[USER:PASSWORD@]HOST[:PORT],HOST[:PORT]..."
)
_SENTINEL_OPTIONS = ("sentinel_username", "sentinel_password")
_PORTS = {"sentinel": 26379, "cluster": 6379}
_HOST = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[^\[\]:@/\s]+)(?::(\d{1,5}))?")


@dataclass(frozen=True, slots=True)
class Address:
    """A URL of Redis, taken apart.

    single: the URL of the first node, with the access, the database number and redis-py's options.
    nodes: hosts and ports of the Sentinels, or of nodes of the cluster; empty for one server.
    service: what the Sentinels call the master; empty for the others.
    sentinel_access: ``username`` and ``password`` of the Sentinels themselves, where they have any.
    """

    kind: Literal["server", "sentinel", "cluster"]
    single: str
    nodes: tuple[tuple[str, int], ...]
    service: str
    sentinel_access: dict[str, str]

    @property
    def tls(self) -> bool:
        """Return whether every connection is one of TLS."""
        return self.single.startswith("rediss:")

    def text(self, options: dict[str, Any]) -> str:
        """Return where Redis is, without a secret; ``options`` are those of each connection."""
        number = f"/{options['db']}" if options.get("db") else ""
        if self.nodes:
            nodes = ",".join(
                f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.nodes
            )
            return f"{self.service}{number} of {nodes}" if self.service else nodes
        if "path" in options:
            return f"unix://{options['path']}{number}"
        return f"{options.get('host', 'localhost')}:{options.get('port', 6379)}{number}"


def parse_address(url: str) -> Address:
    """Take a URL apart. Raises ValueError that says what is wrong with it, and quotes nothing of it."""
    scheme, _, rest = url.partition("://")
    base, _, kind = scheme.lower().partition("+")
    if base not in ("redis", "rediss", "unix") or kind not in ("", *_PORTS):
        raise ValueError("begins with an unknown scheme")
    if kind not in _PORTS:
        # redis-py would take what is no number for number 0.
        if base in ("redis", "rediss") and not re.fullmatch(r"[^/?]*(/\d{0,9})?/?(\?.*)?", rest):
            raise ValueError("has a database that is no number")
        return Address("server", url, (), "", {})
    if base == "unix":
        raise ValueError("begins with an unknown scheme")
    authority, slash, path = re.split(r"([/?]|$)", rest, maxsplit=1)
    access, at, hosts = authority.rpartition("@")
    path, _, query = path.partition("?") if slash == "/" else ("", "", path)
    nodes = tuple(_node(host, _PORTS[kind]) for host in hosts.split(","))
    options = parse_qsl(query, keep_blank_values=True)
    service, number = "", path
    if kind == "sentinel":
        service, _, number = path.partition("/")
        if not service:
            raise ValueError("names no service after the Sentinels")
    if not re.fullmatch(r"\d{0,9}", number):
        raise ValueError("has a database that is no number")
    if kind == "cluster" and int(number or 0):
        raise ValueError("names a database: a cluster has only number 0")
    host, port = nodes[0]
    return Address(
        "sentinel" if kind == "sentinel" else "cluster",
        f"{base}://{access}{at}{f'[{host}]' if ':' in host else host}:{port}/{number or 0}?"
        + urlencode([(name, value) for name, value in options if name not in _SENTINEL_OPTIONS]),
        nodes,
        unquote(service),
        {name.removeprefix("sentinel_"): value for name, value in options if name in _SENTINEL_OPTIONS},
    )


def _node(text: str, default_port: int) -> tuple[str, int]:
    found = _HOST.fullmatch(text)
    if found is None or int(found[2] or default_port) not in range(1, 65536):
        raise ValueError("has a host or a port that is none")
    return found[1].strip("[]"), int(found[2] or default_port)
