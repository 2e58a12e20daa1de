"""Any bytes at all to everything that reads what others wrote: our own errors only, and memory that is bounded.

The targets are in ``tests/fuzz``, where a coverage-guided fuzzer runs them too. What it found is a row here.
"""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from fuzz.targets import SEEDS, TARGETS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rawlogs.errors import ConfigError, HistoryError
from rawlogs.rest.history import History
from rawlogs.testing.recording import read

ROOM = 40 << 20
"""Memory that a target may use whatever its input is: lines that are loaded, caches that are filled."""
TIMES = 100
"""How many bytes of memory an input's byte may cost besides."""


def almost(seeds: list[bytes]) -> st.SearchStrategy[bytes]:
    """Parts of the seeds and small foreign parts, in any order, with some bytes changed."""
    whole = st.sampled_from(seeds)
    part = st.builds(lambda seed, start, size: seed[start : start + size], whole, PLACES, PLACES)
    odd = st.binary(max_size=8) | st.sampled_from(
        [
            b'"',
            b"\\",
            b"{",
            b"]",
            b"\0",
            b"\n",
            b"1e999",
            b"\xff",
            b"\\ud800",
            b"null",
            b"-1",
            b"[[",
            b"9" * 40,
        ]
    )
    mixed = st.lists(part | odd, max_size=6).map(b"".join)
    inserted = st.builds(lambda seed, at, new: seed[:at] + new + seed[at:], whole, PLACES, odd)
    cut = st.builds(lambda seed, at, size: seed[:at] + seed[at + size :], whole, PLACES, st.integers(1, 8))
    return mixed | inserted | cut | st.binary(max_size=60)


PLACES = st.integers(0, 400)


@pytest.mark.parametrize("name", TARGETS)
def test_whatever_comes_only_our_own_errors_come_of_it(name: str) -> None:
    """What each target asserts beside is written there."""

    @settings(deadline=None, database=None, max_examples=120, suppress_health_check=list(HealthCheck))
    @given(almost(SEEDS[name]))
    def run(data: bytes) -> None:
        TARGETS[name](data)

    for seed in SEEDS[name]:
        TARGETS[name](seed)
    run()


_HEADER = b'{"rawlogs_recording":1,"created":"2026-01-01T00:00:00Z","api_url":"http://[h/api"}\n'


@pytest.mark.parametrize(
    ("name", "data"),
    [
        pytest.param("scenarios", b"[[fault]]\nkind = {}\n", id="a kind that is a table"),
        pytest.param("scenarios", b"[[fault]]\nkind = 'http'\nwhere = []\n", id="a place that is a list"),
        pytest.param("scenarios", b"[logs]\nlate = nan\n", id="a number that is none"),
        pytest.param("recordings", _HEADER, id="a recorded API URL that is none"),
        pytest.param(
            "recordings",
            _HEADER + b'{"t":0,"connection":0,"dir":"client","event":"upgrade","path":"//[h"}\n',
            id="a recorded path that is none",
        ),
        pytest.param(
            "recordings",
            _HEADER + b'{"t":1e300,"connection":0,"dir":"client","event":"ping"}\n',
            id="a recorded time beyond the calendar",
        ),
        pytest.param("env", b"A=xx\n" + b"A=${A}${A}\n" * 40, id="a value that doubles forty times"),
        pytest.param("answers", b"\x00\xc8" + bytes(32) + b'[{"id":{}}]', id="an id that is an object"),
        pytest.param(
            "answers",
            b"\x00\xc8" + bytes(32) + b"[" + b"{}," * 200 + b"{}]",
            id="a page that comes again for every offset",
        ),
    ],
)
def test_what_a_fuzzer_found_is_mended(name: str, data: bytes) -> None:
    """Each of these once raised something else, or never ended."""
    TARGETS[name](data)


BIG = 200_000
HOSTILE: dict[str, Callable[[bytes], bytes]] = {
    "nested lists": lambda seed: seed[:10] + b"[" * BIG,
    "nested objects": lambda seed: seed[:10] + b'{"a":' * (BIG // 5),
    "a giant number": lambda seed: seed[:10] + b"9" * BIG,
    "a giant exponent": lambda seed: b'{"t":1e' + b"9" * BIG + b"}",
    "a giant line": lambda seed: seed + b"x" * BIG,
    "blanks": lambda seed: seed + b" \t" * (BIG // 2) + b"x",
    "quotes": lambda seed: seed + b"='\"\\" * (BIG // 4),
    "braces": lambda seed: b"A=" + b"${:" * (BIG // 3),
    "empty lines": lambda seed: seed + b"\n" * BIG,
    "the seed again and again": lambda seed: (seed + b"\n") * (BIG // len(seed)),
    "parameters": lambda seed: b"\0" + b"level=1&" * (BIG // 8),
}


@pytest.mark.parametrize("shape", HOSTILE)
@pytest.mark.parametrize("name", TARGETS)
def test_memory_is_bounded_by_the_size_of_what_came(name: str, shape: str) -> None:
    """Nested, long and repeated beyond all sense."""
    data = HOSTILE[shape](SEEDS[name][0])
    TARGETS[name](SEEDS[name][0])
    tracemalloc.start()
    try:
        TARGETS[name](data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < ROOM + TIMES * len(data)


async def test_a_list_that_ignores_the_offset_comes_to_an_end() -> None:
    """As behind a cache that looks at the path only: transient, so that it is tried again later."""

    class Cached:
        asked = 0

        async def post(self, path: str, body: object) -> object:
            self.asked += 1
            assert self.asked < 2_000
            return [LOG] * 200

    stamp = datetime(2026, 1, 1, tzinfo=timezone.utc)
    with pytest.raises(HistoryError) as caught:
        async for _ in History(Cached()).pages({}, stamp - timedelta(1), stamp + timedelta(1)):
            pass
    assert caught.value.transient


LOG = {
    "id": "01a20537-c002-7db3-8e59-6c5b0fa42bcb",
    "name": "a",
    "level": 20,
    "message": "m",
    "timestamp": "2026-01-01T00:00:00Z",
    "flow_run_id": None,
    "task_run_id": None,
}


def test_a_file_without_lines_is_refused(tmp_path: Path) -> None:
    """A recording of one endless line, as another program's binary file would be."""
    path = tmp_path / "big"
    path.write_bytes(bytes(1 << 20))
    with pytest.raises(ConfigError, match="not a recording"):
        read(path)


def test_the_fuzzer_says_what_to_install() -> None:
    """It is no dependency of the tests."""
    ran = subprocess.run(
        [sys.executable, "-S", "-m", "fuzz", "frames"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 1
    assert "pip install 'atheris" in ran.stderr
