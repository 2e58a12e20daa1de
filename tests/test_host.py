"""The Host header: a name or an address and a port, or nothing at all; and which of them mean this machine."""

from __future__ import annotations

import ipaddress
import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rawlogs.host import Host, is_loopback, only_host, parse_host

GOOD = {
    ".".join(["a" * 63] * 3 + ["a" * 61]) + ".": Host(".".join(["a" * 63] * 3 + ["a" * 61])),
    "localhost": Host("localhost"),
    "LocalHost.:8642": Host("localhost", 8642),
    "logs.example:0": Host("logs.example", 0),
    "my_service:65535": Host("my_service", 65535),
    "xn--bcher-kva.example": Host("xn--bcher-kva.example"),
    "127.0.0.1:8642": Host("127.0.0.1", 8642),
    "[::1]": Host("::1"),
    "[::1]:80": Host("::1", 80),
    "[::FFFF:127.0.0.1]": Host("::ffff:127.0.0.1"),
    f"{'a' * 63}.b": Host(f"{'a' * 63}.b"),
}
BAD = [
    "",
    " ",
    ".",
    ".localhost",
    "localhost..",
    "a..localhost",
    "-.localhost",
    "evil/.localhost",
    "evil?.localhost",
    "evil#.localhost",
    "evil\\.localhost",
    "evil@localhost",
    "evil:8642@localhost",
    "evil,localhost",
    "evil;.localhost",
    "evil .localhost",
    "localhost ",
    " localhost",
    "localhost\t",
    "localhost\n",
    "localhost\r\nX: y",
    "localhost\0",
    "localhost:",
    "localhost:x",
    "localhost:+1",
    "localhost:-1",
    "localhost:65536",
    "localhost:000001",
    "localhost:8642:8642",
    "localhost:8642/",
    "localhost:8642/page.css?",
    "localhost/page.css",
    "localhost?",
    "localhost#",
    "x/page.css?",
    "x/login#",
    "http://localhost",
    "//localhost",
    "%6cocalhost",
    "localhost%00.evil",
    "löcalhost",
    "loc\u00adalhost",
    "localhost\u3002",
    "localhost:\u0668\u0666",
    "\u212a.localhost",
    "::1",
    "::1:80",
    "[::1",
    "[::12",
    "::1]",
    "1::1]",
    "[[::1]]",
    "[]",
    "[::1]evil",
    "[::1].localhost",
    "[::1]:",
    "[::1]::80",
    "[localhost]",
    "[127.0.0.1]",
    "[::1%25lo]",
    "[fe80::1%eth0]",
    "[v1.x]",
    "[::1]/page.css",
    "a" * 64,
    ".".join(["a" * 63] * 4),
]


@pytest.mark.parametrize("header", GOOD)
def test_a_name_or_an_address_with_or_without_a_port_is_read(header: str) -> None:
    assert parse_host(header) == GOOD[header]


@pytest.mark.parametrize("header", BAD)
def test_what_is_anything_else_is_refused_and_never_repaired(header: str) -> None:
    assert parse_host(header) is None
    assert not is_loopback(header) or header == "::1"


def test_there_is_exactly_one_host() -> None:
    assert only_host(["localhost"]) == Host("localhost")
    assert only_host([]) is None
    assert only_host(["localhost", "localhost"]) is None
    assert only_host(["evil/"]) is None


@given(st.one_of(st.text(), st.text("ab:./[]@?#%\\ \n1-_é٣", max_size=20)))
@example("localhost\n")
@example("\u0131.localhost")
def test_whatever_is_read_holds_nothing_that_a_url_would_read_otherwise(header: str) -> None:
    """No character that ends a host in a URL; what is read, written again, is read the same."""
    host = parse_host(header)
    if host is None:
        return
    allowed = set(string.ascii_lowercase + string.digits + "-._:")
    assert set(host.name) <= allowed
    assert ("[" in header) == (":" in host.name)
    written = f"[{host.name}]" if ":" in host.name else host.name
    again = written if host.port is None else f"{written}:{host.port}"
    assert parse_host(again) == host
    assert header.lower().startswith(written)


@given(st.ip_addresses(v=6), st.none() | st.integers(0, 65_535))
def test_every_ipv6_address_is_read(address: ipaddress.IPv6Address, port: int | None) -> None:
    tail = "" if port is None else f":{port}"
    assert parse_host(f"[{address}]{tail}") == Host(str(address), port)
    assert is_loopback(f"[{address}]") is is_loopback(str(address))


@given(st.ip_addresses(v=4), st.none() | st.integers(0, 65_535))
def test_every_ipv4_address_is_read(address: ipaddress.IPv4Address, port: int | None) -> None:
    tail = "" if port is None else f":{port}"
    host = parse_host(f"{address}{tail}")
    assert host == Host(str(address), port)
    assert host.is_loopback is address.is_loopback


@pytest.mark.parametrize(
    "name",
    [
        "127.0.0.1",
        "127.9.9.9",
        "127.0.0.1.",
        "::1",
        "[::1]",
        "0:0:0:0:0:0:0:1",
        "::ffff:127.0.0.1",
        "[::ffff:7f00:1]",
        "localhost",
        "LocalHost.",
        "logs.localhost",
    ],
)
def test_what_can_only_mean_this_machine_is_loopback(name: str) -> None:
    assert is_loopback(name)


@pytest.mark.parametrize(
    "name",
    [
        "0.0.0.0",
        "::",
        "10.0.0.1",
        "128.0.0.1",
        "::ffff:10.0.0.1",
        "::2",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "evillocalhost",
        "evil-localhost",
        "localhost:80",
        "127.1",
        "0x7f.0.0.1",
        "2130706433",
        "localhost.localdomain",
        "",
    ],
)
def test_what_may_mean_another_machine_is_not_loopback(name: str) -> None:
    assert not is_loopback(name)
