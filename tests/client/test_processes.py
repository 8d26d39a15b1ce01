"""The client library across `fork`, and under a log handler that publishes what it is given."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from newswire.client import MessageStream, Publisher, Subscriber
from newswire.client.log_handler import NewswireHandler
from newswire.client.unreached import Unreached
from newswire.core import limits
from tests.kit.client_fakes import Asked, FakeBroker, Reply, Wire
from tests.kit.waiting import PATIENCE_SECONDS

ROUNDS = 40


def echo(asked: Asked) -> Reply:
    """A receipt that names what was published."""
    return Reply({"message": asked.json["data"], "id": asked.json["data"], "copies": 1})


def in_a_child(work: Callable[[], None]) -> int:
    """Run `work` in a fork; its exit code, 1 if it raised."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_each_process_gets_its_own_receipts(a: FakeBroker) -> None:
    a.on("POST", "/publish", echo)
    publisher = Publisher(a.address)
    publisher.publish("t", "before")  # the connection that a child would share

    def publish(who: str) -> None:
        for number in range(ROUNDS):
            assert publisher.publish("t", f"{who} {number}").id == f"{who} {number}"

    pids = []
    for who in ("one", "two"):
        pid = os.fork()
        if pid == 0:
            try:
                publish(who)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        pids.append(pid)
    publish("parent")
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids] == [0, 0]
    assert Counter(asked.json["data"] for asked in a.came("POST", "/publish")).most_common(1)[0][1] == 1
    assert len(a.came("POST", "/publish")) == 3 * ROUNDS + 1


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_child_waits_for_what_it_published_itself(a: FakeBroker) -> None:
    held, go = threading.Event(), threading.Event()

    def answer(asked: Asked) -> Reply:
        if asked.json["data"] == "parent":
            held.set()
            assert go.wait(PATIENCE_SECONDS)
        return echo(asked)

    a.on("POST", "/publish", answer)
    publisher = Publisher(a.address)
    mine = publisher.publish_later("t", "parent")
    assert held.wait(PATIENCE_SECONDS)

    def publish() -> None:
        receipt = publisher.publish_later("t", "child")
        publisher.flush()
        assert receipt.result(0).id == "child"
        publisher.close()

    assert in_a_child(publish) == 0
    go.set()
    assert mine.result(PATIENCE_SECONDS).id == "parent"


def test_a_program_that_ends_waits_for_what_it_published(a: FakeBroker) -> None:
    a.on("POST", "/publish", echo)
    program = """if True:
        import sys
        from newswire import Publisher
        Publisher(sys.argv[1]).publish_later("t", "last words")
        sys.exit(3)
    """
    assert subprocess.run([sys.executable, "-c", program, a.address], check=False, timeout=PATIENCE_SECONDS).returncode == 3
    assert [asked.json["data"] for asked in a.came("POST", "/publish")] == ["last words"]


def alive(a: FakeBroker, ids: list[str], also: threading.Event | None = None) -> Callable[[Wire], None]:
    """A script that sends messages and stays open (until it is told to send one more)."""

    def script(wire: Wire) -> None:
        wire.open()
        for id in ids:
            wire.message(id)
        if also is not None:
            assert also.wait(PATIENCE_SECONDS)
            wire.message("last")
        wire.stay()

    return script


def take(stream: MessageStream, count: int) -> list[str]:
    return [next(stream).id for _ in range(count)]  # type: ignore[union-attr]


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_child_that_goes_on_reading_connects_for_itself(a: FakeBroker) -> None:
    more = threading.Event()
    a.stream(alive(a, ["1", "2"], more), alive(a, ["2", "3"]))
    subscriber = Subscriber(a.address, "alice")
    with subscriber.stream() as stream:
        assert take(stream, 2) == ["1", "2"]

        def read_on() -> None:
            assert take(stream, 1) == ["3"]  # 2 is a repeat
            stream.close()

        assert in_a_child(read_on) == 0
        more.set()
        assert take(stream, 1) == ["last"]  # the parent's connection has stayed
    assert len(a.came("GET", "/stream")) == 2
    assert [asked.headers.get("last-event-id") for asked in a.came("GET", "/stream")] == [None, "e-2"]


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
@pytest.mark.parametrize("ending", ["close", "leave", "fail", "forget"])
def test_a_child_that_only_ends_says_nothing(a: FakeBroker, ending: str) -> None:
    more = threading.Event()
    a.stream(alive(a, ["1", "2"], more))
    stop = threading.Event()
    subscriber = Subscriber(a.address, "alice")
    stream = subscriber.stream(stop=stop)
    assert take(stream, 2) == ["1", "2"]
    said = len(a.wait_for("POST", "/ack"))

    def end() -> None:
        if ending == "close":
            stream.close()
            subscriber.close()
        elif ending == "leave":
            with subscriber, stream:
                pass
        elif ending == "fail":
            with pytest.raises(ZeroDivisionError), subscriber, stream:
                raise ZeroDivisionError

    assert in_a_child(end) == 0
    assert len(a.came("POST", "/ack")) == said
    more.set()
    assert take(stream, 1) == ["last"]
    stream.close()
    subscriber.close()
    assert a.came("POST", "/ack")[-1].form["id"] == "e-last"


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_childs_stream_ends_when_its_stop_event_is_set(a: FakeBroker) -> None:
    """The thread that looks at the event does not survive a fork, and a lock may be held at it."""
    a.stream(alive(a, ["1"]), alive(a, ["2"]))
    stop = threading.Event()
    stream = Subscriber(a.address, "alice").stream(stop=stop)
    assert take(stream, 1) == ["1"]

    def read_until_stopped() -> None:
        assert take(stream, 1) == ["2"]
        threading.Timer(0.1, stop.set).start()
        assert list(stream) == []

    with stream._lock:
        assert in_a_child(read_until_stopped) == 0
    stream.close()


# -- logging


class Publishing(logging.Handler):
    """Publishes each record."""

    def __init__(self, publisher: Publisher) -> None:
        super().__init__(logging.DEBUG)
        self.publisher = publisher
        self.depth = self.deepest = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.depth += 1
        self.deepest = max(self.depth, self.deepest)
        try:
            assert self.depth < 5
            self.publisher.publish("log", record.getMessage())
        finally:
            self.depth -= 1


@pytest.fixture
def root_at_debug() -> Iterator[logging.Logger]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    root.setLevel(logging.DEBUG)
    root.handlers.clear()
    yield root
    root.handlers[:] = before
    root.setLevel(level)


def test_a_handler_that_publishes_does_not_publish_its_own_publishing(a: FakeBroker, root_at_debug: logging.Logger) -> None:
    a.on("POST", "/publish", echo)
    with Publisher(a.address) as publisher:
        handler = Publishing(publisher)
        root_at_debug.addHandler(handler)
        for number in range(3):
            logging.getLogger("app").debug("number %d", number)
            publisher.pool.close()  # so that each opens a connection, which urllib3 logs
        root_at_debug.removeHandler(handler)
    assert [asked.json["data"] for asked in a.came("POST", "/publish")] == ["number 0", "number 1", "number 2"]
    assert handler.deepest == 1


def test_nor_what_a_stream_or_a_lost_broker_logs(a: FakeBroker, root_at_debug: logging.Logger) -> None:
    a.on("POST", "/publish", echo)
    a.stream(lambda wire: (wire.open(), wire.message("1"), wire.stay())[-1])  # type: ignore[func-returns-value]
    handler = Publishing(Publisher([a.address, "127.0.0.1:1"]))
    root_at_debug.addHandler(handler)
    with Subscriber(["127.0.0.1:1", a.address], "alice") as alice, alice.stream() as stream:
        assert take(stream, 1) == ["1"]
    assert a.came("POST", "/publish") == []
    logging.getLogger("urllib3.connectionpool").debug("of somebody else's requests")
    root_at_debug.removeHandler(handler)
    assert [asked.json["data"] for asked in a.came("POST", "/publish")] == ["of somebody else's requests"]
    assert handler.deepest == 1


def test_a_warning_within_a_call_is_not_published(
    a: FakeBroker, root_at_debug: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `verify=False` makes urllib3 warn at each request, where warnings are logged."""
    a.on("POST", "/publish", echo)
    publisher = Publisher(a.address)
    handler = Publishing(publisher)
    root_at_debug.addHandler(handler)
    real = requests.Session.send

    def warn(*args: Any, **more: Any) -> requests.Response:
        warnings.warn("unverified", RuntimeWarning, stacklevel=1)
        return real(*args, **more)

    monkeypatch.setattr(requests.Session, "send", warn)
    logging.captureWarnings(True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            logging.getLogger("app").warning("once")
    finally:
        logging.captureWarnings(False)
        root_at_debug.removeHandler(handler)
    assert [asked.json["data"] for asked in a.came("POST", "/publish")] == ["once"]


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_child_logs_though_what_its_parent_logged_waits(a: FakeBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits there has no outcome in the child, ever; and a thread may hold the lock at the fork."""
    monkeypatch.setattr(limits, "CLIENT_LOG_RECORDS", 1)
    held, go = threading.Event(), threading.Event()

    def answer(asked: Asked) -> Reply:
        if asked.json["data"] == "parent":
            held.set()
            assert go.wait(PATIENCE_SECONDS)
        return echo(asked)

    a.on("POST", "/publish", answer)
    handler = NewswireHandler(a.address, "alarms")
    logger = logging.Logger("shop")
    logger.addHandler(handler)
    logger.warning("parent")
    assert held.wait(PATIENCE_SECONDS)

    def log_and_end() -> None:
        signal.alarm(int(PATIENCE_SECONDS))  # else it would wait for that lock for ever
        logger.warning("child")
        handler.flush()

    with handler._counts.lock:
        assert in_a_child(log_and_end) == 0
    go.set()
    handler.close()
    assert [asked.json["data"] for asked in a.came("POST", "/publish")] == ["parent", "child"]


def test_an_answer_without_end_is_given_up(a: FakeBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CLIENT_ANSWER_BYTES", 1000)
    a.on("GET", "/list_replicas", lambda asked: Reply(b"[" + b" " * 100_000))
    with pytest.raises(Unreached, match="more than any newswire broker"):
        Publisher(a.address).pool.ask_rows(a.address)
