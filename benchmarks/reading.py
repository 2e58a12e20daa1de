"""What every reader of the delivery benchmark does alike: its arguments, its lines on stdout, its end.

Lines: ``ready``, then ``ID TIME`` for each log, at last ``account JSON``. Standard library only, since the readers of
all environments import it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterable


class Printer:
    """Prints what a reader has received; ``nap`` seconds of sleep follow the first log."""

    def __init__(self, nap: float, since: str | None = None) -> None:
        self._nap = nap
        self.since = since
        """Where a reader that keeps a position goes on; None: from now on."""

    def ready(self) -> None:
        print("ready", flush=True)

    async def logs(self, ids: Iterable[object]) -> None:
        now = time.time()
        sys.stdout.writelines(f"{log_id} {now:.6f}\n" for log_id in ids)
        sys.stdout.flush()
        if self._nap:
            nap, self._nap = self._nap, 0.0
            await asyncio.sleep(nap)

    def account(self, **facts: object) -> None:
        print("account", json.dumps(facts), flush=True)


def main(read: Callable[[str, str, Printer], Awaitable[None]]) -> None:
    """Read until SIGTERM, or until the reader ends by itself."""
    parser = argparse.ArgumentParser()
    parser.add_argument("api_url")
    parser.add_argument("run_id")
    parser.add_argument("--nap", type=float, default=0.0, help="seconds to sleep after the first log")
    parser.add_argument("--since", help="where to go on, as an ISO timestamp")
    chosen = parser.parse_args()

    async def until_told() -> None:
        task = asyncio.ensure_future(read(chosen.api_url, chosen.run_id, Printer(chosen.nap, chosen.since)))
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        await asyncio.wait([task])
        if not task.cancelled():
            task.result()

    asyncio.run(until_told())
