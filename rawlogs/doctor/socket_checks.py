"""Check the WebSocket: one connection is opened, and each check inspects its part of the recorded handshake."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from rawlogs.advice import Advice, advise
from rawlogs.config.urls import shown
from rawlogs.doctor.context import CheckContext
from rawlogs.doctor.findings import Blame, Finding, of_error
from rawlogs.errors import AuthError, CertificateError, ConnectError, RawlogsError, RedirectRefused
from rawlogs.waiting import within
from rawlogs.wire.connection import Target, open_connection
from rawlogs.wire.events import WireEvent
from rawlogs.wire.frames import filter_message
from rawlogs.wire.handshake import SUBPROTOCOL, meaning

SLOW = 1.0
"""Seconds for a ping's way there and back that are worth a warning."""


@dataclass(frozen=True, slots=True)
class HandshakeTrace:
    """Recorded handshake. ``status`` None: no HTTP answer; ``subprotocol`` as the answer names it."""

    status: int | None = None
    gateway: str = ""
    location: str = ""
    body: str = ""
    subprotocol: str | None = None
    seconds_upgrade: float | None = None
    asked_auth: bool = False
    seconds_auth: float | None = None
    close: tuple[int, str] | None = None

    @property
    def accepted(self) -> bool:
        return self.status == 101


def summarize(tape: Sequence[WireEvent]) -> HandshakeTrace:
    """Return the handshake that a tape holds; of several (redirects) the last."""
    found: dict[str, object] = {}
    asked = 0.0
    for event in tape:
        if event.kind == "upgrade":
            found, asked = {}, event.at
        elif event.kind in ("upgrade_ok", "refused"):
            headers = {name.lower(): value for name, value in event.facts["headers"]}
            body = event.data if isinstance(event.data, bytes) else b""
            found |= {
                "status": event.facts["status"],
                "gateway": headers.get("server", ""),
                "location": shown(headers["location"]) if "location" in headers else "",
                "body": body[:500].decode("utf-8", "backslashreplace"),
                "subprotocol": headers.get("sec-websocket-protocol"),
                "seconds_upgrade": event.at - asked,
            }
        elif event.kind == "text" and event.direction == "client" and "asked_auth" not in found:
            found["asked_auth"], asked = True, event.at
        elif event.direction == "server" and event.kind in ("text", "close"):
            found.setdefault("seconds_auth", event.at - asked)
            if event.kind == "close":
                found["close"] = (event.facts["code"], str(event.data))
    return HandshakeTrace(**found)  # type: ignore[arg-type]


def target(case: CheckContext, *, legacy: bool = False) -> Target:
    """Return the socket of the logs, with the patience of this run."""
    patience = case.patience
    return Target.of(case.settings, legacy=legacy, open_timeout=patience, auth_timeout=patience)


async def upgrade(case: CheckContext) -> Finding:
    """Open the WebSocket, and check whether it is accepted; the next checks read the handshake that follows."""
    try:
        case.connection = await open_connection(target(case), filter_message({}), tap=case.tape.append)
    except RawlogsError as error:
        case.refusal = error
    trace = summarize(case.tape)
    url = case.settings.address.logs_url
    facts: dict[str, Any] = {"url": url, "status": trace.status, "server": trace.gateway}
    by = f" by {trace.gateway}" if trace.gateway else ""
    if trace.accepted:
        if case.refusal is not None and not trace.asked_auth and trace.subprotocol == SUBPROTOCOL:
            advice = advise("line", "bad answer", case.facts(url=url))
            return Finding("fail", case.refusal.text, advice, facts=facts)
        return Finding("ok", f"{url} is accepted{by}", facts=facts, seconds=trace.seconds_upgrade)
    refusal = case.refusal
    assert refusal is not None
    if trace.status is None:
        return of_error(refusal, _unanswered(refusal, case), **facts)
    location = shown(refusal.location) if isinstance(refusal, RedirectRefused) else trace.location
    known = case.facts(body=trace.body, location=location or "another address", url=url)
    blame: Blame = "auth" if trace.status in (401, 407) else "unreachable"
    return Finding(
        "fail",
        f"{url} was answered with HTTP {trace.status}{by}",
        advise("upgrade", trace.status, known),
        blame,
        lines=(f"it says: {trace.body[:200]}",) if trace.body else (),
        facts={**facts, "body": trace.body[:200]},
        seconds=trace.seconds_upgrade,
    )


def _unanswered(error: RawlogsError, case: CheckContext) -> Advice | None:
    """Return why REST is answered, but this is not; None where the error itself says enough."""
    if not isinstance(error, ConnectError) or isinstance(error, CertificateError):
        return None
    if case.settings.proxy and error.phase.startswith("proxy"):
        return Advice(
            "The proxy does not let WebSockets through: they always need a tunnel (CONNECT), plain http:// requests "
            "do not.",
            error.hint,
        )
    return advise("line", "not upgraded", case.facts(url=case.settings.address.logs_url, rest=True))


async def subprotocol(case: CheckContext) -> Finding:
    """Check whether the subprotocol was agreed on: without it most servers do not authenticate."""
    trace = summarize(case.tape)
    facts = {"offered": SUBPROTOCOL, "chosen": trace.subprotocol}
    if trace.subprotocol == SUBPROTOCOL:
        return Finding("ok", f"{SUBPROTOCOL!r} was agreed on", facts=facts)
    if trace.subprotocol is not None:
        advice = advise("line", "bad answer", case.facts(url=case.settings.address.logs_url))
        text = f"{SUBPROTOCOL!r} was offered, {trace.subprotocol!r} chosen"
        return Finding("fail", text, advice, facts=facts)
    advice = advise("line", "no subprotocol")
    text = f"{SUBPROTOCOL!r} was offered, but the server did not hear of it, or its answer was lost"
    if case.connection is not None:
        return Finding("warn", f"{text}; it authenticates all the same", advice, facts=facts)
    works = await _legacy_works(case)
    if works:
        advice = replace(advice, fix=f"{advice.fix} Until then `rawlogs tail --legacy` works here.")
    return Finding("fail", text, advice, facts={**facts, "legacy_works": works})


async def _legacy_works(case: CheckContext) -> bool:
    """Return whether a connection without subprotocol and auth message holds (open servers from 3.6.14)."""
    try:
        connection = await open_connection(target(case, legacy=True), filter_message({}))
    except RawlogsError:
        return False
    try:
        await within(case.patience, connection.ping())
        return True
    except (RawlogsError, TimeoutError):
        return False
    finally:
        await connection.close()


async def auth(case: CheckContext) -> Finding:
    """Check whether the token is accepted."""
    trace, refusal = summarize(case.tape), case.refusal
    setting = case.token_setting
    facts: dict[str, Any] = {"token_from": setting, "close": trace.close[0] if trace.close else None}
    if refusal is None:
        sent = f"the token ({setting})" if setting else "no token"
        return Finding("ok", f"auth_success, with {sent}", facts=facts, seconds=trace.seconds_auth)
    if isinstance(refusal, AuthError):
        text = f"the server refused the token: {refusal.reason or 'no reason given'}"
        if trace.close is not None:
            text += f" (close {trace.close[0]})"
        advice = advise("token", "none" if "no token" in refusal.reason else None, case.facts())
        return Finding("fail", text, advice, "auth", facts=facts, seconds=trace.seconds_auth)
    token = case.settings.websocket_token or ""
    if not token.isascii():
        advice = Advice(
            "The token is not plain ASCII: servers from 3.6.22 on hang up on such a one, even on the right one.",
            "Give the server an auth string of plain ASCII (PREFECT_SERVER_API_AUTH_STRING).",
        )
        return of_error(refusal, advice, **facts)
    if isinstance(refusal, ConnectError):
        return of_error(refusal, advise("line", "no auth"), **facts)
    return of_error(refusal, **facts)


async def filter(case: CheckContext) -> Finding:
    """Check whether the server stays after the filter, which nothing acknowledges."""
    connection = case.connection
    assert connection is not None
    try:
        case.round_trip = await within(case.patience, connection.ping())
    except TimeoutError:  # a server that swallows pings may stream all the same; ``ping`` tells
        pass
    except RawlogsError as error:
        trace = summarize(case.tape)
        ended = f" (close {trace.close[0]}: {meaning(trace.close[0])})" if trace.close else ""
        advice = Advice(
            "The server (or a proxy in between) hung up right after the filter, the emptiest there is.",
            "Try again; if it stays so, look at the server's log, and see `rawlogs trace`.",
        )
        text = f"the conversation ended after the filter{ended}"
        return Finding("fail", text, advice, facts={"said": error.text})
    return Finding("ok", "sent, and not objected to (nothing acknowledges a filter)")


async def ping(case: CheckContext) -> Finding:
    """Measure a ping; without pongs the connection does not last."""
    seconds = case.round_trip
    if seconds is None:
        advice = Advice(
            "Pings are not answered: a proxy in between swallows them, or the server hangs. The connection will be "
            "cut every 40 s, and logs come late, over REST.",
            "Let the proxy pass WebSocket control frames on; look at the server's load.",
        )
        return Finding("fail", f"no pong within {case.patience:g} s", advice)
    facts = {"round_trip_seconds": round(seconds, 4)}
    if seconds > SLOW:
        cause, fix = "The server, or the way there, is slow.", "Look at the server's load and at the network."
        advice = Advice(cause, fix)
        return Finding("warn", f"there and back in {seconds:.1f} s", advice, facts=facts, seconds=seconds)
    return Finding("ok", "answered", facts=facts, seconds=seconds)
