"""Runs an ASGI application as `uvicorn module:app` does, on a free port that it prints as JSON."""

from __future__ import annotations

import json
import socket
from typing import Any

import uvicorn


def serve(app: Any) -> None:
    """Until SIGTERM. Without the access log, which only says who came."""
    listener = socket.create_server(("127.0.0.1", 0))
    print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
    config = uvicorn.Config(app, log_level="warning", access_log=False)
    uvicorn.Server(config).run(sockets=[listener])
