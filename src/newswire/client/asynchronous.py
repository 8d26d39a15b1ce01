"""A subscriber for programs of asyncio: the same as `Subscriber`, in a thread of its own.

The library's transport blocks, and what makes streams outlive brokers is in it; a second one for asyncio would be a second
place for each fault. So each stream iterates in one thread, which gives one item at a time when it is asked: an item counts
as taken as everywhere else.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue
from types import TracebackType
from typing import Any, TypeVar, Unpack

from newswire.client import checks
from newswire.client.answers import MessagePage, UserSubscription
from newswire.client.delivery import Acks, Item
from newswire.client.pool import PoolOptions
from newswire.client.stream import MessageStream
from newswire.client.subscriber import Subscriber
from newswire.core import limits
from newswire.core.model.message import Withdrawal

T = TypeVar("T")


class Worker:
    """A thread that makes calls for an event loop, one after the other. A program that ends does not wait for it."""

    def __init__(self, name: str) -> None:
        self.is_stopped = False
        self._calls: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        threading.Thread(target=self._work, name=name, daemon=True).start()

    def run(self, call: Callable[[], T]) -> asyncio.Future[T]:
        """Have `call` made. In the thread of the running event loop. Raises RuntimeError after `stop`."""
        if self.is_stopped:
            raise RuntimeError("it is closed")
        future: Future[T] = Future()
        self._calls.put((future, call))
        return asyncio.wrap_future(future)

    def stop(self) -> None:
        """End the thread behind the calls that were handed to it."""
        self.is_stopped = True
        self._calls.put(None)

    def _work(self) -> None:
        while (job := self._calls.get()) is not None:
            future, call = job
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(call())
                except BaseException as error:  # whoever awaits it is told
                    future.set_exception(error)


class AsyncSubscriber:
    """One user's subscriptions and streams, for one event loop. Arguments and errors are those of `Subscriber`."""

    def __init__(self, brokers: str | Sequence[str], username: str | None = None, **options: Unpack[PoolOptions]) -> None:
        def make() -> Subscriber:
            return Subscriber(brokers, username, **options)

        self._new = make
        self._subscriber: Subscriber = self._new()
        self._worker = Worker("newswire-subscriber")
        self._streams: list[AsyncMessageStream] = []

    async def subscribe(self, topic: str, since: checks.Moment = None) -> str:
        """See `Subscriber.subscribe`."""
        return await self._worker.run(lambda: self._subscriber.subscribe(topic, since))

    async def unsubscribe(self, topic: str) -> str:
        """See `Subscriber.unsubscribe`."""
        return await self._worker.run(lambda: self._subscriber.unsubscribe(topic))

    async def subscriptions(self) -> list[UserSubscription]:
        """See `Subscriber.subscriptions`."""
        return await self._worker.run(self._subscriber.subscriptions)

    async def ack(self, event_id: str, topic: str | None = None) -> str:
        """See `Subscriber.ack`."""
        return await self._worker.run(lambda: self._subscriber.ack(event_id, topic))

    async def confirm(self, message_id: str) -> str:
        """See `Subscriber.confirm`."""
        return await self._worker.run(lambda: self._subscriber.confirm(message_id))

    async def messages(
        self, topic: str | None = None, since: checks.Moment = None, limit: int = limits.PAGE_DEFAULT_MESSAGES
    ) -> MessagePage:
        """See `Subscriber.messages`."""
        return await self._worker.run(lambda: self._subscriber.messages(topic, since, limit))

    async def search(
        self,
        words: str,
        topic: str | None = None,
        *,
        since: checks.Moment = None,
        before: checks.Moment = None,
        limit: int = limits.PAGE_DEFAULT_MESSAGES,
    ) -> MessagePage:
        """See `Subscriber.search`."""
        ask = partial(self._subscriber.search, words, topic, since=since, before=before, limit=limit)
        return await self._worker.run(ask)

    def stream(
        self,
        *,
        ack: Acks = True,
        last_event_id: str | None = None,
        on_withdrawn: Callable[[Withdrawal], object] | None = None,
    ) -> AsyncMessageStream:
        """Iterate with `async for` over what is published, across failures of brokers. See `Subscriber.stream`.

        `on_withdrawn` is called in the thread of the event loop.
        """
        loop, tell = asyncio.get_running_loop(), on_withdrawn
        if on_withdrawn is not None:

            def tell(withdrawal: Withdrawal) -> None:
                loop.call_soon_threadsafe(on_withdrawn, withdrawal)

        subscriber = self._new()
        messages = subscriber.stream(ack=ack, last_event_id=last_event_id, on_withdrawn=tell)
        stream = AsyncMessageStream(messages, subscriber.close)
        self._streams = [one for one in self._streams if not one.is_closed] + [stream]
        return stream

    async def close(self) -> None:
        """Close the streams and idle connections."""
        for stream in self._streams:
            await stream.close()
        if not self._worker.is_stopped:
            end = self._worker.run(self._subscriber.close)
            self._worker.stop()
            await end

    async def __aenter__(self) -> AsyncSubscriber:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class AsyncMessageStream(AsyncIterator[Item]):
    """An iterator for `async for`; made by `AsyncSubscriber.stream`. One task at a time asks for the next item.

    A task that is cancelled while it waits loses nothing: who asks next gets what came meanwhile. In an `async with` block
    leaving it counts the last item as taken; leaving it by an exception does not.
    """

    def __init__(self, stream: MessageStream, close: Callable[[], object]) -> None:
        self._stream = stream
        self._close: Callable[[], object] = close
        self._worker = Worker("newswire-stream")
        self._next: asyncio.Future[Item | None] | None = None  # asked for, and not given to the program
        self.is_closed = False

    def __aiter__(self) -> AsyncMessageStream:
        return self

    async def __anext__(self) -> Item:
        """Wait for the next item; StopAsyncIteration after `close`. Raises what `MessageStream` raises."""
        if self.is_closed:
            raise StopAsyncIteration
        if self._next is None:
            self._next = self._worker.run(lambda: next(self._stream, None))
        await asyncio.wait([self._next])  # who is cancelled leaves it to the next one
        item, self._next = self._next, None
        if (given := item.result()) is None:
            raise StopAsyncIteration
        return given

    async def taken(self, item: Item) -> None:
        """Say that the program is done with `item`, and all before it (`ack="manual"`)."""
        await self._worker.run(lambda: self._stream.taken(item))

    async def close(self) -> None:
        """End the stream; the item that it gave last counts as taken."""
        await self._end(self._stream.close)

    async def __aenter__(self) -> AsyncMessageStream:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._end(self._stream.close if kind is None else self._stream.abandon)

    async def _end(self, end: Callable[[], None]) -> None:
        if self.is_closed:
            return
        self.is_closed = True
        if self._next is not None:  # the program never got what has come, or comes now
            end = self._stream.abandon
            self._stream.interrupt()
        for call in (end, self._close):
            await self._worker.run(call)
        self._worker.stop()
