"""One stream over its connections: what is given, acknowledged and taken up again, where it goes on, how it ends."""

from __future__ import annotations

import gc
import json
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from newswire.client import ConnectionState, Gap, Message, MessageStream, Subscriber, Withdrawal
from newswire.client.deadline import Deadline
from newswire.core import limits
from newswire.errors import BadRequest, NotRegistered, Refused
from tests.kit.client_fakes import LIMIT_SECONDS, Asked, FakeBroker, FakeTime, Reply, Wire, problem, row
from tests.kit.waiting import wait_until


class Alice:
    """A subscriber on a clock of its own, and what its stream said of its connection."""

    def __init__(self, *brokers: FakeBroker, silence: float = LIMIT_SECONDS) -> None:
        self.time = FakeTime()
        self.states: list[ConnectionState] = []
        self.subscriber = Subscriber(
            [x.address for x in brokers],
            "Alice",
            silence=silence,
            clock=self.time.clock,
            sleep=self.time.sleep,
            chance=lambda: 0.0,
        )

    def stream(self, **more: Any) -> MessageStream:
        return self.subscriber.stream(on_state=self.states.append, **more)

    @property
    def told(self) -> list[tuple[str, str]]:
        return [(s.kind, s.broker) for s in self.states]


def take(stream: MessageStream, count: int) -> list[str]:
    found = []
    for _ in range(count):
        item = next(stream)
        assert isinstance(item, Message)
        found.append(item.id)
    return found


def sends(*ids: str, then: Callable[[Wire], None] = Wire.stay) -> Callable[[Wire], None]:
    """A script: open, send messages, then stay (or end, or reset)."""

    def script(wire: Wire) -> None:
        wire.open()
        for id in ids:
            wire.message(id)
        then(wire)

    return script


def resumed(broker: FakeBroker) -> list[str | None]:
    return [asked.headers.get("last-event-id") for asked in broker.came("GET", "/stream")]


def acks(broker: FakeBroker) -> list[str]:
    return [asked.form["id"] for asked in broker.came("POST", "/ack")]


def is_acknowledging(stream: MessageStream) -> bool:
    return stream._ack is not None and stream._ack.is_alive()


# -- one connection


def test_messages_come_as_they_are_sent(a: FakeBroker) -> None:
    a.stream(sends("1", "2"))
    alice = Alice(a)
    with alice.stream() as stream:
        assert next(stream) == Message("1", "e-1", topic="Google", data="1")
        assert take(stream, 1) == ["2"]
    (asked,) = a.came("GET", "/stream")
    assert asked.query == {"username": "Alice", "format": "json", "ack": "client", "follow": "1"}
    assert asked.headers["accept"] == "text/event-stream"
    assert "last-event-id" not in asked.headers
    assert alice.told == [("live", a.address)]
    assert alice.states[0].detail == f"live at 1001 ({a.address})"


@pytest.mark.parametrize("chunked", [True, False])
def test_a_short_message_shows_before_anything_follows_it(a: FakeBroker, chunked: bool) -> None:
    shown = threading.Event()
    in_time: list[bool] = []

    def script(wire: Wire) -> None:
        wire.open(chunked=chunked)
        wire.message("1")
        in_time.append(shown.wait(LIMIT_SECONDS))
        wire.message("2")
        wire.stay()

    a.stream(script)
    with Alice(a).stream() as stream:
        assert take(stream, 1) == ["1"]
        shown.set()
        assert take(stream, 1) == ["2"]
    assert in_time == [True]


def test_a_message_in_many_pieces_and_many_in_one(a: FakeBroker) -> None:
    def script(wire: Wire) -> None:
        wire.open()
        data = 'data: {"id":"1","event_id":"e-1","topic":"G","data":"Grüße 🎉"}\r\n\r\n'.encode()
        for at in range(len(data)):
            wire._write(b"1\r\n" + data[at : at + 1] + b"\r\n")
        many = [json.dumps({"id": str(n), "event_id": f"e-{n}", "topic": "G"}) for n in range(2, 2000)]
        wire.send("".join(f"data: {one}\n\n" for one in many))
        wire.stay()

    a.stream(script)
    with Alice(a).stream() as stream:
        first = next(stream)
        assert isinstance(first, Message)
        assert first.data == "Grüße 🎉"
        assert take(stream, 1998) == [str(n) for n in range(2, 2000)]


def test_a_gap_is_given_to_the_program(a: FakeBroker) -> None:
    def script(wire: Wire) -> None:
        wire.open()
        wire.gap("Google", 12, "e-12")
        wire.message("13")
        wire.stay()

    a.stream(script)
    with Alice(a).stream() as stream:
        assert next(stream) == Gap("Google", 12, "e-12")
        take(stream, 1)
        a.wait_for("POST", "/ack")
    assert acks(a) == ["e-12", "e-13"]


def test_a_withdrawal_is_told_in_its_place_and_is_no_item(a: FakeBroker) -> None:
    def script(wire: Wire) -> None:
        wire.open()
        wire.message("12")
        wire.send('event: withdrawn\nid: e-13\ndata: {"topic":"Google","id":"12"}\n\n')
        wire.message("14", replaces="11", original="9")
        wire.stay()

    a.stream(script)
    told: list[Withdrawal] = []
    with Alice(a).stream(on_withdrawn=told.append) as stream:
        assert take(stream, 1) == ["12"]
        assert told == []
        (newer,) = [next(stream)]
        assert isinstance(newer, Message)
        assert (newer.replaces, newer.original) == ("11", "9")
        assert told == [Withdrawal("Google", "12", "", "e-13")]


def test_a_start_from_an_event_id(a: FakeBroker) -> None:
    a.stream(sends("8"))
    with Alice(a).stream(last_event_id="e-7") as stream:
        take(stream, 1)
    assert resumed(a) == ["e-7"]
    for unfit in ("e\r\nX: y", "é", "e" * (limits.EVENT_ID_CHARS + 1)):
        with pytest.raises(BadRequest):
            Alice(a).stream(last_event_id=unfit)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [(403, "not-registered", NotRegistered), (401, "unauthenticated", Refused), (400, "bad-username", BadRequest)],
)
def test_what_is_final_is_raised(a: FakeBroker, b: FakeBroker, status: int, code: str, kind: type[Exception]) -> None:
    a.on("GET", "/stream", lambda asked: problem(status, code))
    with pytest.raises(kind), Alice(a, b).stream() as stream:
        next(stream)
    assert b.asked == []


# -- acknowledgement


def test_taken_is_acknowledged_in_one_go_and_at_the_end(a: FakeBroker) -> None:
    def script(wire: Wire) -> None:
        wire.open()
        wire.send("".join(f'data: {{"id":"{n}","event_id":"e-{n}","topic":"G"}}\n\n' for n in range(1, 101)))
        wire.stay()

    a.stream(script)
    with Alice(a).stream() as stream:  # the clock stands still, so there is no second time for one
        take(stream, 100)
        assert acks(a) == []  # what was read is given first
    assert acks(a) == ["e-100"]
    assert a.came("POST", "/ack")[0].form == {"username": "Alice", "id": "e-100"}


def test_an_item_that_the_program_failed_on_is_not_taken(a: FakeBroker) -> None:
    a.stream(sends("1", "2"))

    def work() -> None:
        with Alice(a).stream() as stream:
            for item in stream:
                if isinstance(item, Message) and item.id == "2":
                    raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    assert acks(a) == ["e-1"]


def test_a_refused_or_lost_acknowledgement_stops_nothing(a: FakeBroker) -> None:
    replies = iter([problem(503, "not-ready"), None, problem(400, "bad-event-id"), Reply({"message": "Acknowledged"})])
    a.on("POST", "/ack", lambda asked: next(replies))
    come = threading.Semaphore(1)

    def script(wire: Wire) -> None:
        wire.open()
        for id in ("1", "2", "3", "4"):
            assert come.acquire(timeout=LIMIT_SECONDS)
            wire.message(id)
        wire.stay()

    a.stream(script)
    alice = Alice(a)
    with alice.stream() as stream:
        for number, id in enumerate(("1", "2", "3", "4")):
            assert take(stream, 1) == [id]
            wait_until(lambda number=number: len(acks(a)) == number and not is_acknowledging(stream))  # type: ignore[misc]
            alice.time.now += limits.CLIENT_SIDE_SECONDS
            come.release()
    assert acks(a) == ["e-1", "e-2", "e-3", "e-4"]
    assert resumed(a) == [None]


def test_by_hand(a: FakeBroker) -> None:
    a.stream(sends("1", "2", "3", then=Wire.reset), sends("2", "3", "4"))
    alice = Alice(a)
    with alice.stream(ack="manual") as stream:
        first = next(stream)
        take(stream, 2)
        alice.subscriber.taken(first)
        assert take(stream, 1) == ["4"]
    assert acks(a) == ["e-1"]
    assert resumed(a) == [None, "e-1"]


def test_a_stream_that_only_looks_leaves_no_trace(a: FakeBroker) -> None:
    a.stream(sends("1", then=Wire.reset), sends("1", "2"))
    with Alice(a).stream(ack=False) as stream:
        assert take(stream, 2) == ["1", "2"]
    assert acks(a) == []
    assert resumed(a) == [None, None]


def test_the_last_acknowledgement_goes_to_the_other_broker_when_this_one_is_gone(a: FakeBroker, b: FakeBroker) -> None:
    a.stream(sends("1"))
    with Alice(a, b).stream() as stream:
        take(stream, 1)
        a.down()
    assert acks(b) == ["e-1"]


# -- failures


@pytest.mark.parametrize("end", [Wire.reset, Wire.end, lambda wire: None])
def test_a_broken_connection_goes_on_at_the_other_broker(a: FakeBroker, b: FakeBroker, end: Callable[[Wire], None]) -> None:
    a.stream(sends("1", "2", then=end))
    b.stream(sends("2", "3"))
    alice = Alice(a, b)
    with alice.stream() as stream:
        assert take(stream, 3) == ["1", "2", "3"]
    assert resumed(b) == ["e-2"]
    assert alice.told == [("live", a.address), ("lost", a.address), ("live", b.address)]
    assert alice.time.slept == []


def test_what_a_new_connection_says_needs_no_acknowledgement(a: FakeBroker, b: FakeBroker) -> None:
    def script(wire: Wire) -> None:
        wire.open(retry=60_000)
        wire.message("1")
        wire.message("2")
        wire.reset()

    a.stream(script)
    b.stream(sends("3"))
    alice = Alice(a, b)

    def told(state: ConnectionState) -> None:
        alice.time.now += 1  # long enough for an acknowledgement to be due

    with alice.subscriber.stream(on_state=told) as stream:
        assert take(stream, 3) == ["1", "2", "3"]
    assert resumed(b) == ["e-2"]
    assert acks(b) == ["e-3"]
    assert "e-2" not in acks(a)  # a broker that we do not hear any more is not waited for


def test_a_message_cut_off_in_the_middle_is_not_given_half(a: FakeBroker, b: FakeBroker) -> None:
    def script(wire: Wire) -> None:
        wire.open()
        wire.message("1")
        wire.send('id: e-2\ndata: {"id":"2","event_id":"e-2","topic":"G"}\n')
        wire.reset()

    a.stream(script)
    b.stream(sends("2"))
    with Alice(a, b).stream() as stream:
        assert take(stream, 2) == ["1", "2"]
    assert resumed(b) == ["e-1"]


def test_an_event_that_cannot_be_read_is_a_broken_connection(a: FakeBroker, b: FakeBroker) -> None:
    def script(wire: Wire) -> None:
        wire.open()
        wire.message("1")
        wire.send('id: e-2\ndata: <html>\n\ndata: {"id":"3","event_id":"e-3","topic":"G"}\n\n')
        wire.stay()

    a.stream(script)
    b.stream(sends("2"))
    with Alice(a, b).stream() as stream:
        assert take(stream, 2) == ["1", "2"]
    assert resumed(b) == ["e-1"]


def test_a_silent_connection_is_left(a: FakeBroker, b: FakeBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    a.stream(sends("1"))
    b.stream(sends("1", "2"))
    alice = Alice(a, b, silence=LIMIT_SECONDS)
    waits: list[float] = []  # of the next reads, in place of the time that each may last
    seconds_left = Deadline.seconds_left

    def left(deadline: Deadline) -> float:
        seconds = seconds_left(deadline)
        if deadline._end is None:  # that of an open stream
            assert seconds == LIMIT_SECONDS
            return waits.pop() if waits else seconds
        return seconds

    monkeypatch.setattr(Deadline, "seconds_left", left)
    with alice.stream() as stream:
        assert take(stream, 1) == ["1"]
        heard = alice.time.now
        waits.append(0.05)
        assert take(stream, 1) == ["2"]
    assert alice.told == [("live", a.address), ("silent", a.address), ("live", b.address)]
    silent = alice.states[1]
    assert (silent.broker_id, silent.since) == ("1001", heard)


def test_a_dead_primary_at_the_start(a: FakeBroker, b: FakeBroker) -> None:
    a.down()
    b.stream(sends("1"))
    alice = Alice(a, b)
    with alice.stream() as stream:
        assert take(stream, 1) == ["1"]
    assert alice.told == [("lost", a.address), ("live", b.address)]


@pytest.mark.parametrize(
    "answer",
    [
        problem(503, "not-ready"),
        problem(500, "internal"),
        problem(404, "not-found"),
        Reply(b"<html>", 200),
        problem(429, "too-many"),
    ],
)
def test_what_is_not_final_is_tried_elsewhere(a: FakeBroker, b: FakeBroker, answer: Reply) -> None:
    a.on("GET", "/stream", lambda asked: answer)
    b.stream(sends("1"))
    with Alice(a, b).stream() as stream:
        assert take(stream, 1) == ["1"]


def test_something_that_is_no_broker_is_passed_over(a: FakeBroker, b: FakeBroker) -> None:
    a.on("GET", "/list_replicas", lambda asked: Reply(b"<html>It works!</html>"))
    b.stream(sends("1"))
    with Alice(a, b).stream() as stream:
        assert take(stream, 1) == ["1"]
    assert a.came("GET", "/stream") == []


def test_a_broker_that_is_there_alone_is_tried_for_ever(a: FakeBroker) -> None:
    tries = 50
    answers = iter([problem(503, "not-ready")] * tries)
    a.on("GET", "/list_replicas", lambda asked: next(answers, Reply([row(a, is_primary=True, self=True)])))
    a.stream(sends("1"))
    alice = Alice(a)
    with alice.stream() as stream:
        assert take(stream, 1) == ["1"]
    assert len(alice.time.slept) == tries
    assert max(alice.time.slept) == pytest.approx(limits.BACKOFF_MOST_SECONDS)
    assert [s.kind for s in alice.states] == ["lost", "waiting"] * tries + ["live"]


def test_a_broker_that_answers_but_opens_no_stream_is_asked_less_and_less(a: FakeBroker) -> None:
    answers = [problem(503, "not-ready")] * 9
    a.on("GET", "/stream", lambda asked: answers.pop() if answers else problem(403, "not-registered"))
    alice = Alice(a)
    with pytest.raises(NotRegistered), alice.stream() as stream:
        next(stream)
    assert alice.time.slept[:3] == pytest.approx([0.1, 0.2, 0.4])
    assert alice.time.slept[-1] == pytest.approx(limits.BACKOFF_MOST_SECONDS)


def test_a_stream_that_was_live_ends_the_back_off(a: FakeBroker) -> None:
    def closes_at_once(wire: Wire) -> None:
        wire.start()
        wire.end()

    def short(wire: Wire) -> None:
        wire.open(retry=0)
        wire.end()

    a.stream(*[closes_at_once] * 4, short, sends("1"))
    alice = Alice(a)
    with alice.stream() as stream:
        assert take(stream, 1) == ["1"]
    assert alice.time.slept == pytest.approx([0.1, 0.2, 0.4, 0.8, 0.1])


def test_not_now_is_honoured(a: FakeBroker) -> None:
    def not_now(wire: Wire) -> None:
        wire.start()
        wire.send("retry: 7000\n: a member is away\n\n")
        wire.end()

    a.stream(not_now, sends("1"))
    alice = Alice(a)
    with alice.stream() as stream:
        assert take(stream, 1) == ["1"]
    assert alice.time.slept == [7.0]


def test_a_stream_that_makes_room_stays_away_for_as_long_as_it_is_asked_to(a: FakeBroker, b: FakeBroker) -> None:
    """And goes on at another broker at once, if there is one."""

    def makes_room(wire: Wire) -> None:
        wire.open()
        wire.send("retry: 20000\n: another stream takes the place of this one\n\n")
        wire.end()

    a.stream(makes_room, sends("1"))
    alone = Alice(a)
    with alone.stream() as stream:
        assert take(stream, 1) == ["1"]
    assert alone.time.slept == [20.0]
    a.stream(makes_room, sends("never"))
    b.stream(sends("2"))
    alice = Alice(a, b)
    with alice.stream() as stream:
        assert take(stream, 1) == ["2"]
    assert alice.time.slept == []


def test_learned_brokers_carry_a_stream(a: FakeBroker, b: FakeBroker) -> None:
    a.rows = [row(a, is_primary=True, self=True), row(b)]
    a.stream(sends("1", then=lambda wire: a.down()))
    b.stream(sends("2"))
    with Alice(a).stream() as stream:
        assert take(stream, 2) == ["1", "2"]


# -- moving


def test_a_leaving_broker_names_the_next(a: FakeBroker, b: FakeBroker) -> None:
    def leaving(wire: Wire) -> None:
        wire.open()
        wire.message("1")
        wire.send(f"event: moved\ndata: {json.dumps({'to': b.address})}\n\n")
        wire.stay()

    a.stream(leaving)
    b.stream(sends("2"))
    alice = Alice(a)  # knows B from the event alone
    with alice.stream() as stream:
        assert take(stream, 2) == ["1", "2"]
    assert resumed(b) == ["e-1"]
    assert alice.told == [("live", a.address), ("moving", b.address), ("live", b.address)]


def test_a_leaving_broker_that_names_nobody(a: FakeBroker, b: FakeBroker) -> None:
    def leaving(wire: Wire) -> None:
        wire.open()
        wire.send("event: moved\ndata: {}\n\n")
        wire.stay()

    a.stream(leaving)
    b.stream(sends("1"))
    with Alice(a, b).stream() as stream:
        assert take(stream, 1) == ["1"]


def told_to_move(to: str, *ids: str) -> Callable[[Wire], None]:
    """A script: send these, say that there is more room at `to`, and go on with one more."""

    def script(wire: Wire) -> None:
        wire.open()
        for id in ids:
            wire.message(id)
        wire.send(f"event: moved\ndata: {json.dumps({'to': to, 'reason': 'load'})}\n\n")
        wire.message(f"{ids[-1]}+")
        wire.stay()

    return script


def test_where_there_is_more_room_nothing_is_lost_or_given_twice(a: FakeBroker, b: FakeBroker) -> None:
    a.stream(told_to_move(b.address, "1", "2"))
    b.stream(sends("2", "2+", "3"))  # from what was taken on: the one in hand comes again
    alice = Alice(a)
    with alice.stream() as stream:
        assert take(stream, 4) == ["1", "2", "2+", "3"]
    assert resumed(b) == ["e-2"]
    assert alice.told == [("live", a.address), ("moving", b.address), ("live", b.address)]


def test_who_does_not_reach_the_broker_with_more_room_stays_and_asks_once(a: FakeBroker, b: FakeBroker) -> None:
    b.down()
    a.stream(told_to_move(b.address, "1"))
    alice = Alice(a)
    with alice.stream() as stream:
        assert take(stream, 2) == ["1", "1+"]
        assert alice.told == [("live", a.address)]
        stream._follow(b.address)
    assert len(a.came("GET", "/stream")) == 1
    assert (b.came("GET", "/list_replicas"), b.came("GET", "/stream")) == ([], [])


def test_who_is_refused_where_there_is_more_room_stays(a: FakeBroker, b: FakeBroker) -> None:
    a.stream(told_to_move(b.address, "1"))
    b.on("GET", "/stream", lambda asked: problem(403, "not-registered"))
    with Alice(a).stream() as stream:
        assert take(stream, 2) == ["1", "1+"]
    assert len(b.came("GET", "/stream")) == 1


def test_who_only_looks_is_sent_nowhere(a: FakeBroker) -> None:
    a.stream(sends("1"))
    with Alice(a).stream(ack=False) as stream:
        take(stream, 1)
    assert "follow" not in a.came("GET", "/stream")[0].query


def test_of_many_streams_one_begins_where_there_is_room(a: FakeBroker, b: FakeBroker) -> None:
    rows = [row(a, is_primary=True, streams=1_000, streams_limit=1_000), row(b, streams=0, streams_limit=1_000)]
    a.rows = [{**rows[0], "self": True}, rows[1]]
    b.rows = [rows[0], {**rows[1], "self": True}]
    b.stream(sends("1"))
    alice = Alice(a)
    with alice.stream() as stream:
        assert take(stream, 1) == ["1"]
        alice.time.now += 10 * limits.CLIENT_LOOK_AWAY_SECONDS
        stream._go_home()
    assert a.came("GET", "/stream") == []
    assert alice.told == [("live", b.address)]


def test_of_many_streams_one_begins_at_the_primary_where_the_other_is_not_reached(a: FakeBroker, b: FakeBroker) -> None:
    a.rows = [
        row(a, is_primary=True, streams=900, streams_limit=1_000, self=True),
        row(b, streams=0, streams_limit=1_000),
    ]
    b.down()
    a.stream(sends("1"))
    with Alice(a).stream() as stream:
        assert take(stream, 1) == ["1"]


def test_home_to_the_primary_when_it_is_back(a: FakeBroker, b: FakeBroker) -> None:
    alice = Alice(a, b)
    come = threading.Semaphore(0)

    def at_b(wire: Wire) -> None:
        wire.open()
        wire.message("1")
        while come.acquire(timeout=LIMIT_SECONDS):
            wire.keepalive()

    a.down()
    b.rows = [row(a, state="down"), row(b, is_primary=True, self=True)]
    b.stream(at_b)
    a.stream(sends("1", "2"))
    with alice.stream() as stream:
        assert take(stream, 1) == ["1"]
        a.up()
        a.rows = [row(a, is_primary=True, self=True), row(b)]
        b.rows = [row(a, is_primary=True), row(b, self=True)]
        alice.time.now += limits.CLIENT_LOOK_AWAY_SECONDS
        come.release()
        assert take(stream, 1) == ["2"]
        come.release(3)  # B notices that nobody listens
    assert resumed(a) == ["e-1"]
    assert alice.told[-3:] == [("live", b.address), ("moving", a.address), ("live", a.address)]


def test_not_home_while_the_primary_catches_up_or_does_not_open(a: FakeBroker, b: FakeBroker) -> None:
    alice = Alice(a, b)
    come = threading.Semaphore(0)

    def at_b(wire: Wire) -> None:
        wire.open()
        for id in range(1, 6):
            assert come.acquire(timeout=LIMIT_SECONDS)
            wire.message(str(id))
        wire.stay()

    a.down()
    b.rows = [row(a, state="down"), row(b, is_primary=True, self=True)]
    b.stream(at_b)
    with alice.stream() as stream:
        come.release()
        take(stream, 1)
        b.rows = [row(a, is_primary=True, state="catching-up"), row(b, self=True)]
        alice.time.now += limits.CLIENT_LOOK_AWAY_SECONDS
        come.release()
        take(stream, 1)
        assert len(b.came("GET", "/list_replicas")) == 2
        b.rows = [row(a, is_primary=True), row(b, self=True)]  # up, they say, but it is not reachable from here
        alice.time.now += limits.CLIENT_LOOK_AWAY_SECONDS
        come.release()
        assert take(stream, 1) == ["3"]
        come.release()
        assert take(stream, 1) == ["4"]
        assert len(b.came("GET", "/list_replicas")) == 3  # not once a message
        a.up()
        a.on("GET", "/stream", lambda asked: problem(503, "not-ready"))
        alice.time.now += limits.CLIENT_LOOK_AWAY_SECONDS
        come.release()
        assert take(stream, 1) == ["5"]
        assert len(a.came("GET", "/stream")) == 1
        assert len(b.came("GET", "/list_replicas")) == 4
    assert alice.told == [("lost", a.address), ("live", b.address)]


def test_at_home_nobody_is_asked_all_the_time(a: FakeBroker) -> None:
    alice = Alice(a)
    a.stream(sends(*map(str, range(100))))
    with alice.stream() as stream:
        for _ in range(100):
            take(stream, 1)
            alice.time.now += 0.5
    assert len(a.came("GET", "/list_replicas")) == 1


# -- the end


def test_an_acknowledgement_that_takes_long_holds_up_nothing(a: FakeBroker) -> None:
    """And there is one at a time: what is taken meanwhile is said by the next."""
    go = threading.Event()

    def answer(asked: Asked) -> Reply:
        assert go.wait(LIMIT_SECONDS)
        return Reply({"message": "Acknowledged"})

    a.on("POST", "/ack", answer)
    come = threading.Semaphore(0)

    def script(wire: Wire) -> None:
        wire.open()
        for number in range(5):
            wire.message(str(number))
            assert come.acquire(timeout=LIMIT_SECONDS)
        wire.stay()

    a.stream(script)
    alice = Alice(a)
    with alice.stream() as stream:
        for number in range(5):
            assert take(stream, 1) == [str(number)]
            alice.time.now += limits.CLIENT_SIDE_SECONDS
            come.release()
        a.wait_for("POST", "/ack")
        assert acks(a) == ["e-0"]
        go.set()
    assert acks(a) == ["e-0", "e-4"]


def in_thread(stream: MessageStream) -> tuple[threading.Thread, list[Any]]:
    got: list[Any] = []
    thread = threading.Thread(target=lambda: got.extend(stream), daemon=True)
    thread.start()
    return thread, got


def test_closing_from_another_thread_ends_a_blocked_read(a: FakeBroker) -> None:
    waiting = threading.Event()

    def script(wire: Wire) -> None:
        wire.open()
        wire.message("1")
        waiting.set()
        wire.stay()

    a.stream(script)
    stream = Alice(a, silence=3600).stream()
    thread, got = in_thread(stream)
    a.wait_for("POST", "/ack")  # the reader is on its way into the next read
    assert waiting.wait(LIMIT_SECONDS)
    stream.close()
    thread.join(LIMIT_SECONDS)
    assert not thread.is_alive()
    assert [m.id for m in got] == ["1"]
    with pytest.raises(StopIteration):
        next(stream)


def test_closing_on_the_way_home_ends_the_stream_too(a: FakeBroker, b: FakeBroker) -> None:
    b.rows = [row(a, state="down"), row(b, is_primary=True, self=True)]
    b.stream(sends("1"))
    alice = Alice(b, silence=3600)
    stream = alice.stream()
    take(stream, 1)

    def closes(wire: Wire) -> None:
        stream.close()  # while the client waits for the head
        wire.start()
        wire.stay()

    a.stream(closes)
    b.rows = a.rows = [row(a, is_primary=True), row(b)]
    alice.time.now += 2 * limits.CLIENT_LOOK_HOME_SECONDS
    thread, got = in_thread(stream)
    thread.join(LIMIT_SECONDS / 2)  # before the broker gives up
    assert not thread.is_alive()
    assert got == []


def test_the_stop_event_ends_a_blocked_read(a: FakeBroker) -> None:
    a.stream(sends("1"))
    stop = threading.Event()
    thread, got = in_thread(Alice(a, silence=3600).stream(stop=stop))
    a.wait_for("POST", "/ack")
    stop.set()
    thread.join(LIMIT_SECONDS)
    assert not thread.is_alive()
    assert [m.id for m in got] == ["1"]


def test_the_stop_event_ends_the_wait_for_a_broker(a: FakeBroker) -> None:
    a.down()
    stop, waits = threading.Event(), threading.Event()
    subscriber = Subscriber(a.address, "Alice")  # real waiting, which only the stop can cut short
    stream = subscriber.stream(stop=stop, on_state=lambda s: waits.set() if s.kind == "waiting" else None)
    thread, got = in_thread(stream)
    assert waits.wait(LIMIT_SECONDS)
    stop.set()
    thread.join(LIMIT_SECONDS)
    assert not thread.is_alive()
    assert got == []


def test_a_stream_that_was_closed_before_it_began(a: FakeBroker) -> None:
    stream = Alice(a).stream()
    stream.close()
    assert list(stream) == []
    assert a.asked == []


class Polled(threading.Event):
    """An event that tells when somebody waits for it, and never makes him wait long."""

    def __init__(self) -> None:
        super().__init__()
        self.polls = threading.Semaphore(0)

    def wait(self, timeout: float | None = None) -> bool:
        self.polls.release()
        return super().wait(0.005)


def test_a_stream_that_is_dropped_can_go_though_its_stop_event_lives(a: FakeBroker) -> None:
    a.stream(sends("1"))
    stop = Polled()
    stream = MessageStream(Alice(a).subscriber.pool, "Alice", stop=stop)
    take(stream, 1)
    for _ in range(2):  # the watcher has had it in its hands once
        assert stop.polls.acquire(timeout=LIMIT_SECONDS)
    gone = weakref.ref(stream)
    del stream
    tries = 500
    while gone() is not None and tries:  # and may have it for a moment again
        gc.collect()
        tries -= stop.polls.acquire(timeout=LIMIT_SECONDS)
    assert gone() is None


def test_leaving_the_subscriber_closes_its_stream_and_says_what_was_taken(a: FakeBroker) -> None:
    a.stream(sends("1"))
    with Alice(a).subscriber as subscriber:
        for _ in subscriber.stream():
            break
    assert acks(a) == ["e-1"]


@pytest.mark.parametrize("opened", [False, True])
def test_why_a_broker_ends_a_stream_is_told_in_its_words(a: FakeBroker, b: FakeBroker, opened: bool) -> None:
    def ends(wire: Wire) -> None:
        wire.open() if opened else wire.start()
        wire.send("retry: 5000\n: 20 streams of this user are open, which is the limit; close one\n\n")
        wire.end()

    a.stream(ends)
    b.stream(sends("1"))
    alice = Alice(a, b)
    with alice.stream() as stream:
        assert take(stream, 1) == ["1"]
    (lost,) = [state for state in alice.states if state.kind == "lost"]
    assert lost.detail == f"1001 ({a.address}): 20 streams of this user are open, which is the limit; close one"


def test_a_refusal_of_something_that_is_no_broker_is_not_final(a: FakeBroker, b: FakeBroker) -> None:
    a.on("GET", "/stream", lambda asked: Reply(b"<html>Forbidden</html>", 403))
    b.stream(sends("1"))
    with Alice(a, b).stream() as stream:
        assert take(stream, 1) == ["1"]


def test_what_an_exception_gives_back_is_not_taken_when_the_subscriber_is_closed(a: FakeBroker) -> None:
    a.stream(sends("1", "2"))
    alice = Alice(a)
    with pytest.raises(KeyError), alice.subscriber, alice.stream() as stream:
        assert take(stream, 2) == ["1", "2"]
        raise KeyError
    assert acks(a)[-1] == "e-1"
