"""Who may read which logs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rawlogs.contrib.django import PrefectLogsConsumer
from rawlogs.relay import Query


class LogsConsumer(PrefectLogsConsumer):
    """Whoever is logged in may read a run's logs, but not the whole workspace at once."""

    async def authorize(self, scope: Mapping[str, Any], query: Query) -> bool:
        user = scope.get("user")
        return bool(user and user.is_authenticated and query.flow_run_id)
