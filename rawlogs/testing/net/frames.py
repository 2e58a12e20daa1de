"""WebSocket frames as a server writes and reads them, where the library is too well-behaved. Pure."""

from __future__ import annotations

from websockets.frames import Frame, Opcode


def frame_bytes(opcode: int, payload: bytes, *, fin: bool = True) -> bytes:
    """One unmasked frame."""
    size = len(payload)
    first = (0x80 if fin else 0) | opcode
    if size < 126:
        head = bytes((first, size))
    elif size < 1 << 16:
        head = bytes((first, 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((first, 127)) + size.to_bytes(8, "big")
    return head + payload


class Assembler:
    """Joins fragments: text messages come out as str, binary ones as bytes."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._text = False

    def feed(self, frame: Frame) -> str | bytes | None:
        """The message that this frame completes, or None (also for control frames)."""
        if frame.opcode not in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            return None
        if frame.opcode != Opcode.CONT:
            self._text = frame.opcode == Opcode.TEXT
            self._parts = []
        self._parts.append(bytes(frame.data))
        if not frame.fin:
            return None
        message = b"".join(self._parts)
        return message.decode("utf-8", "replace") if self._text else message
