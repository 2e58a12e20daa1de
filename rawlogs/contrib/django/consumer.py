"""A Channels consumer: one WebSocket, one reader of the hub. No channel layer: ``group_send`` drops what it has no
room for (100 messages by default) without a word, so each connection reads the hub itself.

| close code | means | come back? |
| --- | --- | --- |
| 1000 | the runs that were asked for have ended | no |
| 1011 | an error in this server | yes, later |
| 1012 | the server is being stopped | yes |
| 4400 | wrong parameters; the ``error`` frame before names them | no |
| 4401 | nobody is logged in, or not any more | after logging in |
| 4403 | these logs are not for you, or not any more | no |
| 4503 | Prefect cannot be reached, so the connection could not begin | yes, later |
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any
from urllib.parse import parse_qsl

import orjson
from channels.generic.websocket import AsyncWebsocketConsumer  # type: ignore[import-untyped,unused-ignore]
from django.conf import settings  # type: ignore[import-untyped,unused-ignore]

from rawlogs.contrib.django.fresh import fresh_scope
from rawlogs.contrib.django.hub import get_hub
from rawlogs.relay.access import NOT_ALLOWED, RECHECK, Recheck, Refusal, admit, allowed, recheck_seconds
from rawlogs.relay.hub import Hub
from rawlogs.relay.query import Query
from rawlogs.relay.reader import Reader

ENDED = 1000
BROKEN = 1011
STOPPING = 1012
BAD_PARAMETERS = 4400
NOT_LOGGED_IN = 4401
FORBIDDEN = 4403
UNAVAILABLE = 4503
OVERRIDE = (
    "Nobody may read here yet: override authorize(self, scope, query) in your subclass of PrefectLogsConsumer "
    "and return True for those who may read these logs. (This text is shown because DEBUG is on.)"
)
_log = logging.getLogger("rawlogs.django")


class PrefectLogsConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]  # channels has no types
    """``ws://.../logs?flow_run_id=...&level=...&since=1h``: frames of JSON, ``{"type": "log", "id": ..., "log": ...}``.

    The parameters are those of the SSE endpoint; ``last_event_id`` goes on behind the frame with that ``id``. What the
    client sends is ignored. Override ``authorize``; ``ignore`` names parameters of your own. ``authorize`` is called
    again every ``recheck`` seconds (None: never), with a scope whose session and user are read anew.
    """

    ignore: tuple[str, ...] = ()
    recheck: float | None = RECHECK
    scope: dict[str, Any]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._sending: asyncio.Task[None] | None = None

    async def authorize(self, scope: Mapping[str, Any], query: Query) -> bool:
        """Return whether this connection may read what it asks for; only True lets it.

        Nobody may, until you override this.

        ``scope["user"]`` is the user, where AuthMiddlewareStack is used. A query without ``flow_run_id``,
        ``task_run_id`` and ``deployment`` asks for the whole workspace.
        """
        return False

    def hub(self) -> Hub:
        """Return the hub to read: the process's own, by Django's settings."""
        return get_hub()

    async def connect(self) -> None:
        # Accepted first in any case: before that, browsers show every refusal as 1006.
        await self.accept()
        pairs = parse_qsl(self.scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)
        reader = await admit(self.hub, self.authorize, self.scope, pairs, ignore=self.ignore)
        if isinstance(reader, Reader):
            self._sending = asyncio.get_running_loop().create_task(self._send_all(reader))
        elif reader is not None:
            await self._turn_away(reader)

    async def disconnect(self, code: int) -> None:
        task, self._sending = self._sending, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _turn_away(self, refusal: Refusal) -> None:
        if refusal.status == 204:
            await self.close(ENDED, refusal.text)
        elif refusal.status == 403:
            await self._deny()
        elif refusal.status == 422:
            await self._refuse(BAD_PARAMETERS, refusal.text, parameters=refusal.parameters)
        else:
            await self._refuse(UNAVAILABLE, refusal.text)

    async def _still(self, query: Query) -> bool:
        self.scope = await fresh_scope(self.scope)
        return await allowed(self.authorize, self.scope, query)

    async def _deny(self) -> None:
        user = self.scope.get("user")
        if type(self).authorize is PrefectLogsConsumer.authorize:
            _log.warning("%s.authorize is not overridden: nobody may read", type(self).__name__)
            await self._refuse(FORBIDDEN, OVERRIDE if settings.DEBUG else NOT_ALLOWED)
        elif user is not None and not getattr(user, "is_authenticated", False):
            await self._refuse(NOT_LOGGED_IN, "Log in first")
        else:
            await self._refuse(FORBIDDEN, NOT_ALLOWED)

    async def _refuse(self, code: int, text: str, **facts: Any) -> None:
        frame = {"type": "error", "code": code, "text": text, **facts}
        await self.send(text_data=orjson.dumps(frame).decode())
        # A close frame holds 123 bytes.
        await self.close(
            code, text if len(text.encode()) <= 120 else text.encode()[:117].decode("utf-8", "ignore") + "..."
        )

    async def _send_all(self, reader: Reader) -> None:
        recheck = Recheck(reader, self._still, recheck_seconds(self.recheck), self.hub().clock)
        recheck.start()
        try:
            async with aclosing(reader.batches()) as batches:
                async for events in batches:
                    for event in events:
                        await self.send(text_data=event.frame)
            if recheck.denied:
                await self._deny()
                return
            await self.close(
                ENDED if reader.ended else STOPPING, "runs ended" if reader.ended else "stopping"
            )
        except asyncio.CancelledError:
            raise
        except Exception:
            _log.exception("a log reader failed")
            await self.close(BROKEN, "an error in this server")
        finally:
            recheck.stop()
            reader.close()
