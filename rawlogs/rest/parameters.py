"""A deployment's parameters against its schema: names and simple types, so that an error comes before a run. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}


def problems(schema: Mapping[str, Any], given: Mapping[str, Any], preset: Mapping[str, Any]) -> list[str]:
    """Return what the deployment would not take, in words; empty where nothing is known to be wrong.

    preset: the values that the deployment itself has.
    """
    properties = schema.get("properties")
    if not isinstance(properties, dict):  # the deployment was made without a schema
        return []
    found = []
    required = schema.get("required")
    for name in required if isinstance(required, list) else []:
        if name not in given and name not in preset:
            found.append(f"{name} is required ({_wanted(properties.get(name))})")
    for name, value in given.items():
        if name in properties:
            if not fits(properties[name], value):
                found.append(f"{name} is {_described(value)}, not {_wanted(properties[name])}")
        elif not schema.get("additionalProperties"):
            near = difflib.get_close_matches(name, properties, 1)
            known = f"did you mean {near[0]}?" if near else f"it has {', '.join(properties) or 'none'}"
            found.append(f"{name} is no parameter of it: {known}")
    return found


def fits(wanted: object, value: object) -> bool:
    """Tell whether a value is of the simple type, or one of the values, that a property names; True where unknown."""
    if not isinstance(wanted, dict):
        return True
    either = wanted.get("anyOf")
    if isinstance(either, list):
        return any(fits(one, value) for one in either)
    if isinstance(wanted.get("enum"), list):
        return value in wanted["enum"]
    types = wanted.get("type")
    names = [types] if isinstance(types, str) else types if isinstance(types, list) else []
    known = [_TYPES[name] for name in names if name in _TYPES]
    if not known:
        return True
    # To Python True is a number; to JSON it is none.
    return any(isinstance(value, kinds) and (not isinstance(value, bool) or bool in kinds) for kinds in known)


def _wanted(wanted: object) -> str:
    if not isinstance(wanted, dict):
        return "anything"
    if isinstance(wanted.get("anyOf"), list):
        return " or ".join(_wanted(one) for one in wanted["anyOf"])
    if isinstance(wanted.get("enum"), list):
        return "one of " + ", ".join(map(str, wanted["enum"]))
    return str(wanted.get("type", "anything"))


def _described(value: object) -> str:
    for name, kinds in _TYPES.items():
        if isinstance(value, kinds) and (not isinstance(value, bool) or bool in kinds):
            return name
    return type(value).__name__
