"""Cassettes: the traffic between an application under test and a real Prefect server, recorded once, then replayed.

>>> with use_cassette("cassettes/errors.jsonl", mode="once") as cassette:          # doctest: +SKIP
...     run_the_application(PREFECT_API_URL=cassette.api_url)

A cassette is a recording (``rawlogs record``). The modes are those of vcrpy; docs/testing.md has the rules.
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal, get_args
from urllib.parse import urlsplit

from rawlogs import files
from rawlogs.errors import ConfigError, RawlogsError
from rawlogs.loop_thread import LoopThread
from rawlogs.testing.cassette_responder import ByMatch
from rawlogs.testing.cassette_writer import CassetteWriter
from rawlogs.testing.http_server import HttpServer
from rawlogs.testing.model.behaviour import Behaviour
from rawlogs.testing.model.state import ServerState
from rawlogs.testing.playback import Playback
from rawlogs.testing.recording import Recording, read
from rawlogs.testing.router import Router
from rawlogs.testing.upstream import Upstream

if TYPE_CHECKING:
    from rawlogs.config.settings import Settings

Mode = Literal["none", "once", "new_episodes", "all"]
MODES: tuple[Mode, ...] = get_args(Mode)


class CassetteError(RawlogsError):
    """The cassette does not know what was asked, or could not record it.

    asked: descriptions of what the cassette does not know. path, mode: the cassette's.
    """

    def __init__(
        self, text: str, *, path: str, mode: str, asked: tuple[str, ...] = (), hint: str | None = None
    ) -> None:
        super().__init__(text, hint=hint)
        self.path = path
        self.mode = mode
        self.asked = asked


class Cassette:
    """A context manager, with or without async; inside it ``api_url`` is the value of PREFECT_API_URL.

    Its server runs in a thread of its own: the application may block, or be another process.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, mode: Mode = "once", upstream: str | Settings | None = None
    ) -> None:
        if mode not in MODES:
            hint = f"It is one of {', '.join(MODES)}."
            raise ConfigError(f"{mode!r} is no mode of a cassette", setting="mode", hint=hint)
        self.path = Path(path)
        # A symbolic link is resolved once, so that a new cassette replaces the file and not the link.
        self._file = Path(os.path.realpath(self.path))
        self.mode: Mode = mode
        self._given = upstream
        self._thread: LoopThread | None = None
        self._server: HttpServer | None = None
        self._responder: ByMatch | None = None
        self._writer: CassetteWriter | None = None
        self._upstream: Upstream | None = None
        self._api_url = ""
        self._no_settings: str | None = None
        self._discarded = False
        self._raised = False

    @property
    def api_url(self) -> str:
        """The URL of its server. Raises RuntimeError outside of the context."""
        if self._server is None:
            raise RuntimeError("enter the cassette first: with use_cassette(...) as cassette")
        return self._api_url

    @property
    def unknown(self) -> tuple[str, ...]:
        """The descriptions of what was asked and refused, because the cassette does not know it."""
        return tuple(self._responder.unknown) if self._responder is not None else ()

    @property
    def recorded(self) -> int:
        """The number of events that were recorded; 0 while everything was replayed."""
        return self._writer.recorded if self._writer is not None else 0

    def check(self) -> None:
        """Raise CassetteError where something unknown was asked, or something could not be recorded.

        Leaving the context does the same, unless ``check`` has raised.
        """
        if (error := self._error()) is not None:
            self._raised = True
            raise error

    def discard(self) -> None:
        """Keep the file as it was, without what was recorded."""
        self._discarded = True

    def __enter__(self) -> Cassette:
        if self._thread is not None:
            raise RuntimeError("a cassette is used once; make another one")
        server = self._make_server()
        self._thread = LoopThread("rawlogs-cassette")
        try:
            self._thread.run(_start(server))
        except BaseException:
            self._thread.stop()
            raise
        self._api_url = server.origin + self._api_url
        self._server = server
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._thread is not None
        assert self._server is not None
        complete = False
        try:
            self._thread.run(self._stop(self._server))
            complete = kind is None and not self._discarded and self._error() is None
        finally:
            self._thread.stop()
            if self._writer is not None:
                self._writer.keep() if complete else self._writer.discard()
        wrong = self._error()
        # An interrupted test stays interrupted: KeyboardInterrupt is not replaced.
        if wrong is not None and not self._raised and (kind is None or issubclass(kind, Exception)):
            raise wrong from error

    async def __aenter__(self) -> Cassette:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # In a thread: the real server may run on this loop, and its connections have to be closed meanwhile.
        await asyncio.to_thread(self.__exit__, kind, error, trace)

    def _make_server(self) -> HttpServer:
        """Read the cassette, and prepare what the mode needs to record."""
        recording = self._read()
        replays = recording is not None
        settings = None
        # A replay alone needs no settings: it runs where Prefect was never configured.
        if not replays or self.mode == "new_episodes":
            try:
                settings = self._settings()
            except ConfigError as error:
                if not replays:
                    raise
                self._no_settings = error.text  # an error only where something unknown is asked
        if recording is None:
            assert settings is not None
            recording = Recording(datetime.now(timezone.utc), None, settings.api_url, ())
        if settings is not None:
            self._writer = CassetteWriter(self._file, secrets=settings.secrets(), before=recording)
            self._upstream = Upstream(settings, self._writer)
        playback = Playback(recording, None)
        behaviour = playback.behaviour()
        if not replays and settings is not None:  # its base path may be another one than /api, or none
            behaviour = Behaviour(base_path=urlsplit(settings.api_url).path.rstrip("/"))
        state = ServerState(behaviour, playback.clock, random.Random(0))
        self._responder = ByMatch(state, playback, self._upstream)
        # What is passed on carries the developer's own key. Pages of other sites in the developer's browser can send
        # requests to any port of this machine, but cannot know this path.
        self._api_url = f"/{secrets.token_urlsafe(16)}{behaviour.base_path}"
        return HttpServer(Router(self._responder, base_path=self._api_url))

    def _read(self) -> Recording | None:
        """Return what is replayed; None where the mode records a new cassette."""
        try:
            files.refuse_special(self._file)
        except OSError as error:
            text = f"The cassette {self.path} cannot be used: {error.strerror or error}"
            raise ConfigError(text, setting="cassette") from error
        exists = self._file.exists()
        if not exists and self.mode == "none":
            text = f"There is no cassette {self.path}, and the mode none records nothing"
            hint = "The mode once would record it."
            raise CassetteError(text, path=str(self.path), mode=self.mode, hint=hint)
        if not exists or self.mode == "all":
            return None
        recording = read(self._file)
        if recording.problem:
            hint = "The mode all would record it anew."
            raise ConfigError(recording.problem, setting="cassette", hint=hint)
        return recording

    def _settings(self) -> Settings:
        from rawlogs.config.settings import resolve

        if self._given is None or isinstance(self._given, str):
            return resolve(api_url=self._given)
        return self._given

    async def _stop(self, server: HttpServer) -> None:
        try:
            await server.stop()
            server.check()
        finally:
            if self._upstream is not None:
                await self._upstream.close()

    def _error(self) -> CassetteError | None:
        path, mode = str(self.path), self.mode
        if unknown := self.unknown:
            listed = "".join(f"\n  {asked}" for asked in unknown)
            hint = "The mode new_episodes would record that, and all the whole cassette anew."
            if self._no_settings is not None:
                hint = f"It could not be recorded: {self._no_settings}"
            text = f"The cassette {path} (mode {mode}) does not know what was asked:{listed}"
            return CassetteError(text, path=path, mode=mode, asked=unknown, hint=hint)
        problem = (self._upstream and self._upstream.problem) or (self._writer and self._writer.problem)
        if not problem:
            return None
        text = f"The cassette {path} (mode {mode}) was not recorded: {problem}"
        return CassetteError(text, path=path, mode=mode)

    def __repr__(self) -> str:
        return f"<Cassette {self.path} mode={self.mode}>"


async def _start(server: HttpServer) -> None:
    server.start()


def use_cassette(
    path: str | os.PathLike[str], *, mode: Mode = "once", upstream: str | Settings | None = None
) -> Cassette:
    """Return a server on the loopback interface that replays the cassette at ``path``, or records it.

    mode: ``none`` replays only, and the file must exist; ``once`` records where there is no file, and is ``none``
        otherwise; ``new_episodes`` replays what the cassette knows, passes on what it does not, and appends that;
        ``all`` passes everything on and replaces the file.
    upstream: the real server's API URL, or settings; None: Prefect's own settings name it.

    The file is written on leaving the context, whole or not at all: after an exception the old one stays. Raises
    CassetteError where something was asked that is neither known nor recorded, and where recording failed; ConfigError
    for a file that is no recording, and for settings that cannot work.
    """
    return Cassette(path, mode=mode, upstream=upstream)
