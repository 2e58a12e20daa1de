"""tests/typing_api.py, which the type checkers read, uses every public name of the library."""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path

import pytest
from api_page import MODULES, headings

FILE = Path(__file__).with_name("typing_api.py")
PUBLIC = ["rawlogs", "rawlogs.relay", "rawlogs.testing", "rawlogs.compat.prefect", "rawlogs.contrib.django"]
TREE = ast.parse(FILE.read_text(encoding="utf-8"))


def imported() -> dict[str, str]:
    """What each imported name is: ``prefect``: ``rawlogs.compat.prefect``."""
    found = {}
    for node in TREE.body:
        if isinstance(node, ast.Import):
            found |= {alias.name: alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return found


def used() -> set[str]:
    """The whole names that the code uses; importing alone is no use."""
    names, found = imported(), set()
    for node in ast.walk(TREE):
        if isinstance(node, ast.Name) and node.id in names:
            found.add(names[node.id])
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in names:
            found.add(f"{names[node.value.id]}.{node.attr}")
    return found


def public() -> list[str]:
    """Every public name: those of ``__all__``, and what docs/api.md lists of modules without one."""
    listed = {module: names for module, names in MODULES.items() if names is not None}
    exported = {module: import_module(module).__all__ for module in PUBLIC}
    return [f"{module}.{name}" for module, names in (exported | listed).items() for name in names]


@pytest.mark.parametrize("name", public())
def test_every_public_name_is_used(name: str) -> None:
    assert name in used()


@pytest.mark.parametrize("member", [line.split()[1] for line in headings() if line.startswith("#### ")])
def test_every_member_that_the_page_lists_is_used(member: str) -> None:
    attributes = {node.attr for node in ast.walk(TREE) if isinstance(node, ast.Attribute)}
    assert member.rpartition(".")[2] in attributes


def test_the_modules_with_a_list_of_names_are_all_there() -> None:
    root = FILE.parents[1]
    listing = {
        ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
        for path in root.glob("rawlogs/**/*.py")
        if "__all__" in path.read_text(encoding="utf-8")
    }
    assert listing == set(PUBLIC)
