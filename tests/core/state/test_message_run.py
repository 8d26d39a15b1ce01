"""A run of messages says of each what the fold needs, or is none."""

from __future__ import annotations

import pickle

from newswire.core.model.ops import Published
from newswire.core.state.keys import content, fingerprint
from newswire.core.state.message_run import run_of

A = "1001-a"


def message(sequence: int, topic: str = "news", *, key: str = "", time: int = 0, expires: int = 0) -> Published:
    return Published(A, sequence, time, topic=topic, data=f"data {sequence}", key=key, publisher="Ann", expires=expires)


def test_a_run_has_a_column_of_each_thing() -> None:
    ops = [message(5, key="k", time=7), message(6, "tech", key="l", time=9, expires=12), message(7, key="m", time=8)]
    run = run_of(ops)
    assert run is not None
    assert (run.origin, run.first, len(run)) == (A, 5, 3)
    assert list(run.times) == [7, 9, 8]
    assert [run.names[at] for at in run.topics] == ["news", "tech", "news"]
    assert len(run.names) == 2
    assert list(run.marks) == [fingerprint("Ann", op.topic, op.key) for op in ops]
    assert list(run.contents) == list(map(content, ops))
    assert list(run.lifetimes) == [(1, 3)]


def test_a_run_has_keys_all_of_them_different_or_none() -> None:
    without = run_of([message(5), message(6)])
    assert without is not None
    assert (len(without.marks), len(without.contents)) == (0, 0)
    assert run_of([message(5, key="k"), message(6)]) is None
    assert run_of([message(5, key="k"), message(6, key="k")]) is None
    assert run_of([message(5, key="k"), message(6, "tech", key="k")]) is not None


def test_a_run_travels() -> None:
    run = run_of([message(5, key="k", expires=9), message(6, key="l")])
    assert run is not None
    packed = run.packed()
    assert pickle.loads(pickle.dumps(packed)) == packed != run
    columns = ("times", "topics", "marks", "contents")
    assert [list(getattr(packed, name)) for name in columns] == [list(getattr(run, name)) for name in columns]
