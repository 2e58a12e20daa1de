"""Notices on stderr: which, how often, and never in the way."""

from __future__ import annotations

import io
import json
import os
from datetime import datetime, timedelta, timezone
from typing import Any, get_args
from uuid import UUID

import pytest

from rawlogs.errors import AuthError, SinkError
from rawlogs.notices import Kind, Notice
from rawlogs.output.stderr import IMPORTANCE, NoticePrinter, can_redraw

START = datetime(2026, 1, 1, tzinfo=timezone.utc)


def notice(kind: Kind = "warning", text: str = "careful", *, after: float = 0, **facts: Any) -> Notice:
    return Notice(kind, text, START + timedelta(seconds=after), facts)


def printed(*notices: Notice, **options: Any) -> list[str]:
    stream = io.StringIO()
    printer = NoticePrinter(stream, **options)
    for each in notices:
        printer(each)
    return stream.getvalue().splitlines()


def test_a_notice_is_one_line_that_says_who_speaks() -> None:
    """Facts are for programs."""
    assert printed(notice("lost", "connection lost\ntry later", code=1006)) == [
        "rawlogs: connection lost try later"
    ]


def test_every_kind_has_its_importance() -> None:
    """A new kind is not forgotten."""
    assert set(IMPORTANCE) == set(get_args(Kind))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param({}, ["gap_opened", "lost"], id="by default"),
        pytest.param({"quiet": 1}, ["gap_opened"], id="-q"),
        pytest.param({"quiet": 2}, [], id="-qq"),
        pytest.param({"verbose": 1}, ["gap_opened", "lost", "connected"], id="-v"),
        pytest.param({"verbose": 1, "quiet": 1}, ["gap_opened", "lost"], id="-q -v"),
        pytest.param({"quiet": 1, "as_json": True}, ["gap_opened"], id="-q and JSON"),
    ],
)
def test_flags_choose_by_importance(options: dict[str, Any], expected: list[str]) -> None:
    """What may be missing is said even with -q; that all is well only with -v."""
    kinds: tuple[Kind, ...] = ("gap_opened", "lost", "connected")
    lines = printed(*(notice(kind, f"<{kind}>") for kind in kinds), **options)
    assert [kind for kind in kinds if any(f"<{kind}>" in line for line in lines)] == expected
    assert len(lines) == len(expected)


def test_two_v_show_the_facts() -> None:
    """For bug reports."""
    assert printed(notice("retrying", "again", attempt=3, delay=1.5), verbose=2) == [
        "rawlogs: again (attempt=3, delay=1.5)"
    ]


def test_control_characters_are_written_out() -> None:
    """A server's words reach the terminal as words."""
    assert printed(notice(text="said \x1b[2J\r\u202e", why="\x07"), verbose=2) == [
        r"rawlogs: said \x1b[2J\r\u202e (why=\x07)"
    ]


def test_a_very_long_text_is_cut() -> None:
    """A notice is a line, not a page."""
    (line,) = printed(notice(text="x" * 5000))
    assert line == "rawlogs: " + "x" * 1999 + "…"


def test_colour_tells_warnings_from_news() -> None:
    """Yellow and dim."""
    assert printed(notice(), notice("lost", "gone"), color=True) == [
        "\x1b[33mrawlogs: careful\x1b[0m",
        "\x1b[2mrawlogs: gone\x1b[0m",
    ]


def test_a_warning_is_said_once() -> None:
    """However long the stream runs; another text is another warning."""
    assert printed(*(notice(after=n) for n in range(0, 5000, 60)), notice(text="other")) == [
        "rawlogs: careful",
        "rawlogs: other",
    ]


def test_news_may_repeat_but_not_in_a_torrent() -> None:
    """Within five seconds the same text is counted, not printed."""
    times = (0, 1, 2, 4.9, 5, 11)
    assert printed(*(notice("lost", "gone", after=after) for after in times)) == [
        "rawlogs: gone",
        "rawlogs: gone (and 3 more times)",
        "rawlogs: gone",
    ]


def test_a_clock_that_was_set_back_silences_nothing() -> None:
    """Its time is before the last one's: said again."""
    assert len(printed(notice("lost", "gone"), notice("lost", "gone", after=-3600))) == 2


def test_what_was_said_is_remembered_in_bounds() -> None:
    """The oldest of a thousand texts is forgotten first."""
    stream = io.StringIO()
    printer = NoticePrinter(stream)
    for number in (*range(1001), 1000, 0):
        printer(notice(text=f"<{number}>"))
    text = stream.getvalue()
    assert (text.count("<1000>"), text.count("<0>"), len(printer._said)) == (1, 2, 1000)


def test_json_notices_are_one_object_a_line() -> None:
    """With the time and the facts, whatever type these have."""
    facts = {
        "run": UUID(int=1),
        "error": ValueError("bad \ud800"),
        "since": START,
        "n": 1,
        "set": {1},
        "t": (1, 2),
    }
    lines = printed(
        notice("gap_opened", "a gap\nhere", **facts),
        notice("gap_opened", "a gap\nhere", after=1),
        notice("gap_opened", "a gap\nhere", after=6),
        as_json=True,
    )
    head = {"type": "notice", "kind": "gap_opened", "text": "a gap\nhere"}
    assert [json.loads(line) for line in lines] == [
        head
        | {
            "at": "2026-01-01T00:00:00Z",
            "facts": {
                "run": "00000000-0000-0000-0000-000000000001",
                "error": "bad \ufffd",
                "since": "2026-01-01T00:00:00Z",
                "n": 1,
                "set": "{1}",
                "t": [1, 2],
            },
        },
        head | {"at": "2026-01-01T00:00:06Z", "facts": {}, "left_out": 1},
    ]


@pytest.mark.parametrize(
    ("error", "text", "as_json"),
    [
        pytest.param(
            AuthError("the key was refused", hint="Run doctor."),
            "rawlogs: the key was refused\n  Run doctor.",
            {"type": "error", "kind": "AuthError", "text": "the key was refused", "hint": "Run doctor."},
            id="with a hint",
        ),
        pytest.param(
            SinkError("cannot write", path="x"),
            "rawlogs: cannot write",
            {"type": "error", "kind": "SinkError", "text": "cannot write", "hint": None},
            id="without a hint",
        ),
        pytest.param(
            "broken",
            "rawlogs: broken",
            {"type": "error", "kind": "error", "text": "broken", "hint": None},
            id="text",
        ),
    ],
)
def test_an_error_is_always_said(error: Any, text: str, as_json: dict[str, Any]) -> None:
    """Neither -qq nor repetition holds it back."""
    for options, expected in (({}, text), ({"as_json": True}, as_json)):
        stream = io.StringIO()
        printer = NoticePrinter(stream, quiet=2, **options)  # type: ignore[arg-type]
        printer.error(error)
        printer.error(error)
        if options:
            assert [json.loads(line) for line in stream.getvalue().splitlines()] == [expected, expected]
        else:
            assert stream.getvalue() == f"{expected}\n" * 2


def test_a_closed_stderr_is_no_error() -> None:
    """Closed, missing, or its reader gone: the logs matter more."""
    closed = io.StringIO()
    closed.close()
    NoticePrinter(closed)(notice())
    NoticePrinter(None)(notice())
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "w", closefd=False) as stream:
        NoticePrinter(stream)(notice())
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, write_end)  # so that closing the stream can flush
        os.close(null)
    os.close(write_end)


def test_a_stderr_that_lacks_a_letter_gets_its_escape() -> None:
    """Notices quote names in any script."""
    memory = io.BytesIO()
    stream = io.TextIOWrapper(memory, encoding="ascii", errors="strict")
    NoticePrinter(stream)(notice(text="flow é"))
    assert memory.getvalue() == b"rawlogs: flow \\xe9\n"


@pytest.mark.skipif(os.name != "posix", reason="poll() of POSIX")
def test_a_stderr_that_nobody_reads_does_not_block() -> None:
    """Lines wait for room, the oldest are dropped, and nothing stops meanwhile."""
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    filler = 0
    try:
        while True:
            filler += os.write(write_end, bytes(65536))
    except BlockingIOError:
        os.set_blocking(write_end, True)
    with os.fdopen(write_end, "w") as stream:
        printer = NoticePrinter(stream)
        for number in range(150):
            printer(notice(text=f"held {number}"))
        while filler:
            filler -= len(os.read(read_end, filler))
        printer(notice(text="last"))
    with os.fdopen(read_end) as reader:
        assert reader.read().splitlines() == [
            *(f"rawlogs: held {number}" for number in range(51, 150)),
            "rawlogs: last",
        ]


ERASED = "\r\x1b[K"


def test_the_status_line_stays_below_what_is_printed() -> None:
    """It is taken away before a notice and drawn again below it; nothing is left at the end."""
    stream = io.StringIO()
    printer = NoticePrinter(stream)
    printer.status("12 rows")
    printer.status("12 rows")
    printer(notice())
    printer.status("")
    printer.status("")
    assert stream.getvalue() == (f"rawlogs: 12 rows{ERASED}rawlogs: careful\nrawlogs: 12 rows{ERASED}")


def test_the_status_line_makes_room_for_what_others_write() -> None:
    """Logs go to the same terminal: it is drawn again when the next status comes after them, not meanwhile."""
    stream = io.StringIO()
    printer = NoticePrinter(stream)
    with printer.without_status():
        stream.write("a log\n")
    printer.status("1 row")
    with printer.without_status():
        stream.write("a log\n")
        printer.tell("hello")
        printer.status("2 rows")
    assert stream.getvalue() == f"a log\nrawlogs: 1 row{ERASED}a log\nrawlogs: hello\n"
    printer.status("2 rows")
    assert stream.getvalue().endswith("hello\nrawlogs: 2 rows")


def test_a_status_line_never_wraps_and_commands_nothing() -> None:
    """It is cut to the terminal (80 columns where none is asked), in the middle, its control characters written out."""
    stream = io.StringIO()
    NoticePrinter(stream, color=True).status("x" * 200 + "\x1b[2J")
    line = stream.getvalue()
    assert line.startswith("\x1b[2mrawlogs: xxx") and line.endswith(r"\x1b[2J" + "\x1b[0m")
    assert len(line) == 77 + len("\x1b[2m\x1b[0m")


@pytest.mark.parametrize(("quiet", "said"), [(0, 1), (1, 0)])
def test_words_for_people_are_held_back_by_q(quiet: int, said: int) -> None:
    """They are no warning."""
    stream = io.StringIO()
    NoticePrinter(stream, quiet=quiet).tell("connected, waiting for logs")
    assert stream.getvalue() == "rawlogs: connected, waiting for logs\n" * said


@pytest.mark.parametrize(
    ("terminal", "environ", "redraws"),
    [
        (True, {"TERM": "xterm"}, True),
        (True, {"TERM": "dumb"}, False),
        (True, {"TERM": ""}, False),
        (True, {}, False),
        (False, {"TERM": "xterm"}, False),
    ],
)
def test_a_line_is_redrawn_only_where_it_can_be_erased(
    terminal: bool, environ: dict[str, str], redraws: bool
) -> None:
    """On a terminal that is not a dumb one."""

    class Stream(io.StringIO):
        def isatty(self) -> bool:
            return terminal

    assert can_redraw(Stream(), environ) is redraws
    closed = io.StringIO()
    closed.close()
    assert not can_redraw(closed, environ)
    assert not can_redraw(None, environ)
