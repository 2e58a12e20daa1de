"""Check the settings, the name, TCP and TLS: what must hold before a server can say anything."""

from __future__ import annotations

import ssl
from dataclasses import replace
from datetime import datetime, timezone
from hashlib import sha256
from ipaddress import ip_address
from typing import Any

from rawlogs.advice import Advice, advise
from rawlogs.config.network import HEADERS
from rawlogs.config.settings import Settings, resolve
from rawlogs.config.urls import shown
from rawlogs.doctor import network
from rawlogs.doctor.context import CheckContext
from rawlogs.doctor.findings import Finding
from rawlogs.network_errors import advice_for, reason

EXPIRES_SOON = 14
"""Days before its end from which a certificate is worth a warning."""
_ATTRIBUTES = {
    "commonName": "CN",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "countryName": "C",
}


async def settings(case: CheckContext) -> Finding:
    """Tell where each setting came from."""
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
    """Return every setting as it may be shown."""
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
    """Tell the URLs that are used."""
    address = case.settings.address
    kind = "Prefect Cloud" if case.settings.is_cloud else "a self-hosted server"
    return Finding(
        "ok",
        f"{address.api_url} ({kind})",
        lines=(f"live logs: {address.logs_url}", *address.changes),
        facts={"api_url": address.api_url, "logs_url": address.logs_url, "cloud": case.settings.is_cloud},
    )


async def proxy(case: CheckContext) -> Finding:
    """Tell whether a proxy leads to the API: one decision for the socket and REST."""
    found = case.settings
    if found.proxy is None:
        return Finding("ok", "none: direct connections, for the socket and REST alike", facts={"proxy": None})
    text = f"through {shown(found.proxy)} ({found.proxy_origin}), for the socket and REST alike"
    return Finding("ok", text, facts={"proxy": shown(found.proxy), "origin": found.proxy_origin})


async def dns(case: CheckContext) -> Finding:
    """Check whether the name resolves: the API's, or the proxy's where there is one."""
    host = case.first_endpoint.host
    try:
        return Finding("ok", f"{ip_address(host)} is an address", facts={"host": host})
    except ValueError:
        pass
    facts = {"host": host, "proxy": case.settings.proxy is not None}
    try:
        found = await network.resolve_host(case.first_endpoint, case.patience)
    except OSError as error:
        return Finding("fail", f"{host} does not resolve ({reason(error)})", advice_for(error), facts=facts)
    return Finding("ok", f"{host} is {', '.join(found)}", facts={**facts, "addresses": found})


async def tcp(case: CheckContext) -> Finding:
    """Check whether a connection can be opened there."""
    endpoint = case.first_endpoint
    who = f"the proxy {endpoint}" if case.settings.proxy else str(endpoint)
    facts: dict[str, Any] = {"host": endpoint.host, "port": endpoint.port}
    try:
        address, dead = await network.tcp_connect(endpoint, case.patience)
    except OSError as error:
        return Finding("fail", f"no connection to {who} ({reason(error)})", advice_for(error), facts=facts)
    facts |= {"address": address, "dead_addresses": dead}
    lines = (f"not at {', '.join(dead)}, which is tried first",) if dead else ()
    return Finding("ok", f"{who} accepts connections", lines=lines, facts=facts)


async def tls(case: CheckContext) -> Finding:
    """Check the TLS handshake; show the certificate, and where trust comes from."""
    from rawlogs.rest.errors import TunnelRefused
    from rawlogs.rest.http import tls_session

    found, endpoint = case.settings, case.endpoint
    if not found.api_url.startswith("https:"):
        return Finding("ok", "not used (http://)", facts={"used": False})
    if (found.proxy or "").startswith("socks"):
        return Finding("ok", "not looked at through such a proxy; the next checks tell", facts={"used": True})
    trust = f"trust: {_trust(found)}"
    facts: dict[str, Any] = {"used": True, "trust": _trust(found), "insecure": found.insecure}
    try:
        session = await tls_session(found, case.patience)
    except TunnelRefused as refused:
        proxy = shown(found.proxy or "")
        text = f"the proxy {proxy} refused a tunnel to {endpoint} ({refused})"
        advice = advise("tunnel", refused.status)
        return Finding("fail", text, advice, facts={"status": refused.status, "proxy": proxy})
    except ssl.SSLCertVerificationError as error:
        text = f"the certificate of {endpoint} is not accepted: {error.verify_message or error.reason}"
        lines = (*await _rejected(case, facts), trust)
        facts["code"] = error.verify_code
        return Finding("fail", text, advice_for(error), lines=lines, facts=facts)
    except OSError as error:
        return await _no_tls(case, error, facts)
    cipher = session.cipher()
    facts |= {"version": session.version(), "cipher": cipher[0] if cipher else ""}
    lines, ends = _certificate(session, facts)
    lines = (*lines, trust, f"{facts['version']}, {facts['cipher']}")
    if found.insecure or ends is None:
        advice = Advice(
            "PREFECT_API_TLS_INSECURE_SKIP_VERIFY (-k) is set: anyone in between could read the key.",
            "Name the server's CA in PREFECT_API_SSL_CERT_FILE instead.",
        )
        text = f"{endpoint} speaks TLS; its certificate is not checked"
        return Finding("warn", text, advice, lines=lines, facts=facts)
    days = round((ends - case.clock.now()).total_seconds() / 86400)
    if days < EXPIRES_SOON:
        advice = Advice(f"The certificate ends on {ends:%Y-%m-%d}.", "Renew it on the server.")
        text = f"the certificate is accepted for {days} more days"
        return Finding("warn", text, advice, lines=lines, facts=facts)
    return Finding("ok", f"the certificate is accepted, until {ends:%Y-%m-%d}", lines=lines, facts=facts)


def _certificate(session: ssl.SSLObject, facts: dict[str, Any]) -> tuple[tuple[str, ...], datetime | None]:
    """Return lines about the server's certificate, and its end; both go into ``facts``, too.

    Python decodes accepted certificates only: of any other there is the fingerprint, and no end.
    """
    facts["sha256"] = sha256(session.getpeercert(True) or b"").hexdigest()
    found: Any = session.getpeercert()
    if not found:
        return (f"SHA-256 {facts['sha256']}",), None
    subject, issuer = _name(found["subject"]), _name(found["issuer"])
    names = [value for kind, value in found.get("subjectAltName", ()) if kind in ("DNS", "IP Address")]
    begins, ends = (
        datetime.fromtimestamp(ssl.cert_time_to_seconds(found[key]), timezone.utc)
        for key in ("notBefore", "notAfter")
    )
    facts |= {"subject": subject, "issuer": issuer, "names": names}
    facts |= {"not_before": begins.isoformat(), "not_after": ends.isoformat()}
    return (
        f"certificate of {subject}, for {', '.join(names) or 'no name'}",
        "self-signed" if subject == issuer else f"from {issuer}",
        f"valid from {begins:%Y-%m-%d} to {ends:%Y-%m-%d}",
        f"SHA-256 {facts['sha256']}",
    ), ends


def _name(parts: Any) -> str:
    """Return a name of a certificate, as ``ssl`` decodes it, in one line."""
    pairs = [pair for group in parts for pair in group]
    known = [f"{_ATTRIBUTES[kind]}={value}" for kind, value in pairs if kind in _ATTRIBUTES]
    return ", ".join(known) or "(no name)"


async def _rejected(case: CheckContext, facts: dict[str, Any]) -> tuple[str, ...]:
    """Return lines about a certificate that is not accepted: its fingerprint, and the command that shows all of it."""
    from rawlogs.rest.http import tls_session

    endpoint = case.endpoint
    proxy = f" -proxy {case.first_endpoint}" if case.settings.proxy else ""
    command = (
        f"openssl s_client{proxy} -connect {endpoint} -servername {endpoint.host} </dev/null"
        " | openssl x509 -noout -subject -issuer -dates -ext subjectAltName"
    )
    try:
        # Only to look at the certificate: no request follows on this connection.
        session = await tls_session(replace(case.settings, insecure=True), case.patience)
    except OSError:
        return (f"to see it: {command}",)
    return (*_certificate(session, facts)[0], f"to see it: {command}")


async def _no_tls(case: CheckContext, error: OSError, facts: dict[str, Any]) -> Finding:
    text = f"no TLS with {case.endpoint} ({reason(error)})"
    plain_url = case.settings.api_url.replace("https:", "http:", 1)
    if case.settings.proxy is None and await case.answers_http(plain_url):
        advice = Advice(
            "This port speaks plain HTTP, but PREFECT_API_URL begins with https://.",
            f"Use http:// in PREFECT_API_URL: {plain_url}",
        )
        return Finding("fail", text, advice, facts={**facts, "plain_http": True})
    return Finding("fail", text, advise("tls", None), facts=facts)


def _trust(found: Settings) -> str:
    if found.insecure:
        return "nothing is checked"
    if found.ssl_cert_file:
        origin = found.origins.get("PREFECT_API_SSL_CERT_FILE", "default")
        return f"the CA file {found.ssl_cert_file} ({origin}), and nothing else"
    return "certifi's list and the system's"
