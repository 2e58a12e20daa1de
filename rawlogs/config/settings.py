"""What rawlogs was told: arguments first, then all that Prefect itself would read. No network I/O here.

setting                      the strongest source wins; an empty value hides the weaker sources, as in Prefect
custom headers               merged name by name
PREFECT_API_SSL_CERT_FILE    SSL_CERT_FILE where it is not set at all
credentials in the API URL   the auth string where it is not set
"""

from __future__ import annotations

import os
import re
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from rawlogs.advice import AUTH_SETTING, KEY_SETTING, Credentials, Facts
from rawlogs.config import network, sources, urls
from rawlogs.errors import ConfigError
from rawlogs.masking import is_public

if TYPE_CHECKING:
    import ssl

CLOUD_API_URL = "https://api.prefect.cloud/api"

# What pydantic takes for a boolean, and so Prefect.
_TRUE = ("true", "1", "yes", "y", "on", "t")
_FALSE = ("false", "0", "no", "n", "off", "f")
_SET_URL = (
    "Set PREFECT_API_URL, for example to http://127.0.0.1:4200/api ; the URL of a UI page will do as well."
)
_SCHEME = re.compile(r"(Basic|Bearer|Digest|Token)\s+(.+)", re.IGNORECASE)
_KEY_START = re.compile(r"pn[a-z]_")


@dataclass(frozen=True, slots=True, repr=False)
class Settings:
    """Everything needed to talk to one API; no secret is in its repr.

    ``headers`` are the custom ones, fit for the socket and for REST. ``profile`` is the profile that was read
    (None: none was). ``origins`` says of each setting where it came from: "argument", "environment", ".env",
    "prefect.toml", "pyproject.toml", "profile NAME" or "default". ``notes`` are to be told to the user, once.
    ``proxy`` leads to the API, for socket and REST alike (None: straight there); ``proxy_origin`` is the
    variable that named it.
    """

    address: urls.Address
    api_key: str | None = None
    auth_string: str | None = None
    ssl_cert_file: str | None = None
    insecure: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    cloud_api_url: str = CLOUD_API_URL
    profile: str | None = None
    origins: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    proxy: str | None = None
    proxy_origin: str | None = None

    def __repr__(self) -> str:
        return (
            f"<Settings {self.api_url} profile={self.profile} api_key={self.fingerprint(self.api_key)!r} "
            f"auth_string={self.fingerprint(self.auth_string)!r} headers={sorted(self.headers)} "
            f"proxy={self.proxy and urls.shown(self.proxy)} insecure={self.insecure}>"
        )

    @property
    def api_url(self) -> str:
        return self.address.api_url

    @property
    def is_cloud(self) -> bool:
        """Whether the API is Prefect Cloud's: by PREFECT_CLOUD_API_URL, as in Prefect, or by host and path.

        By the setting alone a private Cloud host gets no key (Prefect 3.8.8, ``get_logs_subscriber``). A file in the
        working directory makes no host Cloud: it may come from anybody.
        """
        cloud = self.cloud_api_url.rstrip("/").lower()
        named = bool(cloud) and f"{self.api_url}/".lower().startswith(f"{cloud}/")
        named = named and not sources.of_folder(self.origins.get("PREFECT_CLOUD_API_URL", "default"))
        return named or (self.address.is_cloud_host and self.address.names_workspace)

    @property
    def websocket_token(self) -> str | None:
        """What goes into the auth frame; None where there are no credentials, as many servers want none.

        Cloud: the key, else the auth string. A server: the auth string, else the key. One of them that was
        given as an argument is taken before one that was not.
        """
        key, auth = self._credentials
        return (key or auth) if self.is_cloud else (auth or key)

    @property
    def authorization(self) -> str | None:
        """The Authorization header of REST: the auth string as Basic, else the key as Bearer, else None.

        This order is Prefect's, on Cloud too. One of them that was given as an argument is taken before one
        that was not.
        """
        key, auth = self._credentials
        if auth:
            return f"Basic {_base64(auth)}"
        return f"Bearer {key}" if key else None

    @property
    def token_setting(self) -> str | None:
        """The setting that the socket's token comes from; None where there is no token."""
        token = self.websocket_token
        return None if not token else AUTH_SETTING if token == self.auth_string else KEY_SETTING

    def facts(self) -> Facts:
        """Return what these settings tell about the server, for the explanation of failures."""
        sent: Credentials = "none"
        if any(name.lower() == "authorization" for name in self.headers):
            sent = "custom"
        elif self.authorization is not None:
            sent = "basic" if self.authorization.startswith("Basic ") else "bearer"
        return Facts(url=self.api_url, cloud=self.is_cloud, sent=sent, token=self.token_setting)

    @property
    def _credentials(self) -> tuple[str | None, str | None]:
        key_given = bool(self.api_key) and self.origins.get("PREFECT_API_KEY") == "argument"
        auth_given = bool(self.auth_string) and self.origins.get("PREFECT_API_AUTH_STRING") == "argument"
        if key_given == auth_given:
            return self.api_key, self.auth_string
        return (self.api_key, None) if key_given else (None, self.auth_string)

    def ssl_context(self) -> ssl.SSLContext | None:
        """Return how to check the server's certificate; None for http. Raises ConfigError for a bad CA file."""
        if not self.api_url.startswith("https:"):
            return None
        origin = self.origins.get("PREFECT_API_SSL_CERT_FILE", "default")
        return network.tls_context(self.ssl_cert_file, insecure=self.insecure, origin=origin)

    @staticmethod
    def fingerprint(secret: str | None) -> str:
        """Return a secret as it may be shown: enough to tell two apart, too little to use or to guess one."""
        if not secret:
            return "not set"
        start = _KEY_START.match(secret)
        # A short secret could be found by hashing guesses until one fits.
        known = f", sha256 {sha256(secret.encode()).hexdigest()[:8]}" if len(secret) >= 20 else ""
        return f"{start[0] if start else ''}… ({len(secret)} characters{known})"

    def secrets(self) -> tuple[str, ...]:
        """Return every text that must be neither shown nor recorded, the longest first.

        The key, the auth string and its halves, the credentials of URL and proxy, the values of custom headers. Halves
        and header values of fewer than six characters are left out: they would be found in every other text.
        """
        whole = {text for text in (self.api_key, self.auth_string, self.address.userinfo) if text}
        parts = {text.partition(":")[2] for text in whole}
        # A user called "prefect" is no secret: to hide that would tear every text.
        parts |= {user for text in whole if not is_public(user := text.partition(":")[0])}
        for value in self.headers.values():
            parts |= _secrets_in(value)
        whole |= {_base64(text) for text in whole if ":" in text}
        if self.proxy:
            proxy = network.Proxy(self.proxy, "")
            parts |= {proxy.userinfo, proxy.password, unquote(proxy.userinfo)}
        texts = whole | {part for part in parts if len(part) >= 6}
        return tuple(sorted(texts, key=lambda text: (-len(text), text)))


def resolve(
    *,
    api_url: str | None = None,
    api_key: str | None = None,
    auth_string: str | None = None,
    profile: str | None = None,
    headers: Mapping[str, str] | None = None,
    ssl_cert_file: str | os.PathLike[str] | None = None,
    insecure: bool | None = None,
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Settings:
    """Settle every setting: the arguments that are not None, else Prefect's sources in Prefect's order.

    ``api_url`` may be the URL of a UI page. ``profile`` chooses a profile as PREFECT_PROFILE does, so the
    environment still wins over what the profile says. ``environ`` and ``cwd`` stand in for the process's
    environment and working directory. Raises ConfigError for all that cannot work.
    """
    environ = os.environ if environ is None else environ
    found = sources.read(environ, Path() if cwd is None else cwd, profile)
    cert_path = os.fspath(ssl_cert_file) if isinstance(ssl_cert_file, os.PathLike) else ssl_cert_file
    given = {
        "PREFECT_API_URL": api_url,
        "PREFECT_API_KEY": api_key,
        "PREFECT_API_AUTH_STRING": auth_string,
        "PREFECT_CLIENT_CUSTOM_HEADERS": headers,
        "PREFECT_API_SSL_CERT_FILE": cert_path,
        "PREFECT_API_TLS_INSECURE_SKIP_VERIFY": insecure,
    }
    argument = sources.Source("argument", {name: value for name, value in given.items() if value is not None})
    reading = _Resolver((argument, *found.by_strength), found, Path() if cwd is None else cwd)

    address = reading.address()
    cert_file = reading.text("PREFECT_API_SSL_CERT_FILE")
    if cert_file is None and "SSL_CERT_FILE" in environ:
        cert_file = environ["SSL_CERT_FILE"]
        reading.origins["PREFECT_API_SSL_CERT_FILE"] = "environment"
    cloud_api_url = reading.text("PREFECT_CLOUD_API_URL")
    own_headers = network.merge_headers(reading.sources)
    reading.origins[network.HEADERS] = own_headers.origin
    reading.notes += own_headers.notes
    proxy = network.choose_proxy(*address.endpoint, environ)
    if proxy and proxy.note:
        reading.notes.append(proxy.note)
    settings = Settings(
        address=address,
        auth_string=reading.auth_string(address),
        api_key=reading.api_key(),
        ssl_cert_file=cert_file or None,
        insecure=reading.boolean("PREFECT_API_TLS_INSECURE_SKIP_VERIFY"),
        headers=own_headers.values,
        cloud_api_url=CLOUD_API_URL if cloud_api_url is None else cloud_api_url,
        profile=found.profile,
        origins=reading.origins,
        proxy=proxy.url if proxy else None,
        proxy_origin=proxy.variable if proxy else None,
    )
    reading.check_credentials(settings)
    return replace(settings, notes=tuple(reading.notes))


class _Resolver:
    """Pick each value from the strongest source that has it; record origins and notes."""

    def __init__(self, by_strength: tuple[sources.Source, ...], found: sources.Sources, cwd: Path) -> None:
        self.cwd = cwd
        self.sources = by_strength
        self.found = found
        self.notes = list(found.notes)
        self.origins = dict.fromkeys(sources.TABLES, "default")
        self.origins["PREFECT_PROFILE"] = found.profile_origin

    def value(self, name: str) -> object:
        """Return the value; None where no source has it."""
        for source in self.sources:
            if name in source.values:
                self.origins[name] = source.name
                return source.values[name]
        return None

    def text(self, name: str) -> str | None:
        value = self.value(name)
        if value is None or isinstance(value, str):
            return value
        raise ConfigError(f"{name} ({self.origins[name]}) is not a string.", setting=name)

    def boolean(self, name: str) -> bool:
        value = self.value(name)
        word = value.lower() if isinstance(value, str) else value
        if word is None or word in _FALSE or word == 0:
            return False
        if word in _TRUE or word == 1:
            return True
        raise ConfigError(
            f"{name} ({self.origins[name]}) is neither true nor false.",
            setting=name,
            hint=f"It is one of {', '.join(_TRUE)}; or one of {', '.join(_FALSE)}.",
        )

    def address(self) -> urls.Address:
        name = "PREFECT_API_URL"
        text, origin = self.text(name), self.origins[name]
        if not text:
            problem = f"{name} ({origin}) is set, but empty."
            if text is None:
                problem = (
                    "No API URL is set: not as an argument, nor as PREFECT_API_URL in the environment, .env, "
                    f"prefect.toml, pyproject.toml or a profile; looked at {self.found.looked_at}."
                )
            line = sources.misplaced(self.cwd) if text is None else None
            hint = f"{line} {_SET_URL}" if line else _SET_URL
            raise ConfigError(problem, setting=name, hint=hint, missing=text is None)
        address = urls.parse(text, origin=origin)
        if origin != "argument":
            self.notes += [f"{name} ({origin}): {change}" for change in address.changes]
            # As in Prefect the environment wins over a profile, even one that was asked for.
            asked = self.sources[-1] if self.origins["PREFECT_PROFILE"] == "argument" else None
            if asked and name in asked.values and origin != asked.name:
                self.notes.append(f"the {name} of {origin} wins over that of {asked.name}")
        return address

    def api_key(self) -> str | None:
        name = "PREFECT_API_KEY"
        text = self.text(name)
        key = (text or "").strip()
        if len(key) > 1 and key[0] == key[-1] and key[0] in "'\"":  # docker --env-file hands quotes on
            key = key[1:-1].strip()
        self._tell_stripped(name, text, key)
        bad = next((at for at, c in enumerate(key, 1) if not "!" <= c <= "~"), None)
        if bad is not None:
            raise ConfigError(
                f"{name} ({self.origins[name]}): character {bad} of {len(key)} cannot be part of a key.",
                setting=name,
                hint="A key has neither spaces nor line breaks; copy it again, in one piece.",
            )
        return key or None

    def auth_string(self, address: urls.Address) -> str | None:
        name = "PREFECT_API_AUTH_STRING"
        text = self.text(name)
        auth = (text or "").strip("\r\n\t")  # a password may begin or end with a space
        self._tell_stripped(name, text, auth)
        url_origin = self.origins["PREFECT_API_URL"]
        if address.userinfo and (not auth or (url_origin == "argument" and self.origins[name] != "argument")):
            auth, self.origins[name] = address.userinfo, url_origin
            self.notes.append(
                f"the credentials inside the API URL are used; {name} is a safer place for them"
            )
        elif address.userinfo:
            self.notes.append(f"the credentials inside the API URL are not used, since {name} is set")
        # Surrogates are the bytes of an environment variable that are not text.
        if any(ord(c) < 32 or ord(c) == 127 or "\ud800" <= c <= "\udfff" for c in auth):
            raise ConfigError(
                f"{name} ({self.origins[name]}) has a line break or another unprintable character in it.",
                setting=name,
                hint="It looks like user:password .",
            )
        if not auth.isascii():
            self.notes.append(f"{name} is not plain ASCII, which no server from 3.6.22 on can accept")
        return auth or None

    def check_credentials(self, settings: Settings) -> None:
        key, origin = "PREFECT_API_KEY", self.origins["PREFECT_API_KEY"]
        if settings.is_cloud and settings.websocket_token is None:
            hidden = "" if origin == "default" else f" {key} is set, but empty ({origin})."
            raise ConfigError(
                "The API URL is Prefect Cloud's, but no API key is set.",
                setting=key,
                hint=f"Set {key}, or choose a profile that has one (`prefect cloud login` makes one)."
                f"{hidden} Looked at {self.found.looked_at}.",
            )
        foreign = self._foreign_notes(settings)
        self.notes += foreign
        if (
            not foreign
            and not settings.is_cloud
            and settings.api_key
            and settings.websocket_token == settings.api_key
        ):
            self.notes.append(
                f"the API key ({origin}) is sent to {settings.address.origin}, which is not Prefect Cloud; "
                "a self-hosted server takes PREFECT_API_AUTH_STRING"
            )
        if settings.is_cloud and settings.api_key and (settings.authorization or "").startswith("Basic "):
            self.notes.append(
                f"REST requests to Prefect Cloud carry PREFECT_API_AUTH_STRING "
                f"({self.origins['PREFECT_API_AUTH_STRING']}) instead of the API key, as in Prefect: unset it"
            )

    def _foreign_notes(self, settings: Settings) -> list[str]:
        """Return a note for each credential from outside that a file in the working directory sends elsewhere.

        Prefect's client sends them without a word, too; but whoever hands out a folder may have written the file.
        """
        carried = " and ".join(f"{name} ({origin})" for name, origin in self._own_credentials(settings))
        if not carried:
            return []
        notes = []
        url = self.origins["PREFECT_API_URL"]
        if sources.of_folder(url) and not settings.address.is_cloud_host:
            notes.append(
                f"{settings.address.origin}, which PREFECT_API_URL ({url}) of the working directory names, gets "
                f"{carried}"
            )
        if settings.api_url.startswith("https:"):
            for name, on in (
                ("PREFECT_API_TLS_INSECURE_SKIP_VERIFY", settings.insecure),
                ("PREFECT_API_SSL_CERT_FILE", bool(settings.ssl_cert_file)),
            ):
                if on and sources.of_folder(self.origins[name]):
                    notes.append(
                        f"{name} ({self.origins[name]}) of the working directory decides which certificates are "
                        f"accepted where {carried} is sent"
                    )
        return notes

    def _own_credentials(self, settings: Settings) -> list[tuple[str, str]]:
        """Return the credentials that neither an argument nor the working directory gave, with their sources."""
        sent = (
            ("PREFECT_API_KEY", settings.api_key),
            ("PREFECT_API_AUTH_STRING", settings.auth_string),
            (network.HEADERS, settings.headers),
        )
        found = []
        for name, value in sent:
            own = [
                origin
                for origin in self.origins[name].split(" + ")
                if origin != "argument" and not sources.of_folder(origin)
            ]
            if value and own:
                found.append((name, " + ".join(own)))
        return found

    def _tell_stripped(self, name: str, text: str | None, stripped: str) -> None:
        if text and stripped != text:
            what = "white space or quotes" if name == "PREFECT_API_KEY" else "line breaks"
            self.notes.append(f"{name} ({self.origins[name]}): {what} around it were left out")


def _secrets_in(header: str) -> set[str]:
    """Return the secret parts of a header's value: not the scheme ("Bearer"), but also what Basic packs in base64."""
    scheme = _SCHEME.fullmatch(header)
    if scheme is None:
        return {header}
    kind, value = scheme.groups()
    if kind.lower() != "basic":
        return {value}
    try:
        pair = b64decode(value, validate=True).decode()
    except ValueError:
        return {value}
    return {value, pair, *pair.split(":", 1)}


def _base64(text: str) -> str:
    return b64encode(text.encode()).decode("ascii")
