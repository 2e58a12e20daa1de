"""Rules of CONTRIBUTING that a reader cannot see at a glance: no test waits by sleeping; docstrings have verbs."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PACKAGE = TESTS.parent / "rawlogs"
FILES = sorted(TESTS.rglob("test_*.py"))


def sleeps(tree: ast.AST, polling: bool = False) -> Iterator[int]:
    """Yield the lines that sleep once for a time. Sleeping in a loop is polling, sleep(0) gives others a turn."""
    for node in ast.iter_child_nodes(tree):
        called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
        if called in ("asyncio.sleep", "time.sleep") and not polling and ast.unparse(node.args[0]) != "0":
            yield node.lineno
        if isinstance(node, (ast.While, ast.For, ast.AsyncFor)):
            yield from sleeps(node, True)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield from sleeps(node, node.name == "sleep")  # a clock's own method
        else:
            yield from sleeps(node, polling)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(TESTS)))
def test_no_test_waits_by_sleeping(path: Path) -> None:
    """It waits for an event or a condition: a slow machine takes longer, and still passes.

    What sleeps all the same says on that line what passes meanwhile, such as the time in which nothing may happen.
    """
    lines = path.read_text("utf-8").splitlines()
    found = [number for number in sleeps(ast.parse("\n".join(lines))) if "  # " not in lines[number - 1]]
    assert found == [], "a sleep that does not say what passes meanwhile"


def test_a_sleep_is_found() -> None:
    """Once, nested or not; neither where it polls nor where it gives others a turn."""
    source = """
async def test() -> None:
    await asyncio.sleep(0)
    await asyncio.sleep(0.1)
    while not done():
        await asyncio.sleep(0.1)
    async with reader:
        time.sleep(wait)
"""
    assert list(sleeps(ast.parse(source))) == [4, 8]


ARTICLES = {
    "a",
    "an",
    "the",
    "one",
    "all",
    "any",
    "every",
    "everything",
    "none",
    "only",
    "another",
    "also",
    "never",
}
QUESTIONS = {"what", "which", "who", "whether", "when", "where", "how", "as", "for", "of", "taken", "seconds"}


def nouns(tree: ast.AST) -> Iterator[str]:
    """Yield the first words of functions' docstrings that are no verbs; a property's says what the value is."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and (text := ast.get_docstring(node)):
            decorators = {ast.unparse(decorator) for decorator in node.decorator_list}
            if not decorators & {"property", "functools.cached_property", "cached_property"}:
                word = text.split()[0]
                if word.lower() in ARTICLES | QUESTIONS or not word[0].isupper():
                    yield f"{node.name}: {text.splitlines()[0]}"


def test_docstrings_of_functions_begin_with_a_verb() -> None:
    found = {
        str(path.relative_to(PACKAGE)): words
        for path in sorted(PACKAGE.rglob("*.py"))
        if (words := list(nouns(ast.parse(path.read_text(encoding="utf-8")))))
    }
    assert found == {}
