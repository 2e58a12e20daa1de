"""The verdict table: every error that a connection can end with, in every situation that counts."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawlogs.backoff import delay
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
from rawlogs.retrying.retry import (
    TRIES_AFTER_SUCCESS,
    Fatal,
    Record,
    Retry,
    is_transient,
    socket_only,
    unreachable,
    verdict,
)

URL = "ws://host/api/logs/out"


def connect(phase: str) -> ConnectError:
    return ConnectError("no", url=URL, phase=phase)


def refused(status: int, retry_after: float | None = None) -> UpgradeRefused:
    return UpgradeRefused("no", url=URL, status=status, retry_after=retry_after)


def lost(code: int) -> ConnectionLost:
    return ConnectionLost("gone", code=code)


def auth(code: int | None) -> AuthError:
    return AuthError("no", code=code)


TABLE: list[tuple[RawlogsError, float | None, float | None, float | None]] = [
    # error, and the floor of the retry: at first, after a success, with --wait at first; None: fatal
    *[(connect(phase), None, 0.0, 0.0) for phase in ("dns", "tcp", "proxy")],
    *[(connect(phase), 0.0, 0.0, 0.0) for phase in ("timeout", "upgrade", "auth")],
    *[(connect(phase), None, 0.0, None) for phase in ("tls", "tls-mismatch")],
    (connect("proxy-auth"), None, None, None),
    (CertificateError("no", url=URL, phase="tls"), None, None, None),
    (RedirectRefused("no", status=307, url=URL, location="http://elsewhere"), None, None, None),
    (ConfigError("no"), None, None, None),
    (FilterRejected("no"), None, None, None),
    (HistoryError("no"), None, None, None),
    *[(refused(status), 0.0, 0.0, 0.0) for status in (408, 425, 429, 500, 502, 503, 504)],
    (refused(503, 7.5), 7.5, 7.5, 7.5),
    *[(refused(status), None, 1.0, None) for status in (403, 404)],
    *[(refused(status), None, None, None) for status in (400, 410, 426, 501)],
    (auth(401), None, 1.0, None),
    (auth(1008), None, 0.0, None),
    (auth(None), None, None, None),
    (ProtocolError("no"), None, 0.0, None),
    *[(lost(code), 0.0, 0.0, 0.0) for code in (1000, 1001, 1002, 1006, 1009, 1011, 4000)],
    *[(lost(code), 1.0, 1.0, 1.0) for code in (1012, 1013)],
]


@pytest.mark.parametrize(
    ("error", "first", "later", "waiting"),
    [pytest.param(*row, id=f"{type(row[0]).__name__} {vars(row[0])}"[:90]) for row in TABLE],
)
def test_the_table(
    error: RawlogsError, first: float | None, later: float | None, waiting: float | None
) -> None:
    """What is tried again and how soon; what is fatal is fatal with the same error."""
    for record, floor in (
        (Record(), first),
        (Record(succeeded=True), later),
        (Record(wait=True), waiting),
    ):
        assert verdict(error, record) == (Fatal(error) if floor is None else Retry(floor))


@pytest.mark.parametrize("error", [refused(403), refused(404), auth(401)], ids=str)
def test_refusals_of_a_rolling_deploy_get_three_tries(error: RawlogsError) -> None:
    """In a row; a connection that proved itself begins anew."""
    record = Record(succeeded=True)
    for _ in range(2):
        for _ in range(TRIES_AFTER_SUCCESS - 1):
            assert verdict(error, record) == Retry(1.0)
        record.proved()
    for _ in range(TRIES_AFTER_SUCCESS - 1):
        verdict(error, record)
    assert verdict(error, record) == Fatal(error)


def test_a_stream_that_is_told_1008_may_try_once() -> None:
    """The next handshake decides."""
    record = Record(succeeded=True)
    assert verdict(auth(1008), record) == Retry()
    assert isinstance(verdict(auth(1008), record), Fatal)


def test_three_broken_protocols_in_a_row_are_not_this_protocol() -> None:
    """Fatal, as ProtocolError."""
    record = Record(succeeded=True)
    assert [type(verdict(lost(1002), record)) for _ in range(2)] == [Retry, Retry]
    answer = verdict(lost(1002), record)
    assert isinstance(answer, Fatal) and isinstance(answer.error, ProtocolError)
    assert answer.error.text == "Three times in a row: gone"


def test_two_silent_ends_are_a_rejected_filter() -> None:
    """The record counts them; the error says what was most likely."""
    assert verdict(lost(1006), Record(silent_ends=1)) == Retry()
    answer = verdict(lost(1006), Record(silent_ends=2))
    assert isinstance(answer, Fatal) and isinstance(answer.error, FilterRejected)
    assert answer.error.text.startswith("The server hung up right after the filter, twice")
    assert answer.error.hint is not None and answer.error.hint.startswith(
        "A Prefect server drops the connection"
    )


def test_a_proof_forgets_what_was_counted_and_not_what_is_known() -> None:
    """That it once succeeded, and that it was told to wait."""
    record = Record(succeeded=True, wait=True, refusals=2, silent_ends=1, protocol_ends=2, denied=1)
    record.proved()
    assert record == Record(succeeded=True, wait=True)


@given(st.integers(0, 10_000), st.floats(0.0, 1e6), st.integers())
def test_a_delay_lies_between_the_floor_and_the_cap_on_top_of_it(
    attempt: int, floor: float, seed: int
) -> None:
    """Full jitter: 0.5 s, 1 s, 2 s ... 30 s."""
    seconds = delay(attempt, floor, random.Random(seed))
    assert floor <= seconds <= floor + min(30.0, 0.5 * 2.0 ** min(attempt, 10))


def test_delays_are_spread_over_their_whole_range() -> None:
    """Many clients of one server do not come back together."""
    rng = random.Random(1)
    found = sorted(delay(3, 0.0, rng) for _ in range(1000))
    assert found[0] < 0.1 and found[-1] > 3.9
    assert 1.8 < found[500] < 2.2


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (HistoryError("x", transient=True), True),
        (HistoryError("x", transient=False), False),
        (connect("tcp"), True),
        (CertificateError("x", url=URL, phase="tls"), False),
        (auth(401), False),
        (RedirectRefused("x", status=307, url=URL, location="http://elsewhere"), False),
    ],
    ids=repr,
)
def test_which_lists_may_answer_later(error: RawlogsError, transient: bool) -> None:
    """A certificate does not mend itself."""
    assert is_transient(error) is transient


def gave_up(cause: RawlogsError) -> GaveUp:
    error = GaveUp("x", attempts=3, elapsed=1.0)
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "only"),
    [
        (refused(403), True),
        (connect("upgrade"), True),
        (connect("timeout"), True),
        (connect("auth"), True),
        (ProtocolError("x"), True),
        (gave_up(refused(502)), True),
        (gave_up(connect("tcp")), False),
        (connect("tcp"), False),
        (auth(1008), False),
        (RedirectRefused("x", status=307, url=URL, location="http://elsewhere"), False),
    ],
    ids=repr,
)
def test_which_refusals_of_the_socket_leave_the_list(error: RawlogsError, only: bool) -> None:
    """A proxy that blocks WebSockets does; a server that is not there does not."""
    assert socket_only(error) is only


def test_a_list_that_never_answered_is_a_failure_to_connect() -> None:
    """With its address; one that answered stays what it is."""
    told = unreachable(HistoryError("nobody there", hint="try this"), URL)
    assert isinstance(told, ConnectError)
    assert (told.text, told.url, told.phase, told.hint) == ("nobody there", URL, "rest", "try this")
    answered = HistoryError("teapot", status=418)
    assert unreachable(answered, URL) is answered
