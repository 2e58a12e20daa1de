"""The receiver of logs: ``--to``, and the variables that OpenTelemetry's specification names for its exporters. Pure.

Of each pair ``OTEL_EXPORTER_OTLP_LOGS_...`` wins over ``OTEL_EXPORTER_OTLP_...`` as a whole; an empty one is not set.
What the specification calls unrecognised is told and left out, as it asks.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from rawlogs.errors import ConfigError
from rawlogs.untrusted import origin_of

PATH = "/v1/logs"
TIMEOUT = 10.0
_GENERAL = "OTEL_EXPORTER_OTLP_"
_OF_LOGS = "OTEL_EXPORTER_OTLP_LOGS_"
_EXAMPLE = "It looks like otlp+https://collector.example.com:4318"
_HINT = f"{_EXAMPLE} (or otlp+http:// without TLS)."
_HOST = re.compile(r"[\w.-]+")  # names of containers may have an underscore
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z\-]+")
_OWN_HEADERS = frozenset({"content-type", "content-encoding", "content-length", "transfer-encoding", "host"})
_IN_WORDS = "the values of its headers are not shown"


@dataclass(frozen=True, slots=True)
class Receiver:
    """An OTLP/HTTP receiver, and how it is asked.

    origin: what named it. timeout: seconds of one request, None for no limit. ca_file, client_certificate, client_key:
    files in PEM format, None where none is named. notes: what was left out. resource: attributes for every log.
    """

    url: str = field(repr=False)
    origin: str
    headers: Mapping[str, str] = field(repr=False, default_factory=dict)
    timeout: float | None = TIMEOUT
    gzip: bool = True
    ca_file: str | None = None
    ca_origin: str = "--ca-file"
    client_certificate: str | None = None
    client_key: str | None = None
    resource: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        """The URL without what may be a secret in it."""
        return origin_of(self.url) + urlsplit(self.url).path

    @property
    def secrets(self) -> tuple[str, ...]:
        """The texts that nothing may show."""
        # "Bearer KEY" is a secret, and so is KEY alone.
        values = [part for value in self.headers.values() for part in (value, value.rpartition(" ")[2])]
        return tuple(value for value in (*values, urlsplit(self.url).query) if value)


def resolve(to: str | None, environ: Mapping[str, str], *, ca_file: str | None = None) -> Receiver:
    """Return the receiver that ``--to`` or the environment names. Raises ConfigError, which quotes no secret."""
    variables = _Variables(environ)
    url, origin = _endpoint(to, variables)
    ca_origin = "--ca-file"
    if ca_file is None:
        ca_file, ca_origin = variables.read("CERTIFICATE")
    certificate, _ = variables.read("CLIENT_CERTIFICATE")
    key, key_name = variables.read("CLIENT_KEY")
    if key is not None and certificate is None:
        variables.notes.append(f"{key_name} is of no use without a CLIENT_CERTIFICATE, and was left out")
        key = None
    return Receiver(
        url=url,
        origin=origin,
        headers=variables.headers(),
        timeout=variables.timeout(),
        gzip=variables.gzip(),
        ca_file=ca_file,
        ca_origin=ca_origin,
        client_certificate=certificate,
        client_key=key,
        resource=variables.resource(),
        notes=tuple(variables.notes),
    )


def _endpoint(to: str | None, variables: _Variables) -> tuple[str, str]:
    """Return the URL, and what named it."""
    if to is not None:
        scheme, mark, rest = to.strip().partition("://")
        if not mark or scheme.lower() not in ("otlp+http", "otlp+https"):
            raise ConfigError("--to is not the URL of an OTLP/HTTP receiver", setting="--to", hint=_HINT)
        parts = _parts(f"{scheme[5:].lower()}://{rest}", "--to")
        return urlunsplit(parts._replace(path=PATH if parts.path in ("", "/") else parts.path)), "--to"
    text, name = variables.read("ENDPOINT")
    if text is None:
        raise ConfigError(
            "no receiver is named", setting="--to", hint=f"{_EXAMPLE}, or set OTEL_EXPORTER_OTLP_ENDPOINT."
        )
    protocol, protocol_name = variables.read("PROTOCOL")
    if protocol is not None and protocol.lower() != "http/protobuf":
        raise ConfigError(
            f"{protocol_name} is {protocol[:40]!r}: rawlogs speaks http/protobuf",
            setting=protocol_name,
            hint="Name the receiver's HTTP port with --to otlp+http://HOST:4318 or otlp+https://HOST:4318.",
        )
    parts = _parts(text, name)
    # The specification: the variable for logs is the whole URL, the general one is a base.
    if name.startswith(_OF_LOGS):
        return urlunsplit(parts._replace(path=parts.path or "/")), name
    return urlunsplit(parts._replace(path=parts.path.rstrip("/") + PATH)), name


def _parts(text: str, name: str) -> SplitResult:
    try:
        parts = urlsplit(text.strip())
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        fits = fits and text.strip().isprintable() and " " not in text.strip()
        fits = fits and _can_exist(parts.hostname or "")
    except ValueError:
        fits = False
    if not fits:
        hint = _HINT if name == "--to" else "It looks like http://collector.example.com:4318 ."
        raise ConfigError(f"{name} is not the URL of an OTLP/HTTP receiver", setting=name, hint=hint)
    if "@" in parts.netloc:
        raise ConfigError(
            f"{name} has credentials in its URL, which would be shown by ps and in texts",
            setting=name,
            hint="Give them as a header: OTEL_EXPORTER_OTLP_HEADERS='Authorization=Basic%20...'.",
        )
    return parts._replace(fragment="")


def _can_exist(host: str) -> bool:
    """Return whether this can be the name of a host, or an address; else each try would fail."""
    try:
        if ":" in host:
            return bool(ipaddress.ip_address(host))
        host.removesuffix(".").encode("idna")  # no empty label, none of more than 63 bytes
    except ValueError:
        return False
    return bool(_HOST.fullmatch(host)) and len(host) <= 253


class _Variables:
    """The variables of one environment; ``notes`` grows with what was left out of them."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.notes: list[str] = []

    def read(self, name: str) -> tuple[str | None, str]:
        """Return the value for logs, else the general one; and the name of the variable that has it."""
        for variable in (_OF_LOGS + name, _GENERAL + name):
            if value := self._environ.get(variable, "").strip():
                return value, variable
        return None, _GENERAL + name

    def headers(self) -> dict[str, str]:
        text, name = self.read("HEADERS")
        found = {}
        for header, value in self._pairs(text or "", name):
            if not _TOKEN.fullmatch(header) or not (value.isprintable() and value.isascii()):
                raise ConfigError(
                    f"{name} has a header that HTTP cannot carry; {_IN_WORDS}",
                    setting=name,
                    hint="It is NAME=VALUE,NAME=VALUE, with what is special in a value written as %XX.",
                )
            if header.lower() in _OWN_HEADERS:
                self.notes.append(f"the header {header} ({name}) was left out: it is not for users to set")
                continue
            found[header] = value
        return found

    def timeout(self) -> float | None:
        """Return seconds from the variable's milliseconds, of which 0 means no limit."""
        text, name = self.read("TIMEOUT")
        if text is None:
            return TIMEOUT
        if not re.fullmatch(r"[0-9]{1,12}", text):
            self.notes.append(f"{name} is no number of milliseconds, and was left out")
            return TIMEOUT
        return int(text) / 1000.0 or None

    def gzip(self) -> bool:
        text, name = self.read("COMPRESSION")
        if text is not None and text.lower() not in ("gzip", "none"):
            self.notes.append(f"{name} is neither gzip nor none, and was left out")
            return True
        return text is None or text.lower() == "gzip"

    def resource(self) -> dict[str, str]:
        """Return ``OTEL_RESOURCE_ATTRIBUTES`` with ``OTEL_SERVICE_NAME``, which wins over its ``service.name``."""
        name = "OTEL_RESOURCE_ATTRIBUTES"
        found = dict(self._pairs(self._environ.get(name, ""), name))
        if service := self._environ.get("OTEL_SERVICE_NAME", "").strip():
            found["service.name"] = service
        return found

    def _pairs(self, text: str, name: str) -> list[tuple[str, str]]:
        """Return the members of a list in the form of W3C Baggage, without properties: ``a=1,b=%32``."""
        found = []
        for number, member in enumerate(text.split(","), 1):
            key, equals, value = member.partition("=")
            if not member.strip():
                continue
            if not equals or not key.strip():
                self.notes.append(f"member {number} of {name} is not NAME=VALUE, and was left out")
                continue
            found.append((unquote(key.strip()), unquote(value.strip())))
        return found
