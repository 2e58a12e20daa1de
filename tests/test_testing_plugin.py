"""The pytest plugin gives a test a fake server or a cassette, and the settings that point at it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from streaming import ThreadedServer, threaded
from streaming import no_settings as no_settings

from rawlogs.testing.plugin import safe_name

pytest_plugins = ["pytester"]

TEST = """
import json, os, urllib.request, asyncio
import pytest
from rawlogs.testing import Behaviour

pytest_plugins = ["rawlogs.testing.plugin"]

{override}

{mark}
async def test_it(fake_prefect):
    assert os.environ["PREFECT_API_URL"] == fake_prefect.api_url
    assert os.environ.get("PREFECT_API_AUTH_STRING") == {auth!r}
    assert "PREFECT_API_SSL_CERT_FILE" not in os.environ
    fake_prefect.post("hello")
    assert len(fake_prefect.logs) == 1
"""
OVERRIDE = """
@pytest.fixture
def fake_prefect_behaviour():
    return Behaviour(auth_string="admin:pass")
"""


@pytest.mark.parametrize(
    ("override", "auth"), [("", None), (OVERRIDE, "admin:pass")], ids=["default", "overridden"]
)
@pytest.mark.parametrize("runner", ["asyncio", "anyio"])
def test_fixture_is_a_server_with_its_settings(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, runner: str, override: str, auth: str | None
) -> None:
    monkeypatch.setenv("PREFECT_API_KEY", "left over")
    monkeypatch.setenv("PREFECT_API_SSL_CERT_FILE", "left over")
    mark = f"@pytest.mark.{runner}"
    if runner == "anyio":
        override += "\n@pytest.fixture\ndef anyio_backend():\n    return 'asyncio'\n"
        monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makepyfile(TEST.format(override=override, mark=mark, auth=auth))
    plugins = ["-p", "anyio.pytest_plugin"] if runner == "anyio" else []
    if runner == "anyio":
        pytester.makepyfile(pytest_asyncio="raise ImportError")
    result = pytester.runpytest_subprocess("-q", *plugins)
    result.assert_outcomes(passed=1)


def test_fixture_is_not_there_unless_it_is_asked_for(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(fake_prefect): pass")
    pytester.runpytest_subprocess("-q").assert_outcomes(errors=1)


# Cassettes.

CASSETTE_TEST = """
import os, urllib.request
import pytest

{override}

def version():
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({{}}))
    with opener.open(os.environ["PREFECT_API_URL"] + "/flow_runs/{run}") as answer:
        return answer.read().decode()

{tests}
"""
MARKED = """
@pytest.mark.prefect_cassette
def test_marked():
    assert '"brave-otter"' in version()
    assert "PREFECT_API_KEY" not in os.environ
"""
SCOPE = ("-o", "asyncio_default_fixture_loop_scope=function")
RUN = "00000000-0000-0000-0000-000000000001"


@pytest.fixture
def real(monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadedServer]:
    """The server that is recorded, which the settings name."""
    with threaded() as server:
        server.add_run("brave-otter", id=RUN)
        monkeypatch.setenv("PREFECT_API_URL", server.api_url)
        yield server


def make(pytester: pytest.Pytester, tests: str = MARKED, override: str = "") -> None:
    pytester.makepyfile(test_it=CASSETTE_TEST.format(tests=tests, override=override, run=RUN))


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return pytester.runpytest_inprocess(
        "-q", "-p", "rawlogs.testing.plugin", "-p", "no:cacheprovider", "--strict-markers", *SCOPE, *arguments
    )


def requests(server: ThreadedServer) -> int:
    return len(server.server.requests)


def test_a_marked_test_records_once_and_replays_from_then_on(
    pytester: pytest.Pytester, real: ThreadedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(pytester)
    monkeypatch.setenv("PREFECT_API_KEY", "pnu_left_over_in_the_environment")
    run(pytester).assert_outcomes(passed=1)
    cassette = pytester.path / "cassettes" / "test_it" / "test_marked.jsonl"
    assert "brave-otter" in cassette.read_text()
    monkeypatch.delenv("PREFECT_API_URL")
    run(pytester).assert_outcomes(passed=1)
    assert requests(real) == 1


def test_the_option_says_how_every_cassette_is_used(pytester: pytest.Pytester, real: ThreadedServer) -> None:
    make(pytester, MARKED.replace("cassette\n", "cassette(mode='none')\n"))
    run(pytester).stdout.fnmatch_lines(["*There is no cassette*test_marked.jsonl*"])
    run(pytester, "--prefect-record=all").assert_outcomes(passed=1)
    run(pytester, "--prefect-record=all").assert_outcomes(passed=1)
    assert requests(real) == 2
    run(pytester).assert_outcomes(passed=1)
    assert requests(real) == 2
    assert run(pytester, "--prefect-record=ones").ret == pytest.ExitCode.USAGE_ERROR


def test_what_a_cassette_does_not_know_fails_the_test_and_says_what(
    pytester: pytest.Pytester, real: ThreadedServer
) -> None:
    make(pytester)
    run(pytester).assert_outcomes(passed=1)
    hiding = """
@pytest.mark.prefect_cassette
def test_marked():
    with pytest.raises(OSError):
        urllib.request.urlopen(os.environ["PREFECT_API_URL"] + "/flows/1")
"""
    make(pytester, hiding)
    result = run(pytester, "--prefect-record=none")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*The cassette *test_marked.jsonl (mode none) does not know what was asked:",
            "*GET /flows/1",
            "*The mode new_episodes would record that*",
        ]
    )


def test_the_fixture_is_the_cassette_and_its_server_can_be_chosen(
    pytester: pytest.Pytester, real: ThreadedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PREFECT_API_URL")
    test = """
@pytest.mark.prefect_cassette("here/it.jsonl")
def test_fixture(prefect_cassette):
    assert os.environ["PREFECT_API_URL"] == prefect_cassette.api_url
    version()
"""
    override = f"@pytest.fixture\ndef prefect_cassette_upstream():\n    return {real.api_url!r}\n"
    make(pytester, test, override)
    run(pytester).assert_outcomes(passed=1)
    assert (pytester.path / "here" / "it.jsonl").exists()


def test_what_a_failed_test_recorded_is_not_kept(pytester: pytest.Pytester, real: ThreadedServer) -> None:
    make(pytester, MARKED + "    assert False\n")
    run(pytester).assert_outcomes(failed=1)
    assert not list(pytester.path.rglob("*.jsonl"))


def test_every_test_has_a_file_of_its_own_whatever_its_name(
    pytester: pytest.Pytester, real: ThreadedServer
) -> None:
    tests = """
NAMES = ["../../up", "a/b", "a\\\\b", "x" * 300, "nul\\0", "é", ":*?", ".hidden", "plain"]

class TestClass:
    @pytest.mark.prefect_cassette
    @pytest.mark.parametrize("name", NAMES, ids=str)
    def test_named(self, name):
        version()
"""
    make(pytester, tests)
    run(pytester).assert_outcomes(passed=9)
    folder = pytester.path / "cassettes" / "test_it"
    names = sorted(path.name for path in folder.iterdir())
    assert len(names) == 9
    assert len(list(pytester.path.rglob("*.jsonl"))) == 9
    assert "TestClass.test_named[plain].jsonl" in names
    assert all(
        re.fullmatch(r"TestClass\.test_named\[[\w.,=+\[\]-]+\.jsonl", name, re.ASCII) for name in names
    )
    assert max(map(len, names)) < 130


@pytest.mark.parametrize("name", ["con", "NUL.txt", "a b", "test\ud800", "x" * 101])
def test_a_name_that_some_system_cannot_have_is_changed(name: str) -> None:
    assert re.fullmatch(r"[\w.-]+-[0-9a-f]{10}", safe_name(name), re.ASCII)


def test_the_marker_takes_no_other_words(pytester: pytest.Pytester) -> None:
    make(pytester, MARKED.replace("cassette\n", "cassette(record='none')\n"))
    run(pytester).stdout.fnmatch_lines(["*TypeError*record*"])


# docs/testing.md

GUIDE = Path(__file__).parents[1] / "docs" / "testing.md"
MODE = ("-o", "asyncio_mode=auto")


def examples(pytester: pytest.Pytester) -> None:
    """The files that the guide shows, each of which says its name in its first line."""
    for name, code in re.findall(r"```python\n# (\w+)\.py\n(.*?)```", GUIDE.read_text(), re.DOTALL):
        pytester.makepyfile(**{name: code})


def sends(*messages: str) -> Callable[[ThreadedServer], None]:
    """What is posted once somebody listens."""

    def send(server: ThreadedServer) -> None:
        server.until_subscribed()
        server.post(messages, level=40)

    return send


def test_the_guides_tests_with_a_fake_server_pass(pytester: pytest.Pytester) -> None:
    examples(pytester)
    pytester.runpytest_subprocess("-q", *SCOPE, *MODE, "test_app.py").assert_outcomes(passed=3)


def test_the_guides_tests_of_code_that_blocks_pass(pytester: pytest.Pytester) -> None:
    examples(pytester)
    pytester.runpytest_subprocess("-q", *SCOPE, "test_views.py").assert_outcomes(passed=3)


def test_the_guides_tests_with_a_cassette_pass(
    pytester: pytest.Pytester, real: ThreadedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples(pytester)
    arguments = ("-q", *SCOPE, *MODE, "test_cassettes.py")
    sending = real.beside(sends("boom", "bang"))
    pytester.runpytest_subprocess(*arguments).assert_outcomes(passed=2)
    sending.join()
    monkeypatch.delenv("PREFECT_API_URL")
    pytester.runpytest_subprocess(*arguments, "--prefect-record=none").assert_outcomes(passed=2)
