"""How many streams and connections a process may have, by the descriptors that it may have. Pure."""

from __future__ import annotations

from typing import NamedTuple

from newswire.core import limits


class Share(NamedTuple):
    """What fits into the descriptors there are."""

    streams: int
    connections: int


def share(descriptors: int, streams: int, connections: int) -> Share:
    """Of `streams` and `connections`, as many as fit beside the broker's own files, its links and its segments.

    Where not all fit, connections have a quarter, but enough for peers, probes and publishers: they come and go, streams stay.
    """
    segments = min(limits.OPEN_SEGMENTS, descriptors // 16)
    free = descriptors - limits.OWN_DESCRIPTORS_COUNT - limits.PEERS_COUNT - limits.ENDING_STREAMS_COUNT - segments
    if streams + connections <= free:
        return Share(streams, connections)
    spare = min(connections, max(limits.CONNECTIONS_LEAST, free // 4))
    fitting = max(1, min(streams, free - spare))
    return Share(fitting, min(connections, max(spare, free - fitting)))
