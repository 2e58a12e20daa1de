"""A Channels consumer for Prefect's subscriber: sends a browser the logs of the run and the levels in its URL."""

import asyncio
from urllib.parse import parse_qs

from channels.generic.websocket import AsyncJsonWebsocketConsumer

from rawlogs.compat.prefect import (
    LogFilter,
    LogFilterFlowRunId,
    LogFilterLevel,
    LogFilterTaskRunId,
    get_logs_subscriber,
)


class LogConsumer(AsyncJsonWebsocketConsumer):
    async def connect(self):
        await self.accept()
        self.streaming = asyncio.create_task(self.stream())

    async def disconnect(self, code):
        self.streaming.cancel()
        await asyncio.gather(self.streaming, return_exceptions=True)

    def filter(self):
        asked = parse_qs(self.scope.get("query_string", b"").decode())
        parts = {}
        if "flow_run_id" in asked:
            parts["flow_run_id"] = LogFilterFlowRunId(any_=asked["flow_run_id"])
        if "task_run_id" in asked:
            parts["task_run_id"] = LogFilterTaskRunId(any_=asked["task_run_id"])
        if "level" in asked:
            parts["level"] = LogFilterLevel(any_=asked["level"])
        return LogFilter(**parts) if parts else None

    async def stream(self):
        try:
            async with get_logs_subscriber(filter=self.filter(), reconnection_attempts=100) as subscriber:
                async for log in subscriber:
                    await self.send_json(
                        {
                            "timestamp": log.timestamp.isoformat(),
                            "level": log.level_name,
                            "message": log.message,
                            "flow_run_id": str(log.flow_run_id or ""),
                        }
                    )
        except Exception as error:
            await self.send_json({"error": str(error)})
