"""What of a cassette is still to be played, by what was asked: each WebSocket once, answers in their order."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import datetime, timedelta

import orjson

from rawlogs.log_values import parse_timestamp
from rawlogs.testing import matching
from rawlogs.testing.model.rest import Answer, RestRequest
from rawlogs.testing.playback import Playback
from rawlogs.testing.recording_view import Session, below, decoded

_ABOUT_THE_SERVER = frozenset(
    {"/health", "/ready", "/hello", "/version", "/admin/version", "/admin/settings", "/csrf-token"}
)
_CLOCK_TOLERANCE = timedelta(seconds=5)


class CassetteIndex:
    """The recorded WebSockets and answers by their keys (``rawlogs.testing.matching``)."""

    def __init__(self, playback: Playback) -> None:
        self._waiting: dict[str, list[tuple[str | None, Session]]] = defaultdict(list)
        self._last: dict[str, Session] = {}
        self._exact: dict[str, list[Answer]] = defaultdict(list)
        self._alike: dict[str, list[Answer]] = defaultdict(list)
        self._filters: set[str] = set()
        api_url = playback.recording.api_url
        for session in playback.sessions:
            path, frame = below(session.path, api_url), session.filter
            key = None if frame is None else matching.websocket_key(path, frame)
            self._waiting[path].append((key, session))
            if frame is not None:
                self._filters.add(matching.filter_key(frame, "filter"))
        for exchange in playback.exchanges:
            target = below(exchange.target, api_url)
            asked = (exchange.method, target, exchange.content)
            self._exact[matching.exact_key(*asked)].append(exchange.answer)
            self._alike[matching.request_key(*asked)].append(exchange.answer)
            if exchange.method == "POST" and target == matching.LISTS:
                self._filters.add(matching.filter_key(exchange.content, "logs"))

    def without_filter(self, path: str) -> Session | None:
        """Take the next WebSocket of a path, where that one ended before its client sent a filter."""
        waiting = self._waiting[path]
        return waiting.pop(0)[1] if waiting and waiting[0][0] is None else None

    def session(self, path: str, frame: str | bytes) -> Session | None:
        """Take the next WebSocket of a path with this filter; None where none is left."""
        wanted = matching.websocket_key(path, frame)
        for number, (key, session) in enumerate(self._waiting[path]):
            if key == wanted:
                del self._waiting[path][number]
                self._last[wanted] = session
                return session
        return None

    def ended_by_server(self, path: str, frame: str | bytes) -> bool:
        """Return whether the server ended the last such WebSocket: its client is expected to connect again."""
        last = self._last.get(matching.websocket_key(path, frame))
        return last is not None and last.ended_by_server

    def answer(self, request: RestRequest) -> Answer | None:
        """Return the next recorded answer to a request; the last one stays."""
        asked = (request.method, request.target, request.content)
        if request.path == matching.LISTS:
            return _next(self._exact[matching.exact_key(*asked)])
        return _next(self._alike[matching.request_key(*asked)])

    def has_logs_for(self, request: RestRequest) -> bool:
        """Return whether a request lists logs of a filter whose logs were streamed or listed while recording."""
        if (request.method, request.path) != ("POST", matching.LISTS):
            return False
        return matching.filter_key(request.content, "logs") in self._filters


def is_about_the_server(request: RestRequest) -> bool:
    """Return whether any server can answer a request; clients send such ones at times that vary."""
    return request.method == "GET" and request.path in _ABOUT_THE_SERVER


def without_later_times(request: RestRequest, now: datetime) -> RestRequest:
    """Return a list request without its time range where that begins after ``now``, the recorded server's time.

    Such a client goes by its own clock, which is ahead of a recording of yesterday.
    """
    body = decoded(request.content)
    try:
        chosen = body["logs"]
        if parse_timestamp(chosen["timestamp"]["after_"]) <= now + _CLOCK_TOLERANCE:
            return request
    except (KeyError, TypeError, ValueError, AttributeError):  # no range, or one that no server accepts
        return request
    return replace(request, content=orjson.dumps({**body, "logs": {**chosen, "timestamp": None}}))


def _next(answers: list[Answer]) -> Answer | None:
    if len(answers) > 1:
        return answers.pop(0)
    return answers[0] if answers else None
