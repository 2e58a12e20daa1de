"""Logs in Django: a consumer for Channels, and an async view that needs no Channels (``pip install rawlogs[django]``).

Neither needs a channel layer: each connection reads the process's one hub. The names are loaded when they are first
used, so the view does not import Channels. See docs/relay.md.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rawlogs.contrib.django.consumer import PrefectLogsConsumer as PrefectLogsConsumer
    from rawlogs.contrib.django.hub import close_hub as close_hub
    from rawlogs.contrib.django.hub import get_hub as get_hub
    from rawlogs.contrib.django.view import prefect_logs_view as prefect_logs_view

_HOMES = {
    "PrefectLogsConsumer": "consumer",
    "close_hub": "hub",
    "get_hub": "hub",
    "prefect_logs_view": "view",
}

__all__ = sorted(_HOMES)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
