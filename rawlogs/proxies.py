"""Which proxy leads to an API: one decision, taken once, for the socket and the REST side alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from urllib.parse import unquote, urlsplit

from rawlogs.errors import ConfigError

_SCHEMES = ("http", "https", "socks5h", "socks5", "socks4a", "socks4")


@dataclass(frozen=True, slots=True)
class Proxy:
    """``url`` is the proxy's, credentials included; ``variable`` the environment variable it came from."""

    url: str = field(repr=False)
    variable: str

    @property
    def userinfo(self) -> str:
        """The credentials as they stand in the URL; empty where there are none."""
        return self.url.partition("://")[2].rpartition("@")[0]

    @property
    def password(self) -> str:
        """The password, decoded; empty where there is none."""
        return unquote(self.userinfo.partition(":")[2])

    @property
    def note(self) -> str | None:
        """What is missing to use it, if anything: SOCKS takes a package for the socket and one for REST."""
        if not self.url.startswith("socks"):
            return None
        missing = [name for name in ("python_socks", "socksio") if find_spec(name) is None]
        if not missing:
            return None
        packages = " and ".join(name.replace("_", "-") for name in missing)
        return f"the proxy of {self.variable} is a SOCKS proxy, which cannot be used without {packages}"


def decide(scheme: str, host: str, port: int, environ: Mapping[str, str]) -> Proxy | None:
    """The proxy for an API at ``scheme`` (http or https), ``host`` and ``port``; None means straight there.

    HTTP_PROXY or HTTPS_PROXY by the API's scheme, else ALL_PROXY, unless NO_PROXY names the host. A name in
    lower case wins over one in upper case, and if it is empty it takes the other away. The socket goes by the
    API's scheme as well: ``ws_proxy`` and its like are not read.

    Raises ConfigError for a proxy URL that cannot be one.
    """
    variables = _variables(environ)
    name = next((name for name in (scheme, "all") if name in variables), None)
    if name is None or _bypassed(host, port, variables):
        return None
    variable, text = variables[name]
    return Proxy(_checked(text, variable), variable)


def _variables(environ: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """What precedes ``_proxy`` in a variable's name, lower case -> (the variable's own name, its value).

    The rules of ``urllib.request.getproxies_environment``, which reads the process's environment only.
    """
    found: dict[str, tuple[str, str]] = {}
    named = [(name, value) for name, value in environ.items() if name.lower().endswith("_proxy")]
    for name, value in named:
        if value:
            found[name.lower()[:-6]] = (name, value)
    if (
        "REQUEST_METHOD" in environ
    ):  # under CGI HTTP_PROXY is a header that the client sent (CVE-2016-1000110)
        found.pop("http", None)
    for name, value in named:
        if name.endswith("_proxy"):
            if value:
                found[name.lower()[:-6]] = (name, value)
            else:
                found.pop(name.lower()[:-6], None)
    return found


def _bypassed(host: str, port: int, variables: Mapping[str, tuple[str, str]]) -> bool:
    if "no" not in variables:
        return False
    # Here, since urllib.request loads http.client and ssl, and NO_PROXY is seldom set.
    from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined,unused-ignore]

    names = variables["no"][1]
    if "*" in (name.strip() for name in names.split(",")):
        return True
    # An IPv6 address may stand there with its brackets or without.
    return any(
        bool(proxy_bypass_environment(place, {"no": names}))
        for place in {f"{host}:{port}", f"{host.strip('[]')}:{port}"}
    )


def _checked(text: str, variable: str) -> str:
    text = text.strip()
    url = text if "://" in text else f"http://{text}"
    try:
        parts = urlsplit(url)
        fits = bool(parts.hostname) and parts.path in ("", "/") and (parts.port is None or parts.port > 0)
        fits = fits and not parts.query and not parts.fragment and url.isprintable() and " " not in url
        scheme = parts.scheme if fits else None
    except ValueError:
        scheme = None
    if scheme is None:
        raise ConfigError(
            f"{variable} is not the URL of a proxy.",
            setting=variable,
            hint="It looks like http://proxy.example.com:3128 ; unset it or list the API's host in NO_PROXY "
            "to go without a proxy.",
        )
    if scheme not in _SCHEMES:
        raise ConfigError(
            f"{variable} is a proxy of an unknown kind.",
            setting=variable,
            hint=f"Its URL begins with one of {', '.join(f'{name}://' for name in _SCHEMES)} .",
        )
    credentials, at, place = url.partition("://")[2].rstrip("/").rpartition("@")
    if at and ":" not in credentials:
        credentials += ":"  # websockets refuses a user without a password
    return f"{scheme}://{credentials}{at}{place}"
