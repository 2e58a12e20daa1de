"""docs/faults.md has a row for every number of the catalogue; every test that it or docs/security.md names exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "faults.md").read_text("utf-8")
SECURITY = (ROOT / "docs" / "security.md").read_text("utf-8")
NUMBERS = range(1, 152)
_NAMES = re.compile(r"\b(test_[a-z0-9_]+)(…?)(: ?)?")


def rows() -> list[tuple[str, str]]:
    """Numbers and holder of each row above the section on Prefect's own tests."""
    catalogue = TEXT.partition("## Prefect's own tests")[0]
    found = re.findall(r"^\| ([\d, –]+) \| [^|]+ \| (.+) \|$", catalogue, re.MULTILINE)
    return [(numbers, held) for numbers, held in found]


def defined() -> dict[str, set[str]]:
    """The tests of each file, by the file's name."""
    found: dict[str, set[str]] = {}
    for path in (ROOT / "tests").rglob("test_*.py"):
        nodes = ast.walk(ast.parse(path.read_text("utf-8")))
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
        # Two folders may have a file of one name.
        found.setdefault(path.stem, set()).update(node.name for node in nodes if isinstance(node, kinds))
    return found


def test_every_number_of_the_catalogue_has_one_row() -> None:
    """From 1 to the last, in order."""
    told = [int(number) for numbers, _ in rows() for number in numbers.split(",")]
    assert sorted(told) == list(NUMBERS)


def test_every_row_names_a_test_or_says_why_there_is_none() -> None:
    """A reason is more than a word."""
    for numbers, held in rows():
        assert "test_" in held or len(held.split()) > 5, numbers


@pytest.mark.parametrize("text", [TEXT, SECURITY], ids=["faults", "security"])
def test_every_test_that_is_named_exists(text: str) -> None:
    """``file: test`` or ``file: test, test``; a name that ends in … is the beginning of one or more."""
    files, missing, file = defined(), [], ""
    for name, more, colon in _NAMES.findall(text):
        if colon or (name in files and not more):
            file = name if name in files else file
            if name not in files:
                missing.append(name)
        elif not any(test == name or (more and test.startswith(name)) for test in files.get(file, ())):
            missing.append(f"{file}: {name}{more}")
    assert missing == []


def test_every_protection_names_its_tests() -> None:
    """Each row of the tables of docs/security.md."""
    found = re.findall(r"^\| ([^|]+) \| [^|]+ \| (.+) \|$", SECURITY, re.MULTILINE)
    assert len(found) > 15
    for whom, held in found:
        assert "test_" in held or whom in ("from whom", "---"), whom


def marked() -> dict[int, set[str]]:
    """The files that have a test marked `fault(number)`, by number."""
    found: dict[int, set[str]] = {}
    for path in (ROOT / "tests").rglob("test_*.py"):
        for numbers in re.findall(
            r"^@pytest\.mark\.fault\(([\d, ]+)\)$", path.read_text("utf-8"), re.MULTILINE
        ):
            for number in numbers.split(","):
                found.setdefault(int(number), set()).add(path.stem)
    return found


def test_a_marked_test_is_named_in_its_rows() -> None:
    """By its file."""
    held = {int(number): text for numbers, text in rows() for number in numbers.split(",")}
    missing = [
        (number, file) for number, files in marked().items() for file in files if file not in held[number]
    ]
    assert missing == []


def test_a_row_names_marks_that_exist() -> None:
    """``file: fault 45, fault 46``."""
    there = marked()
    named = [
        (file, int(number))
        for file, faults in re.findall(
            r"(test_\w+): ((?:\w+, )*fault \d+(?:, (?:fault \d+|test_\w+))*)", TEXT
        )
        for number in re.findall(r"fault (\d+)", faults)
    ]
    assert len(named) > 80
    assert [each for each in named if each[0] not in there.get(each[1], ())] == []
