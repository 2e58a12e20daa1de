r"""Hide secrets in any text: in every spelling, whole or in part. Pure.

A text and the secrets are brought into one spelling first: JSON's ``\/`` and ``\uXXXX`` (also in JSON that is quoted in
JSON), Python's ``\xXX``, a URL's ``%XX`` and ``+`` are read as the characters that they stand for. Then every run of
six characters that a secret has, too, is hidden: so a secret that was cut in the middle is hidden as far as it goes.
Base64 of a secret, at whatever offset of a longer text it stood, is a secret itself.

>>> Masker(["pnu_0123456789"]).text(r'{"key": "pnu_01234567", "url": "\u0070nu%5F0123456789"}')
'{"key": "***", "url": "***"}'
"""

from __future__ import annotations

import re
from array import array
from base64 import b64encode
from collections.abc import Iterable
from functools import cache, lru_cache
from typing import TYPE_CHECKING

MASK = "***"
SHORTEST = 4
"""Secrets of fewer characters are hidden by the name of their header alone: they would be found everywhere."""
PART = 6
"""The number of characters in a row that tell a part of a secret."""

_HINT, _STRIDE = 4, 3
"""Of six characters in a row, four begin at a multiple of three: to look there first takes a third of the time."""
_DEEPEST = 3
"""The number of times that an escaped text may have been escaped again."""
_ALIKE = str.maketrans({" ": "+", "-": "+", "_": "/"})
"""HTML forms write a blank as a plus; base64 for URLs has ``-`` and ``_`` where the other has ``+`` and ``/``."""
_ESCAPES = re.compile(
    r"\\+u([dD][89abAB][0-9a-fA-F]{2})\\+u([dD][c-fC-F][0-9a-fA-F]{2})|\\+u([0-9a-fA-F]{4})|\\+x([0-9a-fA-F]{2})"
    r"|((?:%[0-9a-fA-F]{2})+)|\\+"
)
_CONTROLS = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_BY_CHANCE = 12
"""Hexadecimal secrets share six digits with one UUID in ten thousand: only a longer match is no chance."""
_KEY = re.compile(r"\bpn[a-z]_\w{8,}")
"""Prefect Cloud's keys, also those that the settings do not know."""
_PARAMETER = re.compile(
    # Bounded, or a text of nothing but such words would take the square of its length.
    r"([?&;][\w.\-]{0,40}(?:token|key|secret|passw|auth|sig|credential|code)[\w.\-]{0,40}=)[^&;#\s\"'<>\\]+",
    re.IGNORECASE,
)
_HEADER = re.compile(
    r"auth(?!enticate)|token|secret|passw|cookie|api-?key|credential|session|signature|jwt", re.IGNORECASE
)

_PUBLIC = (
    "prefect.flow_runs prefect.task_runs prefect.server prefect-client prefect-csrf-token flow_run_id task_run_id "
    "flow_runs/filter logs/filter deployments/name timestamp message created updated level_name auth_success "
    "auth_failure /api/logs/out /api/events/out application/json permessage-deflate Sec-WebSocket-Protocol "
    "Authorization: Basic Bearer https:// http:// wss:// ws:// 127.0.0.1 localhost /workspaces/ user:password "
    "api.prefect.cloud/api/accounts/"
)
"""Texts of every conversation with Prefect: to hide parts of them would hide nothing and break everything."""


if TYPE_CHECKING:
    Offsets = array[int]
    """The positions of a text's characters before its escapes were undone, and the end of the last one."""


class Masker:
    """Hides these secrets. Those of fewer than ``SHORTEST`` characters are left out."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        long_enough = [secret for secret in secrets if len(secret) >= SHORTEST]
        spellings = {spelled for secret in long_enough for spelled in _spellings(secret)}
        # A password such as "pass" is no secret within a longer word.
        self._words = {
            plain.translate(_ALIKE)
            for secret in long_enough
            if len(secret) < PART
            for plain, _ in _undone(secret)
        }
        self._parts: dict[int, set[str]] = {}
        # A secret may hold what looks like an escape: then a text has it as it is, or with that escaped once more.
        read = {plain for spelled in spellings for plain, _ in _undone(spelled)}
        for text in (plain.translate(_ALIKE) for plain in read):
            size = min(PART, len(text))
            if size < SHORTEST:
                continue
            parts = _runs(text, size)
            own = parts - _public_runs() if size == PART else parts
            self._parts.setdefault(size, set()).update(own)
            if own != parts:  # a password may be such a word: as a whole it is hidden nevertheless
                self._parts.setdefault(len(text), set()).add(text)
        self._hints = {part[at : at + _HINT] for part in self._parts.get(PART, ()) for at in range(_STRIDE)}

    def text(self, text: str) -> str:
        """Return a text that is told or shown: also without what a URL's parameters call a secret."""
        return _PARAMETER.sub(rf"\1{MASK}", self.payload(text))

    def payload(self, text: str) -> str:
        """Return a message of somebody else: only without the secrets, and without keys of Prefect Cloud."""
        if self._parts:
            text = self._hidden(text)
        return _KEY.sub(MASK, text)

    def binary(self, data: bytes) -> bytes:
        """Return bytes that may be no text, without the secrets."""
        return self.payload(data.decode("latin-1")).encode("latin-1")

    def _hidden(self, text: str) -> str:
        # The most undone first: there a secret is whole.
        for plain, offsets in reversed(_undone(text)):
            left = self._without(text, plain.translate(_ALIKE), offsets)
            if left != text:
                return self._hidden(left)
        return text

    def _without(self, text: str, plain: str, offsets: Offsets | None) -> str:
        """Return the text without what is a secret in ``plain``, whose characters stand at ``offsets`` of the text."""
        spans: list[tuple[int, int]] = []
        for size, parts in self._parts.items():
            if size == PART and self._hints.isdisjoint(
                plain[at : at + _HINT] for at in range(0, len(plain) - _HINT + 1, _STRIDE)
            ):
                continue
            found = [at for at in range(len(plain) - size + 1) if plain[at : at + size] in parts]
            if size < PART:
                found = [
                    at
                    for at in found
                    if plain[at : at + size] not in self._words or not _within_a_word(plain, at, at + size)
                ]
            spans += [(at, at + size) for at in found]
        if not spans:
            return text
        pieces: list[str] = []
        done = 0
        for first, last in self._by_no_chance(_joined(spans), plain, text, offsets):
            start, end = (first, last) if offsets is None else (offsets[first], offsets[last])
            while start > done and text[start - 1] == "\\":
                start -= 1  # no half of an escape is left
            pieces += (text[done:start], MASK)
            done = end
        return "".join(pieces) + text[done:]

    def _by_no_chance(
        self, spans: list[tuple[int, int]], plain: str, text: str, offsets: Offsets | None
    ) -> list[tuple[int, int]]:
        """Return the spans without the short ones inside of a UUID."""
        if all(last - first >= _BY_CHANCE for first, last in spans):
            return spans
        ids = [found.span() for found in _UUID.finditer(text)]

        def inside(span: tuple[int, int]) -> bool:
            start, end = span if offsets is None else (offsets[span[0]], offsets[span[1]])
            return any(low <= start and end <= high for low, high in ids)

        return [span for span in spans if span[1] - span[0] >= _BY_CHANCE or not inside(span)]


def _within_a_word(text: str, start: int, end: int) -> bool:
    # A secret that itself begins (or ends) with punctuation is no part of a word there.
    before = text[max(start - 1, 0) : start].isalnum() and text[start].isalnum()
    return before or (text[end - 1].isalnum() and text[end : end + 1].isalnum())


@lru_cache(maxsize=32)
def masker(secrets: tuple[str, ...]) -> Masker:
    """Return the Masker of these secrets; the same one for the same secrets."""
    return Masker(secrets)


def names_secret(header: str) -> bool:
    """Return whether a header of this name holds a secret, whoever sends it."""
    return bool(_HEADER.search(header))


def _spellings(secret: str) -> set[str]:
    """Return the secret, and what base64 makes of it, alone and inside of a longer text."""
    data = secret.encode("utf-8", "surrogatepass")
    found = {secret, data.decode("latin-1"), b64encode(data).decode()}
    for shift in range(3):
        # Of the characters at both ends some bits belong to what stands before and behind.
        whole = b64encode(bytes(shift) + data).decode().rstrip("=")
        first = (0, 2, 3)[shift]
        last = len(whole) - ((len(data) + shift) % 3 > 0)
        found.add(whole[first:last])
    return {text for text in found if len(text) >= SHORTEST}


def _undone(text: str) -> list[tuple[str, Offsets | None]]:
    """Return the text as it is, with its escapes undone, with those that were behind them undone, and so on.

    Each with the offsets in ``text`` where its characters begin; None where they are the same.
    """
    found: list[tuple[str, Offsets | None]] = [(text, None)]
    while len(found) <= _DEEPEST and ("\\" in text or "%" in text):
        before = found[-1][1]
        plain, offsets = _undone_once(text)
        if plain == text:
            break
        if before is not None:
            offsets = array("l", map(before.__getitem__, offsets))
        found.append((plain, offsets))
        text = plain
    return found


def _undone_once(text: str) -> tuple[str, Offsets]:
    pieces: list[str] = []
    offsets = array("l")
    done = 0
    for found in _ESCAPES.finditer(text):
        start, end = found.span()
        pieces.append(text[done:start])
        offsets.extend(range(done, start))
        high, low, code, byte, quoted = found.groups()
        if high is not None:
            pieces.append(chr(0x10000 + (int(high, 16) - 0xD800 << 10) + int(low, 16) - 0xDC00))
            offsets.append(start)
        elif code is not None or byte is not None:
            pieces.append(chr(int(code or byte, 16)))
            offsets.append(start)
        elif quoted is not None:
            for character, size in _unquoted(quoted):
                pieces.append(character)
                offsets.append(start)
                start += size
        elif end < len(text) and text[end] != "%":
            # A backslash belongs to what it stands before, so that no half of an escape is left.
            pieces.append(_CONTROLS.get(text[end], text[end]))
            offsets.append(start)
            end += 1
        done = end
    pieces.append(text[done:])
    offsets.extend(range(done, len(text) + 1))
    return "".join(pieces), offsets


def _unquoted(quoted: str) -> list[tuple[str, int]]:
    """Return the characters of ``%C3%A9...`` as UTF-8, else byte by byte; each with its length in the text."""
    data = bytes.fromhex(quoted.replace("%", ""))
    try:
        return [(character, 3 * len(character.encode())) for character in data.decode()]
    except UnicodeDecodeError:
        return [(chr(byte), 3) for byte in data]


def _runs(text: str, size: int) -> set[str]:
    return {text[at : at + size] for at in range(len(text) - size + 1)}


@cache
def _public_runs() -> frozenset[str]:
    return frozenset(run for word in _PUBLIC.split() for run in _runs(word.translate(_ALIKE), PART))


def is_public(text: str) -> bool:
    """Return whether every conversation with Prefect holds this text, so that it can be no secret."""
    return any(text in word for word in _PUBLIC.split())


def _joined(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the spans in order, those that touch made one."""
    joined: list[tuple[int, int]] = []
    for first, last in sorted(spans):
        if joined and first <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(last, joined[-1][1])
        else:
            joined.append((first, last))
    return joined
