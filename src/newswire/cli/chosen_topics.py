"""Some topics of what a user is subscribed to: what of a stream is shown, and what of it counts as delivered.

A cursor belongs to a subscription. So what is shown counts in the subscriptions that the chosen topics cover wholly; where they
are a part of one, as `kitchen.soup` is of `kitchen.>`, nothing can be said of that part alone: it stays undelivered.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import TracebackType

from newswire.cli.credentials import Signature
from newswire.core import limits
from newswire.core.access import overlap
from newswire.core.model.names import matches
from newswire.errors import NewswireError, NotRegistered


class ChosenTopics:
    """Topics and patterns that somebody wants to see of `subscriptions`. None chosen are all. Pure.

    `whole`: the subscriptions that they cover; `parts`: those of which they are a part.
    """

    def __init__(self, patterns: Sequence[str], subscriptions: Iterable[str]) -> None:
        self.patterns = tuple(patterns)
        touched = [sub for sub in subscriptions if any(overlap(pattern, sub) for pattern in self.patterns)]
        self.whole = tuple(sub for sub in touched if any(overlap(pattern, sub) == sub for pattern in self.patterns))
        self.parts = tuple(sub for sub in touched if sub not in self.whole)

    def cover(self, topic: str) -> bool:
        """Say whether `topic` is to be shown."""
        return not self.patterns or any(matches(pattern, topic) for pattern in self.patterns)

    def subscriptions_to(self, topic: str) -> list[str]:
        """Those in which a message of `topic` counts as delivered when it was shown."""
        return [sub for sub in self.whole if matches(sub, topic)]


@contextmanager
def user_or_topic(brokers: Sequence[str], user: str | None, who: Signature) -> Iterator[None]:
    """Where `user` turns out to be registered nowhere, and there is a topic of that name, say so. Raises NotRegistered."""
    from newswire.client.cluster import ClusterClient

    try:
        yield
    except NotRegistered as error:
        topics = set[str]()
        with suppress(NewswireError), ClusterClient(brokers, **who, timeout=limits.CLIENT_SIDE_SECONDS) as client:
            topics = {row.topic for row in client.topics()}
        if user not in topics:
            raise
        hint = f"{user} is a topic: name who reads it, then the topic, USER --topic {user}"
        raise NotRegistered(f"there is no user {user} with a subscription; {hint}", code=error.code) from None


class Cursors:
    """Moves the cursors of some subscriptions in a thread of its own, so that no message waits for it.

    `acknowledge`: (event id, subscription); what it raises is tried again. Use it in a `with` block: at its end all is said
    that can be.
    """

    def __init__(self, acknowledge: Callable[[str, str], object], every: float = limits.CLIENT_ACK_EVERY_SECONDS) -> None:
        self._acknowledge, self._every = acknowledge, every
        self._lock = threading.Lock()
        self._due: dict[str, str] = {}  # event ids, by subscription
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cursors", daemon=True)

    def move(self, event_id: str, subscriptions: Iterable[str]) -> None:
        """All up to `event_id` was taken, in these."""
        with self._lock:
            self._due |= dict.fromkeys(subscriptions, event_id)

    def _run(self) -> None:
        while not self._is_over.wait(self._every):
            self._say_all()

    def _say_all(self) -> None:
        with self._lock:
            due = dict(self._due)
        for subscription, event_id in due.items():
            with suppress(NewswireError):
                self._acknowledge(event_id, subscription)
                with self._lock:
                    if self._due.get(subscription) == event_id:
                        del self._due[subscription]

    def __enter__(self) -> Cursors:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._is_over.set()
        self._thread.join()
        self._say_all()
