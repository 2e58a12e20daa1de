"""The exit codes: what each error of this package means to a shell."""

from __future__ import annotations

from rawlogs.errors import (
    AuthError,
    ConfigError,
    ConnectError,
    ConnectionLost,
    CursorError,
    DataLoss,
    FilterRejected,
    GaveUp,
    HistoryError,
    ProtocolError,
    RawlogsError,
    RedirectRefused,
    SinkError,
    UpgradeRefused,
)

DONE = 0
ERROR = 1
USAGE = 2
AUTH = 3
UNREACHABLE = 4
LOSS = 5
OUTPUT = 6
PENDING = 8
TIMEOUT = 124
INTERRUPTED = 130
TERMINATED = 143

_CODES: tuple[tuple[type[RawlogsError], int], ...] = (
    (ConfigError, USAGE),
    (FilterRejected, USAGE),
    (CursorError, USAGE),
    (AuthError, AUTH),
    (ConnectError, UNREACHABLE),
    (UpgradeRefused, UNREACHABLE),
    (RedirectRefused, UNREACHABLE),
    (ProtocolError, UNREACHABLE),
    (ConnectionLost, UNREACHABLE),
    (HistoryError, UNREACHABLE),
    (GaveUp, UNREACHABLE),
    (DataLoss, LOSS),
    (SinkError, OUTPUT),
)


def exit_code(error: RawlogsError) -> int:
    """Return the code for an error; 1 for one without a meaning of its own."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), ERROR)
