"""Measure recovery: write an ops file of keyed messages, then read it as a start does, each time in a new process.

Two times: the scan alone (sync, drop from the page cache, read, check, decode), and the scan with every op folded into the
state, which is what a start takes before it serves. The target of the second is 300,000 records a second. At the
end a broker starts on the file: how long until it is ready, and the most memory that it needed (target: under 250 MiB).

With `--starts` the file is that of a broker that was started so often before: what another start has to look through.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from brokers import Broker, free_ports, most_memory
from newswire.core.model import ops
from newswire.core.model.ops import Began, Published
from newswire.core.state.fold import State
from newswire.engine.embedded.ops_file import OpsFile

ORIGIN = "1001-k3f9x2qa"
START_MS = 1_700_000_000_000
TOPICS = 50


def write(directory: Path, messages: int, size: int, batch: int, starts: int) -> None:
    """Write the ops file: so many starts of a broker, then one run, `batch` messages a sync."""
    file = OpsFile(directory)
    for _ in file.scan():
        sys.exit(f"{directory} holds ops already: give an empty directory")
    file.start("bench", ORIGIN)
    held: dict[str, int] = {}
    for run in range(starts):
        origin = f"1001-r{run}"
        file.append(
            [
                ops.encode(Began(origin, 1, START_MS, "1001", held)),
                ops.encode(Published(origin, 2, START_MS, topic="news", data="x")),
            ]
        )
        held = {origin: 2}
    file.append([ops.encode(Began(ORIGIN, 1, START_MS, "1001", held))])
    text = "x" * size
    for first in range(2, messages + 2, batch):
        file.append([message(i, text) for i in range(first, min(first + batch, messages + 2))])
        file.sync()
    file.close()


def message(sequence: int, text: str) -> bytes:
    """One message as a publisher's library sends it, with a key of its own."""
    topic = f"news.t{sequence % TOPICS}"
    return ops.encode(
        Published(ORIGIN, sequence, START_MS + sequence, topic=topic, data=text, key=f"{sequence:032x}", publisher="Alice")
    )


def scan(directory: Path) -> int:
    """Read the ops file; how many records."""
    file = OpsFile(directory)
    count = sum(len(batch) for batch in file.scan())
    file.close()
    return count


def recover(directory: Path) -> int:
    """Read the ops file and fold it; how many records."""
    file, state = OpsFile(directory), State()
    for batch in file.scan():
        state.replay(batch)
    if state.waiting:
        raise RuntimeError("a record of a whole file was left out")
    file.close()
    return len(state.log)


def measured(work: Callable[[Path], int], directory: Path) -> tuple[int, float, float, int]:
    """Records, seconds, seconds of processor, and the most memory in MiB."""
    began, used = time.perf_counter(), time.process_time()
    count = work(directory)
    seconds, cpu = time.perf_counter() - began, time.process_time() - used
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return count, seconds, cpu, peak // (1024 if sys.platform == "linux" else 1024 * 1024)


def report(name: str, work: Callable[[Path], int], directory: Path) -> None:
    """Measure in a process of its own, so that no run finds the memory of another."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        count, seconds, cpu, peak = pool.apply(measured, (work, directory))
    rate, of_cpu = count / seconds, count / cpu  # they differ where others use the processor, or the disk is slow
    print(f"{name:14} {seconds:7.2f} s {rate:9,.0f} records/s ({of_cpu:9,.0f} a second of processor) {peak:5,} MiB", flush=True)


def start(home: Path) -> None:
    """Start a broker on the file."""
    broker = Broker("1001", free_ports(1)[0], home)
    began = time.perf_counter()
    try:
        broker.launch()
        broker.wait_ready(600.0)
        print(f"{'a broker ready':14} {time.perf_counter() - began:7.2f} s {most_memory(broker):>57} MiB", flush=True)
    finally:
        broker.kill9()


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(prog="scripts/bench_recovery", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--bytes", type=int, default=150, help="of a message's text")
    parser.add_argument("--batch", type=int, default=100, help="messages a sync")
    parser.add_argument("--starts", type=int, default=0, help="of the broker before, each with one message")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--dir", type=Path, default=None, help="where to make a temporary directory: the disk to measure")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="newswire-bench-", dir=told.dir) as folder:
        directory = Path(folder) / "ops_logs" / "1001"
        write(directory, told.messages, told.bytes, told.batch, told.starts)
        size = sum(path.stat().st_size for path in directory.iterdir())
        print(f"{told.messages:,} messages of {told.bytes} bytes, {told.batch} a sync: {size / 2**20:,.0f} MiB on disk")
        for _ in range(told.runs):
            report("scan", scan, directory)
            report("scan and fold", recover, directory)
        start(Path(folder))


if __name__ == "__main__":
    main()
