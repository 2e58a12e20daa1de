"""One switch turns the fast ways off."""

from __future__ import annotations

import pytest

from rawlogs.wire import ways


@pytest.mark.parametrize(
    ("value", "fast"), [(None, True), ("", True), ("0", True), ("1", False), ("yes", False)]
)
def test_the_environment_turns_the_fast_ways_off(
    monkeypatch: pytest.MonkeyPatch, value: str | None, fast: bool
) -> None:
    if value is None:
        monkeypatch.delenv("RAWLOGS_CAREFUL", raising=False)
    else:
        monkeypatch.setenv("RAWLOGS_CAREFUL", value)
    assert ways.fast() is fast
