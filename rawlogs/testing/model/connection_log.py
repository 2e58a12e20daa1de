"""What is written down about the clients of the sockets."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

SocketName = Literal["logs", "events"]
State = Literal["opening", "refused", "open", "authenticated", "subscribed", "ended"]


@dataclass(slots=True)
class Connection:
    """What one client of a socket said, and what it was sent.

    ``headers`` have lower-case names; ``auth`` is its auth frame and ``token`` what that held (None where
    there was none); ``envelope`` is its filter frame and ``filter`` what that held; ``frames`` are all its
    frames in order; ``sent`` the ids of the logs or events that it was sent live; ``close_code`` and
    ``close_reason`` the client's own close frame. ``channel`` is None for a path that no socket has.
    """

    number: int
    path: str
    headers: dict[str, str] = field(repr=False)
    subprotocols: list[str]
    channel: SocketName | None = None
    state: State = "opening"
    auth: dict[str, Any] | None = field(default=None, repr=False)
    filter: Any = None
    envelope: dict[str, Any] | None = field(default=None, repr=False)
    frames: list[str | bytes] = field(default_factory=list, repr=False)
    sent: list[str] = field(default_factory=list, repr=False)
    pongs: int = 0
    close_code: int | None = None
    close_reason: str = ""

    @property
    def token(self) -> Any:
        return self.auth.get("token") if self.auth else None
