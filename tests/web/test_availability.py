"""Who is served here at all, and what is said of a user whom nobody here knows (docs/hazards.md, H27)."""

from __future__ import annotations

import pytest

from newswire.engine.seam import HoleRow
from newswire.errors import NotRegistered, NotStored, Unavailable
from newswire.web import availability
from tests.kit.web_fakes import SteeredEngine, Web


@pytest.fixture
def engine() -> SteeredEngine:
    return Web().engine


def test_a_broker_that_serves_takes_everything(engine: SteeredEngine) -> None:
    availability.serving(engine)()
    availability.reading(engine)()


def test_one_that_does_not_serve_takes_nothing_and_says_why(engine: SteeredEngine) -> None:
    serving, reading = availability.serving(engine), availability.reading(engine)
    engine.change_view(serves=False, why_not="it is catching up")
    for check in (serving, reading):
        with pytest.raises(Unavailable, match="it is catching up"):
            check()
    engine.change_view(serves=False, why_not="")
    with pytest.raises(Unavailable, match="try another one"):
        serving()


def test_one_that_the_news_do_not_get_to_takes_messages_and_shows_none(engine: SteeredEngine) -> None:
    engine.change_view(why_behind="its disk is full")
    availability.serving(engine)()
    with pytest.raises(Unavailable, match="its disk is full"):
        availability.reading(engine)()


def test_a_user_is_unknown_for_good_only_while_all_are_in_sync(engine: SteeredEngine) -> None:
    engine.change_view(all_in_sync=True)
    error = availability.unknown_user(engine, "ann")
    assert type(error) is NotRegistered
    assert "/subscribe?username=ann" in error.detail
    engine.change_view(all_in_sync=False, away=("1002",))
    error = availability.unknown_user(engine, "ann")
    assert type(error) is NotStored
    assert "a broker that is away may know better" in error.detail


def test_a_user_who_may_stand_behind_damage_is_told_so(engine: SteeredEngine) -> None:
    engine.change_view(all_in_sync=False, holes=(HoleRow("1002", "1002-b", 5, 7, waiting=12),), away=())
    assert "damaged disks" in availability.unknown_user(engine, "ann").detail
