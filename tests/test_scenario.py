"""Scenarios: what a file may say, and what is told about one that says something else."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rawlogs.cli.fake import parse_fault
from rawlogs.errors import ConfigError
from rawlogs.testing import Behaviour
from rawlogs.testing.faults import Http, Slice
from rawlogs.testing.scenario import Action, Fault, Scenario, Traffic, fault, parse, read


def test_an_empty_scenario_is_a_healthy_server() -> None:
    """The defaults: Prefect 3.8.8 with streaming on, ten logs a second."""
    assert parse({}) == Scenario(Behaviour(), Traffic())


def test_a_file_says_server_logs_and_faults(tmp_path: Path) -> None:
    """Actions come in the order of their times."""
    path = tmp_path / "s.toml"
    path.write_text(
        "[server]\nqueue = 10\n[logs]\ncount = 5\n"
        '[[fault]]\nkind = "restart"\nat = 2\n[[fault]]\nkind = "drop"\nat = 1\n'
        '[[fault]]\nkind = "http"\nwhere = "rest"\nstatus = 500\ntimes = 2\n'
    )
    assert read(path) == Scenario(
        Behaviour(queue=10),
        Traffic(count=5),
        (Fault(Http(status=500), "rest", times=2),),
        (Action("drop", 1.0), Action("restart", 2.0)),
    )


@pytest.mark.parametrize(
    ("data", "words"),
    [
        pytest.param({"sever": {}}, "sever is unknown", id="an unknown table"),
        pytest.param(
            {"server": {"queue": "x"}}, "[server]: queue: Input should be a valid integer", id="a wrong type"
        ),
        pytest.param({"server": {"que": 1}}, "[server]: que is unknown", id="an unknown field"),
        pytest.param({"fault": {}}, "fault: Input should be a valid list", id="one fault instead of a list"),
        pytest.param({"fault": [{"kind": "boom"}]}, "fault 1: kind 'boom' is unknown", id="an unknown kind"),
        pytest.param(
            {"fault": [{"kind": "http", "stat": 1}]}, "(http): stat is unknown", id="an unknown argument"
        ),
        pytest.param({"fault": [{"kind": "slice", "at": 1}]}, "cannot happen at a time", id="no action"),
        pytest.param(
            {"fault": [{"kind": "drop", "at": "x"}]},
            "(drop): at: Input should be a valid number",
            id="a time that is none",
        ),
        pytest.param(
            {"fault": [{"kind": "truncate"}]},
            "truncate cannot happen to logs",
            id="a REST step on the socket",
        ),
        pytest.param(
            {"fault": [{"kind": "http", "where": "x"}]},
            "(http): where: Input should be 'logs', 'events' or 'rest'",
            id="an unknown place",
        ),
        pytest.param({"fault": [{"kind": {}}]}, "kind {} is unknown", id="a kind that is a table"),
        pytest.param(
            {"fault": [{"kind": "http", "where": []}]}, "where: Input should be", id="a place that is a list"
        ),
        pytest.param(
            {"fault": [{"kind": "http"}]}, "(http): status: Field required", id="a status that is missing"
        ),
        pytest.param(
            {"fault": [{"kind": "http", "status": "x"}]},
            "status: Input should be a valid integer",
            id="a status",
        ),
        pytest.param(
            {"fault": [{"kind": "http", "status": 99}]},
            "status: Input should be greater than or equal to 100",
            id="no status at all",
        ),
        pytest.param(
            {"fault": [{"kind": "http", "status": 500, "headers": {"a": 1}}]},
            "headers.a: Input should be a valid string",
            id="a header",
        ),
        pytest.param(
            {"fault": [{"kind": "stall", "at": "x"}]}, "cannot happen at a time", id="where to stall"
        ),
        pytest.param(
            {"fault": [{"kind": "slice", "size": 0}]},
            "size: Input should be greater than or equal to 1",
            id="slices of nothing",
        ),
        pytest.param(
            {"fault": [{"kind": "drop", "times": "x"}]},
            "times: Input should be a valid integer",
            id="how often",
        ),
        pytest.param(
            {"fault": [{"kind": "close", "at": 1, "code": 70_000}]},
            "code: Input should be less than or equal to 65535",
            id="a code too high",
        ),
        pytest.param(
            {"logs": {"batch": 0, "count": 1}},
            "batch: Input should be greater than or equal to 1",
            id="POSTs of nothing",
        ),
        pytest.param(
            {"logs": {"late": float("nan")}},
            "[logs]: late: Input should be a finite number",
            id="a number that is none",
        ),
    ],
)
def test_a_wrong_scenario_is_told_with_its_place(data: dict[str, Any], words: str) -> None:
    """ConfigError before anything is opened."""
    with pytest.raises(ConfigError) as error:
        parse(data)
    assert words in str(error.value)


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # how slow a machine is says nothing
@given(st.dictionaries(st.sampled_from(["server", "logs", "fault", "x"]), json))
def test_nothing_but_a_config_error_comes_of_any_mapping(data: dict[str, Any]) -> None:
    """Whatever the TOML holds."""
    with contextlib.suppress(ConfigError):
        assert isinstance(parse(data), Scenario)


def test_a_flag_says_the_same_as_a_table() -> None:
    """KIND:KEY=VALUE,..."""
    assert fault(parse_fault("slice:size=1")) == Fault(Slice(1))
    assert fault(parse_fault("restart:at=2,downtime=0.5")) == Action("restart", 2.0, {"downtime": 0.5})
    with pytest.raises(ConfigError, match="is not KEY=VALUE"):
        parse_fault("slice:1")
