"""Custom headers: decoded, merged name by name, checked, and never quoted in an error."""

from __future__ import annotations

import pytest

from rawlogs.config.network import HEADERS, Headers, merge_headers
from rawlogs.config.sources import Source
from rawlogs.errors import ConfigError

MARK = "S3cr3tMark"


def of(*values: object, place: str = "environment") -> Headers:
    return merge_headers(
        [Source(f"{place}{number or ''}", {HEADERS: value}) for number, value in enumerate(values)]
    )


@pytest.mark.parametrize(
    ("value", "values"),
    [
        ('{"X-A": "1", "X-B": "2"}', {"X-A": "1", "X-B": "2"}),
        ({"X-A": "1"}, {"X-A": "1"}),
        ('"{\\"X-A\\": \\"1\\"}"', {"X-A": "1"}),
        ("{}", {}),
        ("null", {}),
        ('{"X-A": " 1\\t"}', {"X-A": "1"}),
        ('{"X-A": ""}', {"X-A": ""}),
        ('{"X-A": "a\\tb é"}', {"X-A": "a\tb é"}),
        ('{"X-A": "1", "x-a": "2"}', {"x-a": "2"}),
    ],
)
def test_headers_are_a_json_object_or_a_mapping(value: object, values: dict[str, str]) -> None:
    assert of(value).values == values


def test_headers_of_all_places_are_merged_name_by_name() -> None:
    places = [
        Source("argument", {HEADERS: {"X-A": "argument"}}),
        Source("environment", {HEADERS: '{"x-a": "environment", "X-B": "environment"}'}),
        Source(".env", {}),
        Source("profile p", {HEADERS: '{"X-B": "profile", "X-C": "profile"}'}),
    ]
    merged = merge_headers(places)
    assert merged.values == {"X-A": "argument", "X-B": "environment", "X-C": "profile"}
    assert merged.origin == "argument + environment + profile p"
    assert merge_headers([Source(".env", {})]) == Headers({}, "default")


def test_a_bad_value_that_a_stronger_place_hides_does_no_harm() -> None:
    assert of({"X-A": "1"}, {"X-A": 2}).values == {"X-A": "1"}


@pytest.mark.parametrize(
    "name",
    ["User-Agent", "HOST", "connection", "Upgrade", "Sec-WebSocket-Protocol", "sec-websocket-key",
     "Prefect-Csrf-Token", "prefect-csrf-client"],
)  # fmt: skip
def test_protected_headers_are_left_out_with_a_note(name: str) -> None:
    found = of({name: MARK, "X-A": "1"})
    assert found.values == {"X-A": "1"}
    assert found.notes == (
        f"the custom header {name} (environment) was left out: it is not for users to set",
    )


def test_authorization_is_for_users_to_set() -> None:
    assert of({"Authorization": "Bearer x"}) == Headers({"Authorization": "Bearer x"}, "environment")


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("", "the text is empty"),
        (MARK, "not JSON from character 1 on"),
        (f'{{"X-A": "{MARK}"', "not JSON from character 21 on"),
        (f"{{'X-A': '{MARK}'}}", "not JSON from character 2 on"),
        ("[" * 100_000, "not JSON from character 1 on"),
        (f'["{MARK}"]', "they are not a JSON object"),
        (f'"{MARK}"', "not JSON"),
        ("1", "they are not a JSON object"),
        ('""', "the text is empty"),
        (7, "they are not a JSON object"),
        ([MARK], "they are not a JSON object"),
        (f'{{"X-A": ["{MARK}"]}}', "the value of header 1 is not a string"),
        ('{"X-A": "1", "X-B": null}', "the value of header 2 is not a string"),
        (f'{{"X-A": "{MARK}\\r\\nX-B: 1"}}', "the value of header 1 has a line break"),
        (f'{{"X-A": "{MARK}\\u0000"}}', "the value of header 1 has a line break"),
        (f'{{"X-A": "{MARK}€"}}', "the value of header 1 has a character that HTTP cannot carry"),
        (f'{{"X-A": "{MARK}\\ud800"}}', "the value of header 1 has a character that HTTP cannot carry"),
        (f'{{"Authorization: Bearer {MARK}": ""}}', "the name of header 1 has a character"),
        (f'{{"X-A": "1", "{MARK}\\n": "x"}}', "the name of header 2 has a character"),
        ('{"": "x"}', "the name of header 1 has a character"),
        ('{"Ü": "x"}', "the name of header 1 has a character"),
    ],
    ids=str,
)
def test_what_is_no_header_is_refused_without_being_shown(value: object, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        of(value)
    assert caught.value.text.startswith(f"{HEADERS} (environment): ")
    assert problem in caught.value.text
    assert caught.value.setting == HEADERS
    assert caught.value.__context__ is None
    assert MARK not in str(caught.value)


def test_a_profile_may_not_hold_them_as_a_table() -> None:
    with pytest.raises(ConfigError, match=r"\(profile p\): a profile holds them as JSON in a string"):
        of({"X-A": "1"}, place="profile p")
    assert of('{"X-A": "1"}', place="profile p").values == {"X-A": "1"}


def test_values_are_in_no_repr() -> None:
    assert MARK not in repr(of({"X-A": MARK}))
