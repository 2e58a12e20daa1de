"""Where settings are written down, in Prefect's own order; what the values mean is not known here.

    environment       PREFECT_API_URL=…, in upper or lower case
    .env              the same, in the working directory (not in its parents)
    prefect.toml      [api] url = …, likewise
    pyproject.toml    [tool.prefect.api] url = …, likewise
    profile           [profiles.NAME] PREFECT_API_URL = …, of the active profile in profiles.toml

As in Prefect 3.8.8 (settings/sources.py), odd corners included.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from rawlogs import files
from rawlogs.config import dotenv
from rawlogs.errors import ConfigError

TABLES: Mapping[str, tuple[str, str]] = {
    "PREFECT_API_URL": ("api", "url"),
    "PREFECT_API_KEY": ("api", "key"),
    "PREFECT_API_AUTH_STRING": ("api", "auth_string"),
    "PREFECT_API_SSL_CERT_FILE": ("api", "ssl_cert_file"),
    "PREFECT_API_TLS_INSECURE_SKIP_VERIFY": ("api", "tls_insecure_skip_verify"),
    "PREFECT_CLIENT_CUSTOM_HEADERS": ("client", "custom_headers"),
    "PREFECT_CLOUD_API_URL": ("cloud", "api_url"),
}
"""The settings that are read -> table and key in the TOML files."""

BUILT_IN_PROFILES: Mapping[str, Mapping[str, object]] = {
    "ephemeral": {},
    "local": {"PREFECT_API_URL": "http://127.0.0.1:4200/api"},
    "test": {},
    "cloud": {},
}
"""What of Prefect 3.8.8's own profiles.toml matters here; its active profile is ``ephemeral``."""

IN_FOLDER = frozenset({".env", "prefect.toml", "pyproject.toml"})
"""The sources that lie in the working directory: whoever wrote that folder wrote them."""
_NAMED_BY = ", named by "

# In any of these modes Prefect does not read the profile.
_TEST_MODES = (
    "PREFECT_TEST_MODE",
    "PREFECT_UNIT_TEST_MODE",
    "PREFECT_TESTING_UNIT_TEST_MODE",
    "PREFECT_TESTING_TEST_MODE",
)


_BRACKETS = re.compile(r"[\[\]{}]")
_DEEPEST = 200
"""Parsers of TOML call themselves for each level, and a compiled one would crash where Python raises an error."""


@dataclass(frozen=True, slots=True)
class Source:
    """The raw values of one source, by setting name. ``name`` is its name as users know it."""

    name: str
    values: Mapping[str, object] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Sources:
    """All sources, the strongest first.

    ``profile`` is the name of the profile that was read (None: none was), ``profile_origin`` what chose it.
    ``looked_at`` says in words which profile of which file was looked for, ``notes`` what was odd.
    """

    by_strength: tuple[Source, ...]
    profile: str | None
    profile_origin: str
    looked_at: str
    notes: tuple[str, ...] = ()


def read(environ: Mapping[str, str], cwd: Path, profile: str | None = None) -> Sources:
    """Read all sources; ``profile`` names the profile as Prefect's ``--profile`` does.

    Raises ConfigError for a file that cannot be read or is not valid TOML (with its line), and for a
    ``profile`` that does not exist. Another unknown profile is a note: Prefect warns and goes on without.
    """
    notes: list[str] = []
    in_dotenv = _dotenv(cwd / ".env", environ, notes)
    prefect = _toml(cwd / "prefect.toml") or {}
    pyproject = _table(_toml(cwd / "pyproject.toml") or {}, ("tool", "prefect"), "pyproject.toml")
    profiles, named_by = _profiles_path(environ, in_dotenv, prefect, pyproject)
    path = cwd / profiles
    chosen = _profile(environ, path, profile, notes)
    by_strength = (
        Source("environment", _named(environ)),
        Source(".env", _named(in_dotenv)),
        Source("prefect.toml", _tabled(prefect, (), "prefect.toml")),
        Source("pyproject.toml", _tabled(pyproject, ("tool", "prefect"), "pyproject.toml")),
        Source(_profile_source(chosen.name, named_by), chosen.values),
    )
    return Sources(by_strength, chosen.name, chosen.origin, chosen.looked_at, tuple(notes))


def misplaced(cwd: Path) -> str | None:
    """Return a sentence about the first line of the working directory's files that looks like a setting and is none.

    For the error that no API URL is set: Prefect does not read these lines, and says nothing about them.
    """
    for file, names, problem in _MISPLACED:
        try:
            text = _text(cwd / file, skip_folder=True) or ""
        except ConfigError:
            continue
        for number, line in enumerate(text.split("\n"), 1):
            # Below the first table of a TOML file a name belongs to that table.
            if file == "prefect.toml" and line.lstrip().startswith("["):
                break
            if found := re.match(rf"\s*(?:export\s+)?({names})\s*=", line):
                return f"{cwd / file}, line {number}: {found[1]} {problem}"
    return None


_MISPLACED = (
    (
        "prefect.toml",
        "PREFECT_API_URL|api_url|api-url|url",
        "is not read there: write url = ... below a line [api].",
    ),
    (
        ".env",
        "PREFECT_HOME",
        "is read from the environment only: export it, or set PREFECT_PROFILES_PATH in .env.",
    ),
)


def of_folder(origin: str) -> bool:
    """Return whether a source lies in the working directory, or is a profile of a file that such a source names."""
    return origin in IN_FOLDER or origin.rpartition(_NAMED_BY)[2] in IN_FOLDER


def profile_names(environ: Mapping[str, str], cwd: Path) -> list[str]:
    """Return the names of the profiles in the file that ``read`` would take. Raises as ``read``."""
    in_dotenv = _dotenv(cwd / ".env", environ, [])
    pyproject = _table(_toml(cwd / "pyproject.toml") or {}, ("tool", "prefect"), "pyproject.toml")
    profiles, _ = _profiles_path(environ, in_dotenv, _toml(cwd / "prefect.toml") or {}, pyproject)
    path = cwd / profiles
    return list(_table(_toml(path) or {}, ("profiles",), str(path)))


def _profile_source(name: str | None, named_by: str) -> str:
    return f"profile {name}{_NAMED_BY}{named_by}" if named_by in IN_FOLDER else f"profile {name}"


def _named(variables: Mapping[str, str | None]) -> dict[str, object]:
    """Return the settings among variables whose names may be in any case; of several the last one counts."""
    lower = {name.lower(): value for name, value in variables.items()}
    return {name: value for name in TABLES if (value := lower.get(name.lower())) is not None}


def _tabled(data: Mapping[str, Any], above: tuple[str, ...], file: str) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, (table, key) in TABLES.items():
        value = _table(data, (table,), file, above).get(key)
        # A table below a plain setting is not seen by Prefect.
        if value is not None and (name == "PREFECT_CLIENT_CUSTOM_HEADERS" or not isinstance(value, dict)):
            found[name] = value
    return found


def _table(
    data: Mapping[str, Any], names: tuple[str, ...], file: str, above: tuple[str, ...] = ()
) -> Mapping[str, Any]:
    for at, name in enumerate(names, 1):
        data = data.get(name, {})
        if not isinstance(data, dict):
            path = ".".join((*above, *names[:at]))
            raise ConfigError(f"{file}: {path} is not a table.", setting=file, hint=f"Write [{path}].")
    return data


def _dotenv(path: Path, environ: Mapping[str, str], notes: list[str]) -> Mapping[str, str | None]:
    # Password managers hand a .env out through a pipe. A folder of that name is a virtual environment.
    text = _text(path, pipe=files.PIPE_PATIENCE, skip_folder=True)
    if text is None:
        return {}
    found = dotenv.parse(text, environ)
    if found.bad_lines:
        lines = ", ".join(map(str, found.bad_lines))
        notes.append(f"{path}: nothing could be read from line {lines}")
    return found.values


# --- profiles ---


@dataclass(frozen=True, slots=True)
class _Profile:
    name: str | None
    origin: str
    looked_at: str
    values: Mapping[str, object] = field(default_factory=dict, repr=False)


def _profiles_path(
    environ: Mapping[str, str],
    in_dotenv: Mapping[str, str | None],
    prefect: Mapping[str, Any],
    pyproject: Mapping[str, Any],
) -> tuple[Path, str]:
    """Return the profiles.toml to read, and the source that names it.

    The names count in upper case only, and empty ones do not count.
    Neither ``~`` nor ``$PREFECT_HOME`` is expanded.
    """
    for source, value in (
        ("environment", environ.get("PREFECT_PROFILES_PATH")),
        (".env", in_dotenv.get("PREFECT_PROFILES_PATH")),
        ("prefect.toml", prefect.get("profiles_path")),
        ("pyproject.toml", pyproject.get("profiles_path")),
    ):
        if value:
            if not isinstance(value, str):
                raise ConfigError(f"The profiles_path in {source} is not a string.", setting="profiles_path")
            return Path(value), source
    if home := environ.get("PREFECT_HOME"):
        return Path(home) / "profiles.toml", "environment"
    return _default_path(environ), "default"


def _default_path(environ: Mapping[str, str]) -> Path:
    """Return the path ``~/.prefect/profiles.toml``."""
    home = environ.get("USERPROFILE" if os.name == "nt" else "HOME")
    try:
        return Path(home or Path.home()) / ".prefect" / "profiles.toml"
    except RuntimeError:  # neither a variable nor the user database knows the home, as in some containers
        return Path(".prefect") / "profiles.toml"


def _profile(environ: Mapping[str, str], path: Path, argument: str | None, notes: list[str]) -> _Profile:
    if _test_mode(environ):
        return _Profile(None, "default", "no profile, since Prefect's test mode is on")
    data = _toml(path)
    where = str(path) if data is not None else f"{path}, which does not exist"
    profiles = dict(_table(data or {}, ("profiles",), str(path)))
    # Prefect's own profiles stand in for a missing file at the default path, but for no other missing file.
    if argument or (data is None and path == _default_path(environ)):
        profiles = {**BUILT_IN_PROFILES, **profiles}

    active = (data or {}).get("active")
    if argument:
        name, origin = argument, "argument"
    elif environ.get("PREFECT_PROFILE"):
        name, origin = environ["PREFECT_PROFILE"], "environment"
    elif active and isinstance(active, str):
        name, origin = active, path.name
    else:
        return _Profile(None, "default", where if data is None else f"{where}, where no profile is active")
    if name in profiles:
        table = _table(profiles, (name,), str(path), ("profiles",))
        values = {setting: table[setting] for setting in TABLES if table.get(setting) is not None}
        return _Profile(name, origin, f"the profile {name!r} of {where}", values)
    if argument:
        raise ConfigError(
            f"There is no profile {name!r} in {where}.",
            setting="PREFECT_PROFILE",
            hint=f"There are {', '.join(sorted(profiles))}.",
        )
    if name not in BUILT_IN_PROFILES:
        notes.append(f"the profile {name!r} ({origin}) is not in {where}: no profile was read")
    return _Profile(None, "default", f"the profile {name!r}, which is not in {where}")


def _test_mode(environ: Mapping[str, str]) -> bool:
    return any(environ.get(name) for name in _TEST_MODES)


# --- files ---


def _text(path: Path, *, pipe: float | None = None, skip_folder: bool = False) -> str | None:
    """Return the text of a file; None where there is no such file. ``pipe`` as in ``files.read``."""
    try:
        text = files.read(path, limit=files.SETTINGS_LIMIT, pipe=pipe).decode("utf-8")
        return text.replace("\r\n", "\n").replace("\r", "\n")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if skip_folder and isinstance(error, IsADirectoryError):
            return None
        raise _unreadable(path, error) from error
    except UnicodeDecodeError as error:
        byte = error.start
    # Outside of the handler: a decoding error carries the whole file, secrets included.
    raise ConfigError(f"{path} is not UTF-8 text (byte {byte}).", setting=path.name)


def toml_parser() -> ModuleType:
    """Return the standard library's tomllib; before Python 3.11 it is the package tomli."""
    return import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")


def _toml(path: Path) -> dict[str, Any] | None:
    """Return the tables of a TOML file; None where there is no such file."""
    text = _text(path)
    if text is None:
        return None
    parser = toml_parser()
    problem, hint = "its arrays are nested too deeply", None
    if _depth(text) <= _DEEPEST:
        try:
            tables: dict[str, Any] = parser.loads(text)
            return tables
        except parser.TOMLDecodeError as error:
            position = re.search(r"at line (\d+), column (\d+)", str(error))
            line = position[1] if position else str(text.count("\n") + 1)
            # The reason itself may quote a key or a value.
            problem = f"look at line {line}{f', column {position[2]}' if position else ''}"
            hint = 'A value is written in quotes: PREFECT_API_URL = "http://127.0.0.1:4200/api".'
        except ValueError:
            problem = "a number in it has too many digits"
        except RecursionError:
            pass
    raise ConfigError(f"{path} is not valid TOML: {problem}.", setting=path.name, hint=hint)


def _depth(text: str) -> int:
    """Return how deep the brackets of a text are nested at most; those in strings and comments count, too."""
    deepest = depth = 0
    for bracket in _BRACKETS.findall(text):
        depth = depth + 1 if bracket in "[{" else max(depth - 1, 0)
        deepest = max(deepest, depth)
    return deepest


def _unreadable(path: Path, error: OSError) -> ConfigError:
    return ConfigError(
        f"{path} cannot be read: {error.strerror or error}.",
        setting=path.name,
        hint="Prefect reads this file too; mend it, or move it out of the way.",
    )
