"""Print notices as lines on stderr, and the status line below them. Never a reason to stop or to wait."""

from __future__ import annotations

import os
import select
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from typing import Any, TextIO

import orjson

from rawlogs.errors import RawlogsError
from rawlogs.notices import Kind, Notice
from rawlogs.output.color import DIM, RED, RESET, YELLOW
from rawlogs.output.escape import escape_line
from rawlogs.output.json import encode_object
from rawlogs.output.layout import shorten

IMPORTANCE: dict[Kind, int] = {
    # 2: something may be missing, or needs the user; seen with -q
    "gap_opened": 2,
    "behind": 2,
    "bad_frame": 2,
    "live_off": 2,
    "history_off": 2,
    "warning": 2,
    # 1: what is going on; the default
    "lost": 1,
    "retrying": 1,
    "gap_closed": 1,
    "late": 1,
    "state": 1,
    "account": 1,
    # 0: all is well; seen with -v
    "connected": 0,
    "progress": 0,
    "cursor": 0,
}
_SAID_ONCE: frozenset[Kind] = frozenset(("bad_frame", "live_off", "history_off", "warning", "cursor"))
_PAUSE = timedelta(seconds=5)
_REMEMBERED = 1000
_HELD = 100
_LONGEST = 2000
_ERASE = "\r\x1b[K"


def can_redraw(stream: TextIO | None, environ: Mapping[str, str]) -> bool:
    """Return whether the stream is a terminal on which a line can be erased again."""
    # TERM is not set on Windows, whose consoles obey escape sequences only where a program asks for it.
    return is_terminal(stream) and environ.get("TERM", "dumb") not in ("", "dumb")


def is_terminal(stream: TextIO | None) -> bool:
    """Return whether people see what is written there at once."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # it was closed
        return False


class NoticePrinter:
    """Prints each notice as one line to a text stream; an ``OnNotice`` to hand to a stream.

    ``quiet`` and ``verbose`` count the ``-q`` and ``-v`` flags: see ``IMPORTANCE``; with two ``-q`` only
    ``error`` speaks, with two ``-v`` the facts follow the text. Warnings of the same text are said once,
    other notices again after 5 seconds, with the count of those left out. ``as_json`` prints an object a line
    instead, with the same choice. Nothing is raised if the stream is closed (or None), and a stream that
    nobody reads does not block: up to 100 lines wait for room, then the oldest are dropped.

    ``status`` draws a line that stays the last one on a terminal until it is removed; only where ``can_redraw``.
    """

    def __init__(
        self,
        stream: TextIO | None,
        *,
        color: bool = False,
        as_json: bool = False,
        quiet: int = 0,
        verbose: int = 0,
    ) -> None:
        self._stream = stream
        self._color = color
        self._as_json = as_json
        self._threshold = 1 + quiet - verbose
        self._with_facts = verbose >= 2
        self._said: dict[tuple[Kind, str], tuple[datetime, int]] = {}
        self._held: deque[str] = deque(maxlen=_HELD)
        self._poll = _poller(stream)
        self._status = ""
        self._drawn = self._hidden = False

    def __call__(self, notice: Notice) -> None:
        """Print the notice, unless it is not important enough or was said before."""
        importance = IMPORTANCE.get(notice.kind, 2)
        if importance < self._threshold:
            return
        left_out = self._repeats(notice)
        if left_out is None:
            return
        if self._as_json:
            facts = {str(key): _fact(value) for key, value in notice.facts.items()}
            line: dict[str, Any] = {"type": "notice", "kind": notice.kind, "text": notice.text}
            line |= {"at": notice.at, "facts": facts}
            if left_out:
                line["left_out"] = left_out
            self._print(encode_object(line).decode())
            return
        text = notice.text
        if left_out:
            text += f" (and {left_out} more times)"
        if self._with_facts and notice.facts:
            text += " (" + ", ".join(f"{key}={value}" for key, value in notice.facts.items()) + ")"
        self._print(self._colored(text, YELLOW if importance >= 2 else DIM))

    def tell(self, text: str) -> None:
        """Print a line for people, in the words of the command; ``quiet`` holds it back."""
        if self._threshold <= 1:
            self._print(self._colored(text, DIM))

    def error(self, error: RawlogsError | str) -> None:
        """Print what ended the work; it is never held back by ``quiet`` nor as a repetition."""
        if self._as_json:
            text, hint = (error, None) if isinstance(error, str) else (error.text, error.hint)
            kind = "error" if isinstance(error, str) else type(error).__name__
            self._print(encode_object({"type": "error", "kind": kind, "text": text, "hint": hint}).decode())
        else:
            text, hint = (error, None) if isinstance(error, str) else (error.text, error.hint)
            self._print(self._colored(text, RED))
            if hint:
                self._print("  " + escape_line(" ".join(hint.split("\n"))))

    def status(self, text: str) -> None:
        """Draw this as the last line, in place of what was drawn before; "" removes it."""
        if text != self._status:
            self._erase()
            self._status = text
        self._draw()

    @contextmanager
    def without_status(self) -> Iterator[None]:
        """Take the status line away while others write to the same terminal; the next ``status`` draws it again."""
        self._erase()
        self._hidden = True
        try:
            yield
        finally:
            self._hidden = False

    def _repeats(self, notice: Notice) -> int | None:
        """Return how often this text was left out since it was last said; None if it is to be left out now."""
        key = (notice.kind, notice.text)
        before = self._said.pop(key, None)
        if before is None:
            if len(self._said) >= _REMEMBERED:
                del self._said[next(iter(self._said))]
            self._said[key] = (notice.at, 0)
            return 0
        at, left_out = before
        # A clock that was set back must not silence a notice for good.
        if notice.kind in _SAID_ONCE or timedelta(0) <= notice.at - at < _PAUSE:
            self._said[key] = (at, left_out + 1)
            return None
        self._said[key] = (notice.at, 0)
        return left_out

    def _colored(self, text: str, color: str) -> str:
        text = escape_line(" ".join(text.split("\n")))
        if len(text) > _LONGEST:
            text = text[: _LONGEST - 1] + "…"
        return f"{color}rawlogs: {text}{RESET}" if self._color else f"rawlogs: {text}"

    def _print(self, line: str) -> None:
        self._held.append(line)
        while self._held and self._stream is not None and self._has_room():
            self._erase()
            _write(self._stream, self._held.popleft() + "\n")
        self._draw()

    def _draw(self) -> None:
        if not self._status or self._drawn or self._hidden or self._stream is None or not self._has_room():
            return
        self._drawn = True
        # Cells are left free for a "^C" that the terminal echoes: what it breaks into the next row is not erased.
        text = shorten(f"rawlogs: {escape_line(self._status)}", _columns(self._stream) - 3)
        _write(self._stream, f"{DIM}{text}{RESET}" if self._color else text)

    def _erase(self) -> None:
        if self._drawn and self._stream is not None:
            self._drawn = False
            _write(self._stream, _ERASE)

    def _has_room(self) -> bool:
        return self._poll is None or bool(self._poll.poll(0))


def _columns(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


def _poller(stream: TextIO | None) -> Any:
    """Return what tells whether a line can be written without waiting; None where that cannot be asked."""
    if stream is None or not hasattr(select, "poll"):
        return None
    try:
        poll = select.poll()
        poll.register(stream.fileno(), select.POLLOUT)
    except (OSError, ValueError, AttributeError):
        return None
    return poll


def _write(stream: TextIO, line: str) -> None:
    with suppress(OSError, ValueError):
        try:
            stream.write(line)
        except UnicodeEncodeError:
            stream.write(line.encode("ascii", "backslashreplace").decode("ascii"))
        stream.flush()


def _fact(value: Any) -> Any:
    try:
        orjson.dumps(value)
    except TypeError:
        return str(value)
    return value
