"""The browser of these tests."""

from __future__ import annotations

import pytest

from .site import chromium


def test_a_missing_browser_is_an_error_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("RAWLOGS_CHROMIUM", raising=False)
    with pytest.raises(RuntimeError, match="make system"):
        chromium()
