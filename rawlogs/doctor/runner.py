"""Run the checks in their order: each on its own, and only where it can say something."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from rawlogs.advice import Advice
from rawlogs.doctor import delivery_check, network_checks, rest_checks, socket_checks
from rawlogs.doctor.context import CheckContext
from rawlogs.doctor.findings import Finding, Result, of_error
from rawlogs.errors import RawlogsError


@dataclass(frozen=True, slots=True)
class Check:
    """``needs`` names the checks without which this one says nothing: they must not have failed."""

    name: str
    run: Callable[[CheckContext], Awaitable[Finding]]
    needs: tuple[str, ...] = ()


CHECKS: tuple[Check, ...] = (
    Check("settings", network_checks.settings),
    Check("urls", network_checks.urls, ("settings",)),
    Check("proxy", network_checks.proxy, ("settings",)),
    Check("dns", network_checks.dns, ("settings",)),
    Check("tcp", network_checks.tcp, ("dns",)),
    Check("tls", network_checks.tls, ("tcp",)),
    Check("http", rest_checks.http, ("tls",)),
    Check("health", rest_checks.health, ("http",)),
    Check("rest auth", rest_checks.auth, ("http",)),
    Check("version", rest_checks.version, ("rest auth",)),
    Check("csrf", rest_checks.csrf, ("rest auth",)),
    Check("streaming", rest_checks.streaming, ("rest auth",)),
    Check("rest logs", rest_checks.logs, ("rest auth",)),
    Check("upgrade", socket_checks.upgrade, ("http",)),
    Check("subprotocol", socket_checks.subprotocol, ("upgrade",)),
    Check("socket auth", socket_checks.auth, ("subprotocol",)),
    Check("filter", socket_checks.filter, ("socket auth",)),
    Check("ping", socket_checks.ping, ("filter",)),
    Check("clock", rest_checks.clock, ("http",)),
    Check("arrival", delivery_check.delivery, ("ping", "rest logs")),
)
"""The checks, in order."""


async def examine(case: CheckContext, on_result: Callable[[Result], None] = lambda _: None) -> list[Result]:
    """Run every check; ``on_result`` is called with each result as it comes."""
    results: dict[str, Result] = {}
    try:
        for check in CHECKS:
            results[check.name] = result = await _result(check, case, results)
            on_result(result)
    finally:
        await case.close()
    return list(results.values())


async def _result(check: Check, case: CheckContext, results: Mapping[str, Result]) -> Result:
    if stopped_by := next((name for name in check.needs if blocks(results[name])), None):
        return Result(check.name, Finding("skip", f"not reached ({_first_stop(stopped_by, results)})"))
    began = case.clock.monotonic()
    try:
        finding = await check.run(case)
    except RawlogsError as error:
        finding = of_error(error)
    except Exception as error:  # a fault of one check must not keep the others from running
        text = f"the check itself failed: {type(error).__name__}: {error}"
        finding = Finding("fail", text, Advice("This is a fault of rawlogs.", "Please report it."))
    seconds = case.clock.monotonic() - began
    return Result(check.name, finding, seconds if finding.seconds is None else finding.seconds)


def blocks(result: Result) -> bool:
    """Return whether the checks that need this one cannot run."""
    return result.finding.status == "fail" or result.seconds is None


def _first_stop(name: str, results: Mapping[str, Result]) -> str:
    """Return the check that failed and kept this one from being reached."""
    while results[name].seconds is None:
        needs = next(check.needs for check in CHECKS if check.name == name)
        name = next(need for need in needs if blocks(results[need]))
    return name
