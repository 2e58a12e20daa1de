"""``python -m tests.fuzz TARGET --seconds N``: one target under a coverage-guided fuzzer (atheris, libFuzzer).

The fuzzer is no dependency of the tests: it is installed where it is wanted. A finding is printed with its input, which
then belongs into ``tests/test_fuzz.py``; what was found interesting is kept in ``.fuzz/TARGET`` for the next run.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("target", nargs="?", help="what to fuzz; without it all targets are listed")
    parser.add_argument("--seconds", type=int, default=180, metavar="N", help="end after N seconds (180)")
    given = parser.parse_args()
    if importlib.util.find_spec("atheris") is None:
        print("The fuzzer is not installed. Into any environment with rawlogs in it:", file=sys.stderr)
        print("pip install 'atheris==3.0.0'   (CPython 3.11 to 3.13)", file=sys.stderr)
        return 1
    import atheris

    sys.path.insert(0, str(TESTS))
    with atheris.instrument_imports(include=["rawlogs", "tomllib"]):
        from fuzz.targets import SEEDS, TARGETS
    if given.target not in TARGETS:
        print(f"Known targets: {', '.join(TARGETS)}", file=sys.stderr)
        return 2
    corpus = TESTS.parent / ".fuzz" / given.target
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(SEEDS[given.target]):
        (corpus / f"seed-{number}").write_bytes(seed)
    options = [f"-max_total_time={given.seconds}", "-max_len=4096", "-rss_limit_mb=1024", "-timeout=10"]
    options += ["-print_final_stats=1", f"-artifact_prefix={corpus.parent}/"]
    atheris.Setup([sys.argv[0], *options, str(corpus)], TARGETS[given.target])
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
