"""The syntax of .env files, which python-dotenv reads as it does for Prefect, and the limits that rawlogs adds."""

from __future__ import annotations

from importlib.metadata import version

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawlogs.config.dotenv import LONGEST, parse

ENVIRON = {"HOME": "/home/me", "EMPTY": ""}


DOTENV = tuple(map(int, version("python-dotenv").split(".")[:3]))
"""Which version reads; Prefect reads with the same one where both are installed."""


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("", {}),
        ("A=b", {"A": "b"}),
        ("A=b\nC=d\n", {"A": "b", "C": "d"}),
        ("A=b\r\nC=d\r\n", {"A": "b", "C": "d"}),
        ("\n\n  A = b c  \n", {"A": "b c"}),
        ("\ufeffA=b", {"A" if DOTENV >= (1, 2) else "\ufeffA": "b"}),
        ("export A=b", {"A": "b"}),
        ("export=b", {"export": "b"}),
        ("'A B'=c", {"A B": "c"}),
        ("A.b-c=d", {"A.b-c": "d"}),
        ("A=1\nA=2", {"A": "2"}),
        ("A=b=c", {"A": "b=c"}),
        ("A=", {"A": ""}),
        ("A=\nB=c", {"A": "", "B": "c"}),
        ("A", {"A": None}),
        ("A # comment", {"A": None}),
        ("# A=b\nC=d # e", {"C": "d"}),
        ("A=b#c", {"A": "b#c"}),
        ("A=#b", {"A": "#b"}),
        ("A= #b", {"A": "" if DOTENV >= (1, 2, 4) else "#b"}),
        ("A='b' # c", {"A": "b"}),
        ("A='b # c'", {"A": "b # c"}),
        ('A="b\nc"', {"A": "b\nc"}),
        (r"A='it\'s \n \\'", {"A": "it's \\n \\"}),
        (r'A="\"q\" \n\t\\ \x"', {"A": '"q" \n\t\\ \\x'}),
        (r"A=b\n", {"A": "b\\n"}),
        ("A=${HOME}/x", {"A": "/home/me/x"}),
        ("A='${HOME}'", {"A": "/home/me"}),
        ("A=${NONE}${NONE:-d}${EMPTY:-e}", {"A": "d"}),
        ("A=1\nB=${A}2\nA=3", {"A": "3", "B": "12"}),
        ("HOME=/tmp\nA=${HOME}", {"HOME": "/tmp", "A": "/tmp"}),
        ("A\nB=[${A}]", {"A": None, "B": "[]"}),
        ("A=$HOME ${", {"A": "$HOME ${"}),
        ("PREFECT_API_URL=http://h/api  # mine", {"PREFECT_API_URL": "http://h/api"}),
    ],
)
def test_a_line_is_read_as_dotenv_reads_it(text: str, values: dict[str, str | None]) -> None:
    found = parse(text, ENVIRON)
    assert found.values == values
    assert found.bad_lines == ()


@pytest.mark.parametrize(
    ("text", "values", "bad"),
    [
        ("=b\nC=d", {"C": "d"}, (1,)),
        ("A=b\n\n'x\nC=d", {"A": "b", "C": "d"}, (3,)),
        ("A='b' c\nC=d", {"C": "d"}, (1,)),
        ('A="b\nC=d', {"C": "d"}, (1,)),
        ('A="b\nx" y\nC=d', {"C": "d"}, (1,)),
        ("export =b", {}, (1,)),
    ],
)
def test_a_line_that_is_none_is_skipped_and_counted(
    text: str, values: dict[str, str | None], bad: tuple[int, ...]
) -> None:
    found = parse(text, ENVIRON)
    assert (found.values, found.bad_lines) == (values, bad)


def test_values_are_in_no_repr() -> None:
    assert "secret" not in repr(parse("A=secret", {}))


@given(st.text(alphabet="AB=#'\"\\ \t\n\r${}:-exportn\u2028\ufeff"))
def test_any_text_is_read_without_an_error(text: str) -> None:
    for line in parse(text, {}).bad_lines:
        assert 1 <= line <= text.count("\n") + 1


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="$")))
def test_a_value_in_double_quotes_comes_back_whole(value: str) -> None:
    quoted = value.replace("\\", "\\\\").replace('"', '\\"')
    assert parse(f'A="{quoted}"\nB=c', {}).values == {"A": value, "B": "c"}


def test_a_value_that_grows_without_end_is_left_out() -> None:
    """Forty lines that each double the value would be 2 TB; the lines where it is too long are told."""
    found = parse("A=xx\n" + "A=${A}${A}\n" * 40 + "B=1\n", {})
    assert len(found.values["A"] or "") == LONGEST
    assert found.bad_lines == tuple(range(18, 42))
    assert found.values["B"] == "1"


def test_a_long_file_is_read_in_a_short_time() -> None:
    """No step looks at all that came before: each of these once took longer than the square of its size."""
    for text in ("A=1\n" * 20_000, "A=" + "${" * 50_000, "A=" + "${" * 50_000 + ":}", "A=" + "${:-" * 25_000):
        assert parse(text, {}).values["A"] is not None
