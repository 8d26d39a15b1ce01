"""Measure newswire, beside other versions of it and beside its peers: one table, with the medians of some rounds.

    scripts/bench                                  the rows of the table in docs/results.md, Speed
    scripts/bench --list                           the rows there are
    scripts/bench --only publish steady            these, or those of a group
    scripts/bench --only jetstream                 how cost grows over NATS servers (scripts/test installs those)
    scripts/bench --before ../other-checkout       in turns with another checkout
    scripts/bench --against redis,nats,nchan       in turns with peers, where they are installed
    scripts/bench --quick                          see that each row works: the figures say nothing

What is measured are real processes with cores of their own; the load comes from other processes, and `generator` says how busy
the busiest of them was: near 100 % it may be what limited the row. CPU is what all servers together used for an operation, user
and system. It hardly depends on what else runs on the machine; rates and times do.
"""

from __future__ import annotations

import argparse
import signal
import sys
from datetime import datetime, timezone
from pathlib import Path

from benchmark import machine, report
from benchmark.peers import PEERS
from benchmark.report import Figures, Line
from benchmark.rows import QUICK, ROWS, Row, Sizes
from benchmark.services import ROOT, Newswire, NotOffered, System
from brokers import Failed


def systems_of(options: argparse.Namespace) -> list[System]:
    """What takes turns."""
    before = [Newswire("before", options.before.resolve(), options.dir)] if options.before else []
    peers: list[System] = []
    for name in filter(None, options.against.split(",")):
        if PEERS[name].is_installed():
            peers.append(PEERS[name](options.dir))
        else:
            print(f"{name} is not installed: see scripts/benchmark/peers.py", file=sys.stderr)
    return [*before, Newswire("newswire" if not before else "now", ROOT, options.dir), *peers]


def measure(row: Row, systems: list[System], sizes: Sizes, rounds: int) -> tuple[list[Line], bool]:
    """All rounds of a row, systems in turns, and whether none failed: what one system could not do says nothing of others."""
    by_system: dict[str, list[Figures]] = {}
    is_whole = True
    for _ in range(rounds):
        for system in systems:
            try:
                figures = row.measure(system, sizes)
            except NotOffered:
                continue
            except (Failed, OSError) as error:
                print(f"{row.name}, {system.name}: {error}", file=sys.stderr, flush=True)
                is_whole = False
                continue
            by_system.setdefault(system.name, []).append(figures)
            text = f"{row.name}, {system.name}: {report.number(figures.value)} {row.unit}, {report.number(figures.cpu)} µs"
            print(f"{text} (load {machine.load_average():.1f})", file=sys.stderr, flush=True)
    return [Line(row.name, row.title, name, row.unit, rounds) for name, rounds in by_system.items()], is_whole


def main() -> int:
    """Read the command line, measure, print the table."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = {*ROWS, *(group for row in ROWS.values() for group in row.groups.split())}
    parser.add_argument("--only", nargs="+", choices=names, metavar="ROW", default=["table"], help="rows or groups of rows")
    parser.add_argument("--list", action="store_true", help="list rows and groups")
    usual = "3 times, and once a start with 5 M records and how cost grows"
    parser.add_argument("--rounds", type=int, default=0, help=f"how often each row is measured, in turns (default: {usual})")
    parser.add_argument("--quick", action="store_true", help="a moment of each row, once")
    parser.add_argument("--before", type=Path, default=None, help="another checkout to compare with")
    parser.add_argument("--against", default="", help="peers to compare with, commas between: redis, nats, nchan")
    parser.add_argument("--dir", type=Path, default=None, help="where to make temporary directories: the disk to measure")
    parser.add_argument("--json", type=Path, default=None, help="where to write all rounds, row by row")
    options = parser.parse_args()
    if options.list:
        print("\n".join(f"{row.name:20} {row.groups:22} {row.title}" for row in ROWS.values()))
        return 0
    for number in (signal.SIGINT, signal.SIGTERM):  # whoever starts this in the background ignores the first for all below
        signal.signal(number, signal.default_int_handler)
    unknown = set(filter(None, options.against.split(","))) - PEERS.keys()
    if unknown:
        parser.error(f"no such peer: {', '.join(sorted(unknown))}")
    systems = systems_of(options)
    began = f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M}Z"
    load = machine.load_average()
    lines: list[Line] = []
    status = 0
    for row in ROWS.values():
        if not {row.name, *row.groups.split()} & set(options.only):
            continue
        rounds = 1 if options.quick else options.rounds or row.rounds
        measured, is_whole = measure(row, systems, QUICK if options.quick else Sizes(), rounds)
        lines += measured
        status |= not is_whole
        if options.json:  # with each row: whoever ends this early has what was measured
            options.json.write_text(report.as_json(machine.describe(), began, (load, machine.load_average()), lines))
    counts = sorted({len(line.rounds) for line in lines})
    print(
        f"{machine.describe()}; {began}, {'/'.join(map(str, counts))} rounds, load {load:.1f} to {machine.load_average():.1f}\n"
    )
    print(report.table(lines))
    return max(status, int(any(figures.failed for line in lines for figures in line.rounds)))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("\nInterrupted: what was started is ended.", file=sys.stderr)
        sys.exit(130)
