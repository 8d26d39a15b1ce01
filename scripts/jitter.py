"""Run tests while their threads are paused at random places: who counts on being faster fails here, not one day in a thousand.

scripts/jitter                                  the tests that run in pytest's own process, three times, each with its own seed
scripts/jitter --runs 10 --seed 40 tests/web    seeds 40 to 49 over these tests; what else is said goes to pytest

It ends with the tests that failed and the seeds that they failed with; 0 if there are none. The draw of a seed is the same each
time, but what the machine adds is not: `--seed S --runs 20 TEST` asks one test again and again. What pauses, and where:
tests/kit/pauses.py.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from test import quick_files

ROOT: Final = Path(__file__).resolve().parent.parent
HANGS_SECONDS: Final = 180  # of a test: longer than waits of tests have patience, so that one in vain says what it waited for


def main(arguments: list[str]) -> int:
    """Run it; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3, help="how many, each with the next seed")
    parser.add_argument("--seed", type=int, default=1, help="of the first run")
    options, more = parser.parse_known_args(arguments)
    os.chdir(ROOT)
    failed: dict[str, list[int]] = {}
    worked = True
    for seed in range(options.seed, options.seed + options.runs):
        print(f"seed {seed}", flush=True)
        names, status = failures(seed, more or quick_files())
        worked = worked and status in (0, 1)  # else pytest itself did not
        for name in names:
            failed.setdefault(name, []).append(seed)
    for name, seeds in sorted(failed.items()):
        print(f"{name} failed with seed {', '.join(map(str, seeds))}")
    print(f"{len(failed)} tests failed in {options.runs} runs")
    return int(bool(failed) or not worked)


def failures(seed: int, arguments: list[str]) -> tuple[list[str], int]:
    """The names of the tests that fail with this seed, and what pytest's status is."""
    with tempfile.NamedTemporaryFile("r") as names:
        plugin = ["-p", "tests.kit.pauses", "--pauses-seed", str(seed), "--pauses-failures", names.name]
        quiet = ["--quiet", "--no-header", "--tb=short", "-p", "no:cacheprovider", f"--timeout={HANGS_SECONDS}"]
        done = subprocess.run([sys.executable, "-m", "pytest", *quiet, *plugin, *arguments], check=False)
        return names.read().splitlines(), done.returncode


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        print("\nInterrupted.", file=sys.stderr)
        sys.exit(130)
