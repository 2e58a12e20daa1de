"""What the fake server records of each WebSocket."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

SocketName = Literal["logs", "events"]
State = Literal["opening", "refused", "open", "authenticated", "subscribed", "ended"]


@dataclass(slots=True)
class Connection:
    """The record of one WebSocket: what its client sent, and what it was sent.

    headers: of the upgrade, with lower-case names.
    channel: None for a path that has no socket.
    auth, token: the auth frame, and the token in it; None where there was none.
    envelope, filter: the filter frame, and the filter in it.
    frames: all frames of the client, in order.
    sent: the ids of the logs or events that it was sent.
    close_code, close_reason: of the client's own close frame.
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
        """The token of the auth frame; None where there was none."""
        return self.auth.get("token") if self.auth else None
