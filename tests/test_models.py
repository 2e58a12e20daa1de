"""A Log: what is read from the wire, what it shows, and what it gives back."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from rawlogs.log_values import level_name, level_number, parse_timestamp
from rawlogs.models import FIELDS, Log

UTC = timezone.utc
ID = "01a20537-c002-7db3-8e59-6c5b0fa42bcb"
FLOW_RUN = "60802438-10f0-48d7-b87a-390fcef3654e"
TASK_RUN = "01a20537-b850-7e2a-b8ad-1f32d8d39a5f"
WIRE = {
    "id": ID,
    "created": None,
    "updated": None,
    "name": "prefect.task_runs",
    "level": 20,
    "message": "task says 1",
    "timestamp": "2026-11-22T21:44:27.483834Z",
    "flow_run_id": FLOW_RUN,
    "task_run_id": TASK_RUN,
}
MOMENT = datetime(2026, 11, 22, 21, 44, 27, 483834, tzinfo=UTC)


def wire(**fields: Any) -> dict[str, Any]:
    return {**WIRE, **fields}


def log(**fields: Any) -> Log:
    return Log.from_wire(wire(**fields))


# Reading


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", UUID(ID)),
        ("id_text", ID),
        ("created", None),
        ("updated", None),
        ("name", "prefect.task_runs"),
        ("level", 20),
        ("level_name", "INFO"),
        ("message", "task says 1"),
        ("timestamp", MOMENT),
        ("flow_run_id", UUID(FLOW_RUN)),
        ("task_run_id", UUID(TASK_RUN)),
        ("extra", {}),
        ("raw", None),
    ],
)
def test_every_field_has_its_python_type(field: str, value: object) -> None:
    found = getattr(log(), field)
    assert (found, type(found)) == (value, type(value))


def test_a_listed_log_has_the_dates_of_its_storing() -> None:
    listed = log(created="2026-11-22T21:44:28Z", updated="2026-11-22T22:44:29.5+01:00")
    assert listed.created == datetime(2026, 11, 22, 21, 44, 28, tzinfo=UTC)
    assert listed.updated == datetime(2026, 11, 22, 21, 44, 29, 500000, tzinfo=UTC)


@pytest.mark.parametrize("value", ["yesterday", 5, ["2026-01-01T00:00:00Z"], {}])
def test_a_date_of_storing_that_is_no_timestamp_is_none(value: object) -> None:
    assert log(created=value).created is None


def test_a_log_of_no_run_has_no_run_ids() -> None:
    lone = log(flow_run_id=None, task_run_id=None)
    assert (lone.flow_run_id, lone.task_run_id) == (None, None)


def test_optional_fields_may_be_missing() -> None:
    short = Log.from_wire({field: WIRE[field] for field in ("id", "level", "message", "timestamp")})
    assert (short.name, short.created, short.flow_run_id, short.task_run_id) == ("", None, None, None)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        pytest.param("2026-01-02T03:04:05Z", datetime(2026, 1, 2, 3, 4, 5), id="no fraction"),
        pytest.param("2026-01-02T03:04:05.678901Z", datetime(2026, 1, 2, 3, 4, 5, 678901), id="microseconds"),
        pytest.param("2026-01-02T03:04:05.6Z", datetime(2026, 1, 2, 3, 4, 5, 600000), id="one digit"),
        pytest.param(
            "2026-01-02T03:04:05.678901234Z", datetime(2026, 1, 2, 3, 4, 5, 678901), id="nanoseconds"
        ),
        pytest.param("2026-01-02T03:04:05,5Z", datetime(2026, 1, 2, 3, 4, 5, 500000), id="decimal comma"),
        pytest.param("2026-01-02T03:04:05+02:00", datetime(2026, 1, 2, 1, 4, 5), id="offset"),
        pytest.param("2026-01-02T03:04:05.5-14:00", datetime(2026, 1, 2, 17, 4, 5, 500000), id="far offset"),
        pytest.param(
            "2026-01-02T03:04:05+0530", datetime(2026, 1, 1, 21, 34, 5), id="offset without a colon"
        ),
        pytest.param("2026-01-02T03:04:05+01", datetime(2026, 1, 2, 2, 4, 5), id="offset of hours"),
        pytest.param("2026-01-02T03:04:05", datetime(2026, 1, 2, 3, 4, 5), id="naive is UTC"),
        pytest.param("2026-01-02T03:04Z", datetime(2026, 1, 2, 3, 4), id="no seconds"),
        pytest.param("2026-01-02 03:04:05.25", datetime(2026, 1, 2, 3, 4, 5, 250000), id="a space for the T"),
        pytest.param("2026-01-02", datetime(2026, 1, 2), id="a day"),
        pytest.param("0001-01-01T00:00:00Z", datetime(1, 1, 1), id="the first instant"),
        pytest.param(
            "9999-12-31T23:59:59.999999Z", datetime(9999, 12, 31, 23, 59, 59, 999999), id="the last instant"
        ),
    ],
)
def test_timestamps_are_read_as_utc(text: str, moment: datetime) -> None:
    parsed = parse_timestamp(text)
    assert (parsed, parsed.tzinfo) == (moment.replace(tzinfo=UTC), UTC)


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_an_instant_outside_of_utcs_calendar_keeps_its_offset(text: str) -> None:
    assert parse_timestamp(text).isoformat() == text


@pytest.mark.parametrize(
    "text", ["", "now", "12:00", "2026-13-01T00:00:00Z", "2026-01-02T03:04:05+25:00", "\ud800"]
)
def test_what_is_no_timestamp_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):
        parse_timestamp(text)


@pytest.mark.parametrize("level", [-5, 0, 5, 25, 99, 2**31, 2**63 - 1])
def test_any_whole_number_is_a_level(level: int) -> None:
    assert log(level=level).level == level


@pytest.mark.parametrize(
    ("field", "value", "read"),
    [
        pytest.param("level", "30", 30, id="a level in digits"),
        pytest.param("level", "-5", -5, id="a negative level in digits"),
        pytest.param("id", ID.upper(), UUID(ID), id="an id in capitals"),
        pytest.param("id", ID.replace("-", ""), UUID(ID), id="an id without dashes"),
        pytest.param("flow_run_id", f"{{{FLOW_RUN}}}", UUID(FLOW_RUN), id="a run in braces"),
        pytest.param("task_run_id", TASK_RUN.upper(), UUID(TASK_RUN), id="a task run in capitals"),
    ],
)
def test_unusual_spellings_that_lose_nothing_are_read(field: str, value: str, read: object) -> None:
    assert getattr(log(**{field: value}), field) == read


def test_an_id_has_one_text_however_it_is_spelled() -> None:
    assert log(id=f"urn:uuid:{ID.upper()}").id_text == ID


def test_reading_leaves_the_callers_dict_as_it_is() -> None:
    odd = wire(id=ID.upper(), level="30", flow_run_id=FLOW_RUN.upper(), task_run_id=TASK_RUN.upper())
    before = dict(odd)
    Log.from_wire(odd)
    assert odd == before


def _without(field: str) -> dict[str, Any]:
    return {key: value for key, value in WIRE.items() if key != field}


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        pytest.param([], "a log is not a JSON object", id="a list"),
        pytest.param(None, "a log is not a JSON object", id="null"),
        *(
            pytest.param(_without(field), f"a log has no {field}", id=f"no {field}")
            for field in ("id", "level", "message", "timestamp")
        ),
        pytest.param(wire(id=5), "id is not a UUID", id="id as a number"),
        pytest.param(wire(id=None), "id is not a UUID", id="id null"),
        pytest.param(wire(id="x"), "id is not a UUID", id="id as a word"),
        pytest.param(wire(level=None), "level is not a whole number", id="level null"),
        pytest.param(wire(level=30.5), "level is not a whole number", id="level with a fraction"),
        pytest.param(wire(level=True), "level is not a whole number", id="level true"),
        pytest.param(wire(level="INFO"), "level is not a whole number", id="level by name"),
        pytest.param(wire(level="9" * 5000), "level is not a whole number", id="level of 5000 digits"),
        pytest.param(wire(message=None), "message is not text", id="message null"),
        pytest.param(wire(message=["a"]), "message is not text", id="message as a list"),
        pytest.param(wire(timestamp=1700000000), "timestamp is not text", id="timestamp as a number"),
        pytest.param(wire(timestamp="soon"), "timestamp is not ISO 8601", id="timestamp as a word"),
        pytest.param(wire(flow_run_id=""), "flow_run_id is not a UUID", id="empty flow run"),
        pytest.param(wire(flow_run_id=7), "flow_run_id is not a UUID", id="flow run as a number"),
        pytest.param(wire(task_run_id="run-1"), "task_run_id is not a UUID", id="task run by name"),
        pytest.param(wire(name=None), "name is not text", id="name null"),
    ],
)
def test_a_log_that_cannot_be_read_names_the_field(data: object, problem: str) -> None:
    with pytest.raises(ValueError, match=f"^{problem}$"):
        Log.from_wire(data)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())  # with lone surrogates, as json.loads reads them
    | st.sampled_from([ID, FLOW_RUN, "2026-11-22T21:44:27Z", "20"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS) | st.text(), inner, max_size=9)
    ),
    max_leaves=12,
)


@given(JSON | st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS, JSON)))
def test_whatever_json_arrives_is_a_log_or_a_value_error(data: Any) -> None:
    try:
        found = Log.from_wire(data)
    except ValueError:
        return
    assert [getattr(found, field) for field in FIELDS if field != "id"]


@given(st.dictionaries(st.sampled_from(FIELDS), JSON).map(lambda fields: wire(**fields)))
def test_what_is_a_log_can_be_dumped_and_read_again(data: Any) -> None:
    try:
        found = Log.from_wire(data)
    except ValueError:
        return
    try:
        text = found.model_dump_json()
    except TypeError as error:
        assert "64-bit" in str(error)  # no JSON that is decoded here holds such a number
        return
    assert json.loads(text) == found.model_dump(mode="json")


# Extra fields


def test_unknown_fields_are_kept() -> None:
    more = {"worker_id": "w-1", "tags": ["a", {"b": None}]}
    found = log(**more)
    assert found.extra == more
    assert {key: found.model_dump()[key] for key in more} == more
    assert json.loads(found.model_dump_json())["tags"] == ["a", {"b": None}]


# Dumping


def test_a_python_dump_has_python_types() -> None:
    assert log().model_dump() == {
        "id": UUID(ID),
        "created": None,
        "updated": None,
        "name": "prefect.task_runs",
        "level": 20,
        "message": "task says 1",
        "timestamp": MOMENT,
        "flow_run_id": UUID(FLOW_RUN),
        "task_run_id": UUID(TASK_RUN),
        "level_name": "INFO",
    }


def test_a_json_dump_is_the_wire_with_times_in_z() -> None:
    dump = log(timestamp="2026-11-22T23:44:27.483834+02:00", created="2026-11-22T21:44:28+00:00").model_dump(
        mode="json"
    )
    assert dump == wire(created="2026-11-22T21:44:28Z", level_name="INFO")


@pytest.mark.parametrize(
    ("options", "keys"),
    [
        pytest.param({"include": {"id", "message"}}, {"id", "message"}, id="include"),
        pytest.param({"include": ["level_name"]}, {"level_name"}, id="include level_name"),
        pytest.param({"exclude": {*FIELDS} - {"id"}}, {"id", "level_name"}, id="exclude"),
        pytest.param({"include": {"id", "name"}, "exclude": {"name"}}, {"id"}, id="exclude wins"),
        pytest.param(
            {"exclude_none": True}, {*FIELDS, "level_name"} - {"created", "updated"}, id="exclude_none"
        ),
    ],
)
@pytest.mark.parametrize("mode", ["python", "json"])
def test_a_dump_can_be_cut_down(options: Mapping[str, Any], keys: set[str], mode: str) -> None:
    assert log().model_dump(mode=mode, **options).keys() == keys


def test_json_text_is_one_line_or_indented_by_two() -> None:
    assert log().model_dump_json(include=["level"]) == '{"level":20}'
    assert log().model_dump_json(include=["level"], indent=2) == '{\n  "level": 20\n}'


def test_a_lone_surrogate_does_not_spoil_a_dump() -> None:
    assert json.loads(log(message="a\ud800b", tags=["\udfff"]).model_dump_json())["message"] == "a?b"


# Making a Log from other things


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(WIRE, id="the wire's object"),
        pytest.param(log(), id="a Log"),
        pytest.param(log().model_dump(), id="a python dump"),
        pytest.param(log().model_dump(mode="json"), id="a json dump"),
        pytest.param(log().model_dump_json(indent=2), id="json text"),
        pytest.param(log().model_dump_json().encode(), id="json bytes"),
        pytest.param(bytearray(log().model_dump_json().encode()), id="a bytearray"),
        pytest.param(SimpleNamespace(**log().model_dump()), id="an object with attributes"),
    ],
)
def test_a_log_is_made_of_its_own_dumps_and_the_like(source: object) -> None:
    assert Log.model_validate(source).model_dump() == log().model_dump()


def test_a_naive_datetime_is_utc() -> None:
    assert Log.model_validate(wire(timestamp=MOMENT.replace(tzinfo=None))).timestamp == MOMENT


def test_a_datetime_in_another_zone_is_the_same_instant() -> None:
    there = MOMENT.astimezone(timezone(timedelta(hours=-8)))
    assert Log.model_validate(wire(timestamp=there)).timestamp == MOMENT


def test_json_as_others_write_it_is_read() -> None:
    text = json.dumps(wire(message="\ud800", score=float("nan")))
    assert Log.model_validate(text).model_dump(include=["message", "score"]) == {
        "message": "?",
        "score": None,
    }


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        pytest.param("{", "a log is not JSON", id="broken text"),
        pytest.param("[]", "a log is not a JSON object", id="another text"),
        pytest.param(b"\xff", "a log is not JSON", id="bytes that are no text"),
        pytest.param(5, "id is not a UUID", id="a number"),
        pytest.param({}, "a log has no id", id="an empty dict"),
        pytest.param(
            wire(tags={1, 2}), "a log cannot hold this: Type is not JSON serializable: set", id="a set"
        ),
    ],
)
def test_what_is_no_log_is_a_value_error(source: object, problem: str) -> None:
    with pytest.raises(ValueError, match=f"^{problem}$"):
        Log.model_validate(source)


# A Log is a value


def test_logs_with_the_same_content_are_equal_and_hash_alike() -> None:
    assert log() == Log.from_wire(dict(WIRE), raw=b"{}")
    assert hash(log()) == hash(log(message="another"))
    assert {log(), log()} == {log()}


@pytest.mark.parametrize("other", [log(message="other"), log(id=FLOW_RUN), WIRE, None])
def test_other_logs_and_other_things_are_not_equal(other: object) -> None:
    assert log() != other


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_copies_are_equal_and_keep_the_raw_bytes(again: Any) -> None:
    one = Log.from_wire(wire(tags=["a"]), raw=b"raw")
    other = again(one)
    assert (other, other.raw, other.timestamp) == (one, b"raw", MOMENT)


@pytest.mark.parametrize("name", ["message", "_data", "anything"])
def test_a_log_cannot_be_changed(name: str) -> None:
    one = log()
    with pytest.raises(AttributeError, match="immutable"):
        setattr(one, name, "x")
    with pytest.raises(AttributeError, match="immutable"):
        delattr(one, name)


def test_the_repr_is_one_short_line() -> None:
    shown = repr(log(message="a\n\x1b[31m" + "x" * 100))
    assert shown == (
        "<Log INFO 2026-11-22T21:44:27.483834+00:00 'prefect.task_runs' 'a\\n\\x1b[31m" + "x" * 50 + "...'>"
    )


# Levels


@pytest.mark.parametrize(
    ("given_as", "number"),
    [
        *((name, number) for number, name in ((10, "DEBUG"), (20, "INFO"), (30, "WARNING"), (40, "ERROR"))),
        ("CRITICAL", 50),
        ("notset", 0),
        ("warn", 30),
        (" Fatal ", 50),
        ("20", 20),
        ("-5", -5),
        (25, 25),
        (2**40, 2**40),
    ],
)
def test_a_level_is_a_name_in_any_case_or_a_number(given_as: str | int, number: int) -> None:
    assert level_number(given_as) == number


@pytest.mark.parametrize("wrong", ["", "LOUD", "30.5", "9" * 5000])
def test_an_unknown_level_names_the_known_ones(wrong: str) -> None:
    with pytest.raises(ValueError, match="DEBUG, INFO, WARNING, ERROR, CRITICAL, or a number"):
        level_number(wrong)


@pytest.mark.parametrize("wrong", [True, False])
def test_true_and_false_are_no_levels(wrong: bool) -> None:
    with pytest.raises(ValueError, match="not true or false"):
        level_number(wrong)


@pytest.mark.parametrize(
    ("number", "name"), [(10, "DEBUG"), (50, "CRITICAL"), (25, "Level 25"), (-5, "Level -5")]
)
def test_a_level_without_a_name_is_called_by_its_number(number: int, name: str) -> None:
    assert level_name(number) == name


# Logs that a program makes


def test_a_log_is_made_of_its_fields() -> None:
    moment = datetime(2026, 11, 20, 10, tzinfo=timezone.utc)
    made = Log(id=ID, name="etl", level=20, message="x", timestamp=moment, flow_run_id=UUID(ID))
    assert (made.id_text, made.name, made.level_name, made.message) == (ID, "etl", "INFO", "x")
    assert (made.timestamp, made.flow_run_id, made.task_run_id) == (moment, UUID(ID), None)
    assert (made.created, made.extra, made.raw) == (None, {}, None)


def test_a_log_without_an_id_gets_one_of_its_own() -> None:
    one, other = (Log(level=20, message="x", timestamp="2026-11-20T10:00:00Z") for _ in range(2))
    assert one.id != other.id
    assert one != other


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"level": "INFO"}, "level is not a whole number"),
        ({"message": 5}, "message is not text"),
        ({"timestamp": "soon"}, "timestamp is not ISO 8601"),
        ({"id": "5"}, "id is not a UUID"),
        ({"flow_run_id": "x"}, "flow_run_id is not a UUID"),
        ({"tags": {1}}, "a log cannot hold this"),
    ],
)
def test_a_log_of_wrong_fields_is_a_value_error(fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Log(**{"level": 20, "message": "x", "timestamp": "2026-11-20T10:00:00Z", **fields})


def test_spelling_makes_no_difference_to_equality() -> None:
    one = Log.from_wire(wire(timestamp="2026-11-20T10:00:00Z"))
    assert one == Log.from_wire(wire(timestamp="2026-11-20T11:00:00+01:00", level_name="INFO"))
    assert one != Log.from_wire(wire(timestamp="2026-11-20T10:00:00Z", message="other"))


def test_timestamps_of_a_derived_class_are_timestamps() -> None:
    """Prefect's own objects have such."""

    class Moment(datetime):
        pass

    class Theirs:
        id, name, level, message = UUID(ID), "etl", 20, "x"
        timestamp = Moment(2026, 11, 20, 10, tzinfo=timezone.utc)

    assert Log.model_validate(Theirs()).timestamp == datetime(2026, 11, 20, 10, tzinfo=timezone.utc)


# Logs in models of pydantic


class Page(BaseModel):
    """An application's own model."""

    logs: list[Log]


def test_a_model_takes_logs_and_gives_them_back() -> None:
    page = Page(logs=[log(), wire()])
    assert page.logs == [log(), log()]
    assert page.model_dump() == {"logs": [log().model_dump()] * 2}
    assert json.loads(page.model_dump_json()) == {"logs": [log().model_dump(mode="json")] * 2}
    assert Page.model_validate_json(page.model_dump_json()) == page


def test_a_model_refuses_what_is_no_log() -> None:
    with pytest.raises(ValidationError, match="level is not a whole number"):
        Page.model_validate({"logs": [wire(level="high")]})


def test_the_schema_of_a_model_has_the_fields_of_a_dump() -> None:
    schema = Page.model_json_schema()["properties"]["logs"]["items"]
    assert set(schema["properties"]) == set(log().model_dump())
    assert set(schema["required"]) == {"id", "name", "level", "message", "timestamp", "level_name"}
