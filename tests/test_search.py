"""Prefect's search syntax, as its server applies it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawlogs.errors import ConfigError
from rawlogs.search import TextQuery

MESSAGE = 'Connection timeout after 30 s: "retry me" at C:\\tmp, 100 % of disk_full'
LOGGER = "prefect.flow_runs"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param("", True, id="an empty query matches"),
        pytest.param(" \t\n", True, id="a blank query matches"),
        pytest.param("+", True, id="a sign alone says nothing"),
        pytest.param('""', True, id="an empty phrase says nothing"),
        pytest.param('-""', True, id="excluding nothing excludes nothing"),
        pytest.param('"  "', True, id="a blank phrase says nothing"),
        pytest.param("timeout", True, id="a word"),
        pytest.param("meout af", True, id="words match inside other words"),
        pytest.param("absent", False, id="a word that is not there"),
        pytest.param("absent timeout", True, id="plain words are alternatives"),
        pytest.param("TIMEOUT", True, id="case is ignored in the query"),
        pytest.param("connection", True, id="case is ignored in the message"),
        pytest.param("flow_runs", True, id="the logger's name is searched"),
        pytest.param('"full prefect"', True, id="message and logger are joined by a space"),
        pytest.param('"timeout after"', True, id="a phrase"),
        pytest.param('"after timeout"', False, id="a phrase keeps its order"),
        pytest.param('"timeout  after"', False, id="a phrase keeps its spaces"),
        pytest.param('absent"timeout after"', True, id="a quote ends a word"),
        pytest.param('"\\"retry me\\""', True, id="an escaped quote"),
        pytest.param('"C:\\\\tmp"', True, id="an escaped backslash"),
        pytest.param('"C:\\tmp"', True, id="a backslash before another letter is itself"),
        pytest.param('"timeout after', True, id="an open quote reaches to the end"),
        pytest.param('"after timeout', False, id="an open quote makes a phrase"),
        pytest.param('"30 s\\', False, id="a lone backslash at the end is itself"),
        pytest.param("'timeout'", False, id="an apostrophe is a letter"),
        pytest.param("-timeout", False, id="minus excludes"),
        pytest.param("!timeout", False, id="exclamation mark excludes"),
        pytest.param('-"timeout after"', False, id="a phrase is excluded"),
        pytest.param('!"after timeout"', True, id="excluding what is not there"),
        pytest.param("timeout -disk", False, id="an exclusion wins over a word"),
        pytest.param("- timeout", True, id="minus before a space is dropped"),
        pytest.param("- absent", False, id="the word after a dropped sign is plain"),
        pytest.param("--x", True, id="the second minus belongs to the word"),
        pytest.param("disk-full", False, id="a minus inside a word is a letter"),
        pytest.param("+timeout +disk", True, id="all required words are there"),
        pytest.param("+timeout +absent", False, id="one required word is not"),
        pytest.param("+timeout after", True, id="required and plain agree"),
        pytest.param("+timeout absent", False, id="the plain words are still needed"),
        pytest.param('+"retry me" -absent', True, id="a required phrase"),
        pytest.param("100 %", True, id="percent is a letter"),
        pytest.param("disk%full", False, id="percent is no wildcard"),
        pytest.param("disk_full", True, id="underscore is a letter"),
        pytest.param("disk.full", False, id="no regular expressions"),
        pytest.param("time_ut", False, id="underscore is no wildcard"),
    ],
)
def test_a_query_is_read_as_prefect_reads_it(query: str, expected: bool) -> None:
    assert TextQuery.parse(query).matches(MESSAGE, LOGGER) is expected


@pytest.mark.parametrize(
    ("query", "message"),
    [("école", "ÉCOLE"), ("ÉCOLE", "école"), ("STRASSE", "Straße"), ("οδος", "ΟΔΟΣ"), ("привет", "ПРИВЕТ")],
)
def test_case_is_ignored_in_every_alphabet(query: str, message: str) -> None:
    assert TextQuery.parse(query).matches(message, "")


def test_the_parts_of_a_query_are_kept_apart() -> None:
    query = TextQuery.parse('one +two -three !four "five six"')
    assert query == TextQuery(include=("one", "five six"), require=("two",), exclude=("three", "four"))


def test_a_query_of_200_characters_is_taken() -> None:
    assert TextQuery.parse("x" * 200).matches("x" * 200, "")


def test_a_longer_query_is_refused_with_its_length() -> None:
    with pytest.raises(ConfigError, match="201 characters long; Prefect takes at most 200") as refused:
        TextQuery.parse("x" * 201)
    assert refused.value.setting == "text"


texts = st.text(max_size=60)
queries = st.text(st.sampled_from('ab"\\-!+ \tÉé%') | st.characters(), max_size=40)
words = st.text(st.characters(exclude_characters='"-!+', exclude_categories=["Z", "C"]), min_size=1)


@given(query=st.text(max_size=200), message=texts, logger=texts)
def test_any_text_is_a_query(query: str, message: str, logger: str) -> None:
    assert TextQuery.parse(query).matches(message, logger) in (True, False)


@given(query=queries, word=words, before=texts, after=texts)
def test_an_excluded_word_never_matches(query: str, word: str, before: str, after: str) -> None:
    if query.count('"') == 0:
        chosen = TextQuery.parse(f"{query} -{word}")
        assert not chosen.matches(before + word + after, "")


@given(query=queries, word=words, message=texts)
def test_an_exclusion_only_narrows(query: str, word: str, message: str) -> None:
    if query.count('"') == 0 and TextQuery.parse(f"{query} -{word}").matches(message, "logger"):
        assert TextQuery.parse(query).matches(message, "logger")


@given(message=st.text(st.characters(exclude_characters='"\\'), min_size=1, max_size=100))
def test_a_message_is_found_by_itself_as_a_phrase(message: str) -> None:
    assert TextQuery.parse(f'"{message}"').matches(message, "")
