"""Logs as logfmt: pairs of a key and a value, one log a line."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawlogs.models import Log
from rawlogs.output.escape import HIDDEN
from rawlogs.output.logfmt import LogfmtFormat

FLOW_RUN = "11111111-2222-4333-8444-555555555555"
LOG_ID = "00000000-0000-4000-8000-000000000001"
PAIR = re.compile(r'([^\s="]+)=("(?:[^"\\]|\\.)*"|[^\s="]*)')


def line_of(**fields: Any) -> str:
    """The line of a log as the wire gives it."""
    wire = {
        "id": LOG_ID,
        "name": "prefect.flow_runs",
        "level": 30,
        "message": "hello",
        "timestamp": "2026-01-02T03:04:05.678901Z",
        "flow_run_id": FLOW_RUN,
        "task_run_id": None,
    }
    return LogfmtFormat().encode(Log.from_wire(wire | fields)).decode()


def read(line: str) -> dict[str, str]:
    """What a logfmt reader makes of a line: quoted values are JSON strings."""
    found = PAIR.findall(line)
    assert " ".join(f"{key}={value}" for key, value in found) + "\n" == line
    return {key: json.loads(value) if value.startswith('"') else value for key, value in found}


def test_a_log_is_one_line_of_pairs() -> None:
    assert line_of() == (
        "time=2026-01-02T03:04:05.678901Z level=warning logger=prefect.flow_runs msg=hello "
        f"id={LOG_ID} flow_run_id={FLOW_RUN}\n"
    )


@pytest.mark.parametrize(
    ("message", "written"),
    [
        ("two words", '"two words"'),
        ("a=b", '"a=b"'),
        ('say "no"', r'"say \"no\""'),
        ("back\\slash", r'"back\\slash"'),
        ("one\ntwo", r'"one\ntwo"'),
        ("\x1b[31m", r'"\u001b[31m"'),
        ("\x7f\u202e", r'"\u007f\u202e"'),
        ("größer", '"größer"'),
        ("", '""'),
        ("null", '"null"'),
        ("100%", "100%"),
    ],
)
def test_what_a_reader_could_take_for_something_else_is_quoted(message: str, written: str) -> None:
    assert f" msg={written} id=" in line_of(message=message)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_reader_gets_the_text_back(message: str) -> None:
    line = line_of(message=message)
    assert read(line)["msg"] == message
    assert not HIDDEN.search(line)
    assert line.count("\n") == 1


def test_unknown_fields_come_last_under_keys_that_no_own_key_has() -> None:
    pairs = read(line_of(level=25, extra_id=7, msg={"a": [1, None]}, gone=None, **{'a =\n"\x7fé': True}))
    assert pairs["level"] == "level 25"
    assert list(pairs.items())[-3:] == [
        ("prefect_extra_id", "7"),
        ("prefect_msg", '{"a":[1,null]}'),
        ("prefect_a______", "true"),
    ]
