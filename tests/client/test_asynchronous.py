"""A subscriber for asyncio: what it gives, what counts as taken, and how it ends."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from newswire.client import Message
from newswire.client.asynchronous import AsyncMessageStream, AsyncSubscriber
from newswire.errors import NotFound, NotRegistered
from tests.kit.client_fakes import LIMIT_SECONDS, FakeBroker, Reply, Wire, problem
from tests.kit.waiting import wait_until


def run(program: Coroutine[Any, Any, None]) -> None:
    """In a thread of its own: where browsers were tested before in this process, a loop of theirs is in this one."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, program).result()


def sends(*ids: str, then: Callable[[Wire], None] = Wire.stay) -> Callable[[Wire], None]:
    def script(wire: Wire) -> None:
        wire.open()
        for id in ids:
            wire.message(id)
        then(wire)

    return script


def acks(broker: FakeBroker) -> list[str]:
    return [asked.form["id"] for asked in broker.came("POST", "/ack")]


async def take(stream: AsyncMessageStream) -> str:
    item = await asyncio.wait_for(anext(stream), LIMIT_SECONDS)
    assert isinstance(item, Message)
    return item.id


def test_calls(a: FakeBroker) -> None:
    a.on("POST", "/subscribe", lambda asked: Reply({"message": "Successfully subscribed Alice to topic Google"}))
    a.on("POST", "/unsubscribe", lambda asked: problem(404, "no-subscription"))
    a.on("GET", "/subscriptions", lambda asked: Reply([{"topic": "Google", "unread": 2}]))
    a.on("GET", "/messages", lambda asked: Reply({"messages": [], "more": False}))

    async def program() -> None:
        async with AsyncSubscriber(a.address, "Alice") as alice:
            assert await alice.subscribe("Google", "7d") == "Successfully subscribed Alice to topic Google"
            assert [one.unread for one in await alice.subscriptions()] == [2]
            assert (await alice.messages("Google", since="1h")).messages == ()
            assert await alice.ack("e-1") == "Acknowledged"
            with pytest.raises(NotFound):
                await alice.unsubscribe("Google")

    run(program())
    assert a.came("POST", "/subscribe")[0].form == {"username": "Alice", "topic": "Google", "from": "7d"}


def test_leaving_in_order_counts_the_last_item_as_taken(a: FakeBroker) -> None:
    a.stream(sends("1", "2"))

    async def program() -> None:
        async with AsyncSubscriber(a.address, "Alice") as alice, alice.stream() as stream:
            assert [await take(stream), await take(stream)] == ["1", "2"]

    run(program())
    assert acks(a)[-1] == "e-2"


def test_leaving_by_an_exception_does_not(a: FakeBroker) -> None:
    a.stream(sends("1", "2"))

    async def program() -> None:
        async with AsyncSubscriber(a.address, "Alice") as alice, alice.stream() as stream:
            assert [await take(stream), await take(stream)] == ["1", "2"]
            raise KeyError

    with pytest.raises(KeyError):
        run(program())
    assert acks(a)[-1] == "e-1"


def test_who_is_cancelled_loses_nothing(a: FakeBroker) -> None:
    go = threading.Event()

    def script(wire: Wire) -> None:
        wire.open()
        go.wait(LIMIT_SECONDS)
        wire.message("1")
        wire.stay()

    a.stream(script)

    async def program() -> None:
        async with AsyncSubscriber(a.address, "Alice") as alice, alice.stream() as stream:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(stream), 0.05)
            go.set()
            assert await take(stream) == "1"

    run(program())


def test_what_came_and_was_never_given_is_not_taken(a: FakeBroker) -> None:
    a.stream(sends("1", "2"))

    async def program() -> None:
        async with AsyncSubscriber(a.address, "Alice") as alice:
            stream = alice.stream()
            assert await take(stream) == "1"
            task = asyncio.ensure_future(anext(stream))
            await asyncio.sleep(0)
            task.cancel()
            pending = stream._next
            assert pending is not None
            await asyncio.wait([pending])  # the thread has 2
            await stream.close()
            await stream.close()
            with pytest.raises(StopAsyncIteration):
                await anext(stream)

    run(program())
    assert acks(a)[-1] == "e-1"


def test_closing_ends_who_waits(a: FakeBroker) -> None:
    a.stream(sends())

    async def program() -> None:
        async with AsyncSubscriber(a.address, "Alice") as alice:
            stream = alice.stream()
            task = asyncio.ensure_future(take(stream))
            await asyncio.to_thread(a.wait_for, "GET", "/stream")
            await alice.close()
            with pytest.raises(StopAsyncIteration):
                await task

    run(program())


def test_what_is_final_is_raised_and_what_is_done_is_said(a: FakeBroker) -> None:
    a.on("GET", "/stream", lambda asked: problem(403, "not-registered"))

    async def program() -> None:
        async with AsyncSubscriber(a.address, "Alice") as alice:
            with pytest.raises(NotRegistered):
                await take(alice.stream())

    run(program())
    a._answers.pop(("GET", "/stream"))
    a.stream(sends("1"))

    async def manual() -> None:
        async with AsyncSubscriber(a.address, "Alice") as alice, alice.stream(ack="manual") as stream:
            item = await anext(stream)
            await stream.taken(item)

    run(manual())
    assert acks(a) == ["e-1"]


def test_its_threads_end_with_it(a: FakeBroker) -> None:
    a.stream(sends("1"))

    async def program() -> None:
        async with AsyncSubscriber(a.address, "Alice") as alice, alice.stream() as stream:
            await take(stream)

    run(program())
    wait_until(lambda: not [one for one in threading.enumerate() if one.name.startswith("newswire-s")])


def test_a_withdrawal_is_told_in_the_thread_of_the_loop(a: FakeBroker) -> None:
    def withdraws(wire: Wire) -> None:
        wire.send('event: withdrawn\nid: e-2\ndata: {"topic":"Google","id":"1"}\n\n')
        wire.message("3")
        wire.stay()

    a.stream(sends("1", then=withdraws))
    told: list[tuple[str, int]] = []

    async def program() -> None:
        async with AsyncSubscriber(a.address, "Alice") as alice:
            stream = alice.stream(on_withdrawn=lambda one: told.append((one.id, threading.get_ident())))
            async with stream:
                assert [await take(stream), await take(stream)] == ["1", "3"]
                assert told == [("1", threading.get_ident())]

    run(program())
