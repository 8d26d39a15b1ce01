"""What a machine must offer, and how its calls are made to fail."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from brokers import (
    Failed,
)


def lacks(*programs: str, root: bool = False) -> str:
    """Why a test that needs these cannot run here; "" when it can."""
    if root and os.geteuid() != 0:
        return "needs root"
    missing = [program for program in programs if shutil.which(program) is None]
    return f"{', '.join(missing)} is not installed" if missing else ""


def system(*words: str | Path) -> None:
    """Run a command of the system. Raises Failed with what it said."""
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"{' '.join(map(str, words))}: {done.stderr.strip()}")


def strace(call: str, effect: str, *, follow: int = 0, paths: Iterable[Path] = ()) -> list[str]:
    """The words that make `call` fail as `effect` says: before a command, whose process stays our child, or for a process.

    `paths`: only where it meets one of these files. Without `--seccomp-bpf`, which would be faster: with it strace 6.1
    delivers no signals.
    """
    whom = ["-p", str(follow)] if follow else ["-D"]
    where = [word for path in paths for word in ("-P", str(path))]
    return ["strace", *whom, "-f", "-qq", "-o", os.devnull, *where, "-e", f"trace={call}", "-e", f"inject={call}:{effect}"]
