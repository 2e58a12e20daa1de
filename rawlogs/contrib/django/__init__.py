"""Logs in Django: a consumer for Channels, and an async view that needs no Channels (``pip install rawlogs[django]``).

Neither needs a channel layer: each connection reads the process's one hub. The names are loaded when they are first
used, so the view does not import Channels. See docs/relay.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rawlogs._lazy import attach

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

__getattr__, __dir__ = attach(__name__, _HOMES)
