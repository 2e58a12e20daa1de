"""Decides how the server answers an upgrade, an auth frame and a filter frame. Pure.

    upgrade                                 3.4.7, 3.5.0        3.6.29              3.7.8, 3.8.8
    no or another subprotocol, auth off     403                 101, legacy         101, legacy
    ``foo, prefect``, auth off              403                 101, legacy         101, ``prefect``
    no or another subprotocol, auth on      403                 403                 403
    unknown path, also ``/logs/out/``       403                 403                 403

    auth frame, auth on                     3.4.7, 3.5.0        3.6.29, 3.7.8, 3.8.8
    right token                             auth_success        auth_success
    null, missing or empty token            1008 Auth required but no token provided
    wrong token                             1008 Invalid token
    wrong token, not ASCII                  1008 Invalid token  dropped
    a list                                  1008 Invalid token  dropped
    a number                                dropped             dropped

    auth frame, on or off
    any other type, or none                 1008 Expected 'auth' message
    no JSON object, or a binary frame       dropped

    filter frame
    another type                            1002 Expected 'filter' message
    no ``filter``                           1002 Invalid filter: 'filter'
    no type, a bad filter, no JSON object   dropped

All of this was seen on those servers. "Dropped" is a TCP end without a close frame: after an error in the server, or
after a close reason for a filter that is longer than the 123 bytes of a close frame.
"""

from __future__ import annotations

import hmac
import operator
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ValidationError

from rawlogs.testing.model.behaviour import Behaviour
from rawlogs.testing.model.rest import json_object

SUBPROTOCOL = "prefect"
Model = TypeVar("Model", bound=BaseModel)


class Refused(Exception):
    """Raised for an upgrade that is answered with status 403 and an empty body instead of 101."""


@dataclass(frozen=True, slots=True)
class Closed:
    """The end of the connection. A code of None: without a close frame. ``message`` is sent before."""

    code: int | None = None
    reason: str = ""
    message: str | None = None


def check_upgrade(channel: str | None, offered: Iterable[str], behaviour: Behaviour) -> str | None:
    """Return the subprotocol that is accepted; None for the legacy mode, without an auth frame. Raises Refused.

    channel: ``logs``, ``events``, or None for an unknown path. offered: the values of the subprotocol headers.
    """
    if channel is None or (channel == "logs" and not behaviour.has_logs_out):
        raise Refused
    names = [name for header in offered for name in header.split(",")]
    if behaviour.trims_subprotocols:  # before 3.7.2 the second of "foo, prefect" was read as " prefect"
        names = [name.strip() for name in names]
    if SUBPROTOCOL in names:
        return SUBPROTOCOL
    if not behaviour.accepts_legacy:
        raise Refused
    return None


def check_auth(frame: str | bytes, behaviour: Behaviour) -> Closed | None:
    """Return how the connection ends after the first frame of a client with the subprotocol; None: it is accepted."""
    message = _object(frame)
    if message is None:
        return Closed()
    if message.get("type") != "auth":
        return Closed(1008, "Expected 'auth' message")
    token = message.get("token")
    # Prefect Cloud sends a frame with the reason before it closes; a server of your own does not.
    if behaviour.api_key is not None:
        if token == behaviour.api_key:
            return None
        reason = "Invalid API key" if token else "No API key was sent"
        failure = orjson.dumps({"type": "auth_failure", "reason": reason}).decode()
        return Closed(1008, message=failure)
    if behaviour.auth_string is None:
        return None
    if isinstance(token, (int, float)) and token:  # every release fails on a number
        return Closed()
    if not token:
        return Closed(1008, "Auth required but no token provided")
    try:
        # Since 3.6.22 the server compares so; it fails for a list, and for text that is not ASCII.
        compare = hmac.compare_digest if behaviour.compares_ascii_only else operator.eq
        right = compare(token, behaviour.auth_string)
    except TypeError:
        return Closed()
    return None if right else Closed(1008, "Invalid token")


def check_filter(frame: str | bytes, model: type[Model]) -> tuple[Model, dict[str, Any]] | Closed:
    """Return the filter in a filter frame and the whole frame, or how the connection ends."""
    message = _object(frame)
    if message is None or "type" not in message:  # the server fails on these, and drops the client
        return Closed()
    if message["type"] != "filter":
        return Closed(1002, "Expected 'filter' message")
    if "filter" not in message:
        return Closed(1002, "Invalid filter: 'filter'")
    try:
        return model.model_validate(message["filter"]), message
    except ValidationError:  # the server's close reason names the error, and is longer than a close frame's
        return Closed()


def _object(frame: str | bytes) -> dict[str, Any] | None:
    return json_object(frame) if isinstance(frame, str) else None  # the server reads text frames only
