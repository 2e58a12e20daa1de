"""The opening of a conversation, row by row of the table in ``rawlogs.wire.handshake``."""

from __future__ import annotations

import traceback
from collections.abc import Callable

import pytest

from rawlogs.errors import (
    AuthError,
    ConnectError,
    ConnectionLost,
    FilterRejected,
    ProtocolError,
    RawlogsError,
)
from rawlogs.wire.handshake import CLOSE_MEANINGS, Handshake, State, meaning

URL = "ws://127.0.0.1:4200/api/logs/out"
TOKEN = 'admin:p"ss'
FILTER = '{"type":"filter","filter":{}}'
LOG = (
    b'{"type":"log","log":{"id":"01a20537-c002-7db3-8e59-6c5b0fa42bcb","name":"a","level":20,"message":"early",'
    b'"timestamp":"2026-11-22T21:44:27Z","flow_run_id":null,"task_run_id":null}}'
)
SET = (
    "No credentials are set. Set PREFECT_API_KEY (Prefect Cloud) or PREFECT_API_AUTH_STRING (a server with a "
    "password). "
    "`rawlogs doctor` checks each step."
)
NO_PASSWORD = (
    "The server wants an auth string, and none is set. Set PREFECT_API_AUTH_STRING to the server's user:password. "
    "`rawlogs doctor` checks each step."
)
CHECK = (
    "The server did not accept the token. Check PREFECT_API_AUTH_STRING (a server with a password) or PREFECT_API_KEY "
    "(Prefect Cloud). `rawlogs doctor` checks each step."
)


NO_ANSWER = (
    "The WebSocket was accepted, but the auth message was not answered: the server failed, is stopping, or a proxy in "
    "between holds messages back. Try again; then look at the server's log. `rawlogs doctor` checks each step."
)


def opened(token: str | None = TOKEN, **options: bool) -> Handshake:
    return Handshake(token, FILTER, url=URL, **options)


def authenticating(token: str | None = TOKEN) -> Handshake:
    handshake = opened(token)
    handshake.opened("prefect")
    return handshake


def streaming(token: str | None = TOKEN) -> Handshake:
    handshake = authenticating(token)
    handshake.received(b'{"type":"auth_success"}')
    return handshake


# OPENED


def test_after_the_upgrade_the_token_is_sent() -> None:
    handshake = opened()
    assert handshake.opened("prefect") == '{"type":"auth","token":"admin:p\\"ss"}'
    assert handshake.state is State.AUTHENTICATING


def test_without_a_token_null_is_sent() -> None:
    assert opened(None).opened("prefect") == '{"type":"auth","token":null}'


@pytest.mark.parametrize("legacy", [False, True])
def test_another_subprotocol_than_offered_is_a_protocol_error(legacy: bool) -> None:
    with pytest.raises(ProtocolError) as caught:
        opened(legacy=legacy).opened("other")
    assert str(caught.value) == (
        f"{URL} chose the subprotocol 'other', which was not offered\n"
        "Something in between answers the upgrade in Prefect's stead, or this is no Prefect server. See who answers at "
        f"{URL}, and whether a proxy changes the answer's headers. `rawlogs doctor` checks each step."
    )


def test_40_letters_of_another_subprotocol_are_shown() -> None:
    with pytest.raises(ProtocolError) as caught:
        opened().opened("x" * 41)
    assert caught.value.text == f"{URL} chose the subprotocol '{'x' * 40}', which was not offered"


def test_an_end_before_anything_was_said_is_no_answer() -> None:
    handshake = opened()
    assert handshake.state is State.OPENED
    error = handshake.closed(1006, "")
    assert isinstance(error, ConnectError)
    assert error.hint == NO_ANSWER


def test_a_server_that_picks_no_subprotocol_may_authenticate_all_the_same() -> None:
    handshake = opened()
    assert handshake.opened(None) == '{"type":"auth","token":"admin:p\\"ss"}'
    assert handshake.received(b'{"type":"auth_success"}') == FILTER


@pytest.mark.parametrize(
    ("end", "text"),
    [
        (
            lambda handshake: handshake.closed(1002, "Expected 'filter' message"),
            "hung up while authenticating (1002",
        ),
        (lambda handshake: handshake.closed(1006, ""), "hung up while authenticating (1006"),
        (
            lambda handshake: handshake.unanswered(10.0),
            "did not answer the auth message within 10 s",
        ),
    ],
    ids=["close", "drop", "silence"],
)
def test_without_a_subprotocol_an_end_in_place_of_the_answer_is_a_protocol_error(
    end: Callable[[Handshake], RawlogsError], text: str
) -> None:
    """Another try would end the same way."""
    handshake = opened()
    handshake.opened(None)
    error = end(handshake)
    assert isinstance(error, ProtocolError)
    assert error.text.startswith(
        f"{URL} accepted the WebSocket without the subprotocol 'prefect', and {text}"
    )
    assert error.hint == (
        "A proxy in between strips the header Sec-WebSocket-Protocol. Let the proxy pass Sec-WebSocket-Protocol on "
        "unchanged, in the request and in the answer. `rawlogs doctor` checks each step."
    )


def test_in_legacy_mode_the_filter_comes_first() -> None:
    handshake = opened(legacy=True)
    assert handshake.opened(None) == FILTER
    assert handshake.state is State.STREAMING


# AUTHENTICATING


def test_after_auth_success_the_filter_is_sent() -> None:
    handshake = authenticating()
    assert handshake.received(b'{"type":"auth_success"}') == FILTER
    assert handshake.state is State.STREAMING


@pytest.mark.parametrize(
    ("token", "reason", "text", "hint"),
    [
        ("secret", "nope", "Unable to authenticate: nope", CHECK),
        ("secret", "", "Unable to authenticate: the server gave no reason", CHECK),
        (None, "Auth required but no token provided", None, NO_PASSWORD),
        ("", "Auth required but no token provided", None, NO_PASSWORD),
        (None, "", "Unable to authenticate: the server gave no reason", SET),
    ],
)
def test_soft_and_hard_denial_are_the_same_error(
    token: str | None, reason: str, text: str | None, hint: str
) -> None:
    with pytest.raises(AuthError) as soft:
        authenticating(token).received(f'{{"type":"auth_failure","reason":"{reason}"}}'.encode())
    hard = authenticating(token).closed(1008, reason)
    expected = (text or f"Unable to authenticate: {reason}", reason, hint)
    assert isinstance(hard, AuthError)
    assert (soft.value.text, soft.value.reason, soft.value.hint) == expected
    assert (hard.text, hard.reason, hard.hint) == expected
    assert (soft.value.code, hard.code) == (None, 1008)


@pytest.mark.parametrize(
    ("payload", "shown"),
    [
        pytest.param(b"<html>", "<html>", id="not JSON"),
        pytest.param(b"", "an empty frame", id="empty"),
        pytest.param(b"[]", "[]", id="not an object"),
        pytest.param(b'{"type":"hello"}', '{"type":"hello"}', id="another type"),
        pytest.param(LOG, LOG[:120].decode(), id="a log before auth_success is not delivered"),
    ],
)
def test_any_other_answer_to_auth_is_a_protocol_error_that_shows_it(payload: bytes, shown: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        authenticating().received(payload)
    assert caught.value.text == f"{URL} answered the auth message with something else: {shown}"
    assert caught.value.frame == ("" if not payload else shown)
    assert (
        caught.value.hint
        == "Something in between answers the upgrade in Prefect's stead, or this is no Prefect server. See who answers "
        f"at {URL}, and whether a proxy changes the answer's headers. `rawlogs doctor` checks each step."
    )


@pytest.mark.parametrize(
    ("code", "reason", "said"),
    [
        (1000, "", "1000: the server ended the conversation"),
        (
            1002,
            "Expected 'filter' message",
            "1002 'Expected 'filter' message': the server rejected what it was sent",
        ),
        (1006, "", "1006: no close frame: a crash, the network, or a rejected filter"),
        (1011, "", "1011: keepalive: a ping was not answered in time, or an internal error"),
        (1012, "", "1012: the server is restarting"),
        (4711, "x", "4711 'x': an unusual close code"),
    ],
)
def test_any_other_ending_while_authenticating_is_no_refusal(code: int, reason: str, said: str) -> None:
    error = authenticating().closed(code, reason)
    assert isinstance(error, ConnectError)
    assert (error.text, error.phase, error.url, error.hint) == (
        f"{URL} hung up while authenticating ({said})",
        "auth",
        URL,
        NO_ANSWER,
    )


def test_silence_while_authenticating_is_no_refusal() -> None:
    error = authenticating().unanswered(10.0)
    assert isinstance(error, ConnectError)
    assert (error.text, error.hint) == (
        f"{URL} accepted the WebSocket but did not answer the auth message within 10 s",
        NO_ANSWER,
    )


# STREAMING


def test_1002_is_a_rejected_filter() -> None:
    error = streaming().closed(1002, "Invalid filter: 'filter'")
    assert isinstance(error, FilterRejected)
    assert (error.text, error.reason) == (
        "The server rejected the filter: Invalid filter: 'filter'",
        "Invalid filter: 'filter'",
    )


def test_a_filter_that_is_rejected_without_a_reason_says_so() -> None:
    error = streaming().closed(1002, "")
    assert isinstance(error, FilterRejected)
    assert (error.text, error.reason) == ("The server rejected the filter: no reason given", "")


def test_200_letters_of_a_reason_are_kept() -> None:
    error = streaming().closed(1001, "x" * 201)
    assert isinstance(error, ConnectionLost)
    assert error.reason == "x" * 200


def test_1008_while_streaming_is_a_revoked_key() -> None:
    error = streaming("secret").closed(1008, "Token revoked")
    assert isinstance(error, AuthError)
    assert (error.text, error.code) == ("Unable to authenticate: Token revoked", 1008)


@pytest.mark.parametrize(
    ("code", "reason", "text", "clean"),
    [
        (1000, "", "The connection ended: 1000 (the server ended the conversation)", True),
        (1001, "bye", "The connection ended: 1001 'bye' (the server is going away)", True),
        (1006, "", f"The connection ended: 1006 ({CLOSE_MEANINGS[1006]})", False),
        (1011, "keepalive ping timeout", None, False),
        (1012, "", "The connection ended: 1012 (the server is restarting)", False),
    ],
)
def test_any_other_ending_is_a_lost_connection(code: int, reason: str, text: str | None, clean: bool) -> None:
    error = streaming().closed(code, reason)
    assert isinstance(error, ConnectionLost)
    assert (error.code, error.reason, error.clean) == (code, reason, clean)
    assert text is None or error.text == text


@pytest.mark.parametrize("code", [999, 1003, 2000, 4999])
def test_every_close_code_has_words(code: int) -> None:
    assert meaning(code) == "an unusual close code"


# What a server says is shown harmlessly


@pytest.mark.parametrize("state", [authenticating, streaming])
@pytest.mark.parametrize("code", [1002, 1006, 1008])
def test_control_characters_of_a_reason_are_written_out(state: Callable[[], Handshake], code: int) -> None:
    error = state().closed(code, "\x1b[2J\x07")
    assert "\x1b" not in str(error)
    assert "\\x1b[2J\\x07" in str(error)


def errors_of_an_echo(token: str) -> list[RawlogsError]:
    """All errors of a server that repeats what it was told, in each way it can say something."""
    told = opened(token).opened("prefect")
    errors = [
        state(token).closed(code, f"Bad token {token}")
        for state in (authenticating, streaming)
        for code in (1000, 1002, 1006, 1008)
    ]
    for answer in (
        told,
        f"You said: {told}",
        f"x{token}",
        f'{{"type":"auth_failure","reason":"No: {token}"}}',
    ):
        with pytest.raises(RawlogsError) as caught:
            authenticating(token).received(answer.encode())
        errors.append(caught.value)
    with pytest.raises(ProtocolError) as stripped:
        opened(token).opened(f"no-{token}")
    unagreed = opened(token)
    unagreed.opened(None)
    return [*errors, stripped.value, unagreed.closed(1002, f"What is {token}?")]


@pytest.mark.parametrize("token", ["admin:pass", "pnu_0123456789abcdef", "k\u00e4se:br\u00f6tchen"])
def test_the_token_is_in_no_text_whatever_the_server_echoes(token: str) -> None:
    for error in errors_of_an_echo(token):
        facts = [str(value) for value in vars(error).values()]
        shown = "\n".join([str(error), repr(error), *facts, *traceback.format_exception(error)])
        assert token not in shown
        assert token.encode().decode("latin-1") not in shown


def test_the_token_is_not_in_the_repr_of_a_handshake() -> None:
    assert "admin" not in repr(authenticating())
