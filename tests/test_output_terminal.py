"""``rawlogs tail`` on a terminal: columns, dates, the status line, and what people are told."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

import pytest
from streaming import ThreadedServer, threaded
from streaming import no_settings as no_settings

pytest.importorskip("pty")

from terminal import Terminal

from rawlogs.testing.faults import Blackhole

WAITING = "rawlogs: connected, waiting for logs"


@pytest.fixture
def server() -> Iterator[ThreadedServer]:
    with threaded() as running:
        yield running


def tail(server: ThreadedServer, *arguments: object, **options: object) -> Terminal:
    return Terminal(["tail", "--api-url", server.api_url, *arguments], **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("columns", "width", "cut"), [(80, 20, "nightly-lo…026-11-26"), (200, 28, "nightly-load-o…se-2026-11-26")]
)
def test_three_runs_have_one_layout_from_the_first_line(
    server: ThreadedServer, columns: int, width: int, cut: str
) -> None:
    root = server.add_run("noisy-bat", state="COMPLETED")
    wide = server.add_run("日本語🔥", parent=root, state="COMPLETED")
    long = server.add_run("nightly-load-of-the-warehouse-2026-11-26", parent=root, state="COMPLETED")
    hostile = server.add_run("x\x1b[2J", parent=root, state="COMPLETED")
    for run in (root, wide, long, hostile):
        server.store("m" * 300, flow_run_id=run)
    with tail(server, root, "--no-follow", "--timestamps", "none", columns=columns) as terminal:
        assert terminal.end() == 0
    names = {line.split(" | ")[0] for line in terminal.screen if " | INFO " in line}
    assert names == {
        "noisy-bat".ljust(width),
        "日本語🔥".ljust(width - 4),  # four letters of two cells each
        cut,
        r"x\x1b[2J".ljust(width),
    }
    colours = re.findall(r"(\x1b\[\d+m)\S+ *\x1b\[0m *\| \S*INFO", terminal.written)
    assert len(colours) == len(set(colours)) == 4


def test_times_of_another_day_have_a_date(server: ThreadedServer) -> None:
    now = datetime.now(timezone.utc)
    server.store("old", timestamp=(now - timedelta(days=5)).isoformat())
    server.store("new", timestamp=now.isoformat())
    with tail(server, "--since", "9d", "--no-follow", "--utc") as terminal:
        assert terminal.end() == 0
    old, new = (line for line in terminal.screen if "INFO" in line)
    assert old.startswith(f"{now - timedelta(days=5):%Y-%m-%d %H:%M:%S}")
    assert new.startswith(f"{now:%Y-%m-%d %H:%M:%S}")


def test_a_silent_stream_says_once_that_it_is_connected(server: ThreadedServer) -> None:
    with tail(server) as terminal:
        terminal.until(lambda written: WAITING in written)
        server.post("first")
        terminal.until(lambda written: "first" in written)
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.end() == 128 + signal.SIGINT
    assert terminal.written.count(WAITING) == 1


@pytest.mark.parametrize("output", ["json", "raw", "ecs"])
def test_people_are_told_in_text_with_every_output(server: ThreadedServer, output: str) -> None:
    read_end, write_end = os.pipe()
    try:
        with tail(server, "-o", output, "--limit", "1", stdout=write_end) as terminal:
            os.close(write_end)
            terminal.until(lambda written: WAITING in written)
            server.post("first")
            assert terminal.end() == 0
        assert os.read(read_end, 65536).startswith(b"{")
    finally:
        os.close(read_end)
    assert all(line.startswith("rawlogs: ") for line in terminal.screen)


def test_a_slow_list_is_told_on_a_line_that_is_removed(server: ThreadedServer) -> None:
    server.call(server.server.fault, "rest", Blackhole(), path="/logs/filter")
    with tail(server, "--no-follow") as terminal:
        terminal.until(lambda written: "rawlogs: reading stored logs: no answer yet" in written)
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.end() == 128 + signal.SIGINT
    assert not [line for line in terminal.screen if "reading stored logs" in line]


def test_a_dumb_terminal_gets_no_line_that_is_redrawn(server: ThreadedServer) -> None:
    with tail(server, "--limit", "1", TERM="dumb") as terminal:
        server.until_subscribed()
        server.post("first")
        assert terminal.end() == 0
    assert "\x1b" not in terminal.written
