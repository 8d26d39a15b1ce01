"""Long batches: stored and pushed in pieces between what others publish, in effect when all is there (docs/rules.md, BATCH).

Each is an origin of its own, so that its sequences stand in nobody's way; the fold keeps its ops apart until the last is
there. Pieces go to the peers in sync as soon as they are stored, and the last op is staged when those have all others: from
then on a batch costs no more than applying it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from newswire.core import limits
from newswire.core.broker.events import Now, Reply, Submitted
from newswire.core.broker.values import NamedBatch
from newswire.core.model.commands import Publish, Request
from newswire.core.model.ops import NO_PLACE, Began
from newswire.core.state.fold import State
from newswire.errors import NewswireError


def is_long(requests: Sequence[Request]) -> bool:
    """Say whether these are publishes that together take longer to store than others should wait for."""
    if len(requests) < 2 or (len(requests) <= limits.BATCH_LONG_OPS and sum(map(_size, requests)) <= limits.BATCH_LONG_BYTES):
        return False
    return all(isinstance(request, Publish) for request in requests)


class LongBatches:
    """The one that is under way at this broker, and those that wait for their turn. Commit thread only; reads the state."""

    def __init__(self, broker: str, state: State) -> None:
        self._broker, self._state = broker, state
        self._line: deque[Submitted] = deque()
        self._event: Submitted | None = None  # of the one that is under way
        self._named = NamedBatch(origin="", messages=(), marks=frozenset(), required={})
        self._staged = 0  # ops of it, its `began` among them

    def become(self, state: State) -> None:
        """Go on with another state."""
        self._state = state

    def __bool__(self) -> bool:
        """Whether one is under way or waits."""
        return bool(self._line) or self._event is not None

    def add(self, event: Submitted) -> None:
        """Have it wait for its turn."""
        self._line.append(event)

    def pop_next(self) -> Submitted | None:
        """Who is next, if none is under way."""
        return self._line.popleft() if self._line and self._event is None else None

    def begin(self, event: Submitted, named: NamedBatch) -> None:
        """It is under way: its keys and copies were checked, and it has an origin."""
        self._event, self._named, self._staged = event, named, 0

    @property
    def origin(self) -> str:
        """The origin of the one that is under way; "" for none."""
        return self._named.origin if self._event is not None else ""

    @property
    def marks(self) -> frozenset[int]:
        """What stands for its keys: who publishes under one of them waits for it."""
        return self._named.marks if self._event is not None else frozenset()

    @property
    def size(self) -> int:
        """How many ops it is: its messages, and `began`."""
        return len(self._named.messages) + 1

    @property
    def is_under_way(self) -> bool:
        """Whether one is."""
        return self._event is not None

    @property
    def is_stored(self) -> bool:
        """Whether all that was staged of the one that is under way is stored, and something is left."""
        return self._event is not None and self._state.extent(self.origin) == self._staged < self.size

    @property
    def lacks_last(self) -> bool:
        """Whether only its last op is not staged: that makes it whole."""
        return self._event is not None and self._staged == self.size - 1

    def is_late(self, now: Now) -> bool:
        """Say whether the time of who waits for it is over while it is not whole."""
        until = self._event.until if self._event is not None else 0.0
        return 0.0 < until <= now.clock and self._staged < self.size

    def next_piece(self) -> tuple[Began | None, Sequence[Publish]]:
        """What is to be staged next: `began` first, then messages up to the last, which comes alone."""
        messages = self._named.messages
        if not self._staged:
            began = Began(**NO_PLACE, broker=self._broker, vector=dict(self._state.vector), batch=self.size)
            return began, self._cut(messages[: min(limits.BATCH_PIECE_OPS, len(messages) - 1)])
        at = self._staged - 1
        if self.lacks_last:
            return None, messages[at:]
        return None, self._cut(messages[at : min(at + limits.BATCH_PIECE_OPS, len(messages) - 1)])

    def note(self, count: int) -> tuple[Submitted, NamedBatch] | None:
        """So many ops of it were staged. Returns what is to be answered when they are on disk, if the last was among them."""
        self._staged += count
        return (self._event, self._named) if self._event is not None and self._staged == self.size else None

    def finish(self) -> bool:
        """Say whether it has become whole, and is over."""
        whole = self._event is not None and bool(self._state.log.held(self.origin))
        if whole:
            self._event = None
        return whole

    def give_up(self, error: NewswireError) -> list[Reply]:
        """Nothing of it has an effect, here or elsewhere: nobody has its last op. The state is to forget its origin."""
        event, self._event = self._event, None
        if event is None or self._staged == self.size:
            return []  # its receipt waits for what could not be stored
        return [Reply(event.reply_to, error)]

    @staticmethod
    def _cut(messages: Sequence[Publish]) -> Sequence[Publish]:
        size = 0
        for count, message in enumerate(messages):
            size += _size(message)
            if count and size > limits.BATCH_PIECE_BYTES:
                return messages[:count]
        return messages


def _size(request: Request) -> int:
    return len(request.data) if isinstance(request, Publish) else 0
