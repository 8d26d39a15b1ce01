"""Brokers and topics of a cluster: what is sent, and what comes back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from newswire.client.answers import TopicCount
from newswire.client.cluster import ClusterClient
from newswire.errors import BadRequest, NoBroker, NotFound
from tests.kit.client_fakes import FakeTime
from tests.kit.fake_broker import DOWN, Fake


@pytest.fixture
def fake() -> Iterator[Fake]:
    made = Fake()
    yield made
    made.close()


def client(brokers: str) -> ClusterClient:
    time = FakeTime()
    return ClusterClient(brokers, clock=time.clock, sleep=time.sleep)


def test_topics(fake: Fake) -> None:
    fake.answers["/topics"] = (200, [{"topic": "a", "messages": 3, "last": "2026", "later": 1}, {"topic": "b"}])
    with client(fake.address) as one:
        assert one.topics() == [TopicCount("a", 3, "2026"), TopicCount("b")]


def test_a_change_is_asked_of_the_primary_once(fake: Fake) -> None:
    fake.answers["/add_replica"] = (200, {"message": "Added broker 127.0.0.1:5055 (1003)"})
    fake.answers["/remove_replica"] = (503, {"code": "not-ready", "detail": "starting"})
    with client(f"{DOWN},{fake.address}") as one:
        assert one.add("http://127.0.0.1:5055") == "Added broker 127.0.0.1:5055 (1003)"
        with pytest.raises(Exception, match="starting"):
            one.remove("1003")
    assert fake.sent("/add_replica") == [{"broker_ip": "127.0.0.1:5055"}]
    assert len(fake.sent("/remove_replica")) == 1


def test_what_is_refused(fake: Fake) -> None:
    fake.answers["/remove_replica"] = (404, {"code": "no-broker", "detail": "no member is 1009"})
    fake.answers["/add_replica"] = (400, {"code": "unreachable", "detail": "nobody is there"})
    with client(fake.address) as one:
        with pytest.raises(NotFound, match="no member is 1009"):
            one.remove("1009")
        with pytest.raises(BadRequest, match="nobody is there"):
            one.add("127.0.0.1:5055")
        with pytest.raises(BadRequest, match="HOST:PORT"):
            one.add("nonsense")
    with client(DOWN) as nobody, pytest.raises(NoBroker):
        nobody.remove("1003")
