"""Who is served here at all, and what is said of a user whom nobody here knows (docs/hazards.md, H27)."""

from __future__ import annotations

import threading

import pytest

from newswire.core.model.commands import RevokeGrant
from newswire.engine.seam import HoleRow
from newswire.errors import NotRegistered, NotStored, Unavailable
from newswire.threads import NeedsThread, never_waits
from newswire.web import availability
from tests.kit.access import GuardedWeb, basic
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
    error = availability.nothing_to_read(engine, "ann", None)
    assert type(error) is NotRegistered
    assert "/subscribe?username=ann" in error.detail
    engine.change_view(all_in_sync=False, away=("1002",))
    error = availability.nothing_to_read(engine, "ann", None)
    assert type(error) is NotStored
    assert "a broker that is away may know better" in error.detail


def test_a_user_who_may_stand_behind_damage_is_told_so(engine: SteeredEngine) -> None:
    engine.change_view(all_in_sync=False, holes=(HoleRow("1002", "1002-b", 5, 7, waiting=12),), away=())
    assert "damaged disks" in availability.nothing_to_read(engine, "ann", None).detail


def test_who_lost_every_right_is_told_so_and_not_that_nobody_knows_him() -> None:
    web = GuardedWeb()
    web.post("/subscribe?topic=news.x", headers=basic("ann"))
    web.do(RevokeGrant(who="ann", verb="subscribe", pattern="news.>"))
    outcome: list[str] = []

    def run() -> None:
        never_waits()
        with pytest.raises(NeedsThread):
            web.client.get("/stream", headers=basic("ann"))
        outcome.append("asked for a thread")

    assert "may not read" in str(web.get("/stream", "forbidden", headers=basic("ann")))
    web.get("/messages", "forbidden", headers=basic("ann"))
    web.get("/stream", "not-registered", headers=basic("ben"))
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert outcome
    web.engine.change_view(all_in_sync=False, away=("1002",))
    assert web.client.get("/stream", headers=basic("ann")).status_code == 200
