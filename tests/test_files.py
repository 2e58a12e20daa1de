"""Every use of a file with every kind of file: it works, or it is refused and nothing was changed."""

from __future__ import annotations

import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from threading import Thread

import click
import pytest

import rawlogs.config.sources
from rawlogs import files
from rawlogs.cli.check import command as check
from rawlogs.config import network
from rawlogs.config.settings import resolve
from rawlogs.cursor import CursorFile, encode
from rawlogs.errors import RawlogsError
from rawlogs.output.file import FileSink
from rawlogs.testing import recording, scenario
from rawlogs.testing.cassette import Cassette

pytestmark = pytest.mark.skipif(os.name != "posix", reason="file kinds, owners and modes of POSIX")

NOBODY = 65534
LOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
CA = (Path(__file__).parent / "loopback.pem").read_bytes()
CURSOR = encode(LOW, [], api="http://h/api", digest="d", saved=LOW)
HEADER = b'{"rawlogs_recording":1,"created":"2026-01-01T00:00:00Z","api_url":"http://h/api"}\n'


# What is done with a file. Each gets its path, and says in a word what came of it.


def _settings(path: Path) -> str:
    environ = {"HOME": str(path.parent / "home"), "PREFECT_PROFILES_PATH": str(path.parent / "profiles.toml")}
    found = rawlogs.config.sources.read(environ, path.parent)
    return (
        "read" if any(place.values for place in found.by_strength if place.name != "environment") else "empty"
    )


def _ca(path: Path) -> str:
    network.tls_context(str(path), insecure=False, origin="argument")
    return "read"


def _cursor(path: Path) -> str:
    held = CursorFile(path, api="http://h/api", digest="d")
    try:
        found = held.open()
        held.save(LOW, [])
    finally:
        held.close()
    return "read and written" if found else "written"


def _reset(path: Path) -> str:
    held = CursorFile(path, api="http://h/api", digest="d")
    try:
        held.open(reset=True)
    finally:
        held.close()
    return "opened"


def _beside_cursor(path: Path) -> str:
    return _cursor(path.with_suffix(""))


def _output(path: Path) -> str:
    sink = FileSink(path)
    sink.write(b"one\n")
    sink.close()
    return "written"


def _record(path: Path) -> str:
    recording.Recorder(path).close()
    return "written"


def _replay(path: Path) -> str:
    recording.read(path)
    return "read"


def _cassette(path: Path) -> str:
    Cassette(path, mode="none")._make_server()
    return "read"


def _taped(path: Path) -> str:
    upstream = resolve(api_url="http://127.0.0.1:1/api", environ={"HOME": "/nothing"}, cwd=path.parent)
    Cassette(path, mode="all", upstream=upstream)._make_server()
    return "ready"


def _scenario(path: Path) -> str:
    scenario.read(path)
    return "read"


def _check(path: Path) -> str:
    check.main([str(path), str(path)], standalone_mode=False)
    return "read"


USES: dict[str, tuple[str, Callable[[Path], str], bytes]] = {
    ".env": (".env", _settings, b"PREFECT_API_URL=http://h/api\n"),
    "prefect.toml": ("prefect.toml", _settings, b"api.url = 'http://h/api'\n"),
    "pyproject.toml": ("pyproject.toml", _settings, b"[tool.prefect.api]\nurl = 'http://h/api'\n"),
    "profiles.toml": (
        "profiles.toml",
        _settings,
        b"active = 'a'\n[profiles.a]\nPREFECT_API_URL = 'http://h/api'\n",
    ),
    "CA file": ("ca.pem", _ca, CA),
    "cursor": ("cursor", _cursor, CURSOR),
    "cursor that is reset": ("cursor", _reset, CURSOR),
    "cursor's lock": ("cursor.lock", _beside_cursor, b"123"),
    "cursor's temporary file": ("cursor.new", _beside_cursor, b"half"),
    "output file": ("logs", _output, b"zero\n"),
    "recording that is written": ("out.jsonl", _record, HEADER),
    "recording that is read": ("in.jsonl", _replay, HEADER),
    "cassette that is replayed": ("cassette.jsonl", _cassette, HEADER),
    "cassette that is recorded": ("cassette.jsonl", _taped, HEADER),
    "scenario": ("scenario.toml", _scenario, b"[logs]\ncount = 1\n"),
    "logs to compare": ("ids.txt", _check, b"11111111-1111-4111-8111-111111111111\n"),
}
"""Use -> the name of the file, what is done, and a content that is right."""


# The kinds of files. Each makes one at a path.


def _regular(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _link(path: Path, content: bytes) -> None:
    (path.parent / "target").write_bytes(content)
    path.symlink_to(path.parent / "target")


def _dangling(path: Path, _: bytes) -> None:
    path.symlink_to(path.parent / "nothing")


def _loop(path: Path, _: bytes) -> None:
    path.symlink_to(path)


def _hard_link(path: Path, content: bytes) -> None:
    (path.parent / "other name").write_bytes(content)
    path.hardlink_to(path.parent / "other name")


def _pipe(path: Path, _: bytes) -> None:
    os.mkfifo(path)


def _null(path: Path, _: bytes) -> None:
    path.symlink_to("/dev/null")


def _zero(path: Path, _: bytes) -> None:
    path.symlink_to("/dev/zero")


def _folder(path: Path, _: bytes) -> None:
    path.mkdir()


def _socket(path: Path, _: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(path.parent)  # the path of a socket has 107 characters at most
        try:
            server.bind(path.name)
        finally:
            os.chdir(here)


def _unreadable(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    path.chmod(0)


def _huge(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.truncate(65 << 20)


def _latin(path: Path, content: bytes) -> None:
    path.write_bytes(b"# \xe9\n" + content)


KINDS: dict[str, Callable[[Path, bytes], None]] = {
    "regular": _regular,
    "link": _link,
    "dangling link": _dangling,
    "link to itself": _loop,
    "hard link": _hard_link,
    "pipe": _pipe,
    "null device": _null,
    "endless device": _zero,
    "folder": _folder,
    "socket": _socket,
    "unreadable": _unreadable,
    "huge": _huge,
    "another encoding": _latin,
}

LINK, LOOP, PIPE, DEVICE = "a symbolic link", "symbolic link", "a pipe", "a device"
TOML = {
    "regular": "= read",
    "link": "= read",
    "dangling link": "= empty",
    "link to itself": LOOP,
    "hard link": "= read",
    "pipe": PIPE,
    "null device": "= empty",
    "endless device": DEVICE,
    "folder": "Is a directory",
    "socket": "a socket",
    "unreadable": "Permission denied",
    "huge": "larger than 1 MiB",
    "another encoding": "not UTF-8",
}
CURSORS = {
    "regular": "= read and written",
    "link": "= read and written",
    "dangling link": "= written",
    "link to itself": LOOP,
    "hard link": "= read and written",
    "pipe": PIPE,
    "null device": DEVICE,
    "endless device": DEVICE,
    "folder": "Is a directory",
    "socket": "a socket",
    "unreadable": "Permission denied",
    "huge": "larger than 64 MiB",
    "another encoding": "damaged",
}
BESIDE = {
    **dict.fromkeys(KINDS, "= written"),
    **dict.fromkeys(("link", "dangling link", "link to itself", "null device", "endless device"), LINK),
    "pipe": PIPE,
    "folder": "Is a directory",
    "socket": "a socket",
}
OUTPUTS = {
    **dict.fromkeys(KINDS, "= written"),
    "link to itself": LOOP,
    "pipe": "a pipe that nobody reads",
    "folder": "Is a directory",
    "socket": "a socket",
    "unreadable": "Permission denied",
}
READ = {**TOML, "dangling link": "No such file", "huge": "= read"}
EXPECTED: dict[str, dict[str, str]] = {
    ".env": {**TOML, "pipe": "nobody wrote", "folder": "= empty"},
    "prefect.toml": TOML,
    "pyproject.toml": TOML,
    "profiles.toml": TOML,
    "CA file": {
        **TOML,
        "dangling link": "No such file",
        "null device": DEVICE,
        "huge": "= read",
        "another encoding": "= read",
    },
    "cursor": CURSORS,
    "cursor that is reset": {
        kind: words if words[0] != "=" and kind not in ("huge", "another encoding") else "= opened"
        for kind, words in CURSORS.items()
    },
    "cursor's lock": {
        **BESIDE,
        "hard link": "a hard link",
        "unreadable": "Permission denied",
        "huge": "not a lock file",
        "another encoding": "not a lock file",
    },
    "cursor's temporary file": BESIDE,
    "output file": OUTPUTS,
    "recording that is written": OUTPUTS,
    "recording that is read": {
        **READ,
        "pipe": "nobody wrote",
        "null device": "not a recording",
        "another encoding": "not a recording",
    },
    "cassette that is replayed": {
        **READ,
        "dangling link": "There is no cassette",
        "null device": DEVICE,
        "huge": "line 2 is cut",
        "another encoding": "not a recording",
    },
    "cassette that is recorded": {
        **dict.fromkeys(KINDS, "= ready"),
        "link to itself": LOOP,
        "pipe": PIPE,
        "null device": DEVICE,
        "endless device": DEVICE,
        "folder": "Is a directory",
        "socket": "a socket",
    },
    "scenario": {
        **TOML,
        "dangling link": "No such file",
        "null device": "= read",
        "another encoding": "can't decode",
    },
    "logs to compare": {
        **READ,
        "pipe": "nobody wrote",
        "null device": "= read",
        "folder": "is a directory",
        "unreadable": "ids.txt' is not ",  # readable, or with an old click executable
        "another encoding": "= read",
    },
}
"""What comes of each kind: a word behind "=", or the reason that is given for the refusal."""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that another user may enter; pytest's own are for their owner alone."""
    made = Path(tempfile.mkdtemp(prefix="rawlogs-"))
    if os.geteuid() == 0:
        os.chown(made, NOBODY, NOBODY)
    yield made
    shutil.rmtree(made)


def outcome(act: Callable[[Path], str], path: Path) -> str:
    """What came of it; as nobody where we are root, who may read everything."""
    receive, send = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.close(receive)
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            try:
                said = f"= {act(path)}"
            except (RawlogsError, click.ClickException) as error:
                said = str(error)
            except BaseException as error:  # the child must not go on as a test run
                said = f"! {error!r}"
            os.write(send, said.encode())
        finally:
            os._exit(0)
    os.close(send)
    with open(receive, "rb") as said:  # noqa: PTH123
        text = said.read().decode()
    os.waitpid(child, 0)
    return text


def look(path: Path) -> tuple[object, ...]:
    """What must stay the same of what is refused."""
    state = path.lstat()
    content = path.read_bytes() if stat.S_ISREG(state.st_mode) else None
    leads = path.readlink() if path.is_symlink() else None
    device = Path("/dev/null").stat(), Path("/dev/zero").stat()
    return state.st_mode, state.st_ino, content, leads, [(s.st_mode, s.st_ino, s.st_rdev) for s in device]


CELLS = [pytest.param(use, kind, id=f"{use}: {kind}") for use in USES for kind in KINDS]


@pytest.mark.parametrize(("use", "kind"), CELLS)
def test_each_use_takes_or_refuses_each_kind(
    folder: Path, monkeypatch: pytest.MonkeyPatch, use: str, kind: str
) -> None:
    monkeypatch.setattr(files, "PIPE_PATIENCE", 0.05)
    monkeypatch.setattr(recording, "PIPE_PATIENCE", 0.05)
    monkeypatch.setattr("rawlogs.cli.check.PIPE_PATIENCE", 0.05)
    name, act, content = USES[use]
    path = folder / name
    KINDS[kind](path, content)
    if os.geteuid() == 0:
        for made in folder.iterdir():
            os.chown(made, NOBODY, NOBODY, follow_symlinks=False)
    before = look(path)
    said = outcome(act, path)
    wanted = EXPECTED[use][kind]
    if wanted.startswith("="):
        assert said == wanted
    else:
        assert wanted in said
        assert not said.startswith(("=", "!"))
        assert look(path) == before
        assert {made.name for made in folder.iterdir()} <= {
            name, "target", "nothing", "other name", "cursor.lock", "home",
        }  # fmt: skip


# Whose a file is.


@pytest.mark.skipif(getattr(os, "geteuid", lambda: 1)() != 0, reason="only root can give files away")
@pytest.mark.parametrize("name", ["cursor.lock", "cursor.new"])
@pytest.mark.parametrize("owner", [NOBODY, 0], ids=["a stranger's", "the folder's owner's"])
def test_what_lies_beside_a_cursor_is_not_a_strangers(folder: Path, name: str, owner: int) -> None:
    """Its owner could change it while we hold it."""
    os.chown(folder, 0, 0)
    (folder / name).write_bytes(b"1")
    os.chown(folder / name, owner, owner)
    if owner == 0:
        assert _cursor(folder / "cursor") == "written"
    else:
        with pytest.raises(RawlogsError, match="it belongs to another user"):
            _cursor(folder / "cursor")
        assert (folder / name).read_bytes() == b"1"


# Devices and standard streams.

RECORD = "import sys; from rawlogs.testing.recording import Recorder; Recorder(sys.argv[1]).close()"


def test_a_recording_on_standard_output_goes_on_where_that_is(tmp_path: Path) -> None:
    """The file of the shell keeps its mode and what it holds."""
    out = tmp_path / "out"
    out.write_bytes(b"before\n")
    out.chmod(0o644)
    with out.open("ab") as file:
        subprocess.run([sys.executable, "-c", RECORD, "/dev/stdout"], stdout=file, check=True)
    first, second = out.read_bytes().splitlines()
    assert (first, json.loads(second)["rawlogs_recording"]) == (b"before", 1)
    assert out.stat().st_mode & 0o777 == 0o644


def test_a_recording_on_a_pipe_is_written_to_it() -> None:
    """``/dev/stdout`` is one, mostly."""
    found = subprocess.run([sys.executable, "-c", RECORD, "/dev/stdout"], capture_output=True, check=True)
    assert json.loads(found.stdout)["rawlogs_recording"] == 1


def test_the_null_device_stays_what_it_is() -> None:
    before = Path("/dev/null").stat()
    _record(Path("/dev/null"))
    _output(Path("/dev/null"))
    with pytest.raises(RawlogsError, match="a device, not a file"):
        _reset(Path("/dev/null"))
    after = Path("/dev/null").stat()
    assert (after.st_mode, after.st_ino) == (before.st_mode, before.st_ino)
    assert not Path("/dev/null.lock").exists()


def test_settings_may_come_through_a_pipe(tmp_path: Path) -> None:
    """As password managers hand them out."""
    os.mkfifo(tmp_path / ".env")
    writer = Thread(target=(tmp_path / ".env").write_bytes, args=(b"PREFECT_API_URL=http://h/api\n",))
    writer.start()
    assert _settings(tmp_path / ".env") == "read"
    writer.join()


def test_an_endless_pipe_is_not_read_to_its_end(tmp_path: Path) -> None:
    with (
        subprocess.Popen(["yes"], stdout=subprocess.PIPE) as endless,
        pytest.raises(files.TooLarge, match="larger than 1 MiB"),
    ):
        assert endless.stdout is not None
        try:
            files.read(f"/dev/fd/{endless.stdout.fileno()}", limit=1 << 20, pipe=5.0)
        finally:
            endless.kill()


@pytest.mark.parametrize("name", ["a\0b", "a\udcff\ud800b"])
def test_a_name_that_no_file_has_is_refused(name: str) -> None:
    """A profiles_path in TOML may hold what no command line can."""
    with pytest.raises(files.Unfit, match="a character that no file name has"):
        files.read(name, limit=1)


@pytest.mark.parametrize(
    "text",
    ["a = " + "[" * 100_000, "a = " + "9" * 5000, "[a]\n" * 2, "a." * 400 + "a = 1\nb = ["],
    ids=["nested", "digits", "twice", "dotted"],
)
def test_no_toml_is_too_odd_to_be_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "prefect.toml").write_text(text)
    with pytest.raises(RawlogsError, match="is not valid TOML"):
        _settings(tmp_path / "prefect.toml")
