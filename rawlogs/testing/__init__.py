"""A fake Prefect server and cassettes, for tests of applications that read Prefect's logs.

>>> async with FakeServer() as server:                                  # doctest: +SKIP
...     os.environ["PREFECT_API_URL"] = server.api_url
...     server.post("hello", level=20)

``FakeServer(Behaviour(...))`` is a model of Prefect: what is posted to it is shown by REST and sent to subscribers,
with Prefect's own rules and losses. ``server.fault`` and ``server.script`` break it (``rawlogs.testing.faults``);
``FakeServer(recording=...)`` plays a recording. ``use_cassette(...)`` records the traffic between an application and a
real server, and replays it from then on. The pytest fixtures are in ``rawlogs.testing.plugin``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rawlogs._lazy import attach

if TYPE_CHECKING:
    from rawlogs.testing.cassette import Cassette as Cassette
    from rawlogs.testing.cassette import CassetteError as CassetteError
    from rawlogs.testing.cassette import use_cassette as use_cassette
    from rawlogs.testing.model.behaviour import Behaviour as Behaviour
    from rawlogs.testing.model.connection_log import Connection as Connection
    from rawlogs.testing.model.rest import RestRequest as RestRequest
    from rawlogs.testing.recording import Recorder as Recorder
    from rawlogs.testing.recording import Recording as Recording
    from rawlogs.testing.server import FakeServer as FakeServer

_HOMES = {
    "Behaviour": "model.behaviour",
    "Cassette": "cassette",
    "CassetteError": "cassette",
    "Connection": "model.connection_log",
    "FakeServer": "server",
    "Recorder": "recording",
    "Recording": "recording",
    "RestRequest": "model.rest",
    "use_cassette": "cassette",
}

__all__ = [
    "Behaviour",
    "Cassette",
    "CassetteError",
    "Connection",
    "FakeServer",
    "Recorder",
    "Recording",
    "RestRequest",
    "use_cassette",
]

__getattr__, __dir__ = attach(__name__, _HOMES)
