"""The opening of one conversation as a machine without I/O: what to send next, and what an ending means.

    state            event                        then
    OPENED           101 with `prefect`           send auth            -> AUTHENTICATING
    OPENED           101 without a subprotocol    send auth            (legacy: send the filter -> STREAMING)
    OPENED           101 with another one         ProtocolError
    AUTHENTICATING   auth_success                 send the filter      -> STREAMING
    AUTHENTICATING   auth_failure                 AuthError
    AUTHENTICATING   close 1008                   AuthError
    AUTHENTICATING   any other frame              ProtocolError
    AUTHENTICATING   any other ending             ConnectError(phase=auth); without a subprotocol ProtocolError
    STREAMING        close 1002                   FilterRejected
    STREAMING        close 1008                   AuthError (the key was revoked)
    STREAMING        an ending before a frame     ConnectionLost, which the retry table watches
    STREAMING        any other ending             ConnectionLost

Nothing acknowledges the filter, so STREAMING begins when it is sent. A rejected filter is a TCP drop without a close
frame on every server from 3.4.7 to 3.8.8: its reason exceeds the 123 bytes that a close frame can carry.
"""

from __future__ import annotations

import enum
from dataclasses import replace

from rawlogs.advice import Facts, advise
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
    """The state of one conversation: given what happened, it returns the text to send next, or raises what went wrong.

    facts: what is known about the server, for the hints of errors.
    """

    def __init__(
        self,
        token: str | None,
        filter_text: str,
        *,
        url: str,
        legacy: bool = False,
        secrets: tuple[str, ...] = (),
        facts: Facts | None = None,
    ) -> None:
        self._token = token
        self._secrets = secrets or ((token,) if token else ())
        self._filter_text = filter_text
        self._legacy = legacy
        self._url = url
        self._agreed = True
        self._facts = facts or Facts(token="" if token else None)
        self.state = State.OPENED

    def opened(self, subprotocol: str | None) -> str:
        """Return the first text to send after the upgrade. Raises ProtocolError for a subprotocol not offered."""
        if self._legacy and subprotocol is None:
            self.state = State.STREAMING
            return self._filter_text
        # A server that picks none may still authenticate: Prefect's own client goes on, too. One that does not will
        # hang up on the auth message, or take it for a filter that it cannot read.
        if subprotocol in (SUBPROTOCOL, None):
            self._agreed = subprotocol is not None
            self.state = State.AUTHENTICATING
            return auth_message(self._token)
        raise ProtocolError(
            f"{self._url} chose the subprotocol {self._quote(subprotocol, 40)!r}, which was not offered",
            hint=self._hint("bad answer"),
        )

    def received(self, payload: bytes) -> str:
        """Return the text to send after a frame that came while authenticating. Raises AuthError and ProtocolError."""
        frame = decode(payload)
        if isinstance(frame, AuthSuccess):
            self.state = State.STREAMING
            return self._filter_text
        if isinstance(frame, AuthFailure):
            raise self._auth_error(frame.reason, None)
        shown = self._quote(payload, 120)
        raise ProtocolError(
            f"{self._url} answered the auth message with something else: {shown or 'an empty frame'}",
            frame=shown,
            hint=self._hint("bad answer"),
        )

    def closed(self, code: int, reason: str) -> RawlogsError:
        """Return what it means that the conversation ended now."""
        reason = self._quote(reason)
        ending = f"{code} '{reason}'" if reason else f"{code}"
        if code == 1008:
            return self._auth_error(reason, code)
        if self.state is not State.STREAMING:
            return self._no_answer(f"hung up while authenticating ({ending}: {meaning(code)})")
        if code == 1002:
            return FilterRejected(
                f"The server rejected the filter: {reason or 'no reason given'}", reason=reason
            )
        return ConnectionLost(f"The connection ended: {ending} ({meaning(code)})", code=code, reason=reason)

    def unanswered(self, seconds: float) -> RawlogsError:
        """Return what it means that the auth message got no answer within so many seconds."""
        but = "accepted the WebSocket but " if self._agreed else ""
        return self._no_answer(f"{but}did not answer the auth message within {seconds:g} s")

    def _no_answer(self, what: str) -> RawlogsError:
        if self._agreed:
            return ConnectError(
                f"{self._url} {what}", url=self._url, phase="auth", hint=self._hint("no auth")
            )
        # A server that does not know the subprotocol expects the filter, so another try ends the same way.
        return ProtocolError(
            f"{self._url} accepted the WebSocket without the subprotocol 'prefect', and {what}",
            hint=self._hint("no subprotocol"),
        )

    def _auth_error(self, reason: str, code: int | None) -> AuthError:
        """Return the refusal and what to set; the same for both ways in which a server refuses a token."""
        reason = self._quote(reason)
        kind = "none" if "no token" in reason else reason
        return AuthError(
            f"Unable to authenticate: {reason or 'the server gave no reason'}",
            reason=reason,
            code=code,
            hint=advise("token", kind, self._facts).hint,
        )

    def _hint(self, kind: str) -> str:
        return advise("line", kind, replace(self._facts, url=self._url)).hint

    def _quote(self, text: str | bytes, limit: int = 200) -> str:
        return excerpt(text, limit, self._secrets)


def meaning(code: int) -> str:
    """Return a close code in words."""
    return CLOSE_MEANINGS.get(code, "an unusual close code")
