"""The columns before a log: names of one width, a colour for each run, and the date where it is not today."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta, timezone
from uuid import UUID

import pytest
from test_output_text import make_log

from rawlogs.output.color import free_color, name_color
from rawlogs.output.layout import Layout, cells, column_bound, shorten
from rawlogs.output.text import TextFormat

ONE, TWO, THREE = (UUID(int=n) for n in (1, 2, 3))


@pytest.mark.parametrize(
    ("text", "width"),
    [
        pytest.param("noisy-bat", 9, id="ASCII"),
        pytest.param("", 0, id="nothing"),
        pytest.param("日本語", 6, id="CJK"),
        pytest.param("한글", 4, id="Hangul"),
        pytest.param("🔥x", 3, id="emoji"),
        pytest.param("naïve", 5, id="Latin letters"),
        pytest.param("nai\u0308ve", 5, id="a combining mark"),
        pytest.param("می\u200cخواهم", 7, id="a joiner"),
    ],
)
def test_cells_of_a_text(text: str, width: int) -> None:
    """Wide letters take two, marks none."""
    assert cells(text) == width


@pytest.mark.parametrize(
    ("text", "width", "short"),
    [
        pytest.param("noisy-bat", 9, "noisy-bat", id="it fits"),
        pytest.param("nightly-load-2026-11-21", 12, "nightl…11-21", id="its last letters stay"),
        pytest.param("日本語日本語", 7, "日…語", id="wide letters are not halved"),
        pytest.param("🔥🔥🔥🔥", 4, "🔥…", id="emoji"),
        pytest.param("abc", 1, "…", id="one cell"),
    ],
)
def test_a_long_name_is_cut_in_its_middle(text: str, width: int, short: str) -> None:
    """Never wider than asked for."""
    assert shorten(text, width) == short
    assert cells(short) <= width


@pytest.mark.parametrize(("columns", "bound"), [(20, 12), (80, 20), (100, 25), (200, 28)])
def test_the_column_takes_a_quarter_of_the_terminal_at_most(columns: int, bound: int) -> None:
    """Within bounds."""
    assert column_bound(columns) == bound


STEPS = [
    pytest.param(20, [], [("noisy-bat", "noisy-bat | ")], id="the first name"),
    pytest.param(
        20,
        ["noisy-bat", "a"],
        [("a", "a         | "), ("noisy-bat", "noisy-bat | ")],
        id="names that are known",
    ),
    pytest.param(
        20,
        [],
        [("ab", "ab | "), ("abcd", "abcd | "), ("ab", "ab   | ")],
        id="a longer name widens the column, for good",
    ),
    pytest.param(6, [], [("a-long-name", "a-l…me | "), ("ab", "ab     | ")], id="the bound holds"),
    pytest.param(20, ["日本"], [("日本", "日本 | "), ("abc", "abc  | ")], id="wide names"),
    pytest.param(20, ["abc"], [("", "-   | "), ("  ", "-   | ")], id="no name"),
    pytest.param(20, [], [("", "- | ")], id="no name at all"),
    pytest.param(20, ["a\x1b[2J"], [("a\x1b[2J", r"a\x1b[2J | ")], id="hostile"),
    pytest.param(
        None, ["abcdef"], [("ab", "ab | "), ("", ""), ("x" * 99, "x" * 99 + " | ")], id="no terminal"
    ),
]


@pytest.mark.parametrize(("bound", "known", "steps"), STEPS)
def test_names_stand_in_a_column(bound: int | None, known: list[str], steps: list[tuple[str, str]]) -> None:
    """As wide as the widest so far; on what is no terminal they stay as they are."""
    layout = Layout(bound=bound)
    layout.expect(known)
    assert [(name, layout.prefix(name)) for name, _ in steps] == steps


def test_runs_at_once_have_colours_of_their_own() -> None:
    """The colour of a name, unless another run has it; the same one also after the column was widened."""
    names = [f"run-{n}" for n in range(8)]
    layout = Layout(bound=20, color=True)
    first = [layout.prefix(name)[:5] for name in names]
    assert len(set(first)) == 8
    layout.prefix("a-much-longer-name")
    assert [layout.prefix(name)[:5] for name in names] == first
    assert free_color("run-0", []) == name_color("run-0") == free_color("run-0", first)


def test_the_padding_has_no_colour() -> None:
    """The name alone is coloured, and cut by what is seen of it."""
    layout = Layout(bound=4, color=True)
    layout.expect(["abcd"])
    assert re.fullmatch(r"\x1b\[\d+mab\x1b\[0m   \| ", layout.prefix("ab"))


NOW = datetime(2026, 11, 26, 10, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("stamps", "starts"),
    [
        pytest.param(["2026-11-26T09:00:00Z"], ["09:00:00.000"], id="today"),
        pytest.param(["2026-11-21T09:00:00Z"], ["2026-11-21 09:00:00.000"], id="another day"),
        pytest.param(
            ["2026-11-25T23:59:59.9Z", "2026-11-26T00:00:00Z", "2026-11-26T00:00:00Z"],
            ["2026-11-25 23:59:59.900", "2026-11-26 00:00:00.000", "2026-11-26 00:00:00.000"],
            id="once there was a date, it stays",
        ),
        pytest.param(
            ["2026-11-26T09:00:00Z", "2026-11-27T09:00:00Z", "2026-11-26T09:00:00Z"],
            ["09:00:00.000", "2026-11-27 09:00:00.000", "2026-11-26 09:00:00.000"],
            id="the day changes, and what was remembered is forgotten",
        ),
        pytest.param(
            ["0001-01-01T00:00:00+05:00"], ["0001-01-01 00:00:00.000"], id="the end of the calendar"
        ),
    ],
)
def test_times_have_a_date_from_the_first_that_is_not_today(stamps: list[str], starts: list[str]) -> None:
    """No line is of a day that nobody can tell."""
    form = TextFormat(timezone=timezone.utc, now=lambda: NOW)
    assert [form.line(make_log(timestamp=stamp)).split(" | ")[0] for stamp in stamps] == starts


def test_today_is_that_of_the_shown_zone() -> None:
    """What is yesterday in UTC may be today where the reader is."""
    zone = timezone(timedelta(hours=14))
    form = TextFormat(timezone=zone, now=lambda: NOW - timedelta(hours=1))
    assert form.line(make_log(timestamp="2026-11-26T11:00:00Z")).startswith("2026-11-27 01:00:00")
    form = TextFormat(timezone=zone, now=lambda: NOW)
    assert form.line(make_log(timestamp="2026-11-26T11:00:00Z")).startswith("01:00:00")


def test_midnight_passes_while_it_runs() -> None:
    """The day is asked for anew with each second."""
    today = [date(2026, 11, 26)]
    layout = Layout(today=lambda: today[0])
    assert not layout.date_due(date(2026, 11, 26))
    today[0] = date(2026, 11, 27)
    assert not layout.date_due(date(2026, 11, 27))
    assert layout.date_due(date(2026, 11, 26))
    assert layout.date_due(date(2026, 11, 27))


def test_lines_of_three_runs_have_one_layout() -> None:
    """Also where a run is known by the beginning of its id alone, and where a log belongs to none."""
    names = {ONE: "noisy-bat", TWO: "日本語"}
    form = TextFormat(timestamps="none", run_names=names, column=20)
    logs = [make_log(flow_run_id=str(run)) for run in (ONE, TWO, THREE)]
    lines = [form.line(log) for log in [*logs, make_log(flow_run_id=None)]]
    assert lines == [
        "noisy-bat | INFO    | prefect.flow_runs - hello",
        "日本語    | INFO    | prefect.flow_runs - hello",
        "00000000  | INFO    | prefect.flow_runs - hello",
        "-         | INFO    | prefect.flow_runs - hello",
    ]
    names[THREE] = "c"
    assert form.line(logs[2]) == "c         | INFO    | prefect.flow_runs - hello"
