"""One API URL: normalised, taken apart, turned into the socket's URL. Nothing here opens a connection.

What is read, and what becomes of it:

    http(s)://host[:port]/…/api          as it is, without trailing slashes
    ws(s)://…, …/logs/out, …/events/out  the API's http(s) URL
    a page of the server's UI            http(s)://host[:port]/api, and the run the page shows
    a page of Prefect Cloud's UI         https://api.…/api/accounts/A/workspaces/W, and the run the page shows
    anything else                        refused, with the URL that was probably meant
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import IPv6Address
from typing import Literal
from urllib.parse import unquote, urljoin, urlsplit
from uuid import UUID

from rawlogs.errors import ConfigError

RunKind = Literal["flow-run", "task-run"]

REDIRECTS = frozenset({301, 302, 303, 307, 308})
MAX_REDIRECTS = 5

_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_SOCKET_SCHEMES = {"ws": "http", "wss": "https"}

_IN_PASSWORDS = "In a password inside a URL, /, ?, # and @ must be written as %2F, %3F, %23 and %40."

_KEY = re.compile(r"pn[a-z]_\w+")  # Prefect Cloud's keys: pnu_… of a user, pnb_… of a service account
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*")
_HOST = re.compile(r"(?=.{1,253}\.?$)[a-z0-9_]([a-z0-9_\-]{0,62})(\.[a-z0-9_\-]{1,63})*\.?")
_PATH = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:/]|%[0-9A-Fa-f]{2})*")
_SOCKET_PATH = re.compile(r"/(?:logs|events)/out$")

# The rule of Prefect 3.8.8 (settings/models/cloud.py), with its dots meant as dots.
_CLOUD_API_HOST = re.compile(r"api[.\w]*\.prefect\.[^.]+")
_CLOUD_DOMAINS = (".prefect.cloud", ".prefect.dev")  # certainly Prefect's own
_CLOUD_UI_HOST = re.compile(r"app[.\w]*\.prefect\.[^.]+")
_WORKSPACE = re.compile(r"/api/accounts/([\w\-]+)/workspaces/([\w\-]+)")
_WORKSPACE_PAGE = re.compile(r"(?:/api)?/accounts?/([\w\-]+)/workspaces?/([\w\-]+)(/.*)?")

_RUN_PAGE = re.compile(r"(.*?)/(?:runs|flow-runs|task-runs)/(flow-run|task-run)/([^/]+)(?:/.*)?")
_UI_PAGE = re.compile(
    r"(.*?)/(?:dashboard|runs|flow-runs|flows|deployments|work-pools|blocks|variables|automations|events"
    r"|artifacts|concurrency-limits|notifications|settings|login|docs)(?:/.*)?"
)
_API_RESOURCE = re.compile(
    r"(.*?/api)/(?:flow_runs|task_runs|flows|deployments|logs|events|admin|health|ready|version|hello|docs)(?:/.*)?"
)


@dataclass(frozen=True, slots=True)
class Address:
    """One API, and what the text that named it said besides.

    ``api_url`` is ``http(s)://host[:port]/path`` without credentials, query or trailing slash. ``userinfo``
    is the ``user:password`` that stood in the URL, decoded (None: there was none). ``run_id`` and
    ``run_kind`` come from a UI page. ``changes`` says in a few words each what else was read otherwise than
    it was written.
    """

    api_url: str
    userinfo: str | None = field(default=None, repr=False)
    run_id: UUID | None = None
    run_kind: RunKind | None = None
    changes: tuple[str, ...] = ()

    @property
    def logs_url(self) -> str:
        """The socket of the logs. A slash at its end would be HTTP 403 (seen on 3.4.7 to 3.8.8)."""
        return f"ws{self.api_url[4:]}/logs/out"

    @property
    def events_url(self) -> str:
        """The socket of the events."""
        return f"ws{self.api_url[4:]}/events/out"

    @property
    def origin(self) -> str:
        """``scheme://host:port`` with the port always written out."""
        scheme, host, port = self.endpoint
        return f"{scheme}://{host}:{port}"

    @property
    def endpoint(self) -> tuple[str, str, int]:
        """Scheme (http or https), host (lower case, an IPv6 address in brackets) and port."""
        return _place(self.api_url)

    @property
    def on_loopback(self) -> bool:
        """Whether the host is this machine, so that its clock is ours."""
        host = self.endpoint[1].strip("[]")
        return host == "localhost" or host == "::1" or host.startswith("127.")

    @property
    def is_cloud_host(self) -> bool:
        """Whether the host is one of Prefect's own, of which the private ones are below ``prefect.cloud``.

        Prefect's client goes by the name alone (3.8.8), so that ``api.prefect.evil`` is Cloud to it.
        """
        host = self.endpoint[1]
        own = host.endswith(_CLOUD_DOMAINS) and bool(_CLOUD_API_HOST.fullmatch(host))
        return own and self.api_url.startswith("https://")

    @property
    def names_workspace(self) -> bool:
        """Whether the path is that of a Cloud workspace; a self-hosted server has no such path."""
        return bool(_WORKSPACE.search(self.api_url))

    def flow_run_page(self, run_id: UUID | str) -> str | None:
        """Return the UI's page of a flow run; None where the API's URL does not tell where the UI is."""
        if self.is_cloud_host and (names := _WORKSPACE.search(self.api_url)):
            account, workspace = names.groups()
            host = self.endpoint[1].replace("api", "app", 1)
            return f"https://{host}/account/{account}/workspace/{workspace}/runs/flow-run/{run_id}"
        if not self.api_url.endswith("/api"):
            return None
        return f"{self.api_url.removesuffix('/api')}/runs/flow-run/{run_id}"


def parse(text: str, *, setting: str = "PREFECT_API_URL", origin: str | None = None) -> Address:
    """Read an API URL, a socket's URL or the URL of a UI page.

    Raises ConfigError, which names ``setting`` and its ``origin`` and suggests a URL that would be accepted
    wherever one shows; its text holds no credentials.
    """
    try:
        return _read(text)
    except _Refused as refused:
        problem, fix, hint = refused.problem, refused.fix, refused.hint
    if fix is not None and shown(fix) == fix:
        hint = f"Did you mean {fix} ?"
    # Raised outside of the handler: the refusal's own context may quote what must not be shown.
    name = f"{setting} ({origin})" if origin else setting
    raise ConfigError(f"{name} {problem}: {shown(text)!r}", setting=setting, hint=hint)


def same_origin(a: str, b: str) -> bool:
    """Return whether two absolute URLs lead to the same scheme, host and port; ws counts as http, wss as https."""
    try:
        return _place(a) == _place(b)
    except _Refused:
        return False


def redirect_target(asked: str, location: str) -> str | None:
    """Return the absolute URL that a redirect leads to; None unless it stays within the origin that was asked.

    The key goes along, and within the socket it travels in a frame, so another origin is never followed. Neither is a
    Location with credentials in it: they would take the place of the user's.
    """
    try:
        url = urljoin(asked, location)
        credentials = "@" in urlsplit(url).netloc
    except ValueError:
        return None
    return url if same_origin(asked, url) and not credentials else None


def shown(text: str) -> str:
    """Return a URL as it may be printed: without credentials, query or fragment, and of bearable length.

    Made for texts that are wrong: whatever could be a password in one is left out too.
    """
    scheme, mark, rest = text.strip().partition("://")
    if not mark or not _SCHEME.fullmatch(scheme) or len(scheme) > 10:
        scheme, mark, rest = "", "", text.strip()
    if "@" in rest:
        rest = "***@" + rest.rpartition("@")[2]
    rest, more, _ = _cut(rest, "?#")
    authority, slash, path = _cut(rest, "/\\")
    name, colon, port = authority.partition(":")
    if colon and not port.isdigit() and "[" not in authority:  # "http://admin:password", its host forgotten
        authority = f"{name}:***"
    whole = _KEY.sub("***", f"{scheme}{mark}{authority}{slash}{path}{more and more + '***'}")
    return whole if len(whole) <= 200 else f"{whole[:200]}…"


class _Refused(ValueError):
    """``fix`` is a URL that would be accepted, ``hint`` a sentence for where there is none."""

    def __init__(self, problem: str, *, fix: str | None = None, hint: str | None = None) -> None:
        super().__init__(problem)
        self.problem = problem
        self.fix = fix
        self.hint = hint


def _read(text: str) -> Address:
    changes: list[str] = []
    url = text.strip()
    if url != text:
        changes.append("white space around the URL was left out")
    _refuse_odd_characters(url)
    scheme, rest = _scheme(url)
    if scheme in _SOCKET_SCHEMES:
        changes.append(f"{scheme}:// was read as {_SOCKET_SCHEMES[scheme]}://")
        scheme = _SOCKET_SCHEMES[scheme]

    authority, slash, tail = _cut(rest, "/?#")
    credentials, _, host_port = authority.rpartition("@")
    userinfo = _userinfo(credentials)
    host, port = _host_and_port(host_port)
    base = f"{scheme}://{host}" + (f":{port}" if port else "")

    path, query, more = _cut(slash + tail, "?#")
    if "@" in path:
        raise _Refused("has an @ after its host", hint=_IN_PASSWORDS)
    single = re.sub(r"/{2,}", "/", path)
    if single.rstrip("/") != path.rstrip("/"):
        changes.append("doubled slashes were made one")
    path = single.rstrip("/")

    page = _page(scheme, host, base, path)
    if page is not None:
        api_url, run_kind, run_id = page
        changes.append("the page of the UI was read as the API it shows")
        return Address(api_url, userinfo, run_id, run_kind, tuple(changes))

    # Rather the end of a password than a query: what seems to be the host may be its beginning.
    if "@" in more:
        raise _Refused("has an @ after its host", hint=_IN_PASSWORDS)
    trimmed = _SOCKET_PATH.sub("", path)
    if trimmed != path:
        changes.append(f"{path.removeprefix(trimmed)} was left out")
    _refuse_cloud(scheme, host, trimmed)
    _refuse_path(base, trimmed)
    if query:
        part = "a query string" if query == "?" else "a fragment"
        raise _Refused(f"has {part}, which an API URL never has", fix=_guess(base + trimmed))
    return Address(base + trimmed, userinfo, changes=tuple(changes))


def _guess(candidate: str) -> str | None:
    """Return an API URL that is accepted, made from one that may still have one more fault."""
    try:
        return _read(candidate).api_url
    except _Refused as refused:
        return refused.fix


def _refuse_odd_characters(url: str) -> None:
    if not url:
        raise _Refused("is empty", hint="It is the URL of the API, for example http://127.0.0.1:4200/api .")
    if len(url) > 2000:
        raise _Refused("is longer than any URL of an API")
    if _KEY.match(url):
        raise _Refused("holds an API key, not a URL", hint="The key belongs into PREFECT_API_KEY.")
    if url[0] in "'\"":
        inner = url.strip("'\" \t\r\n")
        # docker --env-file hands the quotes on instead of reading them
        raise _Refused("stands in quotes", fix=_guess(inner) if inner else None)
    if " " in url or not url.isprintable():
        plain = "".join(c for c in url if c != " " and c.isprintable())
        raise _Refused("has a space, a line break or an invisible character in it", fix=_guess(plain))
    if "\\" in url:
        raise _Refused("has a backslash in it", fix=_guess(url.replace("\\", "/")))


def _scheme(url: str) -> tuple[str, str]:
    scheme, mark, rest = url.partition("://")
    if not mark or not _SCHEME.fullmatch(scheme):
        if almost := re.match(r"(https?|wss?):/*", url, re.IGNORECASE):
            candidate = f"{almost[1].lower()}://{url[almost.end() :]}"
        else:
            candidate = ("https://" if ".prefect.cloud" in url else "http://") + url.lstrip(":/")
        raise _Refused("does not begin with http:// or https://", fix=_guess(candidate))
    scheme = scheme.lower()
    if scheme not in _PORTS:
        secure = "https" if scheme.endswith("s") else "http"
        raise _Refused("has a scheme other than http or https", fix=_guess(f"{secure}://{rest}"))
    return scheme, rest


def _userinfo(credentials: str) -> str | None:
    user, _, password = credentials.partition(":")
    # Without a colon the password is empty (RFC 7617 asks for the colon all the same).
    return f"{unquote(user)}:{unquote(password)}" if credentials.strip(":") else None


def _host_and_port(host_port: str) -> tuple[str, int | None]:
    """Return the host, normalised and with an IPv6 address in brackets, and the port where one is written."""
    if host_port.startswith("["):
        name, bracket, port = host_port[1:].partition("]")
        host = _ipv6(name) if bracket and (not port or port[0] == ":") else None
        if host is None:
            raise _Refused(
                "has an IPv6 address that is not one", hint="It is written http://[::1]:4200/api ."
            )
        port = port[1:]
    else:
        if bare := _ipv6(host_port):
            raise _Refused("has an IPv6 address without brackets", fix=_guess(f"http://{bare}/api"))
        name, _, port = host_port.partition(":")
        host = _name(name)
    if not port:
        return host, None
    if not (port.isascii() and port.isdigit() and len(port) <= 9 and 0 < int(port) < 65536):
        raise _Refused(
            "has a port that is not a number from 1 to 65535",
            hint=f"A port looks like :4200. {_IN_PASSWORDS}",
        )
    return host, int(port)


def _ipv6(text: str) -> str | None:
    try:
        return f"[{IPv6Address(text)}]"
    except ValueError:
        return None


def _name(text: str) -> str:
    if not text:
        raise _Refused("names no host", hint="It looks like http://127.0.0.1:4200/api .")
    name = text.lower()
    if not name.isascii():
        try:
            name = name.encode("idna").decode("ascii")
        except UnicodeError:
            name = ""
    if not _HOST.fullmatch(name):
        raise _Refused("has a host name that cannot exist")
    return name


def _page(scheme: str, host: str, base: str, path: str) -> tuple[str, RunKind | None, UUID | None] | None:
    """Return the API URL, the kind and the id of the run for a page of a UI; None where the URL is no such page."""
    workspace = _WORKSPACE_PAGE.fullmatch(path)
    if _CLOUD_UI_HOST.fullmatch(host):
        if workspace:
            account, name, rest = workspace.groups()
            api_host = host.replace("app", "api", 1)
            kind, run_id = _run(rest or "")[1:]
            return f"https://{api_host}/api/accounts/{account}/workspaces/{name}", kind, run_id
        if host.endswith(_CLOUD_DOMAINS):
            raise _Refused(
                "is a page of Prefect Cloud that shows no workspace",
                hint="Open the workspace in the browser and copy the URL of one of its pages.",
            )
    elif workspace and _CLOUD_API_HOST.fullmatch(host):
        return None
    elif workspace and workspace[3] and not path.startswith("/api/"):
        raise _Refused(
            "is a page of Prefect Cloud on an unknown host",
            hint="Its API cannot be told from it: give the API's own URL.",
        )
    front, kind, run_id = _run(path)
    if kind is None:
        page = _UI_PAGE.fullmatch(path)
        if not page or re.search(r"/api(/|$)", path) or _SOCKET_PATH.search(path):
            return None
        front = page[1]
    front = front.removesuffix("/v2").removesuffix("/api")
    _refuse_path(base, front + "/api")
    return f"{base}{front}/api", kind, run_id


def _run(path: str) -> tuple[str, RunKind | None, UUID | None]:
    """Return what stands before the run's page in a path, the kind of the run and its id."""
    match = _RUN_PAGE.fullmatch(path)
    if not match:
        return path, None, None
    try:
        run_id = UUID(match[3])
    except ValueError:
        run_id = None
    if run_id is None:
        raise _Refused("is the page of a run, but the run's id is not whole")
    return match[1], "flow-run" if match[2] == "flow-run" else "task-run", run_id


def _refuse_path(base: str, path: str) -> None:
    if not path:
        raise _Refused("leads to the server's root, where its API is not", fix=_guess(f"{base}/api"))
    if not _PATH.fullmatch(path) or any(part in (".", "..") for part in path.split("/")):
        raise _Refused("has a path with characters that a URL cannot have, or with dots to resolve")
    if resource := _API_RESOURCE.fullmatch(path):
        raise _Refused("leads to one thing of the API instead of the API", fix=_guess(base + resource[1]))


def _refuse_cloud(scheme: str, host: str, path: str) -> None:
    """Refuse a Prefect Cloud URL without a workspace; only of Cloud's hosts: a company may have api.prefect.local."""
    if not host.endswith(_CLOUD_DOMAINS) or not _CLOUD_API_HOST.fullmatch(host):
        return
    if _WORKSPACE.fullmatch(path) and scheme == "https":
        return
    if workspace := _WORKSPACE_PAGE.fullmatch(path):
        fix = f"https://{host}/api/accounts/{workspace[1]}/workspaces/{workspace[2]}"
        raise _Refused("is not how a workspace of Prefect Cloud is addressed", fix=fix)
    raise _Refused(
        "names no workspace of Prefect Cloud",
        hint=f"It is https://{host}/api/accounts/ACCOUNT-ID/workspaces/WORKSPACE-ID; "
        "the URL of any page of the workspace will do as well.",
    )


def _place(url: str) -> tuple[str, str, int]:
    scheme, mark, rest = url.partition("://")
    scheme = scheme.lower()
    if not mark or scheme not in _PORTS or "\\" in url or not url.isprintable():
        raise _Refused("has no origin")
    host, port = _host_and_port(_cut(rest, "/?#")[0].rpartition("@")[2])
    return _SOCKET_SCHEMES.get(scheme, scheme), host, port or _PORTS[scheme]


def _cut(text: str, marks: str) -> tuple[str, str, str]:
    """Cut as ``str.partition`` does, at the first of several characters."""
    for at, character in enumerate(text):
        if character in marks:
            return text[:at], character, text[at + 1 :]
    return text, "", ""
