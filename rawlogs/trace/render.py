"""Render a transcript for people (lines) and for programs (objects). Whoever prints it escapes hostile text."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any

from rawlogs.trace.session import Outcome
from rawlogs.trace.transcript import Entry, Transcript


def as_object(entry: Entry) -> dict[str, Any]:
    """Return the entry in the words of a recording, and with its meaning."""
    line: dict[str, Any] = {"t": round(entry.at, 6), "connection": entry.connection, "dir": entry.direction}
    line["event"] = entry.event
    if entry.size is not None:
        line["size"] = entry.size
    if isinstance(entry.data, str):
        line["data"] = entry.data
    elif entry.data is not None:
        line["data64"] = base64.b64encode(entry.data).decode()
    line |= entry.facts
    if entry.meaning is not None:
        line["meaning"] = entry.meaning
    return line


def as_lines(entry: Entry) -> list[str]:
    """Return the entry for people: a head with time and arrow, and its content below. Nothing is escaped yet."""
    arrow = "-->" if entry.direction == "client" else "<--"
    head, body = _RENDERERS[entry.event](entry)
    return [f"{entry.at:+9.3f} {arrow} {head}", *(f"              {line}" for line in body)]


Rendering = tuple[str, list[str]]


def _upgrade(entry: Entry) -> Rendering:
    return f"GET {entry.facts['path']}", _headers(entry)


def _accepted(entry: Entry) -> Rendering:
    name = entry.facts.get("subprotocol")
    agreed = f"subprotocol {name!r}" if name else "no subprotocol"
    extensions = ", ".join(entry.facts.get("extensions") or ())
    return f"HTTP {entry.facts['status']}: {agreed}, {extensions or 'no extensions'}", _headers(entry)


def _refused(entry: Entry) -> Rendering:
    data = entry.data if entry.data is not None else ""
    body = data.decode("utf-8", "backslashreplace") if isinstance(data, bytes) else data
    return f"HTTP {entry.facts['status']}", [*_headers(entry), *([""] if body else []), *_text(body)]


def _message(entry: Entry) -> Rendering:
    head = f"{entry.event}, {_bytes(entry.size)}"
    if entry.data is None:
        return f"{head}, a fragment; more to come", []
    if isinstance(entry.data, bytes):
        return head, hex_dump(entry.data)
    return head, _text(entry.data)


def _control(entry: Entry) -> Rendering:
    data = entry.data if isinstance(entry.data, bytes) else (entry.data or "").encode()
    return f"{entry.event}, {_bytes(entry.size)}" + (f": {data.hex(' ')}" if data else ""), []


def _closing(entry: Entry) -> Rendering:
    reason = f" {entry.data!r}" if entry.data else ""
    meaning = f": {entry.meaning}" if entry.meaning else ""
    return f"close {entry.facts['code']}{reason}{meaning}", []


def _drop(entry: Entry) -> Rendering:
    why = f" ({entry.facts['error']})" if entry.facts.get("error") else ""
    ended = "was cut from here" if entry.direction == "client" else "ended without a close frame"
    return f"the line {ended}{why}", []


_RENDERERS: Mapping[str, Callable[[Entry], Rendering]] = {
    "upgrade": _upgrade,
    "upgrade_ok": _accepted,
    "refused": _refused,
    "text": _message,
    "binary": _message,
    "continuation": _message,
    "ping": _control,
    "pong": _control,
    "close": _closing,
    "drop": _drop,
}


def _headers(entry: Entry) -> list[str]:
    return [f"{name}: {value}" for name, value in entry.facts.get("headers", ())]


def _bytes(size: int | None) -> str:
    return "1 byte" if size == 1 else f"{size or 0} bytes"


def _text(text: str) -> list[str]:
    """Return JSON with its structure, and any other text line by line."""
    try:
        pretty = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):  # no JSON, or nested too deeply for Python's reader
        pretty = text
    return pretty.split("\n") if pretty else []


def hex_dump(data: bytes) -> list[str]:
    """Return lines of sixteen bytes: offset, digits, and the ASCII among them."""
    lines = []
    for offset in range(0, len(data), 16):
        row = data[offset : offset + 16]
        shown = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        lines.append(f"{offset:06x}  {row.hex(' '):<47}  {shown}")
    return lines


def summary_object(transcript: Transcript, outcome: Outcome, at: float) -> dict[str, Any]:
    """Return the account as the last line for programs; ``wire`` and ``payload`` are bytes."""
    read, written = outcome.traffic or (None, None)
    ending = transcript.ending
    return {
        "t": round(at, 6),
        "event": "end",
        "by": "client" if outcome.ending is None else "server",
        "code": ending.facts.get("code") if ending is not None else None,
        "frames": dict(transcript.frames),
        "payload": dict(transcript.payload),
        "wire": {"client": written, "server": read},
        "extensions": list(transcript.extensions),
        "unsent": outcome.unsent,
    }


def summary_lines(transcript: Transcript, outcome: Outcome, at: float) -> list[str]:
    """Return the account for people."""
    frames, payload = transcript.frames, transcript.payload
    lines = [
        f"{at:+9.3f} end: {frames['client']} frames sent ({_bytes(payload['client'])}), "
        f"{frames['server']} received ({_bytes(payload['server'])}); "
        + ("ended here" if outcome.ending is None else "ended by the server")
    ]
    if outcome.traffic is not None and transcript.extensions:
        read, written = outcome.traffic
        lines.append(
            f"              {', '.join(transcript.extensions)}: on the wire {_bytes(written)} sent "
            f"({_saved(written, payload['client'])}), {_bytes(read)} received "
            f"({_saved(read, payload['server'])})"
        )
    if outcome.unsent:
        lines.append(f"              {outcome.unsent} of the script's steps came too late")
    return lines


def _saved(wire: int, payload: int) -> str:
    """Return what compression saved, frame heads included: short messages may cost more than they hold."""
    if not payload:
        return "nothing to save"
    saved = round(100 * (payload - wire) / payload)
    return f"{saved} % saved" if saved >= 0 else f"{-saved} % more"
