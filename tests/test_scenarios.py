"""Random scenarios as a user of the command line runs them: ``fake``, ``tail -o json``, ``check``.

Whatever breaks on the way, nothing is missing and nothing came twice. A failure names its seed;
``RAWLOGS_SCENARIOS=100`` tries the first hundred, ``RAWLOGS_SCENARIOS=17-17`` one of them.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from contextlib import suppress
from pathlib import Path

import pytest

posix = pytest.mark.skipif(os.name != "posix", reason="ends by signals")
DEADLINE = 180.0
COUNT = 1_200


def seeds() -> range:
    first, _, last = os.environ.get("RAWLOGS_SCENARIOS", "6").rpartition("-")
    return range(int(first or 0), int(last) + 1) if first else range(int(last))


# What can be wrong with a connection, with a request, and with the running server. Sizes and times are such that a
# healthy line follows within seconds.
ON_A_LINE = (
    "kind = 'abort'",
    "kind = 'drop'",
    "kind = 'slice'\nsize = {size}",
    "kind = 'throttle'\nrate = 200000",
    "kind = 'cut-after'\nsize = {bytes}",
    "kind = 'http'\nstatus = {status}",
    "kind = 'http'\nstatus = 429\nheaders = {{ Retry-After = '1' }}",
    "kind = 'close'\ncode = {code}",
    "kind = 'bad-frame'",
    "kind = 'duplicate'",
    "kind = 'late'\nby = {few}",
    "kind = 'lose'\nevery = {few}",
    "kind = 'reorder'",
    "kind = 'sleep'\nseconds = 0.3",
)
ON_A_REQUEST = (
    "kind = 'abort'",
    "kind = 'drop'",
    "kind = 'http'\nstatus = {status}",
    "kind = 'http'\nstatus = 429\nheaders = {{ Retry-After = '1' }}",
    "kind = 'sleep'\nseconds = 0.5",
    "kind = 'truncate'\nkeep = {size}",
    "kind = 'html'",
    "kind = 'cut-after'\nsize = {bytes}",
    "kind = 'slice'\nsize = {bytes}",
)
AT_A_TIME = (
    "kind = 'drop'\nat = {at}",
    "kind = 'close'\nat = {at}\ncode = {code}\nreason = 'scenario'",
    "kind = 'restart'\nat = {at}\ndowntime = 0.5",
    "kind = 'kill'\nat = {at}\ndowntime = 0.5",
    "kind = 'refuse'\nat = {at}\nseconds = 0.6",
)


def scenario(seed: int) -> str:
    """The file that a seed stands for."""
    rng = random.Random(seed)

    def drawn(text: str) -> str:
        return text.format(
            size=rng.choice([1, 7, 50, 1000]),
            bytes=rng.choice([300, 2_000, 20_000]),
            status=rng.choice([500, 502, 503, 504]),
            code=rng.choice([1000, 1001, 1011, 1012, 1013, 1014, 3000]),
            few=rng.randrange(2, 6),
            at=round(rng.uniform(0.2, 2.0), 2),
        )

    batch = rng.choice([1, 10, 100, 300, 700])
    parts = [
        f"[server]\nqueue = {rng.choice([256, 256, 20])}\npage_limit = {rng.choice([200, 200, 50])}\n"
        f"commit_delay = {rng.choice([0.0, 0.05])}\nunstable_ties = {rng.choice(['true', 'false'])}\n"
        f"csrf = {rng.choice(['true', 'false', 'false'])}",
        f"[logs]\ncount = {COUNT}\nbatch = {batch}\nrate = {rng.choice([600, 1000, 3000])}\n"
        f"runs = {rng.randrange(1, 4)}\nlate = {rng.choice([0.0, 0.0, 5.0])}",
    ]
    # The first connection is a healthy one: where it is refused, the command says so and ends.
    for number in rng.sample(range(1, 6), rng.randrange(0, 4)):
        parts.append(f"[[fault]]\n{drawn(rng.choice(ON_A_LINE))}\nconnection = {number}\ntimes = 1")
    for _ in range(rng.randrange(0, 4)):
        times = rng.randrange(1, 4)
        parts.append(
            f"[[fault]]\nwhere = 'rest'\npath = '/logs/filter'\n{drawn(rng.choice(ON_A_REQUEST))}\ntimes = {times}"
        )
    for _ in range(rng.randrange(1, 4)):
        parts.append(f"[[fault]]\n{drawn(rng.choice(AT_A_TIME))}")
    return "\n".join(parts) + "\n"


class Command:
    """One ``rawlogs`` of its own process; what it says on stderr is in a file."""

    def __init__(self, process: asyncio.subprocess.Process, said: Path) -> None:
        self.process = process
        self._said = said

    @classmethod
    async def start(cls, folder: Path, name: str, *arguments: str) -> Command:
        environ = {
            name: value for name, value in os.environ.items() if name.startswith(("PATH", "COVERAGE_"))
        }
        environ["HOME"] = str(folder)
        said = folder / f"{name}.err"
        with (folder / f"{name}.out").open("wb") as out, said.open("wb") as err:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "rawlogs",
                name,
                *arguments,
                cwd=folder,
                env=environ,
                stdout=out,
                stderr=err,
            )
        return cls(process, said)

    @property
    def said(self) -> str:
        return self._said.read_text("utf-8", "replace")

    async def until_said(self, wanted: str) -> str:
        for _ in range(int(DEADLINE / 0.02)):
            if wanted in self.said or self.process.returncode is not None:
                return self.said
            await asyncio.sleep(0.02)
        pytest.fail(f"it never said {wanted!r}: {self.said}")

    async def interrupt(self) -> int:
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGINT)
        return await asyncio.wait_for(self.process.wait(), DEADLINE)

    async def kill(self) -> None:
        with suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()


def lines(path: Path) -> int:
    return path.read_bytes().count(b"\n")


@posix
@pytest.mark.parametrize("seed", seeds())
async def test_nothing_is_missing_and_nothing_is_repeated(tmp_path: Path, seed: int) -> None:
    text = scenario(seed)
    (tmp_path / "scenario.toml").write_text(text)
    started: list[Command] = []
    try:
        fake = await Command.start(
            tmp_path, "fake", "scenario.toml", "--port", "0", "--wait-for", "1", "--seed", str(seed)
        )
        started.append(fake)
        url = (await fake.until_said("API_URL=")).partition("API_URL=")[2].split()[0]
        tail = await Command.start(
            tmp_path,
            "tail",
            "-o",
            "json",
            "--api-url",
            url,
            "-v",
            "--audit",
            "2",
            "--rest-budget",
            "0",
            "--overlap",
            "15",
        )
        started.append(tail)
        await fake.until_said("logs stored")
        sent, received = tmp_path / "fake.out", tmp_path / "tail.out"
        # The stream has to find them by itself, before it is told to look once more at its end: a late log that
        # became readable just after a list is found when its overlap has passed.
        for _ in range(int(DEADLINE / 0.05)):
            if lines(received) >= lines(sent) or tail.process.returncode is not None:
                break
            await asyncio.sleep(0.05)
        code = await tail.interrupt()
        check = await Command.start(tmp_path, "check", str(sent), str(received))
        started.append(check)
        outcome = await asyncio.wait_for(check.process.wait(), DEADLINE)
        about = f"seed {seed}: {(tmp_path / 'check.out').read_text()}\n{text}\n{tail.said}"
        assert lines(sent) == COUNT, fake.said
        assert code == 130, about
        assert outcome == 0, about
        assert "Traceback" not in fake.said + tail.said, fake.said + about
        assert "xception" not in fake.said, fake.said
    finally:
        for command in started:
            await command.kill()


def test_a_seed_is_the_same_scenario_every_time() -> None:
    """And two seeds are two scenarios."""
    assert scenario(3) == scenario(3)
    assert len({scenario(seed) for seed in range(100)}) == 100
