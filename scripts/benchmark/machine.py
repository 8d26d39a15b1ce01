"""Cores, what processes used of them, and what machine this is. Linux only, as all of `scripts/bench`."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

CORES: Final = tuple(sorted(os.sched_getaffinity(0)))


def server_cores(count: int) -> tuple[int, ...]:
    """The first cores, for what is measured; at least one is left for the load where there are two."""
    return CORES[: max(1, min(count, len(CORES) - 1))]


def load_cores(taken: Sequence[int]) -> tuple[int, ...]:
    """The cores that are left for the load; all, if none is."""
    return tuple(core for core in CORES if core not in taken) or CORES


def processor_seconds(pids: Iterable[int]) -> float:
    """What these processes have used of processors so far, with threads that have ended; to the microsecond."""
    return sum(time.clock_gettime((~pid << 3) | 2) for pid in pids)  # clock_getcpuclockid(3), which Python has not


def program_of(pid: int) -> str:
    """What this process runs, by the name that the kernel shows; of Python, the module that was started."""
    name = Path(f"/proc/{pid}/comm").read_text().strip()
    words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    return words[2] if name.startswith("python") and words[1] == "-m" else name


def children_seconds(pid: int) -> float:
    """What children of this process that have ended used of processors, in ticks of some 10 ms."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[13:15])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(pids: Iterable[int], field: str = "VmRSS") -> int:
    """The memory that these processes have in RAM; with `VmHWM` the most that they had."""
    texts = (Path(f"/proc/{pid}/status").read_text() for pid in pids)
    return sum(int(text.partition(f"{field}:")[2].split()[0]) * 1024 for text in texts)


def describe() -> str:
    """The machine in one line."""
    info = Path("/proc/cpuinfo").read_text()
    model = info.partition("model name")[2].partition(":")[2].partition("\n")[0].strip() or platform.machine()
    memory = int(Path("/proc/meminfo").read_text().split()[1]) / 2**20
    system = f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    return f"{model}, {len(CORES)} cores, {memory:.0f} GiB, {system}"


def load_average() -> float:
    """How many processes wanted to run during the last minute."""
    return os.getloadavg()[0]
