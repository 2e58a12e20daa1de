"""What of a recording is still to be played, and to whom: each conversation once, answers in their order."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import datetime, timedelta

import orjson

from rawlogs.models import parse_timestamp
from rawlogs.testing import matching
from rawlogs.testing.net.rest_exchange import Answer, RestRequest
from rawlogs.testing.recording import Recording
from rawlogs.testing.recording_view import Session, below, decoded, exchanges, sessions

_ABOUT_THE_SERVER = frozenset(
    {"/health", "/ready", "/hello", "/version", "/admin/version", "/admin/settings", "/csrf-token"}
)
_AHEAD = timedelta(seconds=5)


class CassetteIndex:
    """The conversations and answers of a recording, by what was asked."""

    def __init__(self, recording: Recording) -> None:
        self._waiting: dict[str, list[tuple[str | None, Session]]] = defaultdict(list)
        self._last: dict[str, Session] = {}
        self._exact: dict[str, list[Answer]] = defaultdict(list)
        self._alike: dict[str, list[Answer]] = defaultdict(list)
        self._choices: set[str] = set()
        for session in sessions(recording.events):
            path, frame = below(session.path, recording.api_url), session.filter
            key = None if frame is None else matching.conversation(path, frame)
            self._waiting[path].append((key, session))
            if frame is not None:
                self._choices.add(matching.choice(frame, "filter"))
        for asked in exchanges(recording.events):
            target = below(asked.target, recording.api_url)
            self._exact[matching.exactly(asked.method, target, asked.content)].append(asked.answer)
            self._alike[matching.question(asked.method, target, asked.content)].append(asked.answer)
            if asked.method == "POST" and target == matching.LISTS:
                self._choices.add(matching.choice(asked.content, "logs"))

    def without_filter(self, path: str) -> Session | None:
        """The next conversation on that path, where that ended before the client had said its filter."""
        waiting = self._waiting[path]
        return waiting.pop(0)[1] if waiting and waiting[0][0] is None else None

    def conversation(self, path: str, frame: str | bytes) -> Session | None:
        """The next conversation that was had on that path with that filter."""
        wanted = matching.conversation(path, frame)
        for place, (key, session) in enumerate(self._waiting[path]):
            if key == wanted:
                del self._waiting[path][place]
                self._last[wanted] = session
                return session
        return None

    def ended_by_server(self, path: str, frame: str | bytes) -> bool:
        """Whether the last such conversation was ended by the server, so that a client can but come again."""
        last = self._last.get(matching.conversation(path, frame))
        return last is not None and not last.left

    def answer(self, request: RestRequest) -> Answer | None:
        """What was answered to that: one answer after another, and the last one from then on."""
        asked = (request.method, request.target, request.content)
        if request.path != matching.LISTS:
            return _next(self._alike[matching.question(*asked)])
        return _next(self._exact[matching.exactly(*asked)])

    def lists(self, request: RestRequest) -> bool:
        """Whether it is a list of logs that were streamed or listed when it was recorded, at whatever times."""
        if (request.method, request.path) != ("POST", matching.LISTS):
            return False
        return matching.choice(request.content, "logs") in self._choices

    def is_about_the_server(self, request: RestRequest) -> bool:
        """Whether it asks for what any server has an answer to; when clients ask so is up to chance."""
        return request.method == "GET" and request.path in _ABOUT_THE_SERVER


def without_other_times(request: RestRequest, now: datetime) -> RestRequest:
    """A list of logs without its time range, where that begins later than the recorded server's clock.

    Such a client goes by its own clock, which a recording of yesterday is behind.
    """
    body = decoded(request.content)
    try:
        chosen = body["logs"]
        if parse_timestamp(chosen["timestamp"]["after_"]) <= now + _AHEAD:
            return request
    except (KeyError, TypeError, ValueError, AttributeError):  # no range, or none that a server understands
        return request
    return replace(request, content=orjson.dumps({**body, "logs": {**chosen, "timestamp": None}}))


def _next(answers: list[Answer]) -> Answer | None:
    if len(answers) > 1:
        return answers.pop(0)
    return answers[0] if answers else None
