"""What ``rawlogs run`` is told about the new run, read and checked."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import uuid4

import orjson

from rawlogs import files
from rawlogs.errors import ConfigError
from rawlogs.rest.start_run import RunRequest

LIMIT = 16 << 20
"""Bytes that a file of parameters may have."""


def read_request(
    *,
    param: Sequence[str],
    params: str | None,
    tag: Sequence[str],
    name: str | None,
    delay: timedelta | None,
    at: datetime | timedelta | None,
    idempotency_key: str | None,
) -> RunRequest:
    """Return the request of these flags. Raises ConfigError that names the flag."""
    parameters: dict[str, Any] = {} if params is None else _read(params)
    texts: dict[str, str] = {}
    for text in param:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"-p {text}: it is not KEY=VALUE", setting="--param")
        texts[key.strip()] = value
        parameters[key.strip()] = _value(value)
    if delay is not None and at is not None:
        raise ConfigError("give one of --in and --at, not both", setting="--at")
    if isinstance(at, timedelta):
        raise ConfigError("--at takes a time; a duration goes with --in", setting="--at")
    if delay is not None:
        try:
            at = datetime.now(timezone.utc) + delay
        except OverflowError:
            raise ConfigError("--in is longer than the calendar", setting="--in") from None
    # With a key of its own a request that got no answer can be sent again without a second run.
    key = idempotency_key or f"rawlogs-{uuid4()}"
    return RunRequest(key, parameters, texts, tuple(tag), name, at)


def _read(path: str) -> dict[str, Any]:
    try:
        data = (
            sys.stdin.buffer.read()
            if path == "-"
            else files.read(path, limit=LIMIT, pipe=files.PIPE_PATIENCE)
        )
        value = orjson.loads(data)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}", setting="--params") from None
    except orjson.JSONDecodeError as error:
        raise ConfigError(f"{path} is not JSON: {error}", setting="--params") from None
    if not isinstance(value, dict):
        raise ConfigError(f"{path} holds no JSON object", setting="--params")
    return value


def _value(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
