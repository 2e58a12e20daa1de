"""Who a TLS certificate is for, from whom, and until when. Reads DER; checks nothing.

The standard library decodes only certificates that it has accepted, and the ones of interest are the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from hashlib import sha256
from ipaddress import ip_address

_ATTRIBUTES = {b"\x55\x04\x03": "CN", b"\x55\x04\x0a": "O", b"\x55\x04\x0b": "OU", b"\x55\x04\x06": "C"}
_ALT_NAMES = b"\x55\x1d\x11"
_SEQUENCE, _OCTETS, _UTC_TIME, _VERSION, _EXTENSIONS = 0x30, 0x04, 0x17, 0xA0, 0xA3
_DNS, _IP = 0x82, 0x87


@dataclass(frozen=True, slots=True)
class Certificate:
    """``names`` are the hosts and addresses that it is for; ``sha256`` its fingerprint."""

    subject: str
    issuer: str
    not_before: datetime
    not_after: datetime
    names: tuple[str, ...]
    sha256: str

    @property
    def self_signed(self) -> bool:
        return self.subject == self.issuer


def read(der: bytes) -> Certificate:
    """A certificate from its DER bytes; ValueError for what is none."""
    try:
        (_, whole), *_ = _items(der)
        (_, body), *_ = _items(whole)
        parts = [part for part in _items(body) if part[0] != _VERSION]
        _serial, _algorithm, issuer, validity, subject, *rest = parts
        start, end = (_time(*moment) for moment in _items(validity[1]))
        extensions = next((content for tag, content in rest if tag == _EXTENSIONS), b"")
        return Certificate(
            subject=_name(subject[1]),
            issuer=_name(issuer[1]),
            not_before=start,
            not_after=end,
            names=tuple(_names(extensions)),
            sha256=sha256(der).hexdigest(),
        )
    except (IndexError, TypeError) as error:
        raise ValueError("not a certificate") from error


def _items(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and content of each DER item."""
    at = 0
    while at < len(data):
        tag, length = data[at], data[at + 1]
        at += 2
        if length & 0x80:
            width = length & 0x7F
            length = int.from_bytes(data[at : at + width], "big")
            at += width
        if at + length > len(data):
            raise ValueError("not a certificate")
        yield tag, data[at : at + length]
        at += length


def _name(data: bytes) -> str:
    found = []
    for _, group in _items(data):
        for _, pair in _items(group):
            (_, kind), (_, value) = _items(pair)
            if kind in _ATTRIBUTES:
                found.append(f"{_ATTRIBUTES[kind]}={value.decode('utf-8', 'backslashreplace')}")
    return ", ".join(found) or "(no name)"


def _time(tag: int, value: bytes) -> datetime:
    text = value.decode("ascii", "replace")
    if tag == _UTC_TIME:  # two digits for the year: 1950 to 2049
        text = ("19" if text[:2] >= "50" else "20") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=timezone.utc)


def _names(extensions: bytes) -> Iterator[str]:
    for _, listed in _items(extensions):
        for _, extension in _items(listed):
            (_, kind), *flags = _items(extension)
            if kind != _ALT_NAMES:
                continue
            content = next((value for tag, value in flags if tag == _OCTETS), b"")
            for _, names in _items(content):
                for tag, name in _items(names):
                    if tag == _DNS:
                        yield name.decode("ascii", "backslashreplace")
                    elif tag == _IP and len(name) in (4, 16):
                        yield str(ip_address(name))
