"""Check the REST side: whether it is Prefect, whether it takes the credentials, what it is set to."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlsplit

from rawlogs.advice import FIRST_WITH_LOGS, Advice, advise
from rawlogs.config.urls import Address, shown
from rawlogs.doctor.context import CheckContext
from rawlogs.doctor.findings import Finding, blame_of, of_error, status_of
from rawlogs.errors import (
    AuthError,
    CertificateError,
    ConfigError,
    HistoryError,
    RawlogsError,
    RedirectRefused,
    UpgradeRefused,
)
from rawlogs.models import Log
from rawlogs.rest.timing import TOLERANCE
from rawlogs.version import release

SETTINGS = "PREFECT_SERVER_LOGS_STREAM_OUT_ENABLED", "PREFECT_SERVER_LOGS_STREAM_PUBLISHING_ENABLED"
NEWEST_LOG = {"logs": {}, "sort": "TIMESTAMP_DESC", "limit": 1, "offset": 0}


async def http(case: CheckContext) -> Finding:
    """Check whether an HTTP server answers at all, whatever it says."""
    try:
        case.health = await case.rest.get("/health")
    except (CertificateError, ConfigError):
        raise
    except RawlogsError as error:
        case.health = error
        status = status_of(error)
        plain = case.settings.api_url.startswith("http:") and not case.settings.proxy
        # Servers answer plain HTTP on a TLS port with 400, or hang up.
        if plain and status in (None, 400) and await case.answers_tls():
            return _tls_port(case, error)
        if status == 407:  # never the server's own
            return Finding("fail", error.text, advise("rest", 407), facts={"status": status})
        if status is None:
            return Finding("fail", error.text, advise("line", "no HTTP", case.facts()))
    return Finding("ok", f"{case.endpoint} answers")


def _tls_port(case: CheckContext, error: RawlogsError) -> Finding:
    advice = Advice(
        "This port speaks TLS, but PREFECT_API_URL begins with http://.",
        f"Use https:// in PREFECT_API_URL: {case.settings.api_url.replace('http:', 'https:', 1)}",
    )
    return Finding("fail", error.text, advice, facts={"tls": True})


async def health(case: CheckContext) -> Finding:
    """Check whether it is Prefect that answers."""
    answer = case.health
    if answer is True:
        case.rest_works = True
        return Finding("ok", "GET /health: a Prefect API")
    if not isinstance(answer, RawlogsError):
        advice = Advice(
            "Some JSON was answered, but not Prefect's.", f"See who answers at {case.settings.api_url}."
        )
        return Finding("warn", "GET /health was not answered with true", advice)
    finding = failure(answer, case)
    status = status_of(answer)
    # With these statuses some server answers, but not at this path as Prefect does.
    if status in (200, 404, 405) and not case.settings.is_cloud and (there := await _elsewhere(case)):
        cause = finding.advice.cause if finding.advice else ""
        advice = Advice(cause, f"The API is at {there}: set PREFECT_API_URL to that.")
        return replace(finding, advice=advice)
    return finding


async def _elsewhere(case: CheckContext) -> str | None:
    """Return another URL of the same origin at which a Prefect API answers; the key stays within the origin."""
    for url in elsewhere(case.settings.api_url):
        async with case.rest_of(replace(case.settings, address=Address(url))) as rest:
            try:
                if await rest.get("/health") is True:
                    return url
            except RawlogsError:
                continue
    return None


def elsewhere(api_url: str) -> list[str]:
    """Return where the API may be instead: below, above, and at the usual path."""
    parts = urlsplit(api_url)
    origin = f"{parts.scheme}://{parts.netloc}"
    steps = parts.path.strip("/").split("/")
    paths = [f"{parts.path}/api", "/api", *("/" + "/".join(steps[:n]) for n in range(len(steps) - 1, 0, -1))]
    candidates = dict.fromkeys(origin + path for path in paths)
    return [url for url in candidates if url != api_url][:4]


async def auth(case: CheckContext) -> Finding:
    """Check whether the credentials are accepted."""
    try:
        answer = await case.rest.get("/admin/version")
    except AuthError as error:
        if error.code == 401:
            case.authenticated = True  # only a server that wants credentials refuses some
        # Elsewhere a 403 may be about this one route, which a proxy often closes.
        if error.code == 401 or case.settings.is_cloud:
            return failure(error, case)
        return replace(failure(error, case), status="warn")
    except HistoryError as error:
        if error.status is None:
            raise
        # It need not exist on Prefect Cloud, which is not Prefect's open server.
        if error.status == 404 and case.settings.is_cloud:
            return Finding("ok", "not told by this route; the log list will tell")
        # One route that is closed need not close the others.
        return replace(failure(error, case), status="warn")
    case.rest_works = True
    if isinstance(answer, str) and release(answer) is not None:
        case.version = answer
    sent = case.facts().sent
    case.authenticated = await _wants_credentials(case, sent)
    facts = {"sent": sent, "server_wants": case.authenticated}
    if case.authenticated is None:
        return Finding("ok", f"accepted ({sent})", facts=facts)
    if case.authenticated:
        text = f"the credentials ({sent}) are accepted; without them the server refuses"
        return Finding("ok", text, facts=facts)
    sends = "none are sent" if sent == "none" else f"those that are sent ({sent}) are not looked at"
    return Finding("ok", f"the server wants no credentials; {sends}", facts=facts)


async def _wants_credentials(case: CheckContext, sent: str) -> bool | None:
    """Return whether a request without credentials is refused; None where that cannot be found out."""
    if sent == "none":
        return False
    # Custom headers may be those of a gateway, without which nobody can be asked.
    if sent == "custom":
        return None
    async with case.rest_of(replace(case.settings, api_key=None, auth_string=None)) as stranger:
        try:
            await stranger.get("/admin/version")
        except AuthError as error:
            return True if error.code == 401 else None
        except RawlogsError:
            return None
    return False


async def version(case: CheckContext) -> Finding:
    """Tell which Prefect it is."""
    if case.version is None:
        return Finding("skip", "the server does not tell its version")
    if (release(case.version) or FIRST_WITH_LOGS) < FIRST_WITH_LOGS:
        advice = Advice(
            f"Prefect {case.version} has no live logs: they came with 3.4.7.",
            "Upgrade the server for live logs; until then rawlogs reads over REST.",
        )
        return Finding("warn", f"Prefect {case.version}", advice, facts={"version": case.version})
    return Finding("ok", f"Prefect {case.version}", facts={"version": case.version})


async def csrf(case: CheckContext) -> Finding:
    """Check whether the server requires CSRF tokens, and gives one."""
    try:
        answer = await case.rest.get("/csrf-token?client=rawlogs-doctor")
    except HistoryError as error:
        # Prefect answers 422 where its CSRF protection is off (3.4.7 to 3.9.1).
        if error.status == 422:
            return Finding("ok", "off", facts={"csrf": False})
        if error.status == 404:
            return Finding("ok", "not offered", facts={"csrf": None})
        return replace(failure(error, case), status="warn")
    if isinstance(answer, dict) and isinstance(answer.get("token"), str):
        return Finding("ok", "on; a token was given, and goes with every POST", facts={"csrf": True})
    return Finding("warn", "the server's answer holds no token", facts={"csrf": None})


async def streaming(case: CheckContext) -> Finding:
    """Check whether the server is set to stream logs; both settings are off by default."""
    from rawlogs.rest.server import log_streaming

    case.streaming = await log_streaming(case.rest)
    if case.streaming is None:
        return Finding("skip", "the server does not show its settings for this")
    facts = dict(zip(SETTINGS, case.streaming, strict=True))
    if all(case.streaming):
        return Finding("ok", "on: logs are taken in for streaming, and handed out", facts=facts)
    off = [name for name, on in facts.items() if not on]
    advice = Advice(
        "Log streaming is off on the server, which is Prefect's default: its socket accepts everybody and stays "
        "silent.",
        f"Start the server with {' and '.join(f'{name}=true' for name in off)}.",
    )
    text = "off: " + " and ".join(off) + (" are" if len(off) > 1 else " is") + " false"
    return Finding("fail", text, advice, facts=facts)


async def logs(case: CheckContext) -> Finding:
    """Check whether stored logs can be read."""
    try:
        rows = await case.rest.post("/logs/filter", NEWEST_LOG)
    except (CertificateError, ConfigError):
        raise
    except RawlogsError as error:
        if status_of(error) is None:
            raise
        return failure(error, case)
    case.rest_works = True
    if not isinstance(rows, list):
        advice = Advice(
            "Some JSON was answered, but no list of logs.", f"See who answers at {case.settings.api_url}."
        )
        return Finding("fail", "POST /logs/filter was not answered with a list", advice)
    if not rows:
        return Finding("ok", "the list can be read; no log is stored", facts={"stored": False})
    try:
        newest = Log.from_wire(rows[0]).timestamp
    except ValueError as error:
        advice = Advice(
            f"A stored log is not what Prefect sends: {error}.", "Report it, with this examination."
        )
        return Finding("warn", "the list can be read, but not its newest log", advice)
    text = f"the list can be read; its newest log is of {newest:%Y-%m-%d %H:%M:%S} UTC"
    return Finding("ok", text, facts={"stored": True, "newest": newest.isoformat()})


async def clock(case: CheckContext) -> Finding:
    """Compare the server's clock with this one, by the Date header of its answers."""
    off = case.rest.skew
    facts = {"skew_seconds": round(off, 1)}
    if abs(off) <= TOLERANCE:
        return Finding("ok", f"no more than {TOLERANCE:g} s apart, as far as the server tells", facts=facts)
    where = "ahead of" if off > 0 else "behind"
    advice = Advice(
        f"One of the two clocks is wrong: the server's is {_length(abs(off))} {where} this one.",
        "Let both machines take their time from NTP. Until then logs seem to come "
        f"{'from the future' if off > 0 else 'late'}, and --since 10m means another ten minutes there.",
    )
    return Finding("warn", f"the server's clock is {_length(abs(off))} {where} this one", advice, facts=facts)


def _length(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.0f} hours"


def failure(error: RawlogsError, case: CheckContext) -> Finding:
    """Return the failure that an answer of REST is."""
    status = status_of(error)
    if status is None:
        return of_error(error)
    body = error.body if isinstance(error, (HistoryError, UpgradeRefused)) else getattr(error, "reason", "")
    location = shown(error.location) if isinstance(error, RedirectRefused) else "another address"
    advice = advise("rest", status, case.facts(body=body, location=location))
    return Finding("fail", error.text, advice, blame_of(error), facts={"status": status})
