"""The sampler's turns, over a broker in memory: what it measures, tells and remembers."""

from __future__ import annotations

import logging

import pytest

from newswire.core.model.commands import Publish
from newswire.engine.seam import EngineNumbers
from newswire.sampler import Sampler
from tests.kit.waiting import PATIENCE_SECONDS
from tests.kit.web_fakes import OTHER, Web


class Turning:
    """A sampler and its broker, whose time is told."""

    def __init__(self) -> None:
        self.web = Web()
        self.engine = self.web.engine
        self.streams = self.deliveries = 0
        self.sampler = Sampler(
            self.engine,
            streams=lambda: self.streams,
            deliveries=lambda: self.deliveries,
            streams_limit=100,
            on_fatal=lambda error: None,
        )
        self.clock = 0.0

    def turn(self, seconds: float = 1.0, times: int = 1) -> None:
        for _ in range(times):
            self.clock += seconds
            self.engine.now += seconds
            self.sampler.turn(self.clock, int(self.engine.now * 1000), self.clock / 10)


@pytest.fixture
def turning() -> Turning:
    return Turning()


def test_it_measures_every_five_seconds(turning: Turning) -> None:
    turning.turn(times=6)
    turning.engine.submit([Publish(topic="news", data="x"), Publish(topic="news", data="y")])
    turning.streams, turning.deliveries = 3, 10
    turning.turn(times=5)
    recent = turning.sampler.trends(0).recent
    assert recent.columns["messages"] == [0, 0.4]
    assert recent.columns["deliveries"] == [0, 2]
    assert recent.columns["streams"] == [0, 3]
    assert recent.columns["processor"] == [0.1, 0.1]
    assert recent.columns["commit_ms"][1] is not None
    assert turning.sampler.trends(recent.times[0]).recent.times == recent.times[1:]
    assert turning.sampler.trends(0).day is not None
    assert turning.sampler.trends(1).day is None


def test_it_waits_for_the_broker_to_serve(turning: Turning) -> None:
    turning.engine.change_view(serves=False)
    turning.turn(times=50)
    assert turning.sampler.trends(0).events == ()
    turning.turn(times=12)
    assert [event.text for event in turning.sampler.trends(0).events] == ["this broker was started"]


def test_it_remembers_what_happens(turning: Turning, monkeypatch: pytest.MonkeyPatch) -> None:
    turning.turn(times=6)
    turning.engine.change_view(degraded=("the disk is full: publishing is refused, streams go on",))
    turning.turn()
    turning.engine.change_view()
    turning.turn()
    numbers = turning.engine.numbers()
    more = {name: getattr(numbers, name) for name in EngineNumbers.__struct_fields__}
    monkeypatch.setattr(
        turning.engine, "numbers", lambda: EngineNumbers(**{**more, "compactions": 1, "ops_file_bytes": 2_500_000})
    )
    turning.turn(times=5)
    told = [(event.text, event.is_warning) for event in turning.sampler.trends(0).events]
    assert told == [
        ("this broker was started", False),
        ("the disk is full: publishing is refused, streams go on", True),
        ("no longer: the disk is full: publishing is refused, streams go on", False),
        ("the ops file was compacted: it takes 2.5 MB now", False),
    ]
    assert OTHER


def test_what_is_foreseen_is_logged_once(turning: Turning, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "newswire.cluster")
    for hour in range(50):
        turning.streams = 150
        turning.turn(seconds=600, times=6)
        assert hour > 0 or not caplog.messages
    told = [message for message in caplog.messages if "streams" in message]
    assert len(told) == 1
    assert "150 streams are to be expected within a day" in told[0]
    assert any(event.is_warning and event.text == told[0] for event in turning.sampler.trends(0).events)


def test_its_thread_begins_and_ends(turning: Turning) -> None:
    turning.sampler.start()
    turning.sampler.stop(PATIENCE_SECONDS)
    assert not turning.sampler._thread.is_alive()
