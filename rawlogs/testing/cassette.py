"""Cassettes: what a test's application and a real Prefect server said to each other, recorded once and then replayed.

>>> with use_cassette("cassettes/errors.jsonl", mode="once") as cassette:          # doctest: +SKIP
...     run_the_application(PREFECT_API_URL=cassette.api_url)

A cassette is a recording (``rawlogs record``). The modes mean what they mean to vcrpy; docs/testing.md has the rules.
"""

from __future__ import annotations

import asyncio
import os
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal, get_args
from urllib.parse import urlsplit

from rawlogs import files
from rawlogs.errors import ConfigError, RawlogsError
from rawlogs.loop_thread import LoopThread
from rawlogs.testing.cassette_server import CassetteServer
from rawlogs.testing.cassette_writer import CassetteWriter
from rawlogs.testing.model.behaviour import Behaviour
from rawlogs.testing.recording import Recording, read
from rawlogs.testing.upstream import Upstream

if TYPE_CHECKING:
    from rawlogs.config.settings import Settings

Mode = Literal["none", "once", "new_episodes", "all"]
MODES: tuple[Mode, ...] = get_args(Mode)


class CassetteError(RawlogsError):
    """What was asked is not on the cassette, or what is to be recorded could not be.

    ``asked`` is what the cassette did not know, in words; ``path`` and ``mode`` are the cassette's.
    """

    def __init__(
        self, text: str, *, path: str, mode: str, asked: tuple[str, ...] = (), hint: str | None = None
    ) -> None:
        super().__init__(text, hint=hint)
        self.path = path
        self.mode = mode
        self.asked = asked


class Cassette:
    """A context manager, with or without async; inside it ``api_url`` is what PREFECT_API_URL would be.

    The server has a thread of its own: the application may block, or be another process.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, mode: Mode = "once", upstream: str | Settings | None = None
    ) -> None:
        if mode not in MODES:
            raise ConfigError(
                f"{mode!r} is no mode of a cassette", setting="mode", hint=f"It is one of {', '.join(MODES)}."
            )
        self.path = Path(path)
        # A link is resolved once: a new cassette takes the place of the file, not that of the link to it.
        self._file = Path(os.path.realpath(self.path))
        self.mode: Mode = mode
        self._given = upstream
        self._thread: LoopThread | None = None
        self._server: CassetteServer | None = None
        self._tape: CassetteWriter | None = None
        self._upstream: Upstream | None = None
        self._unreachable: str | None = None
        self._discarded = False
        self._told = False

    @property
    def api_url(self) -> str:
        """Where it is; RuntimeError outside of the context."""
        if self._server is None:
            raise RuntimeError("enter the cassette first: with use_cassette(...) as cassette")
        return self._server.api_url

    @property
    def unknown(self) -> tuple[str, ...]:
        """What was asked so far that the cassette does not know and that was not passed on either, in words."""
        return tuple(self._server.unknown) if self._server is not None else ()

    @property
    def recorded(self) -> int:
        """How many events were recorded by now; 0 while everything was replayed."""
        return self._tape.recorded if self._tape is not None else 0

    def check(self) -> None:
        """Raise CassetteError for what went wrong so far: something unknown was asked, or not recorded.

        Leaving the context does the same, unless it was done before.
        """
        if (error := self._error()) is not None:
            self._told = True
            raise error

    def discard(self) -> None:
        """Do not keep what was recorded: the file stays as it was."""
        self._discarded = True

    def __enter__(self) -> Cassette:
        if self._thread is not None:
            raise RuntimeError("a cassette is used once; make another one")
        server = self._load()
        self._thread = LoopThread("rawlogs-cassette")
        try:
            self._thread.run(server.__aenter__())
        except BaseException:
            self._thread.stop()
            raise
        self._server = server
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._thread is not None
        assert self._server is not None
        whole = False
        try:
            self._thread.run(self._stop(self._server))
            whole = kind is None and not self._discarded and self._error() is None
        finally:
            self._thread.stop()
            if self._tape is not None:
                self._tape.keep() if whole else self._tape.discard()
        wrong = self._error()
        if wrong is not None and not self._told and (kind is None or issubclass(kind, Exception)):
            raise wrong from error

    async def __aenter__(self) -> Cassette:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Not on this loop: the real server may live on it, and has to hear that the line is closed.
        await asyncio.to_thread(self.__exit__, kind, error, trace)

    def _load(self) -> CassetteServer:
        """The server in this mode, and what records, where it does."""
        try:
            files.refuse_special(self._file)
        except OSError as error:
            raise ConfigError(
                f"The cassette {self.path} cannot be used: {error.strerror or error}", setting="cassette"
            ) from error
        there = self._file.exists()
        replays = there and self.mode != "all"
        if not there and self.mode == "none":
            raise CassetteError(
                f"There is no cassette {self.path}, and the mode none records nothing",
                path=str(self.path),
                mode=self.mode,
                hint="The mode once would record it.",
            )
        recording = read(self._file) if replays else None
        if recording is not None and recording.problem:
            raise ConfigError(
                recording.problem, setting="cassette", hint="The mode all would record it anew."
            )
        settings = None
        if not replays or self.mode == "new_episodes":
            try:
                settings = self._settings()
            except ConfigError as error:
                if not replays:
                    raise
                self._unreachable = error.text
        if settings is not None:
            self._tape = CassetteWriter(
                self._file, secrets=settings.secrets(), api_url=settings.api_url, before=recording
            )
            self._upstream = Upstream(settings, self._tape)
        behaviour = None
        if recording is None:
            assert settings is not None
            behaviour = Behaviour(base_path=urlsplit(settings.api_url).path.rstrip("/"))
            recording = Recording(datetime.now(timezone.utc), None, settings.api_url, ())
        return CassetteServer(recording, behaviour=behaviour, upstream=self._upstream)

    def _settings(self) -> Settings:
        from rawlogs.config.settings import resolve

        if self._given is None or isinstance(self._given, str):
            return resolve(api_url=self._given)
        return self._given

    async def _stop(self, server: CassetteServer) -> None:
        try:
            await server.__aexit__(None)
        finally:
            if self._upstream is not None:
                await self._upstream.close()

    def _error(self) -> CassetteError | None:
        path, mode = str(self.path), self.mode
        if unknown := self.unknown:
            listed = "".join(f"\n  {asked}" for asked in unknown)
            hint = "The mode new_episodes would record that, and all the whole cassette anew."
            if self._unreachable is not None:
                hint = f"It could not be recorded: {self._unreachable}"
            return CassetteError(
                f"The cassette {path} (mode {mode}) does not know what was asked:{listed}",
                path=path,
                mode=mode,
                asked=unknown,
                hint=hint,
            )
        problem = (self._upstream and self._upstream.problem) or (self._tape and self._tape.problem)
        if not problem:
            return None
        text = f"The cassette {path} (mode {mode}) was not recorded: {problem}"
        return CassetteError(text, path=path, mode=mode)

    def __repr__(self) -> str:
        return f"<Cassette {self.path} mode={self.mode}>"


def use_cassette(
    path: str | os.PathLike[str], *, mode: Mode = "once", upstream: str | Settings | None = None
) -> Cassette:
    """A server on the loopback interface that replays the cassette at ``path``, or records it.

    mode: ``none`` replays only, and the file must be there; ``once`` records where there is no file, and otherwise is
        as ``none``; ``new_episodes`` replays what the cassette knows, passes on what it does not, and appends that;
        ``all`` passes everything on and replaces the file.
    upstream: the real server's API URL; None, or what the URL leaves open, comes from Prefect's own settings.

    The file is written on leaving the context, whole or not at all: an exception keeps the old one. Raises
    CassetteError where something was asked that is neither known nor recorded, and where recording failed; ConfigError
    for a file that is no recording, and for settings that cannot work.
    """
    return Cassette(path, mode=mode, upstream=upstream)
