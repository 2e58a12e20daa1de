"""Who is let in: each refusal whole, with the flag that it names and what to try, and which host counts as this one."""

from __future__ import annotations

from typing import Any

import pytest

from rawlogs.errors import ConfigError
from rawlogs.host import parse_host
from rawlogs.serve.access import SHORTEST_TOKEN, Gate, open_gate

TOKEN = "x" * SHORTEST_TOKEN
MAKE_ONE = """python3 -c "import secrets; print(secrets.token_urlsafe())" makes one."""
SET_ONE = (
    "Set RAWLOGS_SERVE_TOKEN (or --token) to a secret that the page asks for, or give --behind-proxy where a reverse "
    f"proxy asks users who they are. {MAKE_ONE}"
)


@pytest.mark.parametrize(
    ("host", "options", "text", "setting", "hint"),
    [
        pytest.param(
            "127.0.0.1",
            {"token": TOKEN, "behind_proxy": True},
            "--token and --behind-proxy exclude each other",
            "--token",
            None,
            id="both",
        ),
        pytest.param(
            "127.0.0.1",
            {"token": TOKEN[1:]},
            f"the token has {SHORTEST_TOKEN - 1} characters; it must have {SHORTEST_TOKEN} or more",
            "--token",
            MAKE_ONE,
            id="short",
        ),
        *(
            pytest.param(
                "127.0.0.1",
                {"token": TOKEN + letter},
                "the token must be printable ASCII without spaces",
                "--token",
                MAKE_ONE,
                id=name,
            )
            for letter, name in [("ä", "no ASCII"), (" ", "a space"), ("\n", "a line break")]
        ),
        pytest.param(
            "0.0.0.0",
            {},
            "on 0.0.0.0 everybody who reaches this machine could read the logs",
            "--host",
            SET_ONE,
            id="open",
        ),
        pytest.param(
            "localhost",
            {"address": "10.0.0.1"},
            "on localhost (10.0.0.1) everybody who reaches this machine could read the logs",
            "--host",
            SET_ONE,
            id="a localhost that leads elsewhere",
        ),
        pytest.param(
            "10.0.0.1",
            {"address": "10.0.0.1"},
            "on 10.0.0.1 everybody who reaches this machine could read the logs",
            "--host",
            SET_ONE,
            id="an address of its own",
        ),
    ],
)
def test_what_would_let_everybody_in_is_refused(
    host: str, options: dict[str, Any], text: str, setting: str, hint: str | None
) -> None:
    with pytest.raises(ConfigError) as caught:
        open_gate(host, 8642, **options)
    assert (caught.value.text, caught.value.setting, caught.value.hint) == (text, setting, hint)


@pytest.mark.parametrize(
    ("host", "options"),
    [
        ("127.0.0.1", {}),
        ("localhost", {"address": "127.0.0.1"}),
        ("localhost", {"address": "::1"}),
        ("0.0.0.0", {"token": TOKEN}),
        ("0.0.0.0", {"behind_proxy": True}),
    ],
    ids=["loopback", "localhost", "localhost of IPv6", "a token", "a proxy"],
)
def test_a_gate_is_what_was_asked_for(host: str, options: dict[str, Any]) -> None:
    gate = open_gate(host, 8642, **options)
    assert gate == Gate(host, 8642, options.get("token"), options.get("behind_proxy", False))
    assert gate.cookie_name == "rawlogs_8642"


@pytest.mark.parametrize(
    ("gate", "known"),
    [
        (Gate("127.0.0.1", 1), False),
        (Gate("127.0.0.1", 1, behind_proxy=True), True),
        (Gate("0.0.0.0", 1, TOKEN), True),
    ],
    ids=["loopback", "behind a proxy", "elsewhere"],
)
def test_only_loopback_minds_a_foreign_name(gate: Gate, known: bool) -> None:
    foreign, own = parse_host("rebound.example:1"), parse_host("localhost:1")
    assert foreign is not None
    assert own is not None
    assert gate.knows_host(foreign) is known
    assert gate.knows_host(own)
