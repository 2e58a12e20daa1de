"""What is tried again, after how long, and how often: tables and pure functions; the waiting is done elsewhere.

| what | verdict |
| --- | --- |
| name, refusal, proxy (before the first success) | fatal, unless asked to wait |
| the same after a success; any timeout; a hang-up during the handshake | retry |
| certificate, redirect to another origin, proxy credentials, auth refused | fatal |
| TLS mismatch, not this protocol (before the first success) | fatal; later: retry |
| HTTP 408 425 429 500 502 503 504 | retry, not before Retry-After |
| other HTTP answers | fatal; after a success 401, 403 and 404 get three tries (rolling deploys answer so) |
| close 1002 | fatal: the filter was rejected |
| a silent end right after the filter, twice running | fatal: the filter was most likely rejected |
| close 1008 while streaming | retry once; the next handshake decides |
| any other end while streaming | retry; 1012 and 1013 not before one second |
"""

from __future__ import annotations

from dataclasses import dataclass

from rawlogs.backoff import TRANSIENT_STATUSES
from rawlogs.errors import (
    AuthError,
    CertificateError,
    ConfigError,
    ConnectError,
    ConnectionLost,
    FilterRejected,
    GaveUp,
    HistoryError,
    ProtocolError,
    RawlogsError,
    RedirectRefused,
    UpgradeRefused,
)

TRIES_AFTER_SUCCESS = 3
PROOF = 30.0
"""A connection has proved itself after one log or this many seconds; only then the retry budget starts anew."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again, not sooner than ``floor`` seconds from now."""

    floor: float = 0.0


@dataclass(frozen=True, slots=True)
class Fatal:
    """Do not try again: raise ``error``."""

    error: RawlogsError


@dataclass(slots=True)
class Record:
    """What has happened so far, as the verdict needs it."""

    succeeded: bool = False
    wait: bool = False
    refusals: int = 0
    silent_ends: int = 0
    protocol_ends: int = 0
    denied: int = 0

    def proved(self) -> None:
        """Begin counting anew: the connection delivered a log, or stayed open long enough."""
        self.refusals = self.silent_ends = self.protocol_ends = self.denied = 0


def verdict(error: RawlogsError, record: Record) -> Retry | Fatal:
    """Return whether an error is worth another try; count in ``record`` what the table counts."""
    if isinstance(error, (ConfigError, CertificateError, RedirectRefused, FilterRejected)):
        return Fatal(error)
    if isinstance(error, ConnectError):
        return _connect_verdict(error, record)
    if isinstance(error, UpgradeRefused):
        if error.status in TRANSIENT_STATUSES:
            return Retry(error.retry_after or 0.0)
        return _refusal(error, record, error.status in (403, 404))
    if isinstance(error, AuthError):
        return _auth_verdict(error, record)
    if isinstance(error, ConnectionLost):
        return _ending_verdict(error, record)
    if isinstance(error, ProtocolError):
        return Retry() if record.succeeded else Fatal(error)
    return Fatal(error)


def _connect_verdict(error: ConnectError, record: Record) -> Retry | Fatal:
    if error.phase == "proxy-auth":
        return Fatal(error)
    if error.phase in ("timeout", "upgrade", "auth") or record.succeeded:
        return Retry()
    if record.wait and error.phase in ("dns", "tcp", "proxy"):
        return Retry()
    return Fatal(error)


def _refusal(error: RawlogsError, record: Record, forgivable: bool) -> Retry | Fatal:
    record.refusals += 1
    if record.succeeded and forgivable and record.refusals < TRIES_AFTER_SUCCESS:
        return Retry(1.0)
    return Fatal(error)


def _auth_verdict(error: AuthError, record: Record) -> Retry | Fatal:
    if error.code == 401:
        return _refusal(error, record, True)
    record.denied += 1
    return Retry() if record.succeeded and error.code == 1008 and record.denied == 1 else Fatal(error)


def _ending_verdict(error: ConnectionLost, record: Record) -> Retry | Fatal:
    if error.code == 1002:
        record.protocol_ends += 1
        if record.protocol_ends >= 3:
            return Fatal(ProtocolError(f"Three times in a row: {error.text}"))
    if record.silent_ends >= 2:
        return Fatal(
            FilterRejected(
                "The server hung up right after the filter, twice: it most likely rejected the filter",
                hint="A Prefect server drops the connection without a word for a filter that it cannot read "
                "(an older server than the filter's fields?).",
            )
        )
    return Retry(1.0 if error.code in (1012, 1013) else 0.0)


def is_transient(error: RawlogsError) -> bool:
    """Return whether a list that failed with this may answer later."""
    if isinstance(error, HistoryError):
        return error.transient
    return isinstance(error, ConnectError) and not isinstance(error, CertificateError)


def socket_only(error: RawlogsError) -> bool:
    """Return whether REST may well work where the socket gave this error."""
    cause = error.__cause__ if isinstance(error, GaveUp) else error
    if isinstance(cause, RedirectRefused):
        return False
    if isinstance(cause, ConnectError):
        return cause.phase in ("upgrade", "timeout", "auth")
    return isinstance(cause, (UpgradeRefused, ProtocolError))


def unreachable(error: RawlogsError, url: str) -> RawlogsError:
    """Return a REST failure at the start of a stream that has nothing else as the failure to connect that it is."""
    if isinstance(error, HistoryError) and error.status is None:
        return ConnectError(error.text, url=url, phase="rest", hint=error.hint)
    return error
