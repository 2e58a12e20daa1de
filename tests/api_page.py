"""docs/api.md from the docstrings: ``python tests/api_page.py`` writes it anew.

What is on it: every name of ``rawlogs.__all__``, and what the modules in ``MODULES`` export.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from enum import Enum
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import rawlogs

PAGE = Path(__file__).parents[1] / "docs" / "api.md"
MODULES = {
    "rawlogs.logging": ["forward"],
    "rawlogs.compat.prefect": None,
    "rawlogs.durations": ["parse_duration", "parse_moment"],
}
"""Further modules and their public names; None: those of ``__all__`` that are not in ``rawlogs``, too."""
DUMPS = ["model_validate", "model_dump", "model_dump_json"]
MEMBERS = {
    "LogStream": ["settings", "stats", "batches", "next_batch", "names", "finish"],
    "RunStream": ["run_names", "states", "outcome", "exit_code"],
    "Log": ["id_text", "created", "timestamp", "extra", "data", "raw", "to_record", *DUMPS],
    "LogFilter": ["coerce", "matches"],
}
"""Of these classes only the members that callers use; the others are for rawlogs' own modules."""
INTRODUCTION = """# The library

| to read | call | without async |
| --- | --- | --- |
| flow runs to their end | [`rawlogs.follow(RUN)`](#follow) | [`rawlogs.follow_sync(RUN)`](#follow_sync) |
| what comes from now on, or since a moment | [`rawlogs.stream()`](#stream) | [`rawlogs.stream_sync()`](#stream_sync) |
| one conversation over the socket, frame by frame | [`rawlogs.connect()`](#connect) | |

Below stands every public name, from the docstrings (`python tests/api_page.py` writes this page). How the parts work
together: [delivery](delivery.md). Coming from Prefect's own helper: [from-prefect](from-prefect.md). The
fake server and cassettes of `rawlogs.testing`: [testing](testing.md). Streams for many readers, `rawlogs.relay`:
[relay](relay.md).
"""
_SECTION = re.compile(r"(Args|Raises|Returns|Yields):")
_NAMED = re.compile(r"((?:\*{0,2}[A-Za-z_]+)(?:(?:, | \.\.\. )[A-Za-z_]+)*): (.+)")


def groups() -> dict[str, list[tuple[str, Any]]]:
    """The headings of the page, and below each the public names with what they are."""
    names = {name: getattr(rawlogs, name) for name in rawlogs.__all__}
    errors = {
        name for name, thing in names.items() if isinstance(thing, type) and issubclass(thing, Exception)
    }
    filters = {name for name in names if name.startswith("LogFilter")}
    functions = {name for name, thing in names.items() if inspect.isfunction(thing)}
    rest = set(names) - errors - filters - functions
    found = {
        "Functions": sorted(functions),
        "Streams and logs": sorted(rest),
        "Filters": sorted(filters),
        "Errors": sorted(errors),
    }
    page = {heading: [(name, names[name]) for name in chosen] for heading, chosen in found.items()}
    for module, exported in MODULES.items():
        home = import_module(module)
        chosen = [name for name in home.__all__ if name not in names] if exported is None else exported
        page[module] = [(name, getattr(home, name)) for name in chosen]
    return page


def headings() -> list[str]:
    """Every heading of the page in order: groups, names, and the members of classes."""
    return [line for line in render().splitlines() if line.startswith("#")]


def render() -> str:
    """The whole page."""
    parts = [INTRODUCTION]
    for heading, names in groups().items():
        parts.append(f"## {heading}\n")
        if heading in MODULES:
            parts.append(markdown(import_module(heading).__doc__))
        for name, thing in names:
            parts += _entry(name, thing)
    return "\n".join(parts)


def _entry(name: str, thing: Any) -> Iterator[str]:
    yield f"### {name}\n"
    if inspect.isfunction(thing):
        yield _code(f"{'async ' if inspect.iscoroutinefunction(thing) else ''}{_call(name, thing)}")
    elif hasattr(thing, "model_fields") or hasattr(thing, "_fields") or is_dataclass(thing):
        yield _code("\n".join(_fields(thing)))
    elif issubclass(thing, Exception):
        bases = ", ".join(base.__name__ for base in thing.__bases__)
        yield _code("\n".join([f"class {name}({bases}):", *_attributes(thing)]).rstrip(":"))
    elif any(base in vars(rawlogs).values() for base in thing.__bases__):
        yield _code(f"class {name}({', '.join(base.__name__ for base in thing.__bases__)})")
    elif name == "Log" or thing.__module__ == "rawlogs.compat.prefect":  # what callers make themselves
        yield _code(_call(name, thing))
    yield markdown(thing.__doc__)
    if is_dataclass(thing) and (said := _field_docs(thing)):
        yield markdown("\n".join(f"- ``{name}``: {text}" for name, text in said.items()))
    if isinstance(thing, type):
        yield from _members(thing)


def _members(kind: type) -> Iterator[str]:
    """The public methods and properties of the class itself that say what they do."""
    for name, member in vars(kind).items():
        target = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
        if name.startswith("_") or not inspect.isfunction(target) or not target.__doc__:
            continue
        if name not in MEMBERS.get(kind.__name__, [name]):
            continue
        yield f"#### {kind.__name__}.{name}\n"
        if not isinstance(member, property):
            yield _code(f"{'async ' if inspect.iscoroutinefunction(target) else ''}{_call(name, target)}")
        yield markdown(target.__doc__)


def _call(name: str, function: Any) -> str:
    """``name(argument: type = default, ...) -> type``, over several lines where it is long."""
    signature = inspect.signature(function)
    words: list[str] = []
    starred = False
    for parameter in signature.parameters.values():
        if parameter.name in ("self", "cls"):
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not starred:
            starred = True
            words.append("*")
        starred |= parameter.kind is parameter.VAR_POSITIONAL
        stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
        typed = "" if parameter.annotation is parameter.empty else f": {_type(parameter.annotation)}"
        default = "" if parameter.default is parameter.empty else f" = {_value(parameter.default)}"
        words.append(f"{stars}{parameter.name}{typed}{default}")
    told = signature.return_annotation is not signature.empty and not isinstance(function, type)
    returned = f" -> {_type(signature.return_annotation)}" if told else ""
    line = f"{name}({', '.join(words)}){returned}"
    if len(line) <= 100:
        return line
    return "\n".join([f"{name}(", *(f"    {word}," for word in words), f"){returned}"])


def _attributes(error: type[Exception]) -> Iterator[str]:
    """What an error of this class knows, as its own ``__init__`` takes it."""
    if "__init__" in vars(error):
        for name, parameter in inspect.signature(error).parameters.items():
            if error is rawlogs.RawlogsError or name not in ("text", "hint"):  # which all errors have
                yield f"    {name}: {_type(parameter.annotation)}"


def _fields(kind: Any) -> Iterator[str]:
    if is_dataclass(kind):
        for field in fields(kind):
            if not _type(field.type).startswith("Callable"):
                plain = isinstance(field.default, (str, int, float, bool, type(None)))
                yield f"{field.name}: {_type(field.type)}" + (f" = {_value(field.default)}" if plain else "")
        return
    if hasattr(kind, "_fields"):
        for name in kind._fields:
            yield f"{name}: {_type(inspect.get_annotations(kind)[name])} = {kind._field_defaults[name]!r}"
        return
    for name, field in kind.model_fields.items():
        default = "" if field.is_required() else f" = {_value(field.default)}"
        yield f"{name}: {_type(inspect.get_annotations(kind)[name])}{default}"


def _field_docs(kind: type) -> dict[str, str]:
    """The texts that stand below the public fields of a dataclass."""
    body = ast.parse(inspect.getsource(kind)).body[0].body  # type: ignore[attr-defined]
    return {
        field.target.id: " ".join(text.value.value.split())
        for field, text in pairwise(body)
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr)
        if not _type(ast.unparse(field.annotation)).startswith("Callable")
    }


def _type(annotation: Any) -> str:
    annotation = getattr(annotation, "__forward_arg__", annotation)  # of a NamedTuple
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))
    if text.startswith("Annotated["):  # what validates a value is not the reader's
        text = ast.unparse(ast.parse(text, mode="eval").body.slice.elts[0])  # type: ignore[attr-defined]
    return text.replace("'", '"')


def _value(default: Any) -> str:
    return default.name if isinstance(default, Enum) else repr(default).replace("'", '"')


def _code(text: str) -> str:
    return f"```python\n{text}\n```\n"


def markdown(docstring: str | None) -> str:
    """A docstring as Markdown: its sections become lists, its double backticks single ones."""
    lines: list[str] = []
    in_list = in_code = False  # whether the line before belongs to a list of names, or to an example
    for line in inspect.cleandoc(docstring or "").splitlines():
        text = line.strip()
        indent = len(line) - len(text)
        begins = not lines or not lines[-1]
        named = _NAMED.fullmatch(text) if (begins or in_list) and indent in (0, 4) and not in_code else None
        if in_code and text and not indent:
            in_code = False
            lines[-1:] = ["```", ""]
        if _SECTION.fullmatch(line):
            lines += [f"**{line[:-1]}**", ""]
        elif named and named[1] not in ("None", "True", "False"):
            in_list = True
            lines.append(f"- `{named[1]}`: {named[2]}")
        elif in_list and text:
            lines.append(f"  {text}")
        else:
            in_list = False
            if indent >= 4 and begins and not in_code:
                in_code = True
                lines.append("```python")
            lines.append(line[4:] if in_code else line)
    if in_code:
        lines.append("```")
    plain = (line if line.startswith("```") else line.replace("``", "`") for line in lines)
    return "\n".join(plain).rstrip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
    print(f"wrote {PAGE}")
