"""When there is colour, and which."""

from __future__ import annotations

import pytest

from rawlogs.output.color import ColorMode, level_color, name_color, want_color


@pytest.mark.parametrize(
    ("mode", "tty", "environ", "expected"),
    [
        pytest.param("auto", True, {}, True, id="a terminal"),
        pytest.param("auto", False, {}, False, id="a pipe"),
        pytest.param("auto", True, {"TERM": "dumb"}, False, id="a dumb terminal"),
        pytest.param("auto", True, {"TERM": "xterm-256color"}, True, id="a usual terminal"),
        pytest.param("auto", True, {"NO_COLOR": "1"}, False, id="NO_COLOR"),
        pytest.param("auto", True, {"NO_COLOR": "0"}, False, id="NO_COLOR counts whatever it says"),
        pytest.param("auto", True, {"NO_COLOR": ""}, True, id="empty NO_COLOR is not set"),
        pytest.param("auto", False, {"FORCE_COLOR": "1"}, True, id="FORCE_COLOR in a pipe"),
        pytest.param("auto", False, {"FORCE_COLOR": ""}, False, id="empty FORCE_COLOR is not set"),
        pytest.param("auto", True, {"FORCE_COLOR": "0"}, False, id="FORCE_COLOR=0 means no"),
        pytest.param("auto", True, {"FORCE_COLOR": "False"}, False, id="FORCE_COLOR=false means no"),
        pytest.param("auto", False, {"FORCE_COLOR": "1", "TERM": "dumb"}, True, id="FORCE_COLOR over TERM"),
        pytest.param(
            "auto", True, {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False, id="NO_COLOR over FORCE_COLOR"
        ),
        pytest.param("auto", False, {"CLICOLOR_FORCE": "1"}, True, id="CLICOLOR_FORCE"),
        pytest.param("auto", False, {"CLICOLOR_FORCE": "0"}, False, id="CLICOLOR_FORCE=0 forces nothing"),
        pytest.param("auto", True, {"CLICOLOR_FORCE": "0"}, True, id="CLICOLOR_FORCE=0 forbids nothing"),
        pytest.param("auto", True, {"CLICOLOR": "0"}, False, id="CLICOLOR=0"),
        pytest.param("auto", False, {"CLICOLOR": "1"}, False, id="CLICOLOR=1 still asks the terminal"),
        pytest.param("always", False, {"NO_COLOR": "1", "TERM": "dumb"}, True, id="the flag wins: always"),
        pytest.param(
            "never", True, {"FORCE_COLOR": "1", "CLICOLOR_FORCE": "1"}, False, id="the flag wins: never"
        ),
    ],
)
def test_the_first_that_speaks_decides(
    mode: ColorMode, tty: bool, environ: dict[str, str], expected: bool
) -> None:
    """Flag, then environment, then terminal."""
    assert want_color(mode, tty, environ) is expected


@pytest.mark.parametrize(
    ("level", "color"),
    [(0, "34"), (10, "34"), (20, "36"), (25, "36"), (30, "33"), (40, "31"), (50, "1;91"), (99, "1;91")],
)
def test_levels_have_prefects_colours(level: int, color: str) -> None:
    """Levels in between have the colour of the one below."""
    assert level_color(level) == f"\x1b[{color}m"


def test_a_name_has_one_colour_everywhere() -> None:
    """Not Python's hash, which differs in every process; and neither the error's nor the warning's colour."""
    assert name_color("noisy-bat") == "\x1b[95m"
    colors = {name_color(f"run-{n}") for n in range(200)} | {name_color("\ud800")}
    assert len(colors) == 8
    assert colors.isdisjoint({"\x1b[31m", "\x1b[33m", "\x1b[91m", "\x1b[93m"})
