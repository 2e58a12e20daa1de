"""A terminal for tests: a command runs in it, and what its screen shows at last can be asked."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping, Sequence

from streaming import DEADLINE

COMMAND = (sys.executable, "-m", "rawlogs")


class Terminal:
    """A command whose stdin, stdout and stderr are one terminal."""

    def __init__(
        self,
        arguments: Sequence[object],
        *,
        command: Sequence[str] = COMMAND,
        columns: int = 80,
        stdout: int | None = None,
        **environ: str,
    ) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        clean: Mapping[str, str] = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        self.process = subprocess.Popen(
            [*command, *map(str, arguments)],
            stdin=slave,
            stdout=slave if stdout is None else stdout,
            stderr=slave,
            start_new_session=True,
            env={**clean, "TERM": "xterm-256color", "LANG": "C.UTF-8", **environ},
        )
        os.close(slave)
        self.written = ""

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._master)

    def until(self, condition: Callable[[str], object]) -> str:
        """Read until what was written fulfils this; return it."""
        end = time.monotonic() + DEADLINE * 2
        while not condition(self.written):
            assert self._read(max(end - time.monotonic(), 0)), f"it never came: {self.written!r}"
        return self.written

    def end(self) -> int:
        """Read to the end; return the exit code."""
        while self._read(DEADLINE * 2):
            pass
        return self.process.wait(DEADLINE)

    @property
    def screen(self) -> list[str]:
        """The lines as a reader sees them: without colours, and without what was erased."""
        plain = re.sub(r"\x1b\[[0-9;]*m", "", self.written).replace("\r\n", "\n")
        return [line.split("\r\x1b[K")[-1] for line in plain.split("\n") if line]

    def _read(self, seconds: float) -> bool:
        if not select.select([self._master], [], [], seconds)[0]:
            return False
        try:
            piece = os.read(self._master, 65536)
        except OSError:  # the last one that wrote there has gone
            return False
        self.written += piece.decode("utf-8", "replace")
        return bool(piece)
