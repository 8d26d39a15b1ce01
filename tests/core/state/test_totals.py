"""What is known of a topic without looking, and what is not."""

from __future__ import annotations

from newswire.core.state.totals import Totals


def one_topic() -> Totals:
    totals = Totals()
    totals.begin()
    return totals


def test_a_message_counts_at_once() -> None:
    totals = one_topic()
    for time in (5, 9, 7):
        totals.add(1, time, is_first_origin=True)
    assert (totals.counts[1], totals.lasts[1]) == (3, 7), "of one origin the last is the newest, whatever its clock said"
    assert totals.is_known(1, None, 0)


def test_where_another_origin_may_have_been_the_newest_it_is_worked_out() -> None:
    totals = one_topic()
    totals.add(1, 9, is_first_origin=True)
    totals.add(1, 9, is_first_origin=False)
    assert totals.is_known(1, None, 0)
    totals.add(1, 7, is_first_origin=False)
    assert not totals.is_known(1, None, 0)
    totals.set(1, 3, 9, 0)
    assert totals.is_known(1, None, 0)


def test_what_was_dropped_counts_for_one_version_of_what_follows_from_vectors() -> None:
    totals = one_topic()
    assert not totals.is_known(1, {"1001-a": 1}, 4)
    totals.set(1, 0, 0, 4)
    assert totals.is_known(1, {"1001-a": 1}, 4)
    assert not totals.is_known(1, {"1001-a": 1}, 5)
    totals.forget(1)
    assert not totals.is_known(1, {"1001-a": 1}, 4)


def test_many_count_as_one_after_the_other() -> None:
    totals = one_topic()
    totals.add_run(1, [5, 9, 7], is_first_origin=True)
    assert (totals.counts[1], totals.lasts[1]) == (3, 7)
    totals.add_run(1, [7, 8], is_first_origin=False)
    assert (totals.counts[1], totals.lasts[1]) == (5, 8)
    assert totals.is_known(1, None, 0)
    totals.add_run(1, [9, 8], is_first_origin=False)
    assert not totals.is_known(1, None, 0)
