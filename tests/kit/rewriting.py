"""A log that is written anew in memory, as an engine's thread does it (`core.state.rewriting`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from newswire.core.read.pieces import finish
from newswire.core.state.fold import State
from newswire.core.state.rewriting import Rewriting

FIRST = 1_000_000  # places of what is written


def rewrite(
    job: Rewriting, state: State, raws: Sequence[bytes] | Mapping[int, bytes], parts: Iterable[Sequence[bytes]] = ()
) -> list[bytes]:
    """Run it to the end over the records `raws`, by their places; return those of the new log, which lie from `FIRST` on."""
    finish(job.survey(state))
    for where in job.to_look_at():
        job.look([raws[place] for place, _ in where])
    for _ in job.choose():
        pass
    written: list[bytes] = []

    def write(piece: Sequence[bytes]) -> None:
        places = [(FIRST + len(written) + at, len(raw)) for at, raw in enumerate(piece)]
        written.extend(piece)
        job.take(piece, places)

    for piece in job.pieces():
        write([part if isinstance(part, bytes) else raws[part[0]] for part in piece])
    for part in parts:
        write(job.merge(part))
    why = job.check()
    if why:
        raise ValueError(why)
    while job.catch_up():
        pass
    return written
