"""Every exception that rawlogs raises; a class exists only where a caller would act differently.

    RawlogsError
    ├── ConfigError         before any I/O: no URL, bad URL, bad profile, bad filter
    ├── ConnectError        DNS, TCP, proxy, timeout, or the peer hung up during the handshake
    │   └── CertificateError    the TLS certificate was not accepted
    ├── UpgradeRefused      an HTTP answer instead of 101
    ├── RedirectRefused     a redirect to another origin, which would be handed the key
    │   └── UpgradeRedirected   the same instead of 101: an UpgradeRefused, too
    ├── AuthError           the server refused the key or the auth string
    ├── FilterRejected      the server hung up on the filter
    ├── ProtocolError       the peer does not speak this protocol
    ├── ConnectionLost      the socket ended while it was streaming
    ├── HistoryError        the REST API answered no, or never
    ├── GaveUp              the retry budget is spent; __cause__ is the last error
    ├── DataLoss            a gap is known and could not be listed (strict mode)
    ├── CursorError         the cursor file is locked, damaged or cannot be written
    └── SinkError           the output could not be written

Each carries its facts as attributes and builds its own one- or two-line text; none shows a secret.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any


class RawlogsError(Exception):
    """Base of all exceptions of this package."""

    def __init__(self, text: str, *, hint: str | None = None) -> None:
        super().__init__(text)
        self.text = text
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.text}\n{self.hint}" if self.hint else self.text

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (type(self), self.text), self.__dict__


class ConfigError(RawlogsError, ValueError):
    """Something the caller set cannot work.

    ``setting`` names it as the user knows it; ``missing`` is True where it is set nowhere.
    """

    def __init__(
        self, text: str, *, setting: str | None = None, hint: str | None = None, missing: bool = False
    ) -> None:
        super().__init__(text, hint=hint)
        self.setting = setting
        self.missing = missing


class ConnectError(RawlogsError):
    """No connection.

    ``phase`` is dns, tcp, timeout, proxy, proxy-auth (the proxy wants other credentials), tls, tls-mismatch (one side
    speaks TLS and the other does not), upgrade, auth (hung up in that step), rest, or redis.
    """

    def __init__(self, text: str, *, url: str, phase: str, hint: str | None = None) -> None:
        super().__init__(text, hint=hint)
        self.url = url
        self.phase = phase


class CertificateError(ConnectError):
    """The server's TLS certificate was not accepted; retrying cannot help."""


class UpgradeRefused(RawlogsError):
    """The server answered the WebSocket upgrade with an HTTP status.

    ``retry_after`` is in seconds (None: the server said nothing usable); ``body`` is at most 200 characters.
    """

    def __init__(
        self,
        text: str,
        *,
        status: int,
        url: str,
        retry_after: float | None = None,
        body: str = "",
        hint: str | None = None,
    ) -> None:
        super().__init__(text, hint=hint)
        self.status = status
        self.url = url
        self.retry_after = retry_after
        self.body = body


class RedirectRefused(RawlogsError):
    """Redirect that would have carried the key to another origin. ``location`` is where it pointed.

    The REST API raises it as it is; the socket raises UpgradeRedirected.
    """

    def __init__(self, text: str, *, status: int, url: str, location: str, hint: str | None = None) -> None:
        RawlogsError.__init__(self, text, hint=hint)
        self.status = status
        self.url = url
        self.location = location


class UpgradeRedirected(RedirectRefused, UpgradeRefused):
    """The redirect was the answer to the WebSocket upgrade."""

    def __init__(self, text: str, *, status: int, url: str, location: str, hint: str | None = None) -> None:
        UpgradeRefused.__init__(self, text, status=status, url=url, hint=hint)
        self.location = location


class AuthError(RawlogsError):
    """The server refused the key or the auth string.

    ``reason`` is the server's text (empty where it gave none); ``code`` the close code or HTTP status.
    """

    def __init__(
        self, text: str, *, reason: str = "", code: int | None = None, hint: str | None = None
    ) -> None:
        super().__init__(text, hint=hint)
        self.reason = reason
        self.code = code


class FilterRejected(RawlogsError):
    """The server hung up right after the filter. ``reason`` is the text of its close frame, mostly empty."""

    def __init__(self, text: str, *, reason: str = "", hint: str | None = None) -> None:
        super().__init__(text, hint=hint)
        self.reason = reason


class ProtocolError(RawlogsError):
    """The peer does not speak this protocol. ``frame`` is an excerpt of what it sent, or None."""

    def __init__(self, text: str, *, frame: str | None = None, hint: str | None = None) -> None:
        super().__init__(text, hint=hint)
        self.frame = frame


class ConnectionLost(RawlogsError):
    """The socket ended while streaming.

    ``code`` is the close code (1006: no close frame came), ``clean`` whether the peer closed with 1000 or 1001.
    """

    def __init__(self, text: str, *, code: int, reason: str = "", hint: str | None = None) -> None:
        super().__init__(text, hint=hint)
        self.code = code
        self.reason = reason

    @property
    def clean(self) -> bool:
        return self.code in (1000, 1001)


class HistoryError(RawlogsError):
    """The REST API answered no, or never.

    ``status`` is None where no answer came; ``retry_after`` is in seconds (None: nothing usable);
    ``transient`` says whether a later try may go through; ``reached`` is False where no connection could be made.
    """

    def __init__(
        self,
        text: str,
        *,
        status: int | None = None,
        retry_after: float | None = None,
        transient: bool = False,
        body: str = "",
        reached: bool = True,
        hint: str | None = None,
    ) -> None:
        super().__init__(text, hint=hint)
        self.reached = reached
        self.status = status
        self.retry_after = retry_after
        self.transient = transient
        self.body = body


class GaveUp(RawlogsError):
    """The tries to connect are spent: so many ``attempts`` in ``elapsed`` seconds. The last error is ``__cause__``."""

    def __init__(self, text: str, *, attempts: int, elapsed: float, hint: str | None = None) -> None:
        super().__init__(text, hint=hint)
        self.attempts = attempts
        self.elapsed = elapsed


class DataLoss(RawlogsError):
    """Logs stamped from ``since`` to ``until`` could not be verified to be complete."""

    def __init__(
        self, text: str, *, since: datetime | None, until: datetime | None, hint: str | None = None
    ) -> None:
        super().__init__(text, hint=hint)
        self.since = since
        self.until = until


class CursorError(RawlogsError):
    """The cursor file at ``path`` cannot be used: ``problem`` says why."""

    def __init__(self, text: str, *, path: str, problem: str, hint: str | None = None) -> None:
        super().__init__(text, hint=hint)
        self.path = path
        self.problem = problem


class SinkError(RawlogsError):
    """The output could not be written. ``path`` names it ("stdout", or a file)."""

    def __init__(self, text: str, *, path: str, hint: str | None = None) -> None:
        super().__init__(text, hint=hint)
        self.path = path


def _again(kind: type[RawlogsError], text: str) -> RawlogsError:
    """Return an error that was pickled in another process; pickle puts its facts back."""
    # Not by the class, whose __init__ wants the facts.
    error = kind.__new__(kind)
    Exception.__init__(error, text)
    return error
