"""A fake Prefect server for tests: the product's own test-suite stands on it, and yours may.

>>> async with FakeServer() as server:                                  # doctest: +SKIP
...     os.environ["PREFECT_API_URL"] = server.api_url
...     server.post("hello", level=20)

``FakeServer(Behaviour(...))`` is a model of Prefect: what is posted to it reaches REST and the subscribed
sockets, with Prefect's own rules and losses. ``server.fault`` and ``server.script`` break it (see
``rawlogs.testing.faults``); ``FakeServer(recording=...)`` plays a recording back. The pytest fixture is in
``rawlogs.testing.plugin``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rawlogs.testing.behaviour import Behaviour as Behaviour
    from rawlogs.testing.exchange import RestRequest as RestRequest
    from rawlogs.testing.record import Connection as Connection
    from rawlogs.testing.recording import Recorder as Recorder
    from rawlogs.testing.recording import Recording as Recording
    from rawlogs.testing.server import FakeServer as FakeServer

_HOMES = {
    "Behaviour": "behaviour",
    "Connection": "record",
    "FakeServer": "server",
    "Recorder": "recording",
    "Recording": "recording",
    "RestRequest": "exchange",
}

__all__ = ["Behaviour", "Connection", "FakeServer", "Recorder", "Recording", "RestRequest"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
