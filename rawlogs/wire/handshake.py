"""The opening of one conversation as a machine without I/O: what to send next, and what an ending means.

    state            event                        then
    OPENED           101 with `prefect`           send auth            -> AUTHENTICATING
    OPENED           101 without a subprotocol    ProtocolError        (legacy: send the filter -> STREAMING)
    AUTHENTICATING   auth_success                 send the filter      -> STREAMING
    AUTHENTICATING   auth_failure                 AuthError
    AUTHENTICATING   close 1008                   AuthError
    AUTHENTICATING   any other frame              ProtocolError
    AUTHENTICATING   any other ending             ConnectError(phase=auth)
    STREAMING        close 1002                   FilterRejected
    STREAMING        close 1008                   AuthError (the key was revoked)
    STREAMING        an ending before a frame     ConnectionLost, which the retry table watches
    STREAMING        any other ending             ConnectionLost

Nothing acknowledges the filter, so STREAMING begins when it is sent. A rejected filter is a TCP drop without a close
frame on every server from 3.4.7 to 3.8.8: its reason exceeds the 123 bytes that a close frame can carry.
"""

from __future__ import annotations

import enum

from rawlogs.errors import (
    AuthError,
    ConnectError,
    ConnectionLost,
    FilterRejected,
    ProtocolError,
    RawlogsError,
)
from rawlogs.untrusted import excerpt
from rawlogs.wire.frames import AuthFailure, AuthSuccess, auth_message, decode

SUBPROTOCOL = "prefect"


class State(enum.Enum):
    OPENED = "opened"
    AUTHENTICATING = "authenticating"
    STREAMING = "streaming"


CLOSE_MEANINGS = {
    1000: "the server ended the conversation",
    1001: "the server is going away",
    1002: "the server rejected what it was sent",
    1005: "no close code",
    1006: "no close frame: a crash, the network, or a rejected filter",
    1007: "a frame was not valid UTF-8",
    1008: "the server refused the token",
    1009: "a frame was larger than the receiver allows",
    1011: "keepalive: a ping was not answered in time, or an internal error",
    1012: "the server is restarting",
    1013: "the server is overloaded",
    1014: "a gateway in between failed",
}
"""What each close code means when a Prefect server (or what stands before it) sends it."""


class Handshake:
    """The state of one conversation. Feed it what happens; it answers with texts to send, or raises what went wrong."""

    def __init__(
        self,
        token: str | None,
        filter_text: str,
        *,
        url: str = "",
        legacy: bool = False,
        secrets: tuple[str, ...] = (),
    ) -> None:
        self._token = token
        self._secrets = secrets or ((token,) if token else ())
        self._filter_text = filter_text
        self._legacy = legacy
        self._url = url
        self.state = State.OPENED

    def opened(self, subprotocol: str | None) -> str:
        """The upgrade went through: the first text to send."""
        if subprotocol == SUBPROTOCOL:
            self.state = State.AUTHENTICATING
            return auth_message(self._token)
        if self._legacy and subprotocol is None:
            self.state = State.STREAMING
            return self._filter_text
        raise ProtocolError(
            f"{self._url} accepted the WebSocket without the subprotocol 'prefect'",
            hint="Something in between strips Sec-WebSocket-Protocol (a proxy?), or this is no Prefect server.",
        )

    def received(self, payload: bytes) -> str:
        """A frame came while authenticating: the next text to send."""
        frame = decode(payload)
        if isinstance(frame, AuthSuccess):
            self.state = State.STREAMING
            return self._filter_text
        if isinstance(frame, AuthFailure):
            raise auth_error(frame.reason, None, self._token, self._secrets)
        shown = self._quote(payload, 120)
        raise ProtocolError(
            f"{self._url} answered the auth message with something else: {shown or 'an empty frame'}",
            frame=shown,
            hint="Is this a Prefect API? The URL should end in /api (or name a Cloud workspace).",
        )

    def closed(self, code: int, reason: str) -> RawlogsError:
        """What it means that the conversation ended now."""
        reason = self._quote(reason)
        said = f"{code} '{reason}'" if reason else f"{code}"
        if code == 1008:
            return auth_error(reason, code, self._token, self._secrets)
        if self.state is not State.STREAMING:
            return ConnectError(
                f"{self._url} hung up while authenticating ({said}: {meaning(code)})",
                url=self._url,
                phase="auth",
            )
        if code == 1002:
            return FilterRejected(
                f"The server rejected the filter: {reason or 'no reason given'}", reason=reason
            )
        return ConnectionLost(f"The connection ended: {said} ({meaning(code)})", code=code, reason=reason)

    def _quote(self, text: str | bytes, limit: int = 200) -> str:
        return excerpt(text, limit, self._secrets)


def meaning(code: int) -> str:
    """A close code in words."""
    return CLOSE_MEANINGS.get(code, "an unusual close code")


def auth_error(reason: str, code: int | None, token: str | None, secrets: tuple[str, ...] = ()) -> AuthError:
    """The refusal in words, and what to set; shared by the socket's ways of saying no."""
    reason = excerpt(reason, secrets=secrets or ((token,) if token else ()))
    if not token:
        hint = "Set PREFECT_API_AUTH_STRING (a server with a password) or PREFECT_API_KEY (Prefect Cloud)."
    else:
        hint = "Check PREFECT_API_AUTH_STRING (a server with a password) or PREFECT_API_KEY (Prefect Cloud)."
    return AuthError(
        f"Unable to authenticate: {reason or 'the server gave no reason'}",
        reason=reason,
        code=code,
        hint=hint,
    )
