"""The pytest fixtures ``fake_prefect``, a fake server, and ``prefect_cassette``, a recorded one (docs/testing.md).

The plugin is loaded only where it is asked for: with ``-p rawlogs.testing.plugin``, or in the top ``conftest.py`` with
``pytest_plugins = ["rawlogs.testing.plugin"]``. Both servers run in threads of their own: the test may block, or be a
coroutine of any asyncio plugin. The file of ``prefect_cassette`` (the fixture, or the marker alone) is
``cassettes/MODULE/TEST.jsonl`` beside the test's module.

For the length of the test the environment's PREFECT_API_URL, PREFECT_API_AUTH_STRING and PREFECT_API_KEY match the
server; PREFECT_API_SSL_CERT_FILE and PREFECT_CLIENT_CUSTOM_HEADERS are removed.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rawlogs.testing.cassette import MODES, Cassette, CassetteError, Mode, use_cassette
from rawlogs.testing.model.behaviour import Behaviour
from rawlogs.testing.server import FakeServer

if TYPE_CHECKING:
    from rawlogs.config.settings import Settings

MARKER = "prefect_cassette"
_CASSETTE = pytest.StashKey[Cassette]()
_CREDENTIALS = ("PREFECT_API_AUTH_STRING", "PREFECT_API_KEY")
_NO_CREDENTIALS = dict.fromkeys((*_CREDENTIALS, "PREFECT_API_SSL_CERT_FILE", "PREFECT_CLIENT_CUSTOM_HEADERS"))
_UNSAFE = re.compile(r"[^A-Za-z0-9_.\[\]=+,-]")
_RESERVED = re.compile(r"(?i:con|prn|aux|nul|com\d|lpt\d)(\..*)?")
"""Names that Windows takes for devices."""
_LONGEST = 100


@pytest.fixture
def fake_prefect_behaviour() -> Behaviour:
    """Return the behaviour of ``fake_prefect``; override it."""
    return Behaviour()


@pytest.fixture
def fake_prefect(fake_prefect_behaviour: Behaviour, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    """Run a ``FakeServer`` that the environment's settings point at; the test may block, or be a coroutine."""
    with FakeServer(fake_prefect_behaviour) as server:
        _set(monkeypatch, settings(server))
        yield server


@pytest.fixture
def prefect_cassette_upstream() -> str | Settings | None:
    """Return the server that ``prefect_cassette`` records; None: the one that the settings name. Override it."""
    return None


@pytest.fixture
def prefect_cassette(
    request: pytest.FixtureRequest,
    prefect_cassette_upstream: str | Settings | None,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Cassette]:
    """Run the test's cassette, which the environment's settings point at."""
    item = request.node
    chosen = item.get_closest_marker(MARKER)
    path, mode, upstream = _chosen(*chosen.args, **chosen.kwargs) if chosen else (None, None, None)
    # The plugin may be loaded by a conftest.py too deep for the option to be known.
    asked: Mode | None = request.config.getoption("prefect_record", default=None)
    file = default_path(item) if path is None else item.path.parent / path
    recorded = upstream or prefect_cassette_upstream
    with use_cassette(file, mode=asked or mode or "once", upstream=recorded) as cassette:
        item.stash[_CASSETTE] = cassette
        _set(monkeypatch, {**_NO_CREDENTIALS, "PREFECT_API_URL": cassette.api_url})
        yield cassette


@pytest.fixture(autouse=True)
def _prefect_cassette(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker(MARKER) is not None:
        request.getfixturevalue("prefect_cassette")


_Path = str | os.PathLike[str] | None


def _chosen(
    path: _Path = None, *, mode: Mode | None = None, upstream: str | Settings | None = None
) -> tuple[_Path, Mode | None, str | Settings | None]:
    """Return the marker's arguments. Raises TypeError for arguments that it does not have."""
    return path, mode, upstream


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Let the test itself fail, not its teardown, where its cassette was asked for what it does not know."""
    cassette = item.stash.get(_CASSETTE, None)
    try:
        result = yield
    except BaseException as error:
        if cassette is not None:
            cassette.discard()
            # An interrupted test stays interrupted.
            if isinstance(error, Exception):
                _check(cassette, error)
        raise
    if cassette is not None:
        _check(cassette, None)
    return result


def _check(cassette: Cassette, cause: Exception | None) -> None:
    try:
        cassette.check()
    except CassetteError as error:
        raise error from cause


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--prefect-record``."""
    parser.getgroup("rawlogs").addoption(
        "--prefect-record",
        choices=MODES,
        default=None,
        help="The mode of every prefect_cassette, in place of what its marker says (default: once).",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line(
        "markers",
        f"{MARKER}(path=None, *, mode='once', upstream=None): replay what a Prefect server said from a cassette, or "
        "record it; the path is relative to the test's module.",
    )


def default_path(item: pytest.Item) -> Path:
    """Return ``cassettes/MODULE/TEST.jsonl`` beside the module; TEST of a test in a class is ``CLASS.TEST``."""
    names = [node.name for node in item.listchain() if isinstance(node, pytest.Class)]
    name = ".".join([*names, item.name])
    return item.path.parent / "cassettes" / safe_name(item.path.stem) / f"{safe_name(name)}.jsonl"


def safe_name(name: str) -> str:
    """Return a test's name as a file's name on any system.

    A name that has to be changed gets a digest of the whole name, so that two tests never share a file.
    """
    safe = _UNSAFE.sub("-", name)[:_LONGEST].strip(". ")
    if safe == name and not _RESERVED.fullmatch(name):
        return name
    # Half of a surrogate pair may stand in a parametrized name.
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:10]
    return f"{safe}-{digest}"


def _set(monkeypatch: pytest.MonkeyPatch, wanted: Mapping[str, str | None]) -> None:
    for name in [name for name in os.environ if name.upper() in wanted]:  # Prefect ignores their case
        monkeypatch.delenv(name)
    for name, value in wanted.items():
        if value is not None:
            monkeypatch.setenv(name, value)


def settings(server: FakeServer) -> Mapping[str, str | None]:
    """Return the settings with which a client reaches a server; None for a setting that must not be set."""
    return {
        **_NO_CREDENTIALS,
        "PREFECT_API_URL": server.api_url,
        "PREFECT_API_AUTH_STRING": server.behaviour.auth_string,
        "PREFECT_API_KEY": server.behaviour.api_key,
    }
