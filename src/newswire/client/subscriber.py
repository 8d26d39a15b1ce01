"""Subscribe, read and acknowledge as one user."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Unpack

from newswire.client import checks
from newswire.client.answers import ConnectionState, MessagePage, PageBody, Row, UserSubscription, page_of
from newswire.client.delivery import Acks, Item
from newswire.client.pool import BrokerPool, PoolOptions
from newswire.client.stream import MessageStream
from newswire.client.transport import BrokerAnswer, Call, form
from newswire.core import limits
from newswire.core.model import names
from newswire.core.model.message import Withdrawal
from newswire.errors import BadRequest


class Subscriber:
    """One user's subscriptions and streams, at whichever broker serves, the primary first. One thread.

    `username` left out is whoever the credential says: `token`, or `user` (`username` without it) and `password`.
    `silence`: seconds without a byte after which a stream is dead. `options`: `timeout`, seconds for all tries of a call;
    `absent`, seconds after which it ends while no broker listens anywhere; `token`, or `user` and `password`: who asks;
    `verify`: a file of CAs, for https.
    """

    def __init__(
        self,
        brokers: str | Sequence[str],
        username: str | None = None,
        *,
        silence: float = limits.CLIENT_SILENCE_SECONDS,
        **options: Unpack[PoolOptions],
    ) -> None:
        self.username = None if username is None else names.check_username(checks.text("username", username))
        self._silence = checks.seconds("silence", silence)
        if options.get("user") is None and options.get("password") is not None:
            options["user"] = username
        self.pool = BrokerPool(brokers, **options)
        sleep = self.pool.sleep
        self._pause = None if sleep is time.sleep else sleep  # None: pauses of a stream end with it
        if username is None and self.pool.is_anonymous:
            raise TypeError("`username` is None: give a str, or a token that says who it is")
        self._stream: MessageStream | None = None

    def subscribe(self, topic: str, since: checks.Moment = None) -> str:
        """Subscribe to a topic or pattern, from now on, or from `since`: `earliest`, a duration, a time.

        Returns the broker's sentence. Subscribing again changes nothing. Raises TypeError for a datetime without a time zone.
        """
        return self._post("/subscribe", {"topic": _pattern(topic), "from": checks.moment("since", since)})

    def unsubscribe(self, topic: str) -> str:
        """End the subscription to exactly `topic`. Returns the broker's sentence. Raises NotFound when there is none."""
        # a first try of unknown outcome may have done it: then the second finds nothing, as if there had never been any
        sentence = f"{f'{self.username} is' if self.username else 'You are'} not subscribed to topic {topic} (any more)"
        return self._post("/unsubscribe", {"topic": _pattern(topic)}, after_doubt=("no-subscription", sentence))

    def subscriptions(self) -> list[UserSubscription]:
        """What this user is subscribed to."""
        rows: list[UserSubscription] = self._get("/subscriptions", {}).read(list[UserSubscription])
        return rows

    def ack(self, event_id: str, topic: str | None = None) -> str:
        """Move the cursors (of one subscription, or all) to an event id of a stream. Returns the broker's sentence."""
        return self._post("/ack", {"id": checks.text("event_id", event_id), "topic": checks.text_or_none("topic", topic)})

    def confirm(self, message_id: str) -> str:
        """Confirm a message that asks for it (`Message.confirm`). Returns the broker's sentence. Raises NotFound, Refused."""
        return self._post("/confirm", {"id": checks.text("message_id", message_id)})

    def messages(
        self, topic: str | None = None, since: checks.Moment = None, limit: int = limits.PAGE_DEFAULT_MESSAGES
    ) -> MessagePage:
        """Get a page of what this user is subscribed to, after `since` (an event id, `earliest`, a duration, a time).

        None: what is undelivered. Moves no cursor.
        """
        params: dict[str, str | int | None] = {
            "topic": checks.text_or_none("topic", topic),
            "since": checks.moment("since", since),
            "limit": checks.whole("limit", limit),
        }
        return page_of(self._get("/messages", params).read(PageBody))

    def search(
        self,
        words: str,
        topic: str | None = None,
        *,
        since: checks.Moment = None,
        before: checks.Moment = None,
        limit: int = limits.PAGE_DEFAULT_MESSAGES,
    ) -> MessagePage:
        """Get the messages that have all of `words` in text, title, tags or topic, the newest first. Moves no cursor.

        Of what this user is subscribed to, also what was delivered. One call looks at a bounded part of it: ask again with
        `before=page.next` while there is one.
        """
        params: dict[str, str | int | None] = {
            "q": checks.text("words", words),
            "topic": checks.text_or_none("topic", topic),
            "since": checks.moment("since", since),
            "before": checks.moment("before", before),
            "limit": checks.whole("limit", limit),
        }
        return page_of(self._get("/messages", params).read(PageBody))

    def stream(
        self,
        *,
        ack: Acks = True,
        last_event_id: str | None = None,
        on_withdrawn: Callable[[Withdrawal], object] | None = None,
        stop: threading.Event | None = None,
        on_state: Callable[[ConnectionState], None] | None = None,
    ) -> MessageStream:
        """Iterate over what is published, across failures of brokers, until it is closed or `stop` is set.

        `ack`: True counts an item as delivered when the program asks for the next one; `"manual"` when it says `taken`;
        False never. In the iterating thread `on_state` is told how the connection stands, and `on_withdrawn` that a message was
        withdrawn, behind all that came before. A message that takes the place of another one has `replaces`.
        """
        self._stream = MessageStream(
            self.pool,
            self.username,
            ack=ack,
            last_event_id=last_event_id,
            on_withdrawn=on_withdrawn,
            stop=stop,
            on_state=on_state,
            silence=self._silence,
            pause=self._pause,
        )
        return self._stream

    def taken(self, item: Item) -> None:
        """Say that `item` of the latest stream, and all before it, is done with (`ack="manual"`)."""
        if self._stream is None:
            raise BadRequest("no stream was opened: `taken` is about what a stream brought")
        self._stream.taken(item)

    def nodes(self) -> list[Row]:
        """A row a broker, primary first. Raises NoBroker."""
        return self.pool.nodes()

    def close(self) -> None:
        """Close the latest stream and idle connections."""
        if self._stream is not None:
            self._stream.close()
        self.pool.close()

    def __enter__(self) -> Subscriber:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _post(self, path: str, fields: dict[str, str | None], after_doubt: tuple[str, str] = ("", "")) -> str:
        body, kind = form({"username": self.username, **fields})
        answer = self.pool.request(Call("POST", path, params={}, body=body, type=kind), done_code=after_doubt[0])
        return answer.sentence() if answer.status < 300 else after_doubt[1]

    def _get(self, path: str, params: dict[str, str | int | None]) -> BrokerAnswer:
        query = {k: v for k, v in {"username": self.username, **params}.items() if v is not None}
        return self.pool.request(Call("GET", path, query))


def _pattern(topic: str) -> str:
    return names.check_pattern(checks.text("topic", topic))
