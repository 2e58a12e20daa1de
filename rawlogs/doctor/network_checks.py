"""From the settings to TLS: what must hold before a server can say anything."""

from __future__ import annotations

import os
import socket
import ssl
from datetime import datetime
from ipaddress import ip_address
from typing import Any

from rawlogs.config.network import HEADERS
from rawlogs.config.settings import Settings, resolve
from rawlogs.config.urls import shown
from rawlogs.doctor import causes, certificate, network
from rawlogs.doctor.context import CheckContext
from rawlogs.doctor.findings import Advice, Finding

EXPIRES_SOON = 14
"""Days before its end from which a certificate is worth a warning."""


async def settings(case: CheckContext) -> Finding:
    """Where each setting came from."""
    case.resolved = found = resolve(**case.access)
    values = _values(found)
    facts = {name: {"value": value, "origin": found.origins.get(name)} for name, value in values.items()}
    lines = [
        f"{name}: {value} ({found.origins[name]})"
        for name, value in values.items()
        if found.origins.get(name, "default") != "default"
    ]
    lines += [f"note: {note}" for note in found.notes]
    if case.token_setting is None:
        lines.append("no credentials are set")
    where = found.origins["PREFECT_API_URL"]
    return Finding(
        "warn" if found.notes else "ok",
        f"the API is named by {where}" + (f"; profile {found.profile}" if found.profile else ""),
        lines=tuple(lines),
        facts={"settings": facts, "profile": found.profile, "notes": list(found.notes)},
    )


def _values(found: Settings) -> dict[str, str]:
    """Every setting as it may be shown."""
    return {
        "PREFECT_API_URL": found.api_url,
        "PREFECT_API_KEY": found.fingerprint(found.api_key),
        "PREFECT_API_AUTH_STRING": found.fingerprint(found.auth_string),
        HEADERS: ", ".join(f"{name} {found.fingerprint(value)}" for name, value in found.headers.items())
        or "none",
        "PREFECT_API_SSL_CERT_FILE": found.ssl_cert_file or "not set",
        "PREFECT_API_TLS_INSECURE_SKIP_VERIFY": str(found.insecure).lower(),
        "PREFECT_CLOUD_API_URL": shown(found.cloud_api_url),
    }


async def urls(case: CheckContext) -> Finding:
    """The forms of the URL."""
    address = case.settings.address
    kind = "Prefect Cloud" if case.settings.is_cloud else "a self-hosted server"
    return Finding(
        "ok",
        f"{address.api_url} ({kind})",
        lines=(f"live logs: {address.logs_url}", *address.changes),
        facts={"api_url": address.api_url, "logs_url": address.logs_url, "cloud": case.settings.is_cloud},
    )


async def proxy(case: CheckContext) -> Finding:
    """Which way to the API: one decision for the socket and REST."""
    found = case.settings
    if found.proxy is None:
        return Finding("ok", "straight there, for the socket and REST alike", facts={"proxy": None})
    text = f"through {shown(found.proxy)} ({found.proxy_origin}), for the socket and REST alike"
    return Finding("ok", text, facts={"proxy": shown(found.proxy), "origin": found.proxy_origin})


async def dns(case: CheckContext) -> Finding:
    """Whether the name resolves: the API's, or the proxy's where there is one."""
    place = case.first_place
    try:
        return Finding("ok", f"{ip_address(place.host)} is an address", facts={"host": place.host})
    except ValueError:
        pass
    facts = {"host": place.host, "proxy": case.settings.proxy is not None}
    try:
        found = await network.addresses(place, case.patience)
    except OSError as error:
        advice = causes.resolver(error.errno)
        return Finding("fail", f"{place.host} does not resolve ({_said(error)})", advice, facts=facts)
    return Finding("ok", f"{place.host} is {', '.join(found)}", facts={**facts, "addresses": found})


async def tcp(case: CheckContext) -> Finding:
    """Whether a connection can be opened there."""
    place = case.first_place
    who = f"the proxy {place}" if case.settings.proxy else str(place)
    facts: dict[str, Any] = {"host": place.host, "port": place.port}
    try:
        address, dead = await network.reach(place, case.patience)
    except OSError as error:
        advice = causes.tcp(error.errno)
        return Finding("fail", f"no connection to {who} ({_said(error)})", advice, facts=facts)
    facts |= {"address": address, "dead_addresses": dead}
    lines = (f"not at {', '.join(dead)}, which is tried first",) if dead else ()
    return Finding("ok", f"{who} accepts connections", lines=lines, facts=facts)


async def tls(case: CheckContext) -> Finding:
    """The certificate: whose, from whom, until when; and where trust comes from."""
    found = case.settings
    context = found.ssl_context()
    if context is None:
        return Finding("ok", "not used (http://)", facts={"used": False})
    tunnel = network.tunnel_of(found.proxy) if found.proxy else None
    if found.proxy and tunnel is None:
        return Finding("ok", "not looked at through such a proxy; the next checks tell", facts={"used": True})
    trust = _trust(found)
    facts = {"used": True, "trust": trust, "insecure": found.insecure}
    place = case.place
    try:
        shaken = await network.shake(place, context, case.patience, tunnel=tunnel)
    except network.TunnelRefused as refused:
        return _no_tunnel(refused.status, place, shown(found.proxy or ""))
    except ssl.SSLCertVerificationError as error:
        return await _unaccepted(case, error, facts, tunnel)
    except OSError as error:
        return await _no_tls(case, error, facts, tunnel)
    chain = [certificate.read(der) for der in shaken.chain]
    shows = chain[0]
    facts |= _facts(shows) | {"version": shaken.version, "cipher": shaken.cipher}
    facts["chain"] = [each.subject for each in chain]
    lines = (*_lines(shows, *chain[1:]), f"trust: {trust}", f"{shaken.version}, {shaken.cipher}")
    days = round((shows.not_after - case.clock.now()).total_seconds() / 86400)
    if found.insecure:
        advice = Advice(
            "PREFECT_API_TLS_INSECURE_SKIP_VERIFY (-k) is set: anyone in between could read the key.",
            "Name the server's CA in PREFECT_API_SSL_CERT_FILE instead.",
        )
        return Finding(
            "warn", f"{place} speaks TLS; its certificate is not checked", advice, lines=lines, facts=facts
        )
    if days < EXPIRES_SOON:
        advice = Advice(f"The certificate ends on {shows.not_after:%Y-%m-%d}.", "Renew it on the server.")
        return Finding(
            "warn", f"the certificate is accepted for {days} more days", advice, lines=lines, facts=facts
        )
    return Finding(
        "ok", f"the certificate is accepted, until {shows.not_after:%Y-%m-%d}", lines=lines, facts=facts
    )


async def _unaccepted(
    case: CheckContext,
    error: ssl.SSLCertVerificationError,
    facts: dict[str, object],
    tunnel: network.Tunnel | None,
) -> Finding:
    lines = [f"trust: {facts['trust']}"]
    der = await network.certificate(case.place, case.patience, tunnel=tunnel)
    if der is not None:
        try:
            shows = certificate.read(der)
        except ValueError:
            pass
        else:
            facts = facts | _facts(shows)
            lines = [*_lines(shows), *lines]
    text = f"the certificate of {case.place} is not accepted: {error.verify_message or error.reason}"
    advice = causes.certificate(error.verify_code)
    return Finding("fail", text, advice, lines=tuple(lines), facts={**facts, "code": error.verify_code})


async def _no_tls(
    case: CheckContext, error: OSError, facts: dict[str, object], tunnel: network.Tunnel | None
) -> Finding:
    text = f"no TLS with {case.place} ({_said(error)})"
    if tunnel is None and await network.speaks_http(case.place, case.patience):
        advice = Advice(
            "This port speaks plain HTTP, but PREFECT_API_URL begins with https://.",
            f"Use http:// in PREFECT_API_URL: {case.settings.api_url.replace('https:', 'http:', 1)}",
        )
        return Finding("fail", text, advice, facts={**facts, "plain_http": True})
    advice = Advice(
        "What listens there does not speak TLS, or no version of it that is accepted here.",
        "Check host and port of PREFECT_API_URL; an old server may need a newer TLS.",
    )
    return Finding("fail", text, advice, facts=facts)


def _no_tunnel(status: int, place: network.Place, proxy: str) -> Finding:
    if status == 407:
        advice = Advice(
            "The proxy wants credentials.",
            "Put them into HTTPS_PROXY or HTTP_PROXY (http://user:password@host:port).",
        )
    elif status == 0:
        advice = Advice("What listens there is no HTTP proxy.", "Check the proxy's address and port.")
    else:
        advice = Advice(
            "The proxy does not let connections to this server through, or cannot reach it.",
            "Ask for it to be allowed, or list the host in NO_PROXY to go without the proxy.",
        )
    said = f"HTTP {status}" if status else "no HTTP"
    text = f"the proxy {proxy} refused a tunnel to {place} ({said})"
    return Finding("fail", text, advice, facts={"status": status, "proxy": proxy})


def _trust(found: Settings) -> str:
    if found.insecure:
        return "nothing is checked"
    if found.ssl_cert_file:
        origin = found.origins.get("PREFECT_API_SSL_CERT_FILE", "default")
        return f"the CA file {found.ssl_cert_file} ({origin}), and nothing else"
    return "certifi's list and the system's"


def _lines(shows: certificate.Certificate, *above: certificate.Certificate) -> tuple[str, ...]:
    issuers = [each.subject for each in above] or [shows.issuer]
    return (
        f"certificate of {shows.subject}, for {', '.join(shows.names) or 'no name'}",
        "self-signed" if shows.self_signed else "from " + ", from ".join(issuers),
        f"valid from {_day(shows.not_before)} to {_day(shows.not_after)}",
        f"SHA-256 {shows.sha256}",
    )


def _facts(shows: certificate.Certificate) -> dict[str, object]:
    return {
        "subject": shows.subject,
        "issuer": shows.issuer,
        "names": list(shows.names),
        "not_before": shows.not_before.isoformat(),
        "not_after": shows.not_after.isoformat(),
        "sha256": shows.sha256,
    }


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d}"


def _said(error: OSError) -> str:
    if isinstance(error, TimeoutError) and error.errno is None:
        return "no answer in time"
    if isinstance(error, ssl.SSLError):
        return error.reason or type(error).__name__
    if error.errno is not None and not isinstance(error, socket.gaierror):
        return os.strerror(error.errno)
    return str(error.strerror or error) or type(error).__name__
