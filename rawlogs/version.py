"""The version of this package, and versions as numbers that compare."""

from __future__ import annotations

from functools import cache

Release = tuple[int, ...]


@cache
def version() -> str:
    """Return the installed version by the package's metadata; ``0+unknown`` in a checkout that was never installed."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as of

    try:
        return of("rawlogs")
    except PackageNotFoundError:
        return "0+unknown"


def user_agent() -> str:
    """Return ``rawlogs/VERSION``, which the socket and REST both send."""
    return f"rawlogs/{version()}"


def release(text: str | None) -> Release | None:
    """Return the leading numbers of a version; None where there are fewer than two."""
    numbers: list[int] = []
    for part in (text or "").split("+")[0].split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits or len(digits) > 9:
            break
        numbers.append(int(digits))
        if digits != part:  # 0rc1
            break
    return tuple(numbers) if len(numbers) >= 2 else None
