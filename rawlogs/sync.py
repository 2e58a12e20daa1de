"""The streams for code without async: an event loop in a thread runs the async ones."""

from __future__ import annotations

from collections.abc import Coroutine, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from rawlogs.api import follow, stream
from rawlogs.arguments import FollowArguments, Run, StreamArguments
from rawlogs.batch import Batch
from rawlogs.delivery.stream import LogStream
from rawlogs.delivery.supervisor import FINISH_WITHIN
from rawlogs.loop_thread import LoopThread
from rawlogs.models import Log
from rawlogs.status.stats import Stats

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from rawlogs.config.settings import Settings
    from rawlogs.rest.names import RunNames
    from rawlogs.runs.run_stream import RunStream

T = TypeVar("T")


class SyncLogStream:
    """LogStream to iterate over in ordinary code; made by ``rawlogs.stream_sync(...)``."""

    def __init__(self, logs: LogStream) -> None:
        self._logs = logs
        self._loop: LoopThread | None = None
        self._current: Iterator[Log] = iter(())

    @property
    def settings(self) -> Settings:
        """The settings of the stream."""
        return self._logs.settings

    @property
    def stats(self) -> Stats:
        """The account so far."""
        return self._logs.stats

    def __enter__(self) -> Self:
        self._loop = LoopThread("rawlogs")
        try:
            self._run(self._logs.__aenter__())
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The interpreter may have ended the loop before it closes the generator that holds this.
        if self._loop is not None and self._loop.ended:
            return
        try:
            self._run(self._logs.__aexit__(kind, error, trace))
        finally:
            self._stop()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Log:
        # No generator: who breaks out of a loop and comes back gets the next log, not the next batch.
        while True:
            for log in self._current:
                return log
            batch = self._run(self._logs.next_batch())
            if batch is None:
                raise StopIteration
            self._current = iter(batch)

    def batches(self) -> Iterator[Sequence[Log]]:
        """Yield the logs as sequences, one for each time something came; never empty."""
        if begun := list(self._current):
            yield Batch(begun)
        while (batch := self._run(self._logs.next_batch())) is not None:
            yield batch

    def names(self, log: Log) -> RunNames:
        """Return the names of a log's flow run, flow and deployment; see ``LogStream.names``."""
        return self._run(self._logs.names(log))

    def finish(self, seconds: float = FINISH_WITHIN) -> None:
        """Read the list once more, then end the iteration, also one in another thread.

        Takes ``seconds`` at most; what could not be listed by then stays an open gap in ``stats``.
        """
        self._run(self._logs.finish(seconds))

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        if self._loop is None:
            work.close()
            raise RuntimeError(f"enter the stream first: with {self._logs.called}_sync(...) as logs")
        return self._loop.run(work)

    def _stop(self) -> None:
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.stop()


class SyncRunStream(SyncLogStream):
    """RunStream to iterate over in ordinary code; made by ``rawlogs.follow_sync(...)``."""

    def __init__(self, logs: RunStream) -> None:
        super().__init__(logs)
        self._runs = logs

    @property
    def run_names(self) -> Mapping[UUID, str]:
        """The names of the runs that were found so far, by their ids."""
        return self._runs.run_names

    @property
    def states(self) -> dict[UUID, str | None]:
        """The last state that is known of each run, by its id."""
        return self._runs.states

    @property
    def outcome(self) -> str | None:
        """The worst state type in which the runs that were asked for have ended; None while one has not."""
        return self._runs.outcome

    @property
    def exit_code(self) -> int:
        """The exit code of ``rawlogs tail RUN``."""
        return self._runs.exit_code


def stream_sync(**arguments: Unpack[StreamArguments]) -> SyncLogStream:
    """Return ``rawlogs.stream`` for code without async, with the same arguments.

        with rawlogs.stream_sync(level="WARNING") as logs:
            for log in logs:
                print(log.level_name, log.message)

    The work is done by an event loop in a thread of its own; entering and reading wait for it. Raises what it raises.
    """
    return SyncLogStream(stream(**arguments))


def follow_sync(
    run: Run | Iterable[Run], *, children: bool = True, **arguments: Unpack[FollowArguments]
) -> SyncRunStream:
    """Return ``rawlogs.follow`` for code without async, with the same arguments.

        with rawlogs.follow_sync("brave-otter") as logs:
            for log in logs:
                print(log.level_name, log.message)
        print(logs.outcome)

    The work is done by an event loop in a thread of its own; entering and reading wait for it. Raises what it raises.
    """
    return SyncRunStream(follow(run, children=children, **arguments))
