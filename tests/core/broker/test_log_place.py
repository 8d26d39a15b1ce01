"""What follows from what a shared log says next (docs/rules.md, JETSTREAM)."""

from __future__ import annotations

import pytest

from newswire.core import limits
from newswire.core.broker.log_place import Follower, LogLook, LogPlace, LogVerdict


def at(sequence: int = 5, token: str = "t5", incarnation: str = "i1") -> Follower:
    follower = Follower(LogPlace(incarnation, sequence, token))
    follower.must_look = False
    return follower


def look(token: str | None = "t5", *, first: int = 1, last: int = 9, incarnation: str = "i1") -> LogLook:
    return LogLook(incarnation=incarnation, first=first, last=last, token=token)


@pytest.mark.parametrize(
    ("seen", "verdict"),
    [
        (look(), LogVerdict.SAME),
        (look(last=5), LogVerdict.SAME),
        (look("other"), LogVerdict.OTHER),
        (look("other", incarnation="i2"), LogVerdict.OTHER),
        (look(None, last=4), LogVerdict.UNSURE),  # a new leader, or a log that was rolled back
        (look(None), LogVerdict.UNSURE),  # it is not there, and what follows it is
        (look(None, first=6), LogVerdict.SAME),  # purged up to this place
        (look(None, first=7), LogVerdict.PURGED),
        (look(None, first=6, incarnation="i2"), LogVerdict.OTHER),  # what could be compared is gone
    ],
)
def test_what_a_look_says(seen: LogLook, verdict: LogVerdict) -> None:
    follower = at()
    follower.doubt()
    assert follower.look(seen) is verdict
    assert follower.must_look is (verdict is not LogVerdict.SAME)


def test_who_has_read_nothing_begins_at_the_beginning_or_at_a_checkpoint() -> None:
    assert at(0, "").look(look(None, first=0, last=0)) is LogVerdict.SAME
    assert at(0, "").look(look(None)) is LogVerdict.SAME
    assert at(0, "").look(look(None, first=3)) is LogVerdict.PURGED


def test_a_log_that_was_renamed_and_is_the_same_is_gone_on_with() -> None:
    follower = at()
    assert follower.look(look(incarnation="i2")) is LogVerdict.SAME
    assert follower.place == LogPlace("i2", 5, "t5")


def test_a_log_that_stays_shorter_is_another_one() -> None:
    follower = at()
    verdicts = [follower.look(look(None, last=4)) for _ in range(limits.LOG_LOOKS_COUNT)]
    assert verdicts == [LogVerdict.UNSURE] * (limits.LOG_LOOKS_COUNT - 1) + [LogVerdict.OTHER]


def test_a_leader_that_reads_on_is_believed() -> None:
    follower = at()
    assert follower.look(look(None, last=4)) is LogVerdict.UNSURE
    assert follower.look(look()) is LogVerdict.SAME
    assert follower.look(look(None, last=4)) is LogVerdict.UNSURE, "the doubts begin anew"


def test_our_record_that_is_next_is_where_we_are() -> None:
    follower = at()
    assert follower.acknowledge(6, "t6", repeated=False)
    assert follower.place == LogPlace("i1", 6, "t6")


def test_behind_what_others_appended_ours_is_read_in_its_turn() -> None:
    follower = at()
    assert follower.acknowledge(8, "t8", repeated=False)
    assert (follower.place.sequence, follower.place.newest) == (5, (8, "t8"))
    assert follower.take([(6, "a"), (7, "b"), (8, "t8")]) == 3
    assert (follower.place.sequence, follower.place.newest) == (8, (8, "t8"))


def test_a_record_of_ours_that_was_rolled_back_is_missed_though_all_before_it_is_there() -> None:
    """What others appended between was not read yet: the place itself is the same in both logs."""
    follower = at()
    follower.acknowledge(8, "t8", repeated=False)
    assert follower.look(look("another", last=8)) is LogVerdict.OTHER
    assert follower.look(look(None, last=7)) is LogVerdict.UNSURE


def test_a_number_that_was_there_before_is_doubted() -> None:
    follower = at()
    assert not follower.acknowledge(4, "t6", repeated=False)
    assert at().acknowledge(4, "t4", repeated=True), "an answer that was lost, and came again"


def test_what_is_behind_a_gap_is_not_taken() -> None:
    follower = at()
    assert follower.take([(6, "a"), (8, "c")]) == 1
    assert (follower.place.sequence, follower.must_look) == (6, True)
