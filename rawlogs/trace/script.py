"""Scripts: frames that the client sends instead of the handshake, to try a wrong one on purpose. No socket here.

One frame a line, text as it stands; and the lines that are none:

    # a comment, and empty lines      nothing
    !wait 0.5                         wait so many seconds
    !ping                             send a ping
    !close 1000 the reason            send a close frame (reason, or both, may be left out)
    !binary 0a ff                     a binary frame
    !text !wait                       a text frame that begins with "!" or "#", or is empty
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from rawlogs.errors import ConfigError

TOKEN = re.compile(r'"token"\s*:\s*"((?:[^"\\]|\\.)+)"')
"""Finds the token in a frame, also in one that is no JSON."""


@dataclass(frozen=True, slots=True)
class Send:
    """Send a text frame, or a binary one."""

    message: str | bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Ping:
    """Send a ping; its pong is not waited for."""


@dataclass(frozen=True, slots=True)
class Close:
    """Send a close frame, and end the script."""

    code: int = 1000
    reason: str = ""


Step = Send | Wait | Ping | Close


def parse_script(text: str, name: str) -> tuple[Step, ...]:
    """Return the steps of a script; ConfigError names the file and the line that cannot be read."""
    steps: list[Step] = []
    for number, line in enumerate(text.split("\n"), 1):
        # Not splitlines: a frame may hold form feeds and Unicode's line separators.
        line = line.removesuffix("\r")
        if not line.strip() or line.startswith("#"):
            continue
        try:
            steps.append(_step(line))
        except ValueError as error:
            raise ConfigError(f"{name}, line {number}: {error}", setting="--send") from None
    return tuple(steps)


def _step(line: str) -> Step:
    if not line.startswith("!"):
        return Send(line)
    word, _, rest = line[1:].partition(" ")
    if word == "text":
        return Send(rest)
    rest = rest.strip()
    if word == "wait":
        return Wait(_seconds(rest))
    if word == "ping" and not rest:
        return Ping()
    if word == "close":
        return _close(rest)
    if word == "binary":
        try:
            return Send(bytes.fromhex(rest))
        except ValueError:
            raise ValueError("!binary takes hexadecimal digits, such as !binary 7b 7d") from None
    raise ValueError(
        f"!{word[:20]} is not known: use !wait S, !ping, !close CODE REASON, !binary HEX or !text TEXT"
    )


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < 1e9:
        raise ValueError("!wait takes a number of seconds")
    return seconds


def _close(text: str) -> Close:
    code, _, reason = text.partition(" ")
    number = int(code) if code.isascii() and code.isdigit() else 0 if code else 1000
    # What a client may send by RFC 6455; others the library does not let out.
    if not (number in {1000, 1001, 1002, 1003, *range(1007, 1015)} or 3000 <= number < 5000):
        raise ValueError("!close takes a code from 1000-1003, 1007-1014 or 3000-4999, and a reason")
    if len(reason.encode()) > 123:
        raise ValueError("the reason of a close frame has at most 123 bytes")
    return Close(number, reason)


def tokens_in(steps: Iterable[Step]) -> frozenset[str]:
    """Return what stands as a token in the frames of a script, well-formed or not: a key somebody tries."""
    texts = (step.message for step in steps if isinstance(step, Send))
    return frozenset(
        token
        for text in texts
        for token in TOKEN.findall(text if isinstance(text, str) else text.decode("utf-8", "replace"))
    )
