"""The meaning of a connection's exceptions, whoever opened it: phase, text and advice. No I/O."""

from __future__ import annotations

import errno
import os
import re
import socket
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from rawlogs.advice import NO_FACTS, Advice, Facts, advise
from rawlogs.untrusted import excerpt, origin_of

PLAIN_HTTP = frozenset(
    {"HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE", "WRONG_VERSION_NUMBER"}
)
"""OpenSSL's names for bytes that are no TLS at all."""
_RESOLVER = {socket.EAI_NONAME: "EAI_NONAME", socket.EAI_AGAIN: "EAI_AGAIN"}
_NO_TUNNEL = Advice(
    "The proxy cannot be reached.",
    "Check HTTPS_PROXY or HTTP_PROXY; NO_PROXY keeps a host away from the proxy.",
)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a connection failed. ``phase`` is one of those of ConnectError, or ``certificate``."""

    phase: str
    text: str
    advice: Advice


def explain(
    exc: OSError,
    url: str,
    proxy: str | None = None,
    *,
    facts: Facts | None = None,
    during: str = "connecting",
    secrets: Iterable[str] = (),
) -> Failure:
    """Return why no connection to ``url`` was made, or why it ended before the first answer.

    during: the step that a connection without TLS was in. secrets: what no text may show.
    """
    facts = facts or Facts(url=url)
    host = urlsplit(url).netloc.rpartition("@")[2]
    via = f" through the proxy {origin_of(proxy)}" if proxy else ""
    advice = advice_for(exc, facts)
    if isinstance(exc, ssl.SSLCertVerificationError):
        why = exc.verify_message or exc.reason
        return Failure("certificate", f"{host} showed a TLS certificate that is not accepted: {why}", advice)
    # These mean that the peer hung up; the second and third also come while a plain line waits for its answer.
    if isinstance(exc, (ssl.SSLEOFError, ConnectionResetError, ConnectionAbortedError)):
        step = "the TLS handshake" if url.startswith(("wss:", "https:")) else during
        hung_up = advise("line", "not upgraded", facts)
        return Failure("upgrade", f"{host} hung up during {step}{via}", hung_up)
    if isinstance(exc, ssl.SSLError):
        phase = "tls-mismatch" if exc.reason in PLAIN_HTTP else "tls"
        return Failure(phase, f"No TLS with {host}: {exc.reason or excerpt(str(exc), 80, secrets)}", advice)
    if isinstance(exc, socket.gaierror):
        name = urlsplit(proxy or url).hostname
        return Failure("dns", f"The name {name} does not resolve ({exc.strerror or exc})", advice)
    if isinstance(exc, TimeoutError):
        return Failure("timeout", f"{host} did not answer in time{via}", advise("line", "silent", facts))
    text = f"No connection to {host}{via}: {reason(exc, secrets)}"
    return Failure("proxy", text, _NO_TUNNEL) if proxy else Failure("tcp", text, advice)


def advice_for(exc: OSError, facts: Facts = NO_FACTS) -> Advice:
    """Return cause and fix of an error that came while the name was resolved or the connection was made."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        return advise("certificate", exc.verify_code, facts)
    if isinstance(exc, ssl.SSLError):
        return advise("tls", "plain" if exc.reason in PLAIN_HTTP else None, facts)
    if isinstance(exc, socket.gaierror):
        return advise("dns", _RESOLVER.get(exc.errno or 0), facts)
    number = _number(exc)
    # A timeout of our own has no number.
    return advise("tcp", errno.errorcode.get(errno.ETIMEDOUT if number is None else number), facts)


def reason(exc: OSError, secrets: Iterable[str] = ()) -> str:
    """Return the system's words for an error."""
    if isinstance(exc, ssl.SSLError):  # its errno is OpenSSL's, not the system's
        return exc.reason or type(exc).__name__
    # The number of a gaierror is the resolver's, not the system's.
    number = None if isinstance(exc, socket.gaierror) else _number(exc)
    if number is not None:
        return os.strerror(number)
    if isinstance(exc, TimeoutError):
        return "no answer in time"
    return excerpt(exc.strerror or str(exc), secrets=secrets) or type(exc).__name__


def _number(exc: OSError) -> int | None:
    """Return the errno; asyncio puts it into the text where it joins the errors of several addresses."""
    found = re.search(r"\[Errno (\d+)\]", str(exc))
    return exc.errno if exc.errno is not None else int(found[1]) if found else None
