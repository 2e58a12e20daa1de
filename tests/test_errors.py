"""Exceptions: what they say, what they carry, and who is a kind of whom."""

from __future__ import annotations

import copy
import pickle
import re
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

import pytest

from rawlogs import errors
from rawlogs.errors import (
    AuthError,
    CertificateError,
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
    UpgradeRedirected,
    UpgradeRefused,
)

URL = "ws://127.0.0.1:4200/api/logs/out"
NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)

CASES: list[tuple[RawlogsError, str, Mapping[str, Any]]] = [
    (RawlogsError("It failed"), "It failed", {"hint": None}),
    (
        ConfigError("No API URL", setting="PREFECT_API_URL", hint="Set PREFECT_API_URL."),
        "No API URL\nSet PREFECT_API_URL.",
        {"setting": "PREFECT_API_URL", "hint": "Set PREFECT_API_URL."},
    ),
    (ConfigError("No"), "No", {"setting": None}),
    (
        ConnectError("No connection", url=URL, phase="tcp", hint="Is it running?"),
        "No connection\nIs it running?",
        {"url": URL, "phase": "tcp"},
    ),
    (CertificateError("Not accepted", url=URL, phase="tls"), "Not accepted", {"url": URL, "phase": "tls"}),
    (
        UpgradeRefused("HTTP 503", status=503, url=URL, retry_after=7.0, body="busy"),
        "HTTP 503",
        {"status": 503, "url": URL, "retry_after": 7.0, "body": "busy"},
    ),
    (UpgradeRefused("HTTP 404", status=404, url=URL), "HTTP 404", {"retry_after": None, "body": ""}),
    (
        RedirectRefused("Elsewhere", status=307, url=URL, location="http://other/", hint="Name it."),
        "Elsewhere\nName it.",
        {"status": 307, "url": URL, "location": "http://other/"},
    ),
    (
        UpgradeRedirected("Elsewhere", status=307, url=URL, location="http://other/", hint="Name it."),
        "Elsewhere\nName it.",
        {"status": 307, "url": URL, "location": "http://other/", "retry_after": None, "body": ""},
    ),
    (
        AuthError("Unable to authenticate: no", reason="no", code=1008, hint="Check the key."),
        "Unable to authenticate: no\nCheck the key.",
        {"reason": "no", "code": 1008},
    ),
    (AuthError("No"), "No", {"reason": "", "code": None}),
    (FilterRejected("Rejected", reason="bad"), "Rejected", {"reason": "bad"}),
    (ProtocolError("No Prefect", frame="<html>"), "No Prefect", {"frame": "<html>"}),
    (
        ConnectionLost("Ended", code=1012, reason="restart"),
        "Ended",
        {"code": 1012, "reason": "restart", "clean": False},
    ),
    (ConnectionLost("Ended", code=1000), "Ended", {"clean": True}),
    (ConnectionLost("Ended", code=1001), "Ended", {"clean": True}),
    (ConnectionLost("Ended", code=1006), "Ended", {"clean": False}),
    (
        HistoryError("HTTP 500", status=500, retry_after=1.0, transient=True, body="oops", hint="Wait."),
        "HTTP 500\nWait.",
        {"status": 500, "retry_after": 1.0, "transient": True, "body": "oops"},
    ),
    (
        HistoryError("No answer"),
        "No answer",
        {"status": None, "retry_after": None, "transient": False, "body": ""},
    ),
    (GaveUp("5 tries", attempts=5, elapsed=12.5), "5 tries", {"attempts": 5, "elapsed": 12.5}),
    (DataLoss("A gap", since=NOON, until=None), "A gap", {"since": NOON, "until": None}),
    (
        CursorError("Locked", path="c.json", problem="locked"),
        "Locked",
        {"path": "c.json", "problem": "locked"},
    ),
    (SinkError("Disk full", path="stdout", hint="Free some."), "Disk full\nFree some.", {"path": "stdout"}),
]
ALL = [
    value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, RawlogsError)
]


@pytest.mark.parametrize(("error", "text", "facts"), CASES, ids=lambda value: type(value).__name__)
def test_an_error_says_its_text_and_then_its_hint_and_carries_its_facts(
    error: RawlogsError, text: str, facts: Mapping[str, Any]
) -> None:
    assert str(error) == text
    assert {name: getattr(error, name) for name in facts} == facts


@pytest.mark.parametrize(("error", "text", "facts"), CASES, ids=lambda value: type(value).__name__)
def test_an_error_crosses_to_another_process_whole(
    error: RawlogsError, text: str, facts: Mapping[str, Any]
) -> None:
    """A task queue hands it over by pickle, a test runner by copy."""
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert (type(other), str(other), vars(other)) == (type(error), text, vars(error))
        assert {name: getattr(other, name) for name in facts} == facts


def test_every_error_is_in_the_table_above() -> None:
    assert {type(error) for error, _, _ in CASES} == set(ALL)


def test_the_tree_of_the_documentation_is_the_tree_of_the_classes() -> None:
    told = re.findall(r"^    ([ \u2502\u251c\u2514\u2500]*)(\w+)", errors.__doc__ or "", re.MULTILINE)
    parents: dict[int, str] = {}
    tree = {}
    for indent, name in told:
        depth = len(indent) // 4
        parents[depth] = name
        tree[name] = parents.get(depth - 1)
    bases = {
        kind.__name__: next(base for base in kind.__mro__[1:] if issubclass(base, Exception)) for kind in ALL
    }
    assert tree == {name: None if name == "RawlogsError" else base.__name__ for name, base in bases.items()}


def test_a_redirect_of_the_rest_api_is_no_refused_upgrade() -> None:
    """Who handles the socket's errors does not catch those of the list; who handles redirects catches both."""
    assert not issubclass(RedirectRefused, UpgradeRefused)
    assert issubclass(UpgradeRedirected, RedirectRefused)
    assert issubclass(UpgradeRedirected, UpgradeRefused)


def test_a_config_error_is_a_value_error_too() -> None:
    with pytest.raises(ValueError, match="No API URL"):
        raise ConfigError("No API URL")


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_every_error_tells_what_it_is_for(kind: type[RawlogsError]) -> None:
    assert (kind.__doc__ or "").strip()
