"""How many streams and connections fit into the descriptors there are."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from newswire.core import limits
from newswire.quotas.descriptors import share

OWN = limits.OWN_DESCRIPTORS_COUNT + limits.PEERS_COUNT + limits.ENDING_STREAMS_COUNT


def test_with_enough_of_them_nothing_is_lowered() -> None:
    assert share(1_000_000, 20_000, 10_000) == (20_000, 10_000)
    assert share(20_000 + 10_000 + OWN + limits.OPEN_SEGMENTS, 20_000, 10_000) == (20_000, 10_000)


def test_with_few_there_is_room_for_both() -> None:
    streams, connections = share(200, 20_000, 10_000)
    assert streams >= 80
    assert connections >= limits.CONNECTIONS_LEAST
    streams, connections = share(1024, 20_000, 10_000)
    assert streams >= 600
    assert connections >= 200


@given(st.integers(150, 100_000), st.integers(1, 50_000), st.integers(16, 50_000))
def test_what_fits_fits(descriptors: int, streams: int, connections: int) -> None:
    fitting = share(descriptors, streams, connections)
    assert 1 <= fitting.streams <= streams
    assert min(connections, limits.CONNECTIONS_LEAST) <= fitting.connections <= connections
    assert fitting.streams + fitting.connections + OWN + min(limits.OPEN_SEGMENTS, descriptors // 16) <= descriptors


@given(st.integers(0, 150))
def test_however_few_there_are_something_is_served(descriptors: int) -> None:
    fitting = share(descriptors, 20_000, 10_000)
    assert fitting.streams >= 1
    assert fitting.connections >= limits.CONNECTIONS_LEAST
