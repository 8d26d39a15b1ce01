"""Which streams are sent to other brokers: those that follow, once, a few a second."""

from __future__ import annotations

import msgspec

from newswire.core import limits
from newswire.core.broker.values import BrokerStatus
from newswire.streams.moves import Moves

LIMIT = 20_000
ME = BrokerStatus("1001", "a:1", True, "up", 0, self=True, streams=0, streams_limit=LIMIT)
OTHER = BrokerStatus("1002", "b:2", False, "up", 0, seconds=0.0, streams=0, streams_limit=LIMIT)


def moves(followers: int) -> Moves[int]:
    made: Moves[int] = Moves(lambda: 0.5)
    for stream in range(followers):
        made.put(stream)
    return made


def sent(made: Moves[int], count: int, *rows: BrokerStatus, seconds: float = 10.0, begin: float = 0.0) -> list[tuple[int, str]]:
    """What is sent within so many seconds, where nobody follows."""
    times = [begin + look * limits.LOAD_EVERY_SECONDS for look in range(int(seconds / limits.LOAD_EVERY_SECONDS) + 1)]
    return [move for now in times for move in made.choose(count, LIMIT, rows or (ME, OTHER), now)]


def test_streams_are_sent_where_there_is_room_each_once() -> None:
    got = sent(moves(1_000), 1_000)
    assert len(got) > 100
    assert {to for _, to in got} == {"b:2"}
    streams = [stream for stream, _ in got]
    assert len(set(streams)) == len(streams)
    assert streams[0] == 999, "the newest first"


def test_only_those_that_follow_and_are_here() -> None:
    made = moves(4)
    made.remove(2)
    made.remove(7)
    assert {stream for stream, _ in sent(made, 1_000)} == {0, 1, 3}
    assert not made


def test_those_that_were_sent_count_as_gone_and_after_a_while_as_staying() -> None:
    made = moves(1_000)
    first = sent(made, 300, seconds=120)
    assert len(first) > 300 / 2, "they did not go, so others were asked"
    made = moves(1_000)
    begin = sent(made, 300, seconds=limits.MOVE_WAIT_SECONDS - 1)
    assert len(begin) <= 150, "they may be on their way"


def test_nobody_is_sent_to_who_does_not_serve_or_does_not_say_or_by_who_is_not_up() -> None:
    for other in (
        msgspec.structs.replace(OTHER, state="down"),
        msgspec.structs.replace(OTHER, state="catching-up"),
        msgspec.structs.replace(OTHER, streams_limit=0),
    ):
        assert sent(moves(1_000), 1_000, ME, other) == []
    assert sent(moves(1_000), 1_000, msgspec.structs.replace(ME, state="catching-up"), OTHER) == []
    assert sent(moves(1_000), 1_000, OTHER) == []
