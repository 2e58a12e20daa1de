"""The pytest plugin gives a test a fake server, and the settings that point at it."""

from __future__ import annotations

import pytest

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
