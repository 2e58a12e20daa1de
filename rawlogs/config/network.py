"""Custom headers, the proxy and TLS: how the API at a URL is reached. Checked before anything is sent."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from rawlogs import files
from rawlogs.config.sources import Source
from rawlogs.errors import ConfigError

if TYPE_CHECKING:
    import ssl

HEADERS = "PREFECT_CLIENT_CUSTOM_HEADERS"

# Those of Prefect 3.8.8's socket (_internal/websockets.py) and its REST client (client/base.py), as one set.
_PROTECTED = re.compile(
    r"user-agent|host|connection|upgrade|sec-websocket-.*|prefect-csrf-(token|client)", re.IGNORECASE
)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z\-]+")
_EXAMPLE = '{"X-Name": "value"}'
_PROXY_SCHEMES = ("http", "https", "socks5h", "socks5", "socks4a", "socks4")


# Custom headers


@dataclass(frozen=True, slots=True)
class Headers:
    """Custom headers by name; ``origin`` names their sources, ``notes`` say which were left out."""

    values: Mapping[str, str] = field(repr=False)
    origin: str
    notes: tuple[str, ...] = ()


def merge_headers(sources: Sequence[Source]) -> Headers:
    """Merge the headers of all sources name by name, the strongest source first, as Prefect does.

    Names that differ in case only are one name here (Prefect would send both). Headers that belong to the
    protocol or to rawlogs itself are left out. Raises ConfigError for an invalid header, without quoting it.
    """
    merged: dict[str, tuple[str, object, str]] = {}
    origins: list[str] = []
    for source in sources:
        found = _decoded(source)
        if found is not None:
            origins.append(source.name)
            for number, name in enumerate(found, 1):
                if not isinstance(name, str):
                    raise _bad(source.name, f"the name of header {number} is not a string")
            # Of names that differ in case only the last of one source counts, but never one of a weaker source.
            own = {name.lower(): (name, value, source.name) for name, value in found.items()}
            merged = {**own, **merged}
    notes = []
    values: dict[str, str] = {}
    for number, (name, value, origin) in enumerate(merged.values(), 1):
        if not _TOKEN.fullmatch(name):
            raise _bad(origin, f"the name of header {number} has a character that no header name has")
        if _PROTECTED.fullmatch(name):
            notes.append(f"the custom header {name} ({origin}) was left out: it is not for users to set")
            continue
        values[name] = _header_value(value, number, origin)
    return Headers(values, " + ".join(origins) or "default", tuple(notes))


def _decoded(source: Source) -> Mapping[str, object] | None:
    """Return the headers of one source; None where it has none."""
    value = source.values.get(HEADERS)
    if isinstance(value, dict) and source.name.startswith("profile "):
        raise _bad(
            source.name, f"a profile holds them as JSON in a string, like '{_EXAMPLE}', not as a table"
        )
    for _ in range(2):  # Prefect decodes a string that JSON decoded to once more
        if isinstance(value, str):
            value = _json(value, source.name)
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise _bad(source.name, "they are not a JSON object")
    return value


def _json(text: str, origin: str) -> object:
    try:
        return json.loads(text)
    except ValueError as error:
        at = getattr(error, "pos", 0) + 1
    except RecursionError:
        at = 1
    # Raised outside of the handler: a JSON error carries the whole text.
    raise _bad(origin, f"they are not JSON from character {at} on" if text.strip() else "the text is empty")


def _header_value(value: object, number: int, origin: str) -> str:
    if not isinstance(value, str):
        raise _bad(origin, f"the value of header {number} is not a string")
    value = value.strip()
    if any((ord(c) < 32 and c != "\t") or ord(c) == 127 for c in value):
        raise _bad(
            origin, f"the value of header {number} has a line break or another control character in it"
        )
    if any(ord(c) > 255 for c in value):  # httpx and websockets send headers as Latin-1
        raise _bad(origin, f"the value of header {number} has a character that HTTP cannot carry")
    return value


def _bad(origin: str, problem: str) -> ConfigError:
    return ConfigError(
        f"{HEADERS} ({origin}): {problem}.",
        setting=HEADERS,
        hint=f"It is a JSON object of names and values, for example {_EXAMPLE} .",
    )


# The proxy


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
        """Which packages a SOCKS proxy still needs (one for the socket, one for REST); None if nothing is missing."""
        if not self.url.startswith("socks"):
            return None
        missing = [name for name in ("python_socks", "socksio") if find_spec(name) is None]
        if not missing:
            return None
        packages = " and ".join(name.replace("_", "-") for name in missing)
        return f"the proxy of {self.variable} is a SOCKS proxy, which cannot be used without {packages}"


def choose_proxy(scheme: str, host: str, port: int, environ: Mapping[str, str]) -> Proxy | None:
    """Return the proxy for an API at ``scheme`` (http or https), ``host`` and ``port``; None: connect directly.

    HTTP_PROXY or HTTPS_PROXY by the API's scheme, else ALL_PROXY, unless NO_PROXY names the host. A name in
    lower case wins over one in upper case, and if it is empty it takes the other away. The socket goes by the
    API's scheme as well: ``ws_proxy`` and its like are not read.

    Raises ConfigError for a proxy URL that cannot be one.
    """
    variables = _proxy_variables(environ)
    name = next((name for name in (scheme, "all") if name in variables), None)
    if name is None or _bypassed(host, port, variables):
        return None
    variable, text = variables[name]
    return Proxy(_proxy_url(text, variable), variable)


def _proxy_variables(environ: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Map what precedes ``_proxy`` in a variable's name, in lower case, to the variable and its value.

    The rules of ``urllib.request.getproxies_environment``, which cannot be given an environment.
    """
    found: dict[str, tuple[str, str]] = {}
    for name, value in sorted(environ.items()):  # upper case sorts before lower case, which overrides it
        key, is_lower = name.lower()[:-6], name.endswith("_proxy")
        if not name.lower().endswith("_proxy"):
            continue
        # Under CGI HTTP_PROXY is a header that the client sent (CVE-2016-1000110).
        if key == "http" and not is_lower and "REQUEST_METHOD" in environ:
            continue
        if value:
            found[key] = (name, value)
        elif is_lower:
            found.pop(key, None)
    return found


def _bypassed(host: str, port: int, variables: Mapping[str, tuple[str, str]]) -> bool:
    if "no" not in variables:
        return False
    # Imported here: urllib.request loads http.client and ssl, and NO_PROXY is seldom set.
    from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined,unused-ignore]

    names = variables["no"][1]
    if "*" in (name.strip() for name in names.split(",")):
        return True
    # An IPv6 address may be written with its brackets or without.
    return any(
        bool(proxy_bypass_environment(written, {"no": names}))
        for written in {f"{host}:{port}", f"{host.strip('[]')}:{port}"}
    )


def _proxy_url(text: str, variable: str) -> str:
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
    if scheme not in _PROXY_SCHEMES:
        raise ConfigError(
            f"{variable} is a proxy of an unknown kind.",
            setting=variable,
            hint=f"Its URL begins with one of {', '.join(f'{name}://' for name in _PROXY_SCHEMES)} .",
        )
    credentials, at, address = url.partition("://")[2].rstrip("/").rpartition("@")
    if at and ":" not in credentials:
        credentials += ":"  # websockets refuses a user without a password
    return f"{scheme}://{credentials}{at}{address}"


# TLS


def tls_context(cert_file: str | None, *, insecure: bool, origin: str) -> ssl.SSLContext:
    """Return a context that trusts the CA file and nothing else; without one certifi's list and the system's.

    ``insecure`` checks neither certificate nor host name. ``origin`` says where the CA file was named.
    Raises ConfigError for a CA file that cannot be used.
    """
    import ssl  # not at the top: it is slow to load, and plain http never needs it

    if insecure:
        unchecked = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        unchecked.check_hostname = False
        unchecked.verify_mode = ssl.CERT_NONE
        return unchecked
    if cert_file:
        try:
            files.refuse_special(cert_file, follow=True)  # OpenSSL would wait for a pipe for ever
            return ssl.create_default_context(cafile=cert_file)
        except OSError as error:
            cause = error
        problem = cause.strerror or str(cause)
        if isinstance(cause, ssl.SSLError):
            problem = "it holds no certificate in PEM format"
        raise ConfigError(
            f"The CA file {cert_file} ({origin}) cannot be used: {problem}.",
            setting="PREFECT_API_SSL_CERT_FILE",
            hint="PREFECT_API_SSL_CERT_FILE, else SSL_CERT_FILE, names a file of PEM certificates.",
        ) from cause
    import certifi

    trusting = ssl.create_default_context(cafile=certifi.where())
    trusting.load_default_certs()  # company CAs are in the system's list only
    return trusting
