"""The one grammar of durations and moments: by its table, by properties, and where it is used."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streaming import no_settings as no_settings

import rawlogs
from rawlogs.cli.group import run
from rawlogs.durations import LONGEST, moment, parse_duration, parse_moment, seconds
from rawlogs.models import BEGINNING
from rawlogs.relay.query import BadQuery, Query, parse_query

UTC = timezone.utc
NOW = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
DURATIONS = [
    ("90s", timedelta(seconds=90)),
    ("10m", timedelta(minutes=10)),
    ("1h30m", timedelta(minutes=90)),
    ("1h 30m", timedelta(minutes=90)),
    (" 2H ", timedelta(hours=2)),
    ("1.5d", timedelta(hours=36)),
    ("2w", timedelta(days=14)),
    ("0", timedelta()),
    ("90", timedelta(seconds=90)),
    ("0.5", timedelta(milliseconds=500)),
    ("123456789", timedelta(seconds=123456789)),
    ("20261120s", timedelta(seconds=20261120)),
    ("0000000001s", timedelta(seconds=1)),
]
MOMENTS = [
    ("1795174216", datetime(2026, 11, 20, 11, 30, 16, tzinfo=UTC)),
    ("1795174216.25", datetime(2026, 11, 20, 11, 30, 16, 250_000, tzinfo=UTC)),
    ("1795174215500", datetime(2026, 11, 20, 11, 30, 15, 500_000, tzinfo=UTC)),
    ("0000000000", datetime(1970, 1, 1, tzinfo=UTC)),
    ("20261120", datetime(2026, 11, 20, tzinfo=UTC)),
    ("2026-11-20", datetime(2026, 11, 20, tzinfo=UTC)),
    ("2026-11-20T10:00:00Z", NOW),
    ("2026-11-20 10:00", NOW),
    ("2026-11-20T11:00:00+01:00", NOW),
    ("2026-11-20T10:00:00.5Z", NOW + timedelta(milliseconds=500)),
]
NEITHER = [
    "",
    " ",
    "yesterday",
    "nan",
    "inf",
    "-inf",
    "infinity",
    "-5m",
    "+5m",
    "1e3",
    "1e3s",
    "10 minutes",
    "5y",
    "m",
    "1.m",
    ".5h",
    "١٠m",
    "1000000d",
    "1" * 90 + "d",
    "9" * 400 + "s",
    "1m" * 40_000,
    "20261320",
    "20260230",
    "00000000",
    "999999999999",
    "12345678901234",
    "9" * 5000,
    "2026-13-01",
    "2026-11-20T25:00:00Z",
    "10000-01-01T00:00:00Z",
]


@pytest.fixture(params=["UTC", "Asia/Kathmandu"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Local time of that zone; what is read as UTC is not moved by it."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(("text", "length"), DURATIONS)
def test_durations(text: str, length: timedelta) -> None:
    assert parse_duration(text) == parse_moment(text) == length


@pytest.mark.parametrize(("text", "when"), MOMENTS)
def test_moments(text: str, when: datetime, zone: str) -> None:
    found = parse_moment(text)
    assert isinstance(found, datetime)
    assert (found, found.utcoffset()) == (when, timedelta())


@pytest.mark.parametrize("text", ["20261120", "2026-11-20", "2026-11-20T00:00"])
def test_times_without_a_zone_are_local_where_that_is_asked_for(text: str, zone: str) -> None:
    found = parse_moment(text, local=True)
    assert found == datetime(2026, 11, 20).astimezone()
    shift = timedelta(hours=5, minutes=45) if zone != "UTC" else timedelta()
    assert found == datetime(2026, 11, 20, tzinfo=UTC) - shift


@pytest.mark.parametrize("zone", ["Asia/Kathmandu", "America/New_York"], indirect=True)
def test_a_local_time_outside_of_the_calendar_of_utc_is_refused(zone: str) -> None:
    """The first hours of all east of Greenwich, and the last west of it."""
    text = "0001-01-01T00:00" if zone.startswith("Asia") else "9999-12-31T23:59"
    with pytest.raises(ValueError, match="is no local time"):
        parse_moment(text, local=True)
    assert isinstance(parse_moment(text), datetime)


@pytest.mark.parametrize("local", [True, False])
@pytest.mark.parametrize("text", NEITHER)
def test_what_is_neither_is_refused_in_words(text: str, local: bool) -> None:
    with pytest.raises(ValueError, match=r".{20}") as caught:
        parse_moment(text, local=local)
    assert type(caught.value) is ValueError
    assert len(str(caught.value)) < 200


@given(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
    | st.from_regex(r"\A[0-9.]{1,16}[smhdw]?\Z")
)
def test_any_text_is_a_moment_or_refused(text: str) -> None:
    try:
        found = parse_moment(text)
    except ValueError:
        return
    if isinstance(found, timedelta):
        assert timedelta() <= found <= LONGEST
        assert NOW - found > BEGINNING
    else:
        assert found.tzinfo is not None


@given(st.timedeltas(timedelta(), timedelta(days=365)))
def test_a_duration_in_seconds_is_read_as_it_was_written(length: timedelta) -> None:
    assert parse_duration(f"{length.total_seconds():.6f}s") == length


# As arguments of the library.


@pytest.mark.parametrize(
    ("value", "when"),
    [
        ("10m", NOW - timedelta(minutes=10)),
        (timedelta(hours=1), NOW - timedelta(hours=1)),
        ("2026-11-20T09:00:00Z", datetime(2026, 11, 20, 9, tzinfo=UTC)),
        (NOW, NOW),
    ],
)
def test_an_argument_may_be_written_in_each_way(value: Any, when: datetime) -> None:
    assert moment(value, NOW, name="since") == when


@pytest.mark.parametrize(
    "value",
    [*NEITHER, timedelta(days=10**6), timedelta(days=-(10**7)), 5, 1.5, True, b"5m", []],
)
def test_a_wrong_argument_is_named(value: Any) -> None:
    with pytest.raises(rawlogs.ConfigError, match=r"^until: ") as caught:
        moment(value, NOW, name="until")
    assert caught.value.setting == "until"


@pytest.mark.parametrize(
    ("value", "length"), [(5, 5), (0.5, 0.5), ("2m", 120.0), (timedelta(seconds=3), 3.0)]
)
def test_seconds_may_be_written_in_each_way(value: Any, length: float) -> None:
    assert seconds(value, name="audit") == length


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), -float("inf"), 10**400, True, None, "soon", "nan", "", [], b"1"]
)
def test_what_is_no_number_of_seconds_is_named(value: Any) -> None:
    with pytest.raises(rawlogs.ConfigError, match=r"^audit: ") as caught:
        seconds(value, name="audit")
    assert caught.value.setting == "audit"


# In the command and in the relay.


@pytest.mark.parametrize("flag", ["--since", "--until"])
@pytest.mark.parametrize("text", ["yesterday", "nan", "inf", "1000000d", "999999999999", "20261320", ""])
def test_the_command_refuses_what_is_neither(
    flag: str, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["tail", "--api-url", "http://127.0.0.1:1/api", flag, text]) == 2
    assert flag in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "since"),
    [*DURATIONS, *MOMENTS, ("start", BEGINNING), ("2026-11-20T11:00:00 01:00", NOW)],
)
def test_the_relay_reads_the_same(text: str, since: Any) -> None:
    assert parse_query([("since", text)]).since == since


@pytest.mark.parametrize("text", [text for text in NEITHER if text not in ("",)])
def test_the_relay_refuses_the_same(text: str) -> None:
    with pytest.raises(BadQuery) as caught:
        parse_query([("since", text)])
    assert list(caught.value.problems) == ["since"]


@pytest.mark.parametrize(
    ("since", "problem"), [("10m", "parse_moment"), (5, "neither"), (datetime(2026, 1, 1), "time zone")]
)
def test_a_query_of_a_program_names_what_it_cannot_use(since: Any, problem: str) -> None:
    with pytest.raises(BadQuery, match=problem) as caught:
        Query(since=since)
    assert list(caught.value.problems) == ["since"]
