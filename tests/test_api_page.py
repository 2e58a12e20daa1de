"""docs/api.md has every public name, and no other."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from api_page import PAGE, groups, markdown, render

import rawlogs

WRITE = "run: python tests/api_page.py"
NAMES = [(name, thing) for names in groups().values() for name, thing in names]


def sections() -> dict[str, str]:
    """The page's text below each of its headings."""
    found: dict[str, str] = {}
    heading = ""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            heading = line
        else:
            found[heading] = found.get(heading, "") + line + "\n"
    return found


def test_the_page_is_that_of_this_version() -> None:
    assert PAGE.read_text(encoding="utf-8") == render(), WRITE
    assert set(rawlogs.__all__) <= {name for name, _ in NAMES}


@pytest.mark.parametrize(("name", "thing"), NAMES, ids=[name for name, _ in NAMES])
def test_every_name_is_explained_with_its_arguments(name: str, thing: Any) -> None:
    text = sections()[f"### {name}"]
    assert len(text.strip()) > 40
    if inspect.isfunction(thing):
        missing = [argument for argument in inspect.signature(thing).parameters if argument not in text]
        assert not missing, WRITE


@pytest.mark.parametrize(
    ("docstring", "page"),
    [
        ("Return ``x``.", "Return `x`.\n"),
        (
            "One.\n\n    Args:\n        a, b: first\n            more\n        c: last\n",
            "One.\n\n**Args**\n\n- `a, b`: first\n  more\n- `c`: last\n",
        ),
        (
            "One.\n\n    a: first;\n    None: no\n    b: ``last``\n",
            "One.\n\n- `a`: first;\n  None: no\n- `b`: `last`\n",
        ),
        (
            "One.\n\n        code(1)\n\n        more()\n\n    Two.",
            "One.\n\n```python\ncode(1)\n\nmore()\n```\n\nTwo.\n",
        ),
    ],
)
def test_docstrings_become_markdown(docstring: str, page: str) -> None:
    assert markdown(docstring) == page
