"""``tail``: a stream written to an output, line by line."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from rawlogs.cli import exit_codes
from rawlogs.cli.signals import exit_now, on_signals
from rawlogs.cli.stream_output import StreamOutput
from rawlogs.cli.stream_runner import StreamRunner
from rawlogs.errors import RawlogsError, SinkError
from rawlogs.output.formats import Format, encode_batch
from rawlogs.output.sink import OutputClosed
from rawlogs.output.worker import AsyncSink
from rawlogs.wire.ways import fast

if TYPE_CHECKING:
    from rawlogs.batch import Batch
    from rawlogs.delivery.stream import LogStream
    from rawlogs.health.metrics import Metric
    from rawlogs.models import Log
    from rawlogs.status.stats import Stats


class TailRunner(StreamRunner):
    """Writes one stream to ``output``; the other arguments are those of ``StreamRunner``."""

    def __init__(
        self,
        access: dict[str, Any],
        chosen: dict[str, Any],
        options: dict[str, Any],
        output: StreamOutput,
        **more: Any,
    ) -> None:
        super().__init__(
            access,
            chosen,
            {**options, "keep_raw": output.name == "raw"},
            output.notices,
            look_up_names=output.name == "json",
            **more,
        )
        self._output = output
        self._polling = options["transport"] == "poll"
        self._opened: AsyncSink | None = None
        self._written = 0
        self._format: Format | None = None

    async def run(self) -> int:
        """Write until the end, a limit, a signal or an error. Return the exit code."""
        try:
            code = await super().run()
        except OutputClosed:
            # Whoever reads the pipe has seen enough (``| head``), which is no error.
            code = exit_codes.DONE
        closed = self._opened is None or await self._opened.close(timeout=0.5)
        if not closed and self.stop_code is not None:
            # The output's reader has stopped reading: nothing here may wait for it any more.
            exit_now(self.stop_code)
        return code

    async def open(self) -> None:
        """Open the output; SIGHUP opens its file anew."""
        self._opened = AsyncSink(self._output.open(), at_once=fast())
        if self._output.path is not None:
            on_signals({"SIGHUP": lambda: self.spawn(self._out.reopen())})

    @property
    def _out(self) -> AsyncSink:
        assert self._opened is not None
        return self._opened

    async def beside(self) -> None:
        """Wait for the output's reader to go."""
        await self._out.closed()

    async def show_status(self, stats: Stats) -> None:
        """Draw the status line, where stderr is a terminal."""
        await self._output.show_status(stats, polling=self._polling)

    async def flush(self) -> None:
        """Make sure that what was written can be read by others."""
        await self._out.flush()

    def metrics(self) -> list[Metric]:
        """Return what is counted of the output."""
        from rawlogs.health.metrics import counter

        written = self._opened.written if self._opened is not None else 0
        return [counter("output_bytes", "Bytes that the output has taken.", written)]

    async def pump(self, logs: LogStream) -> None:
        """Write what the stream delivers; the cursor is saved also where an error of the stream is its end."""
        # A limit may be reached within a batch, of which the rest must not be written.
        if self.limit is None:
            logs.write_through(partial(self._write_through, logs))
        try:
            async for batch in logs.batches():
                if not await self._write(logs, batch):
                    break
        except SinkError:
            raise
        except RawlogsError:
            await self._written_out()
            await self.save_cursor()
            raise
        await self._written_out()
        await self.save_cursor()

    async def _written_out(self) -> None:
        """Wait for what was written through and did not go out at once."""
        if self._out.busy:
            await self._out.flush()

    def _write_through(self, logs: LogStream, batch: Batch) -> bool:
        """Write a batch in the turn that read it; False where that cannot be done now."""
        if self._out.busy:
            return False
        with self._output.beside_status():
            return self._out.write_soon(encode_batch(self._current_format(logs), batch))

    async def _write(self, logs: LogStream, batch: Sequence[Log]) -> bool:
        """Write a batch; False when the limit has been reached."""
        left = None if self.limit is None else self.limit - self._written
        written = batch if left is None else batch[:left]
        with self._output.beside_status():
            await self._out.write(encode_batch(self._current_format(logs), written))
        self._written += len(written)
        if self.saver is not None:
            logs.commit(but=len(batch) - len(written))
            self.saver.written()
        return left is None or len(written) < left

    def _current_format(self, logs: LogStream) -> Format:
        if self._format is None:
            names = self.setup.text_names, self.setup.json_names
            self._format = self._output.format(logs.settings.api_url, *names)
        return self._format
