"""Why logs do not come live: for each cause that is known its own fix, and no other."""

from __future__ import annotations

import pytest

from rawlogs.advice import partly_live, socket_refused, streaming_is_off
from rawlogs.errors import ConnectError, GaveUp, ProtocolError, RawlogsError, UpgradeRefused

STREAM = "PREFECT_SERVER_LOGS_STREAM_OUT_ENABLED=true"
PUBLISH = "PREFECT_SERVER_LOGS_STREAM_PUBLISHING_ENABLED=true"
FIXES = {
    "settings": STREAM,
    "update": "came with 3.4.7",
    "headers": "proxy_set_header Upgrade",
    "refused": "refuses WebSockets, or sends them to another path",
    "subprotocol": "strips the header Sec-WebSocket-Protocol",
    "path": "refuses the path /logs/out",
    "upstream": "sends WebSockets to an address where no Prefect server answers",
    "route": "Add a route",
    "swallowed": "in between swallows it",
    "between": "Something between here and the server",
    "broker": "PREFECT_MESSAGING_BROKER",
}


def upgrade(status: int) -> UpgradeRefused:
    return UpgradeRefused("refused", status=status, url="ws://127.0.0.1/api/logs/out")


def gave_up(cause: RawlogsError) -> GaveUp:
    error = GaveUp("Gave up after 2 tries", attempts=2, elapsed=1.0)
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("text", "fixes"),
    [
        pytest.param(streaming_is_off(), {"settings"}, id="its settings say that it does not stream"),
        pytest.param(socket_refused(upgrade(403), "3.4.6"), {"update", "settings"}, id="too old"),
        pytest.param(socket_refused(upgrade(502), "2.20.1"), {"update", "settings"}, id="far too old"),
        pytest.param(
            socket_refused(upgrade(403), "3.4.7"), {"subprotocol"}, id="403 of a server that has it"
        ),
        pytest.param(
            socket_refused(upgrade(403), None),
            {"path", "settings", "subprotocol"},
            id="403 of nobody knows which",
        ),
        pytest.param(
            socket_refused(upgrade(404), None), {"route", "headers"}, id="404 of nobody knows which"
        ),
        pytest.param(socket_refused(upgrade(400), None), {"headers"}, id="400"),
        pytest.param(socket_refused(upgrade(200), "3.8.8"), {"headers"}, id="an answer that is no upgrade"),
        pytest.param(
            socket_refused(ProtocolError("no subprotocol was chosen"), "3.8.8"),
            {"subprotocol"},
            id="no subprotocol",
        ),
        pytest.param(socket_refused(ProtocolError("bad frames"), "3.8.8"), {"between"}, id="bad frames"),
        pytest.param(
            socket_refused(ConnectError("timed out", url="ws://x", phase="upgrade"), "3.8.8"),
            {"swallowed", "headers"},
            id="no answer",
        ),
        pytest.param(
            socket_refused(gave_up(upgrade(502)), "3.9.1"), {"upstream"}, id="what it gave up for counts"
        ),
        pytest.param(socket_refused(upgrade(403), "3.4.7rc1"), {"update", "settings"}, id="before 3.4.7"),
        pytest.param(socket_refused(upgrade(403), "3.10.0.dev1"), {"refused"}, id="numbers are no texts"),
        pytest.param(partly_live(0, 3), {"settings"}, id="nothing comes"),
        pytest.param(partly_live(5, 3), {"broker"}, id="a part comes"),
    ],
)
def test_a_cause_is_told_with_its_own_fix(text: str, fixes: set[str]) -> None:
    assert {name for name, words in FIXES.items() if words in text} == fixes
    assert (STREAM in text) == (PUBLISH in text)
    assert text.endswith("`rawlogs doctor` checks each step.")
    assert "REST list instead" in text or "asking the list often" in text


def test_what_was_seen_is_in_the_text() -> None:
    """The refusal, the version, the shares."""
    assert "(refused)" in socket_refused(gave_up(upgrade(502)), None)
    assert "The server is Prefect 3.4.6, and live logs came with 3.4.7" in socket_refused(
        upgrade(403), "3.4.6"
    )
    assert "3 of 8 came only by the list" in partly_live(5, 3)
