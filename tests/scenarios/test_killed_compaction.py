"""A broker is killed at a step of a compaction: its log is that of before or of after, and whole.

Each step is a system call that meets one of the files that a compaction writes; strace kills the broker as it enters it.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from brokers import until
from newswire.engine.embedded.scan import read_layout
from tests.kit.compacting import check_files, churn, compact, wait_compacted
from tests.kit.damage import segments
from tests.kit.ledger import Ledger
from tests.kit.machine import lacks, strace
from tests.kit.processes import Cluster, Node

WHY_NOT = lacks("strace")
pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)


class Step(NamedTuple):
    """The call that is not made any more; `file`: its name, "" the folder; `number`: among those that one thread makes."""

    call: str
    file: str
    number: int = 1


BASE: Final = "base"
FIRST, SECOND = "first", "second"  # of the segments that are replaced
SHORT: Final = {
    "the base is written": Step("rename", BASE),
    "the new log counts": Step("fsync", "", 2),
    "one segment is removed": Step("unlink", SECOND),
}
STEPS: Final = {
    "a new segment is there": Step("fsync", ""),
    "the base is begun": Step("fdatasync", BASE),
    "a piece of the base is written": Step("fdatasync", BASE, 2),
    "the base has its name": Step("openat", "MANIFEST"),
    "what will count is written": Step("rename", "MANIFEST.tmp"),
    "the copy is begun": Step("fdatasync", "MANIFEST.copy.tmp"),
    "the copy is written": Step("rename", "MANIFEST.copy.tmp"),
    "the copy has its name": Step("fsync", "", 3),
    "what is replaced may go": Step("unlink", FIRST),
    "all of it is removed": Step("fsync", "", 4),
    **SHORT,
}
TAKING_OVER: Final = [STEPS[name] for name in STEPS if STEPS[name] not in (Step("fsync", ""), Step("openat", "MANIFEST"))]


def test_killed_at_a_step_of_a_compaction(pair: Cluster, ledger: Ledger) -> None:
    kill_while_compacting(pair, ledger, list(SHORT.values()))


@pytest.mark.long
@pytest.mark.timeout(600)
def test_killed_at_each_step_of_a_compaction(pair: Cluster, ledger: Ledger) -> None:
    kill_while_compacting(pair, ledger, [*STEPS.values()] * 2)


def kill_while_compacting(pair: Cluster, ledger: Ledger, steps: Sequence[Step]) -> None:
    first, second = pair.nodes
    with ledger.load(first, second):
        ledger.batch(600, first)  # a base of several pieces
        for step in steps:
            ledger.wait_more(5)
            churn(second)
            kill_at(first, step)
            ledger.check_copies(first, second)
            check_files(first)
            first.start()
        ledger.wait_more(5)
        wait_compacted(first, second)
    ledger.check(first, second)
    check_files(first, second)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_killed_at_each_step_of_taking_over_what_another_one_compacted(pair: Cluster, ledger: Ledger) -> None:
    first, second = pair.nodes
    ledger.batch(600, first)
    for step in TAKING_OVER:
        second.kill9()
        ledger.many(5, first)
        churn(first)
        assert compact(first, even_if_away=True) == 200
        before = generation(second)
        second.before = tracer(second, step)
        second.launch()
        second.before = []
        assert second.end_code() == -9, step
        ledger.check_copies(first, second)
        check_files(second)
        second.start()
        ledger.check(first, second)
        assert generation(second) > before, "it has taken over what was compacted"
    wait_compacted(first, second)
    check_files(first, second)


def kill_at(node: Node, step: Step) -> None:
    """Have it compact, and die at this step."""
    assert node.process is not None
    with subprocess.Popen(tracer(node, step, follow=node.process.pid)) as strace:
        try:
            until("it is traced", lambda: is_traced(node))
            until("it compacts", lambda: node.ended or compact(node) == 0)  # again where there was nothing to leave out yet
            assert node.end_code() == -9, step
        except BaseException:
            strace.kill()
            raise


def tracer(node: Node, step: Step, *, follow: int = 0) -> list[str]:
    """The words that kill it there."""
    numbers = sorted(int(path.stem) for path in segments(node.folder) if not path.stem.startswith(BASE))
    match step.file:
        case "base":
            names = [f"base-{number:08d}.ops.tmp" for number in range(1, 64)]
        case "first" | "second":
            names = [f"{numbers[step.file == SECOND]:08d}.ops"]
        case name:
            names = [name]
    effect = f"signal=SIGKILL:when={step.number}"
    return strace(step.call, effect, follow=follow, paths=[node.folder / name for name in names])


def generation(node: Node) -> int:
    """How often its log was written anew."""
    layout = read_layout(node.folder)
    return layout.generation if layout is not None else 0


def is_traced(node: Node) -> bool:
    """Say whether each of its threads is."""
    assert node.process is not None
    tasks = Path(f"/proc/{node.process.pid}/task")
    try:
        return all("TracerPid:\t0\n" not in (task / "status").read_text() for task in tasks.iterdir())
    except (FileNotFoundError, ProcessLookupError):  # one has ended meanwhile
        return False
