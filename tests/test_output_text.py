"""Logs as lines for people, and what hostile ones cannot do to a screen."""

from __future__ import annotations

import subprocess
import sys
import unicodedata
from datetime import timedelta, timezone, tzinfo
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawlogs.models import Log
from rawlogs.output.escape import escape_line, escape_text
from rawlogs.output.formats import encode_batch
from rawlogs.output.text import CONTINUATION, TextFormat, Timestamps

RUN = "11111111-2222-4333-8444-555555555555"
OTHER = "66666666-7777-4888-9999-aaaaaaaaaaaa"
KEPT_FORMAT_CHARACTERS = {
    *range(0x600, 0x606),  # Arabic number signs: visible
    *(0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD),  # visible signs of other scripts
    *(0x200C, 0x200D),  # joiners: Persian and emoji need them
    *range(0x13430, 0x13460),  # Egyptian quadrat signs
}


def make_log(message: str = "hello", **fields: Any) -> Log:
    """A log as the wire gives it."""
    wire = {
        "id": "00000000-0000-4000-8000-000000000001",
        "created": None,
        "updated": None,
        "name": "prefect.flow_runs",
        "level": 20,
        "message": message,
        "timestamp": "2026-01-02T03:04:05.678901Z",
        "flow_run_id": RUN,
        "task_run_id": None,
    }
    return Log.from_wire(wire | fields)


def text_format(**options: Any) -> TextFormat:
    return TextFormat(**{"timezone": timezone.utc} | options)


def test_the_default_line_looks_like_prefects_console() -> None:
    """Time of day, level in seven columns, logger, message."""
    assert text_format().line(make_log()) == "03:04:05.678 | INFO    | prefect.flow_runs - hello"


@pytest.mark.parametrize(
    ("timestamps", "zone", "start"),
    [
        pytest.param("short", timezone.utc, "03:04:05.678 | ", id="short, utc"),
        pytest.param(
            "short", timezone(timedelta(hours=5, minutes=30)), "08:34:05.678 | ", id="short, +05:30"
        ),
        pytest.param("full", timezone.utc, "2026-01-02T03:04:05.678Z | ", id="full, utc"),
        pytest.param(
            "full",
            timezone(timedelta(hours=-4)),
            "2026-01-01T23:04:05.678-04:00 | ",
            id="full, -04:00, the day before",
        ),
        pytest.param("none", timezone.utc, "INFO ", id="none"),
    ],
)
def test_times_are_shown_in_the_chosen_form_and_zone(
    timestamps: Timestamps, zone: tzinfo, start: str
) -> None:
    """Short, full or not at all."""
    form = TextFormat(timestamps=timestamps, timezone=zone)
    assert form.line(make_log()).startswith(start)
    assert form.line(make_log()).startswith(start), "the cached second says the same"


def test_without_a_zone_times_are_local() -> None:
    """None is the machine's own zone, whatever it is."""
    log = make_log()
    local = log.timestamp.astimezone()
    assert TextFormat().line(log).startswith(f"{local:%H:%M:%S}.678 | ")


@pytest.mark.parametrize(
    "timestamp",
    [
        "0001-01-01T00:00:00+05:00",
        "9999-12-31T23:59:59.999-05:00",
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59Z",
    ],
)
@pytest.mark.parametrize("zone", [None, timezone(timedelta(hours=12)), timezone(timedelta(hours=-12))])
@pytest.mark.parametrize("timestamps", ["short", "full"])
def test_the_ends_of_the_calendar_have_a_line_too(
    timestamp: str, zone: tzinfo | None, timestamps: Timestamps
) -> None:
    """A moment that the zone would lead out of the calendar is shown as it came."""
    line = TextFormat(timestamps=timestamps, timezone=zone).line(make_log(timestamp=timestamp))
    assert line.endswith(" | INFO    | prefect.flow_runs - hello")


def test_many_seconds_and_names_do_not_pile_up() -> None:
    """What is remembered for speed is bounded, and forgetting changes no line."""
    names: dict[UUID, str] = {}
    form = text_format(run_names=names)
    first = make_log()
    expected = form.line(first)
    for n in range(3000):
        stamp = f"2026-01-02T{n // 3600:02d}:{n // 60 % 60:02d}:{n % 60:02d}Z"
        run = UUID(int=n)
        names[run] = f"run-{n}"
        form.line(make_log(name=f"logger-{n}", timestamp=stamp, flow_run_id=str(run)))
    assert form.line(first) == expected
    assert max(len(form._seconds), len(form._heads), len(form._layout._written), len(form._runs)) <= 1024


HOSTILE = [
    pytest.param("\x1b[2J\x1b[H", r"\x1b[2J\x1b[H", id="ANSI: clear the screen"),
    pytest.param("\x1b]0;owned\x07", r"\x1b]0;owned\x07", id="OSC: set the title, with BEL"),
    pytest.param("\x9b31m", r"\x9b31m", id="C1: the one-byte CSI"),
    pytest.param("\x85next", r"\x85next", id="C1: next line"),
    pytest.param("safe\rFAKE", r"safe\rFAKE", id="CR: overwrite the line"),
    pytest.param("abc\b\b\bxyz", r"abc\x08\x08\x08xyz", id="backspace: overwrite characters"),
    pytest.param("a\x7fb", r"a\x7fb", id="DEL"),
    pytest.param("a\x00b", r"a\x00b", id="NUL"),
    pytest.param("a\x0b\x0c\x1c\x1d\x1eb", r"a\x0b\x0c\x1c\x1d\x1eb", id="line ends of str.splitlines()"),
    pytest.param("\u202egpj.exe", r"\u202egpj.exe", id="bidi override"),
    pytest.param("\u2066a\u2069", r"\u2066a\u2069", id="bidi isolates"),
    pytest.param("\u200ea\u200fb\u061c", r"\u200ea\u200fb\u061c", id="bidi marks"),
    pytest.param("a\u2028b\u2029c", r"a\u2028b\u2029c", id="Unicode line and paragraph ends"),
    pytest.param("pass\u200bword", r"pass\u200bword", id="zero-width space"),
    pytest.param("\ufeffx\u2060\u00ady", r"\ufeffx\u2060\xady", id="BOM, word joiner, soft hyphen"),
    pytest.param("x\U000e0041\U000e0042", r"x\U000e0041\U000e0042", id="invisible tags"),
    pytest.param("a\ud800b\udfff", r"a\ud800b\udfff", id="lone surrogates"),
    pytest.param("a\u3164b\u115f\u1160\uffa0", r"a\u3164b\u115f\u1160\uffa0", id="Hangul fillers"),
    pytest.param("a\u2800b", r"a\u2800b", id="the empty Braille pattern"),
    pytest.param("a\u034fb\u17b4\u17b5", r"a\u034fb\u17b4\u17b5", id="joiners and vowels that show nothing"),
    pytest.param("a\ufe00\ufe0fb", r"a\ufe00\ufe0fb", id="selectors that select nothing"),
    pytest.param("x\U000e0100\U000e01ef", r"x\U000e0100\U000e01ef", id="supplementary selectors"),
    pytest.param("✅\ufe0f\ufe0f\ufe0e", "✅\ufe0f" r"\ufe0f\ufe0e", id="a second selector behind a sign"),
    pytest.param("1\ufe0f", r"1\ufe0f", id="a selector behind a digit"),
    pytest.param("a\u180bb", r"a\u180bb", id="a Mongolian selector elsewhere"),
]
HARMLESS = [
    pytest.param("reading [/data/x.csv] as [int] [/dbo]", id="brackets"),
    pytest.param("a\tb", id="tab"),
    pytest.param("naïve café, 日本語, العربية, Ελληνικά", id="letters of any script"),
    pytest.param("👩\u200d💻 می\u200cخواهم", id="emoji and Persian joiners"),
    pytest.param("C:\\x1b\\new", id="backslashes"),
    pytest.param(
        "⚠\ufe0f ❤\ufe0f\u200d🔥 🏳\ufe0f\u200d🌈 ✈\ufe0e 1\ufe0f\u20e3 ℹ\ufe0f ©\ufe0f",
        id="emoji with selectors",
    ),
    pytest.param("ᠰ\u180bᠠ ⠁⠂ 한글 ᄀ", id="Mongolian, Braille and Hangul"),
    pytest.param("a\u00a0b\u3000c", id="wide and unbreakable blanks"),
    pytest.param("{message} %s {0} \\N{BELL}", id="format strings"),
]


@pytest.mark.parametrize(("hostile", "shown"), HOSTILE)
def test_hostile_characters_are_written_out_in_messages(hostile: str, shown: str) -> None:
    """What would command a terminal, hide or reorder text is seen instead."""
    assert text_format().line(make_log(hostile)) == f"03:04:05.678 | INFO    | prefect.flow_runs - {shown}"


@pytest.mark.parametrize(("hostile", "shown"), HOSTILE)
def test_hostile_characters_are_written_out_in_names(hostile: str, shown: str) -> None:
    """Loggers and runs are named by strangers, too."""
    form = text_format(run_names={UUID(RUN): f"run {hostile}"})
    assert (
        form.line(make_log(name=f"x{hostile}")) == f"run {shown} | 03:04:05.678 | INFO    | x{shown} - hello"
    )


@pytest.mark.parametrize("harmless", HARMLESS)
def test_harmless_characters_stay_as_they_are(harmless: str) -> None:
    """Nothing visible is changed."""
    assert text_format().line(make_log(harmless)).endswith(f" - {harmless}")


@pytest.mark.parametrize(
    ("message", "lines"),
    [
        pytest.param("a\nb", ["a", "  | b"], id="two lines"),
        pytest.param("a\r\nb", ["a", "  | b"], id="a Windows line end is one line end"),
        pytest.param("a\n\nb", ["a", "  | ", "  | b"], id="an empty line"),
        pytest.param("a\n", ["a"], id="a last newline adds no line"),
        pytest.param("\n", [""], id="only a newline"),
        pytest.param("", [""], id="nothing"),
        pytest.param(
            "ok\n03:04:05.679 | ERROR   | root - forged",
            ["ok", "  | 03:04:05.679 | ERROR   | root - forged"],
            id="a forged log",
        ),
        pytest.param("a\n  | b", ["a", "  |   | b"], id="a forged further line"),
    ],
)
def test_further_lines_of_a_message_cannot_pass_for_logs(message: str, lines: list[str]) -> None:
    """Every further line stands behind the marker."""
    got = text_format().line(make_log(message)).split("\n")
    assert got == [f"03:04:05.678 | INFO    | prefect.flow_runs - {lines[0]}", *lines[1:]]


def test_names_stay_on_one_line() -> None:
    """A newline or tab in a name is written out."""
    form = text_format(run_names={UUID(RUN): "a\nb\tc"})
    assert form.line(make_log(name="x\ny")) == r"a\nb\tc | 03:04:05.678 | INFO    | x\ny - hello"


def test_a_run_name_cannot_look_like_a_further_line() -> None:
    """Blanks around a run's name are dropped."""
    form = text_format(run_names={UUID(RUN): "  | x "})
    assert form.line(make_log()).startswith("| x | 03:04:05.678 | ")


@pytest.mark.parametrize(
    ("fields", "start"),
    [
        pytest.param({}, "noisy-bat | 03:", id="the flow run's name"),
        pytest.param(
            {"task_run_id": OTHER}, "noisy-bat | 03:", id="the flow run's name for a task run's log"
        ),
        pytest.param({"flow_run_id": None, "task_run_id": OTHER}, "66666666 | 03:", id="no name: the id"),
        pytest.param({"flow_run_id": None}, "03:", id="no run"),
    ],
)
def test_lines_begin_with_the_runs_name(fields: dict[str, Any], start: str) -> None:
    """With run names, each line says whose it is."""
    assert text_format(run_names={UUID(RUN): "noisy-bat"}).line(make_log(**fields)).startswith(start)


def test_run_names_may_become_known_later() -> None:
    """A child run is found after its first log: from then on its name is shown."""
    names: dict[UUID, str] = {}
    form = text_format(run_names=names)
    assert form.line(make_log()).startswith("11111111 | ")
    names[UUID(RUN)] = "noisy-bat"
    assert form.line(make_log()).startswith("noisy-bat | ")
    assert form.line(make_log()).startswith("noisy-bat | "), "the remembered name is the same"


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        pytest.param({"level": 50}, "| CRITICAL | prefect", id="the longest name"),
        pytest.param({"level": 25}, "| Level 25 | prefect", id="a level without a name"),
        pytest.param({"name": ""}, "| INFO    | hello", id="no logger name"),
    ],
)
def test_unusual_levels_and_names_have_their_place(fields: dict[str, Any], shown: str) -> None:
    """The columns hold what is there."""
    assert shown in text_format().line(make_log(**fields))


def test_colour_marks_time_level_and_run_but_not_the_message() -> None:
    """The 16 colours; each is switched off where it ends."""
    form = text_format(color=True, run_names={UUID(RUN): "noisy-bat"})
    line = form.line(make_log(level=40))
    run = "\x1b[95mnoisy-bat\x1b[0m | "
    assert line == f"{run}\x1b[2m03:04:05.678\x1b[0m | \x1b[31mERROR  \x1b[0m | prefect.flow_runs - hello"
    assert text_format(color=True, timestamps="none").line(make_log(level=10)) == (
        "\x1b[34mDEBUG  \x1b[0m | prefect.flow_runs - hello"
    )


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        pytest.param("utf-8", "é✓\\ud800".encode(), id="utf-8 takes all"),
        pytest.param("utf-8-sig", "é✓\\ud800".encode(), id="no byte order mark in every line"),
        pytest.param("latin-1", b"\xe9\\u2713\\ud800", id="latin-1"),
        pytest.param("ascii", b"\\xe9\\u2713\\ud800", id="ascii"),
    ],
)
def test_what_the_encoding_cannot_take_is_written_out(encoding: str, expected: bytes) -> None:
    """A terminal in another language loses no log."""
    line = text_format(encoding=encoding, timestamps="none").encode(make_log("é✓\ud800", name=""))
    assert line == b"INFO    | " + expected + b"\n"


def test_text_needs_none_of_the_heavy_libraries() -> None:
    """Importing the text format loads no network and no validation library."""
    code = (
        "import sys, rawlogs.output.text\n"
        "print(*sorted({'pydantic', 'httpx', 'websockets', 'click', 'orjson', 'prefect'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ""


anything = st.text(st.characters(codec=None), max_size=60)


@given(message=anything, name=anything, run=anything)
def test_a_line_never_holds_a_control_character(message: str, name: str, run: str) -> None:
    """Whatever a log holds: no control, no hidden format character, no surrogate, no foreign line end."""
    line = text_format(run_names={UUID(RUN): run}).line(make_log(message, name=name))
    for character in line:
        if character in "\n\t":
            continue
        category = unicodedata.category(character)
        assert category not in ("Cc", "Cs", "Zl", "Zp"), hex(ord(character))
        assert category != "Cf" or ord(character) in KEPT_FORMAT_CHARACTERS, hex(ord(character))


@given(st.lists(st.tuples(anything, anything, anything), max_size=8))
def test_each_log_has_exactly_one_first_line(parts: list[tuple[str, str, str]]) -> None:
    """Lines not marked as further lines are as many as the logs, however lines are split."""
    names: dict[UUID, str] = {}
    form = text_format(run_names=names)
    text = ""
    for number, (message, name, run) in enumerate(parts):
        run_id = UUID(int=number)
        names[run_id] = run
        text += form.encode(make_log(message, name=name, flow_run_id=str(run_id))).decode()
    lines = text.splitlines()
    assert lines == text.split("\n")[:-1]
    assert len([line for line in lines if not line.startswith(CONTINUATION)]) == len(parts)


def test_every_format_character_is_either_kept_on_purpose_or_written_out() -> None:
    """No invisible character slips in with a new version of Unicode."""
    invisible = [n for n in range(sys.maxunicode + 1) if unicodedata.category(chr(n)) == "Cf"]
    kept = {n for n in invisible if escape_text(chr(n)) == chr(n)}
    assert kept <= KEPT_FORMAT_CHARACTERS
    assert kept == {n for n in invisible if escape_line(chr(n)) == chr(n)}


def test_a_batch_is_its_lines_one_after_the_other() -> None:
    """Many logs, one piece to write."""
    form = text_format(timestamps="none")
    assert encode_batch(form, [make_log("a"), make_log("b\nc")]) == (
        b"INFO    | prefect.flow_runs - a\nINFO    | prefect.flow_runs - b\n  | c\n"
    )
    assert encode_batch(form, []) == b""
