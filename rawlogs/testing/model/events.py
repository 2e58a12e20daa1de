"""Events of flow runs: how one is made, and which of them a filter chooses. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import orjson

from rawlogs.log_values import parse_timestamp
from rawlogs.testing.model.schemas import EventFilter, EventName, EventResource
from rawlogs.testing.model.subscriptions import Outgoing

BACKFILL = timedelta(minutes=15)
"""How far back a new subscriber is sent old events (PREFECT_SERVER_EVENTS_MAXIMUM_WEBSOCKET_BACKFILL)."""
Event = dict[str, Any]


def latest(events: Sequence[Event], run_id: str) -> str | None:
    """Return the id of the last event of a flow run; None where it has none."""
    resource = f"prefect.flow-run.{run_id}"
    ids = (event["id"] for event in reversed(events) if event["resource"]["prefect.resource.id"] == resource)
    return next(ids, None)


def outgoing(event: Event) -> Outgoing:
    """Return the frame of an event."""
    return Outgoing(str(event["id"]), orjson.dumps({"type": "event", "event": event}))


def accepts(chosen: EventFilter, now: datetime) -> Callable[[Event], bool]:
    """Return a predicate of the events that a client is sent that subscribes at ``now``.

    Without ``occurred.until`` the client gets old events and never a live one: it means ``now``.
    """
    since = max(chosen.occurred.since or now - BACKFILL, now - BACKFILL)  # older ones are never sent
    until = chosen.occurred.until or now
    fitting = fits(chosen)
    return lambda event: since <= parse_timestamp(event["occurred"]) <= until and fitting(event)


def fits(chosen: EventFilter) -> Callable[[Event], bool]:
    """Return a predicate of the events that a filter chooses, whenever they occurred."""

    def accept(event: Event) -> bool:
        resources = [event["resource"], *event["related"]]
        own = _resource(chosen.resource, resources[:1]) and _resource(chosen.any_resource, resources)
        return own and _name(chosen.event, event["event"])

    return accept


def _name(part: EventName | None, name: str) -> bool:
    return part is None or (
        (part.prefix is None or name.startswith(tuple(part.prefix)))
        and not name.startswith(tuple(part.exclude_prefix or ()))
        and (part.name is None or name in part.name)
        and name not in (part.exclude_name or ())
    )


def _resource(part: EventResource | None, resources: list[dict[str, str]]) -> bool:
    if part is None:
        return True
    ids = [resource["prefect.resource.id"] for resource in resources]
    return (part.id is None or any(id in part.id for id in ids)) and (
        part.id_prefix is None or any(id.startswith(tuple(part.id_prefix)) for id in ids)
    )


def run_event(run: dict[str, Any], previous: dict[str, Any] | None) -> Event:
    """Return the event of a flow run's new state; ``previous`` is the state before, None for the first.

    What the server adds is missing: ``id``, ``follows``, ``related`` and ``received``.
    """
    state = run["state"]
    return {
        "occurred": state["timestamp"],
        "event": f"prefect.flow-run.{state['name']}",
        "resource": {
            "prefect.resource.id": f"prefect.flow-run.{run['id']}",
            "prefect.resource.name": run["name"],
            "prefect.state-message": state["message"] or "",
            "prefect.state-name": state["name"],
            "prefect.state-timestamp": state["timestamp"].replace("Z", "+00:00"),
            "prefect.state-type": state["type"],
        },
        "payload": {
            "intended": {"from": previous and previous["type"], "to": state["type"]},
            "initial_state": previous and {"type": previous["type"], "name": previous["name"]},
            "validated_state": {"type": state["type"], "name": state["name"]},
        },
    }
