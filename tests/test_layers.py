"""Who imports whom: the tables of docs/architecture.md, read from the page and held against the modules."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import rawlogs

ROOT = Path(rawlogs.__file__).parent
MODULES = sorted(
    ".".join(("rawlogs", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")
    for path in ROOT.rglob("*.py")
)

PAGE = (ROOT.parent / "docs" / "architecture.md").read_text(encoding="utf-8")
ROOMS = {name: int(number) for number, name in re.findall(r"^\| (\d+) \| `([\w.]+)` \|", PAGE, re.MULTILINE)}
"""The number of each room: it may use itself and those with smaller ones. A module is in the longest that fits."""

HOMES: dict[str, set[str] | None] = {
    library: set(re.findall(r"`(\w+)`", rooms)) or None
    for libraries, rooms in re.findall(r"^\| (`[^|]+`) \| (`[^|]+`|anywhere) \|$", PAGE, re.MULTILINE)
    for library in re.findall(r"`(\w+)`", libraries)
}
"""Where each foreign library may be imported, also within functions; None: anywhere."""

PURE = [
    "masking",
    "errors",
    "notices",
    "advice",
    "backoff",
    "host",
    "untrusted",
    "search",
    "config.urls",
    "models",
    "batch",
    "durations",
    "filters",
    "wire.frames",
    "wire.handshake",
    "wire.events",
    "retrying.retry",
    "retrying.budget",
    "delivery.ledger",
    "seen",
    "otlp.record",
    "otlp.protobuf",
    "ship.batching",
    "ship.receiver",
    "ship.verdict",
    "serve.limits",
    "health.address",
    "health.report",
    "output.layout",
    "output.progress",
]


def path_of(module: str) -> Path:
    place = ROOT.joinpath(*module.split(".")[1:])
    return place / "__init__.py" if place.is_dir() else place.with_suffix(".py")


def room(module: str) -> str:
    """The longest name of the table that fits ``rawlogs.a.b``."""
    parts = module.split(".")[1:]
    if parts == ["selection"]:  # the half of the filters that needs no pydantic
        return "filters"
    fitting = [".".join(parts[:size]) for size in range(len(parts), 0, -1) if ".".join(parts[:size]) in ROOMS]
    assert fitting, f"{module} is in no room: give it a row in docs/architecture.md"
    return fitting[0]


def imports(module: str) -> Iterator[str]:
    """Every module that this one imports: at its top, within functions, and for type checkers."""
    for node in ast.walk(ast.parse(path_of(module).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module} imports by a relative name"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in MODULES else str(node.module)


@pytest.mark.parametrize("module", [module for module in MODULES if module != "rawlogs"])
def test_a_module_imports_only_its_own_room_and_those_with_smaller_numbers(module: str) -> None:
    inner = {name for name in imports(module) if name.split(".")[0] == "rawlogs" and name != "rawlogs"}
    assert [
        name
        for name in sorted(inner)
        if room(name) != room(module) and ROOMS[room(name)] >= ROOMS[room(module)]
    ] == []


def test_no_module_imports_itself_by_way_of_others() -> None:
    """Neither at run time nor for type checkers."""
    own = {
        module: {name for name in imports(module) if name in MODULES and name != module} for module in MODULES
    }
    try:
        TopologicalSorter(own).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_every_module_can_be_imported_alone() -> None:
    """Each finds no other module of rawlogs loaded; foreign libraries stay loaded, to be quick."""
    code = """
import importlib, sys
for module in sys.argv[1:]:
    for name in [name for name in sys.modules if name.split(".")[0] == "rawlogs"]:
        del sys.modules[name]
    try:
        importlib.import_module(module)
    except ImportError as error:
        print(module, repr(error))
"""
    modules = [module for module in MODULES if module != "rawlogs.__main__"]  # that one runs the command
    found = subprocess.run([sys.executable, "-c", code, *modules], capture_output=True, text=True, check=True)
    assert found.stdout == ""


def test_every_row_of_the_tables_is_of_use() -> None:
    """A room that is gone, or a library that nobody imports any more, leaves the page."""
    modules = [module for module in MODULES if module != "rawlogs"]
    used = {name.split(".")[0] for module in modules for name in imports(module)}
    assert set(ROOMS) == {room(module) for module in modules}
    # tomli is imported by its name as text, for Python 3.10 alone.
    assert set(HOMES) - {"tomli"} == used - sys.stdlib_module_names - {"rawlogs"}
    assert list(ROOMS.values()) == sorted(ROOMS.values())


def test_the_package_itself_imports_no_room_before_it_is_used() -> None:
    """But what loads its names then, which imports nothing."""
    tree = ast.parse((ROOT / "__init__.py").read_text(encoding="utf-8"))
    top = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
    assert {str(getattr(node, "module", node)) for node in top} == {"__future__", "typing", "rawlogs._lazy"}


@pytest.mark.parametrize("module", MODULES)
def test_a_foreign_library_is_imported_in_its_own_rooms_only(module: str) -> None:
    tops = {name.split(".")[0] for name in imports(module)} - sys.stdlib_module_names - {"rawlogs"}
    for library in tops:
        assert library in HOMES, f"{library} is in no room"
        homes = HOMES[library]
        assert homes is None or room(module).split(".")[0] in homes, f"{library} does not belong in {module}"


@pytest.mark.parametrize("module", MODULES)
def test_prefect_is_imported_nowhere(module: str) -> None:
    assert "prefect" not in {name.split(".")[0] for name in imports(module)}


@pytest.mark.parametrize("name", PURE)
def test_a_pure_module_neither_waits_nor_looks_at_the_clock(name: str) -> None:
    assert not {"asyncio", "socket", "ssl", "time", "os"} & set(imports(f"rawlogs.{name}"))
    tree = ast.parse(path_of(f"rawlogs.{name}").read_text(encoding="utf-8"))
    assert not [node for node in ast.walk(tree) if isinstance(node, (ast.AsyncFunctionDef, ast.Await))]


# What the package shows


def loaded_by(code: str) -> set[str]:
    """The top-level modules that are loaded in a new interpreter after this code."""
    code = f"import sys\n{code}\nprint(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(found.stdout.split())


@pytest.mark.parametrize(
    ("code", "needed"),
    [
        ("import rawlogs", set()),
        ("import rawlogs; rawlogs.ConfigError", set()),
        ("import rawlogs; rawlogs.Log", {"orjson"}),
        ("import rawlogs; rawlogs.LogFilter", {"orjson", "pydantic"}),
        ("import rawlogs.selection", {"orjson"}),
        ("import rawlogs.rest.client", {"orjson"}),
    ],
)
def test_foreign_libraries_are_loaded_when_they_are_needed(code: str, needed: set[str]) -> None:
    assert loaded_by(code) & {"websockets", "httpx", "pydantic", "orjson", "click", "starlette"} == needed


def test_what_is_exported_is_what_is_announced() -> None:
    assert rawlogs.__all__ == sorted(rawlogs.__all__)
    tree = ast.parse((ROOT / "__init__.py").read_text(encoding="utf-8"))
    typed = next(node for node in tree.body if isinstance(node, ast.If))
    names = {alias.asname for node in typed.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert names == set(rawlogs.__all__)
    assert set(dir(rawlogs)) == {*rawlogs.__all__, "__version__"}


@pytest.mark.parametrize("name", rawlogs.__all__)
def test_every_public_name_is_there_and_says_what_it_is(name: str) -> None:
    thing = getattr(rawlogs, name)
    own = vars(thing).get("__doc__") if isinstance(thing, type) else thing.__doc__
    assert own
    assert not own.startswith(f"{name}("), "that is the docstring of a dataclass without one"


def test_what_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'rawlogs' has no attribute 'nothing'"):
        _ = rawlogs.nothing


def test_the_version_is_text() -> None:
    assert isinstance(rawlogs.__version__, str)
