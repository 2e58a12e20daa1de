"""What holds for every test: Hypothesis without a clock, and on Linux no test that is skipped."""

from __future__ import annotations

import re
import sys
from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# How fast an example runs says something about the machine, not about rawlogs.
settings.register_profile("rawlogs", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("rawlogs")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail what would be skipped on Linux: there, all that a test needs can be installed."""
    report = yield
    if report.skipped and sys.platform == "linux":
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped; on Linux every test runs"
    return report


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Run the tests of a file in one process; and those that share the real servers of a version, too."""
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file, _, test = nodeid.partition("::")
            if not file.startswith("tests/real/"):
                return file
            # A server takes 4 s of CPU to start, and some more while nobody uses it.
            version = re.search(r"\b3\.\d+\.\d+\b", test)
            return f"prefect-{version[0] if version else ''}"

    return Scheduling(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is marked `matrix`, unless -m speaks of it; let `-k fault_45` select a row of docs/faults.md.

    Those with real servers take longest, and begin.
    """
    items.sort(key=lambda item: "real" not in item.path.parts)
    for item in items:
        for mark in item.iter_markers("fault"):
            item.extra_keyword_matches.update(f"fault_{number}" for number in mark.args)
    if "matrix" in config.option.markexpr:
        return
    left_out = [item for item in items if item.get_closest_marker("matrix")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
