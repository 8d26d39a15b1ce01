"""`scripts/simulate`: run seeded schedules of a whole cluster, or replay one with its trace."""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor

from tests.simulation.planted import ASKS, BUGS, CONFIRMS, EDITS, FOCUS, TIMES, planted
from tests.simulation.schedule import Outcome, run

LENGTH = 25  # schedules a worker takes at once
FEW = 3  # schedules before one that shows a planted bug: a test may play them


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; 0 when no schedule went wrong."""
    parser = argparse.ArgumentParser(prog="scripts/simulate", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, metavar="N", help="how many schedules (default 1000)")
    parser.add_argument("--from", type=int, default=0, metavar="S", dest="first", help="the first seed (default 0)")
    parser.add_argument("--seed", type=int, metavar="S", help="replay this one and print its trace")
    parser.add_argument("--bug", choices=sorted(BUGS), help="plant a bug first: schedules must go wrong")
    parser.add_argument("--processes", type=int, default=min(2, os.cpu_count() or 1), metavar="N", help="default 2")
    parser.add_argument("--pins", action="store_true", help="print which schedule shows each planted bug that few show")
    parser.add_argument("--digest", action="store_true", help="print one digest of all that the brokers of these schedules did")
    asked = parser.parse_args(arguments)
    if asked.seed is not None:
        return replay(asked.seed, asked.bug)
    if asked.pins:
        return pins(asked.processes)
    if asked.digest:
        return digest(range(asked.first, asked.first + asked.seeds), asked.processes)
    return survey(range(asked.first, asked.first + asked.seeds), asked.processes, asked.bug)


def replay(seed: int, bug: str | None = None) -> int:
    """Print the trace of one schedule."""
    outcome = one(seed, bug, tracing=True)
    print("\n".join(outcome.trace))
    size = f"{outcome.brokers} brokers, {outcome.steps} steps, {outcome.at:.1f} s"
    print(f"seed {seed} ({size}): {outcome.violation or 'all well'}")
    return 1 if outcome.violation else 0


def one(seed: int, bug: str | None, *, tracing: bool = False) -> Outcome:
    """Run one schedule, perhaps with a bug."""
    if bug is None:
        return run(seed, tracing=tracing)
    with planted(bug):
        return run(
            seed,
            tracing=tracing,
            focus=FOCUS.get(bug, ()),
            asks=bug in ASKS,
            confirms=bug in CONFIRMS,
            edits=bug in EDITS,
            times=bug in TIMES,
        )


def pins(processes: int) -> int:
    """Print SHOWN_BY of test_simulation.py anew: whoever changes what schedules draw shifts it, and each test searches then."""
    with ProcessPoolExecutor(processes) as pool:
        for bug, seed in zip(sorted(BUGS), pool.map(shown_by, sorted(BUGS)), strict=True):
            if seed is None or seed >= FEW:
                print(f'    "{bug}": {seed},', flush=True)
    return 0


def shown_by(bug: str) -> int | None:
    """The schedule that shows a planted bug: the one that did, or the first of some hundreds."""
    from tests.simulation.test_simulation import MOST_SEEDS, SHOWN_BY

    return next((seed for seed in (SHOWN_BY.get(bug, 0), *range(MOST_SEEDS)) if one(seed, bug).violation), None)


def digest(seeds: range, processes: int) -> int:
    """Print one digest of all actions of these schedules: the same before and after a change that only moves code."""
    whole = hashlib.blake2b(digest_size=16)
    parts = [seeds[at : at + LENGTH] for at in range(0, len(seeds), LENGTH)]
    with ProcessPoolExecutor(processes) as pool:
        for found in pool.map(digests, parts):
            whole.update("".join(found).encode())
    print(f"{len(seeds)} schedules from seed {seeds.start}: {whole.hexdigest()}")
    return 0


def digests(seeds: range) -> list[str]:
    """The digests of a few schedules."""
    return [run(seed, digesting=True).digest for seed in seeds]


def some(seeds: range, bug: str | None) -> list[Outcome]:
    """Run a few schedules: what a worker does at once."""
    return [one(seed, bug) for seed in seeds]


def outcomes(seeds: range, processes: int, bug: str | None = None) -> Iterator[Outcome]:
    """Run schedules in several processes; their outcomes in order of the seeds."""
    if processes < 2:
        for seed in seeds:
            yield one(seed, bug)
        return
    parts = [seeds[at : at + LENGTH] for at in range(0, len(seeds), LENGTH)]
    with ProcessPoolExecutor(processes) as pool:
        for found in pool.map(some, parts, [bug] * len(parts)):
            yield from found


def survey(seeds: range, processes: int, bug: str | None = None) -> int:
    """Run schedules, print those that went wrong as they come, then what happened in all."""
    began, wrong, idle, fewest = time.perf_counter(), 0, 0, sys.maxsize
    total: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    deeds: Counter[str] = Counter()
    for outcome in outcomes(seeds, processes, bug):
        fewest = min(fewest, outcome.steps)
        idle += not outcome.faults
        faults += outcome.faults
        deeds += outcome.deeds
        total.update(steps=outcome.steps, receipts=outcome.receipts, copied=outcome.copied, shown=outcome.shown)
        total.update(acks=outcome.acks, texts=outcome.texts, drops=outcome.drops, gaps=outcome.gaps, seconds=int(outcome.at))
        total.update(withdrawals=outcome.withdrawals)
        if outcome.violation:
            wrong += 1
            print(f"seed {outcome.seed}: {outcome.violation}", flush=True)
    print(
        f"{len(seeds)} schedules, {wrong} went wrong; {idle} without any fault (in those nothing may repeat)\n"
        f"{total['steps']} steps (at least {fewest} a schedule), {total['seconds']} s of cluster time"
        f" in {time.perf_counter() - began:.0f} s\n"
        f"{total['texts']} messages, {total['receipts']} receipts ({total['copied']} with copies of 2 or more),"
        f" {total['shown']} deliveries, {total['acks']} cursor ops, {total['drops']} drops,"
        f" {total['withdrawals']} withdrawals, {total['gaps']} gaps told"
    )
    print("logs: " + ", ".join(f"{kind} {count}" for kind, count in sorted(deeds.items())))
    print("faults: " + ", ".join(f"{kind} {count}" for kind, count in sorted(faults.items())))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
