"""Who makes room, and how long each thing may take. Pure."""

from __future__ import annotations

from newswire.core import limits
from newswire.listener.phases import EVICTED, Bounds, Deadlines, Phase


def test_all_make_room_but_what_runs_and_what_has_begun_less_goes_first() -> None:
    assert sorted(EVICTED, key=lambda phase: phase.value) == [phase for phase in Phase if phase is not Phase.WORKING]
    assert EVICTED[:3] == (Phase.IDLE, Phase.HEAD, Phase.BODY)
    assert EVICTED[-1] is Phase.SENDING  # the broker's work is done: what is left is to read it


def test_a_head_has_less_time_than_its_body_and_both_less_than_who_is_idle() -> None:
    """The time of a body includes that of its head."""
    deadlines = Deadlines()
    assert deadlines.check < deadlines.head < deadlines.body <= deadlines.idle
    assert (deadlines.stall, deadlines.linger) == (limits.READ_STALL_SECONDS, limits.LINGER_SECONDS)


def test_one_caller_never_has_all_connections_and_this_machine_is_not_counted() -> None:
    bounds = Bounds()
    assert 0 < bounds.connections_per_caller < bounds.connections == limits.CONNECTIONS_COUNT
    assert not bounds.counts_own_connections
    assert not bounds.counts_own_requests
