"""The body of an answer: how it may be packed, how much of it is taken."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawlogs.config.settings import resolve
from rawlogs.errors import HistoryError
from rawlogs.rest import body
from rawlogs.rest.body import AnswerTooLarge, TooLarge, UnknownCoding, Unpacking, Unreadable, coding_of
from rawlogs.rest.client import RestClient
from tests.http_peer import HttpPeer, reply

MEGABYTE = 1 << 20


def bare_deflate(content: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(content) + packer.flush()


PACKERS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "deflate": ("deflate", zlib.compress),
    "bare deflate": ("deflate", bare_deflate),
}


def unpack(packed: bytes, coding: str = "gzip", limit: int = MEGABYTE) -> bytes:
    unpacking = Unpacking(packed, coding, limit)
    assert unpacking.run()
    return bytes(unpacking.content)


def client(peer: HttpPeer, folder: Path, **options: Any) -> RestClient:
    return RestClient(resolve(api_url=peer.api_url, environ={}, cwd=folder), retries=0, **options)


@pytest.mark.parametrize("packer", PACKERS)
@given(content=st.binary(max_size=1000) | st.integers(0, 300_000).map(bytes))
def test_what_was_packed_is_unpacked(packer: str, content: bytes) -> None:
    coding, pack = PACKERS[packer]
    assert unpack(pack(content), coding) == content


@pytest.mark.parametrize(
    ("header", "coding"),
    [
        ("", None),
        ("identity", None),
        ("gzip", "gzip"),
        (" GZip ", "gzip"),
        ("x-gzip", "gzip"),
        ("deflate", "deflate"),
        ("identity, gzip", "gzip"),
        (", gzip,", "gzip"),
    ],
)
def test_one_known_coding_is_taken(header: str, coding: str | None) -> None:
    assert coding_of(header) == coding


@pytest.mark.parametrize("header", ["gzip, gzip", "gzip,deflate", "br", "zstd", "compress", "gzip gzip", "*"])
def test_any_other_coding_is_refused(header: str) -> None:
    with pytest.raises(UnknownCoding, match=header.replace("*", r"\*")):
        coding_of(header)


@pytest.mark.parametrize("packer", PACKERS)
@pytest.mark.parametrize("size", [MEGABYTE - 1, MEGABYTE, MEGABYTE + 1, 64 * MEGABYTE])
def test_no_more_is_unpacked_than_the_limit(packer: str, size: int) -> None:
    """A step of it at most, whatever a few bytes would unpack to."""
    coding, pack = PACKERS[packer]
    unpacking = Unpacking(pack(bytes(size)), coding, MEGABYTE)
    if size <= MEGABYTE:
        assert unpacking.run()
        assert len(unpacking.content) == size
    else:
        with pytest.raises(TooLarge):
            unpacking.run()
        assert len(unpacking.content) <= MEGABYTE + (1 << 16)


def test_it_stops_where_it_is_to_go_on_elsewhere() -> None:
    unpacking = Unpacking(gzip.compress(bytes(MEGABYTE)), "gzip", MEGABYTE)
    assert not unpacking.run(1000)
    assert 1000 <= len(unpacking.content) < MEGABYTE
    assert unpacking.run()
    assert len(unpacking.content) == MEGABYTE


@pytest.mark.parametrize("packer", PACKERS)
@given(data=st.data())
def test_what_was_cut_or_damaged_is_unreadable_or_something_else(packer: str, data: st.DataObject) -> None:
    """Nothing but that error, and never half of it as if it were all."""
    coding, pack = PACKERS[packer]
    packed = pack(b'{"fine": true}' * 50)
    cut = data.draw(st.integers(0, len(packed) - 1))
    with pytest.raises(Unreadable):
        unpack(packed[:cut], coding)
    place = data.draw(st.integers(0, len(packed) - 1))
    damaged = bytes([*packed[:place], packed[place] ^ data.draw(st.integers(1, 255)), *packed[place + 1 :]])
    with suppress(Unreadable, TooLarge):
        unpack(damaged, coding)


@given(st.binary(min_size=1, max_size=200), st.sampled_from(["gzip", "deflate"]))
def test_nothing_but_its_own_errors_comes_of_any_bytes(packed: bytes, coding: str) -> None:
    with suppress(Unreadable, TooLarge):
        unpack(packed, coding)


@pytest.mark.parametrize("more", [b"x", gzip.compress(b"second")], ids=["a byte", "another one"])
def test_something_behind_the_end_is_refused(more: bytes) -> None:
    with pytest.raises(Unreadable, match="something follows"):
        unpack(gzip.compress(b"first") + more)


# Over a connection


async def test_twice_packed_is_an_error_that_says_so(tmp_path: Path) -> None:
    bomb = gzip.compress(gzip.compress(bytes(100 * MEGABYTE)))
    async with HttpPeer(reply(bomb, headers={"Content-Encoding": "gzip, gzip"})) as peer:
        async with client(peer, tmp_path) as rest:
            with pytest.raises(HistoryError, match="is packed as gzip, gzip") as caught:
                await rest.get("/x")
        assert not caught.value.transient
        assert "does something in between" in (caught.value.hint or "")


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(
            reply(gzip.compress(bytes(3 * MEGABYTE)), headers={"Content-Encoding": "gzip"}), id="unpacked"
        ),
        pytest.param(reply(b" " * (3 * MEGABYTE)), id="as it is"),
    ],
)
async def test_an_answer_larger_than_the_limit_is_an_error(tmp_path: Path, answer: Any) -> None:
    async with HttpPeer(answer) as peer, client(peer, tmp_path, max_size=2 * MEGABYTE) as rest:
        with pytest.raises(AnswerTooLarge, match="is larger than 2 MiB"):
            await rest.get("/x")


@pytest.mark.parametrize(
    ("body_of_error", "headers"),
    [
        pytest.param(gzip.compress(bytes(3 * MEGABYTE)), {"Content-Encoding": "gzip"}, id="a bomb"),
        pytest.param(b"x", {"Content-Encoding": "gzip, gzip"}, id="packed twice"),
        pytest.param(b"no gzip", {"Content-Encoding": "gzip"}, id="damaged"),
    ],
)
async def test_an_error_counts_by_its_status_whatever_its_body_is(
    tmp_path: Path, body_of_error: bytes, headers: dict[str, str]
) -> None:
    async with HttpPeer(reply(body_of_error, 503, headers=headers)) as peer:
        async with client(peer, tmp_path) as rest:
            with pytest.raises(HistoryError, match="HTTP 503") as caught:
                await rest.get("/x")
        assert (caught.value.status, caught.value.transient) == (503, True)


async def test_a_long_body_is_unpacked_in_a_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a short one where it is: a thread costs more than that."""
    threads = []
    in_thread = asyncio.to_thread

    async def counted(work: Callable[[], bool]) -> bool:
        threads.append(work)
        return await in_thread(work)

    monkeypatch.setattr(asyncio, "to_thread", counted)
    texts = [b'"%b"' % (b"x" * size) for size in (1000, 3 * MEGABYTE)]
    answers = [reply(gzip.compress(text), headers={"Content-Encoding": "gzip"}) for text in texts]
    async with HttpPeer(*answers) as peer, client(peer, tmp_path) as rest:
        assert len(await rest.get("/x")) == 1000
        assert threads == []
        assert len(await rest.get("/x")) == 3 * MEGABYTE
        assert len(threads) == 1


async def test_gzip_alone_is_asked_for_whatever_the_users_headers_say(tmp_path: Path) -> None:
    async with HttpPeer(reply({})) as peer:
        settings = resolve(
            api_url=peer.api_url, headers={"Accept-Encoding": "br, zstd"}, environ={}, cwd=tmp_path
        )
        async with RestClient(settings) as rest:
            await rest.get("/x")
        assert peer.requests[0].headers["accept-encoding"] == "gzip"


def test_the_limit_is_that_of_the_socket() -> None:
    from rawlogs.wire.connection import Target

    assert Target("ws://h").max_size == body.MAX_SIZE
