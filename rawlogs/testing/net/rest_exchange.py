"""One REST request and its answer, with what may go wrong in between."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import h11
import orjson

from rawlogs.testing.model.state import ServerState
from rawlogs.testing.net.channel import Channel
from rawlogs.testing.net.faulty_writer import FaultyWriter


@dataclass(frozen=True, slots=True)
class RestRequest:
    """One request. ``path`` is without the API's base path; ``headers`` have lower-case names."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str] = field(repr=False)
    content: bytes = field(default=b"", repr=False)
    target: str = ""
    """The path as it was asked for, undecoded and with its query; also below the base path."""
    below_base: bool = True
    """False: the path is not below the API's base path, and stands here whole."""

    @property
    def body(self) -> Any:
        """The decoded JSON body; None where there is none, or no JSON."""
        try:
            return orjson.loads(self.content)
        except orjson.JSONDecodeError:
            return None


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API answers. ``hangs_up``: the server cuts the line afterwards, without saying so.

    ``raw`` is sent in place of the JSON of ``body``.
    """

    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    hangs_up: bool = False
    raw: bytes | None = field(default=None, repr=False)

    @property
    def content(self) -> bytes:
        return orjson.dumps(self.body) if self.raw is None else self.raw


class RestExchange(Channel):
    """The server's side of one request."""

    def __init__(
        self,
        state: ServerState,
        pipe: FaultyWriter,
        rng: random.Random,
        http: h11.Connection,
        request: RestRequest,
        answer: Answer,
    ) -> None:
        super().__init__(state, pipe, rng)
        self.request = request
        self._http = http
        self._answer = answer
        self._answered = False

    async def serve(self, frames: int | None = None) -> None:
        """Answer by the model; once."""
        if self._answered:
            return
        self._answered = True
        head, content = self._rendered()
        self._http.send(h11.Response(status_code=self._answer.status, headers=[*_headers(head)]))
        self._http.send(h11.Data(data=content))
        self._http.send(h11.EndOfMessage())
        await self.pipe.write(head + content)
        if self._answer.hangs_up:
            await self.drop()

    async def truncated(self, keep: int) -> None:
        """The right answer's head, only the first bytes of its body, and the end."""
        head, content = self._rendered()
        await self.pipe.write(head + content[:keep])
        await self.drop()

    def _rendered(self) -> tuple[bytes, bytes]:
        content = self._answer.content
        fields = {"content-type": "application/json", **self._answer.headers}
        return self.head(self._answer.status, fields, len(content)), content


def _headers(head: bytes) -> list[tuple[bytes, bytes]]:
    lines = head.split(b"\r\n")[1:-2]
    return [(name, value) for name, _, value in (line.partition(b": ") for line in lines)]
