"""Why a name, a connection, a certificate or a token is no good, and what to do: tables. Pure."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable

from rawlogs.doctor.findings import Advice
from rawlogs.doctor.server_facts import KEY_SETTING, ServerFacts

SOCKET_AUTH: tuple[tuple[str, Callable[[ServerFacts], bool], str, str], ...] = (
    (
        "no token",
        lambda k: True,
        "The server wants an auth string, and none is set.",
        "Set PREFECT_API_AUTH_STRING to the server's user:password.",
    ),
    (
        "",
        lambda k: k.token is None,
        "No credentials are set.",
        "Set PREFECT_API_KEY (Prefect Cloud) or PREFECT_API_AUTH_STRING (a server with a password).",
    ),
    (
        "",
        lambda k: k.cloud,
        "Prefect Cloud did not accept {token}: expired, revoked, another account's, or without the right to see "
        "flows.",
        "Set PREFECT_API_KEY to a key of this account.",
    ),
    (
        "",
        lambda k: k.token == KEY_SETTING,
        "A self-hosted server takes PREFECT_API_AUTH_STRING, but PREFECT_API_KEY was sent.",
        "Set PREFECT_API_AUTH_STRING to the server's user:password, and unset PREFECT_API_KEY.",
    ),
    (
        "",
        lambda k: True,
        "PREFECT_API_AUTH_STRING is not the server's.",
        "Set it to what the server was started with (PREFECT_SERVER_API_AUTH_STRING): user:password as it stands, "
        "not in base64.",
    ),
)
"""What the reason of a refused token says (in part), and what is known."""

CERTIFICATE: dict[int, Advice] = {
    9: Advice(
        "The certificate is not valid yet.",
        "Is this machine's clock right? Else the certificate is at fault.",
    ),
    10: Advice("The certificate has expired.", "Renew it on the server. (Is this machine's clock right?)"),
    18: Advice(
        "The certificate is self-signed, so nobody vouches for it.",
        "Name it in PREFECT_API_SSL_CERT_FILE (--cacert FILE), or skip the check with "
        "PREFECT_API_TLS_INSECURE_SKIP_VERIFY=true (-k).",
    ),
    19: Advice(
        "The certificate comes from a CA that is not trusted here, a company's own for example.",
        "Name that CA's certificate in PREFECT_API_SSL_CERT_FILE (--cacert FILE).",
    ),
    20: Advice(
        "The certificate's issuer is not known here: a company's own CA, or the server does not send its "
        "intermediate certificates.",
        "Name the CA in PREFECT_API_SSL_CERT_FILE (--cacert FILE), or let the server send its whole chain.",
    ),
    62: Advice(
        "The certificate is for another host name.",
        "Use one of its names in PREFECT_API_URL, or give the server a certificate for this one.",
    ),
    64: Advice(
        "The certificate is for another address.",
        "Use a name that it is for in PREFECT_API_URL, or give the server a certificate for this address.",
    ),
}
"""OpenSSL's verify codes."""
CERTIFICATE[21] = CERTIFICATE[20]
UNVERIFIED = Advice("The certificate is not accepted.", CERTIFICATE[20].fix)

RESOLVER: dict[int, Advice] = {
    socket.EAI_NONAME: Advice(
        "There is no such name.", "Check the host for a typing error; inside a company, is the VPN up?"
    ),
    socket.EAI_AGAIN: Advice(
        "The resolver itself does not answer, or knows no such name now: no network, or no DNS.",
        "Check the network and the DNS of this machine (or container), then the name.",
    ),
}
UNRESOLVED = Advice("The name cannot be resolved.", "Check the host, and the DNS of this machine.")

TCP: dict[int, Advice] = {
    errno.ECONNREFUSED: Advice(
        "Nothing listens on this port.",
        "Is the server running there, and is the port right? In a container localhost is the container itself.",
    ),
    errno.ETIMEDOUT: Advice(
        "No answer at all: a firewall that drops, or a machine that is off.",
        "Ask for the way to be opened, or check the address.",
    ),
    errno.EHOSTUNREACH: Advice(
        "There is no way to this machine.", "Check the network, the VPN and the address."
    ),
    errno.ENETUNREACH: Advice(
        "There is no way to this network.", "Check the network, the VPN and the address."
    ),
}
UNREACHED = Advice("No TCP connection.", "Check the address, the port and what lies in between.")


def socket_auth(reason: str, known: ServerFacts) -> Advice:
    """A token that was refused, with the server's reason (empty where it gave none)."""
    return next(
        Advice(known.fill(cause), known.fill(fix))
        for part, when, cause, fix in SOCKET_AUTH
        if part in reason and when(known)
    )


def certificate(code: int) -> Advice:
    """A certificate that was not accepted, by OpenSSL's code."""
    return CERTIFICATE.get(code, UNVERIFIED)


def resolver(number: int | None) -> Advice:
    """A name that does not resolve, by the resolver's number."""
    return RESOLVER.get(number or 0, UNRESOLVED)


def tcp(number: int | None) -> Advice:
    """A TCP connection that failed, by errno (None: no answer in time)."""
    return TCP.get(errno.ETIMEDOUT if number is None else number, UNREACHED)
