"""What an ops file says of itself: counting, gaps, verdicts, and what is shown of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from newswire.cli import inspect
from newswire.cli.inspect import OpTally, Origin, Report
from newswire.core.model.ops import Began, Published
from newswire.engine.embedded.ops_file import Damage

ORIGIN = "1001-k3f9x2qa"


def message(sequence: int, data: str = "x", origin: str = ORIGIN) -> Published:
    return Published(origin, sequence, 1_700_000_000_000 + sequence, topic="Google", data=data)


def began(origin: str = ORIGIN, **vector: int) -> Began:
    return Began(origin, 1, 1_700_000_000_000, broker="1001", vector={f"1001-{name}": s for name, s in vector.items()})


@given(st.lists(st.integers(1, 30), max_size=40), st.integers(0, 35), st.integers(1, 7))
def test_gaps_are_the_sequences_that_are_not_there(sequences: list[int], named: int, size: int) -> None:
    tally = OpTally()
    for at in range(0, len(sequences), size):
        tally.add([message(sequence) for sequence in sequences[at : at + size]])
    if named:
        tally.add([began("1001-later", k3f9x2qa=named)])
    found = next((one for one in tally.origins if one.origin == ORIGIN), Origin(ORIGIN, 0, 0, ()))
    missing = set(range(1, max([named, *sequences]) + 1)) - set(sequences)
    assert {s for first, last in found.gaps for s in range(first, last + 1)} == missing
    assert all(first <= last for first, last in found.gaps)
    assert all(before[1] + 1 < after[0] for before, after in zip(found.gaps, found.gaps[1:], strict=False))
    assert (found.operations, found.last, found.missing) == (len(set(sequences)), max(sequences, default=0), len(missing))


def test_a_began_tells_what_was_held() -> None:
    """The end of an origin may be missing, or all of it: a later run names it."""
    tally = OpTally()
    tally.add([began("1001-a"), message(2, origin="1001-a"), began("1001-c", a=4, b=2)])
    assert tally.origins == (
        Origin("1001-a", 2, 2, ((3, 4),)),
        Origin("1001-b", 0, 0, ((1, 2),)),
        Origin("1001-c", 1, 1, ()),
    )


def test_gaps_without_damage_are_not_whole() -> None:
    report = Report("d", origins=(Origin(ORIGIN, 1, 3, ((1, 2),)),))
    assert not report.whole
    assert report.verdict.startswith("Not whole: 2 operations missing.")


def test_long_tables_are_cut_for_people_alone() -> None:
    origins = tuple(Origin(f"1001-{i:04}", 1, 100, ((2, 2),) * 30 if i == 77 else ()) for i in range(100))
    report = Report("d", origins=origins, damage=tuple(Damage(1, i * 100, 5, "checksum") for i in range(50)))
    _, shown, damaged, verdict = inspect.as_tables(report)
    assert shown.rows[0] == ("1001-0077", "1", "100", "2, 2, 2, 2, 2, 25 more stretches")
    assert (len(shown.rows), shown.note) == (20, "and 80 more origins: --json has all")
    assert (len(damaged.rows), damaged.note) == (20, "and 30 more places: --json has all")
    assert verdict.note == report.verdict
    told = inspect.as_object(report)
    assert (len(told["origins"]), len(told["damage"])) == (100, 50)


def test_every_kind_of_operation_has_a_name() -> None:
    assert {"began", "msg", "sub", "unsub", "ack", "drop", "join", "left", "unknown"} <= set(inspect.OP_TYPES)
