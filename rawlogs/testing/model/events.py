"""The events that a server holds: which of them a filter chooses, and what a new subscriber is sent again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

from rawlogs.models import parse_timestamp
from rawlogs.testing.model.schemas import EventFilter, EventResource
from rawlogs.testing.model.subscriptions import Subscriptions

BACKFILL = timedelta(minutes=15)
"""How far back a new subscriber is served (PREFECT_SERVER_EVENTS_MAXIMUM_WEBSOCKET_BACKFILL)."""
Event = dict[str, Any]


class EventLog:
    """All events, oldest first, and the hub that tells new ones."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self.hub: Subscriptions[Event] = Subscriptions()

    def add(self, event: Event) -> None:
        self._events.append(event)

    def __iter__(self) -> Iterator[Event]:
        return iter(self._events)

    def latest(self, run_id: str) -> str | None:
        """The id of the last event of that flow run."""
        resource = f"prefect.flow-run.{run_id}"
        ids = (
            event["id"]
            for event in reversed(self._events)
            if event["resource"]["prefect.resource.id"] == resource
        )
        return next(ids, None)

    def backfill(self, accepts: Callable[[Event], bool]) -> list[Event]:
        return [event for event in self._events if accepts(event)]


def accepts(chosen: EventFilter, now: datetime) -> Callable[[Event], bool]:
    """Which events that filter lets through, for one who subscribes now.

    ``occurred.until`` that is not set means now: such a subscriber gets the backfill and never a live event.
    """
    since = max(chosen.occurred.since or now - BACKFILL, now - BACKFILL)
    until = chosen.occurred.until or now

    fitting = fits(chosen)
    return lambda event: since <= parse_timestamp(event["occurred"]) <= until and fitting(event)


def fits(chosen: EventFilter) -> Callable[[Event], bool]:
    """Which events that filter chooses, whenever they occurred."""

    def accept(event: Event) -> bool:
        name: str = event["event"]
        resources = [event["resource"], *event["related"]]
        return (
            _name(chosen, name)
            and _resource(chosen.resource, resources[:1])
            and _resource(chosen.any_resource, resources)
        )

    return accept


def _name(chosen: EventFilter, name: str) -> bool:
    if (part := chosen.event) is None:
        return True
    return (
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


def run_event(
    run: dict[str, Any],
    previous: dict[str, Any] | None,
    *,
    id: str,
    follows: str | None,
    related: list[dict[str, str]],
    received: str,
) -> Event:
    """The event of a flow run's new state: the name carries the state's name, the resource its type."""
    state = run["state"]
    brief = {"type": state["type"], "name": state["name"]}
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
        "related": related,
        "payload": {
            "intended": {"from": previous and previous["type"], "to": state["type"]},
            "initial_state": previous and {"type": previous["type"], "name": previous["name"]},
            "validated_state": brief,
        },
        "id": id,
        "follows": follows,
        "received": received,
    }
