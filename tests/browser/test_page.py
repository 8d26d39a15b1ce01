"""The feed in a real browser: cases I to III in two windows, failover under the open page, and what was seen."""

from __future__ import annotations

import itertools
import json
import re
import socket
from contextlib import ExitStack, closing

import pytest

from brokers import ask, get, post, rows, until, wait_in_sync
from newswire.core import limits
from tests.kit.asking import delivered
from tests.kit.processes import Pair, pause, resume
from tests.kit.windows import SECONDS, Desk, Hand, Window

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
Browser, BrowserContext, expect = sync_api.Browser, sync_api.BrowserContext, sync_api.expect


def unread(pair: Pair, user: str) -> int:
    """What the living broker counts as undelivered."""
    return sum(row["unread"] for row in get(pair.living()[0].address, "/subscriptions", username=user))


# -- brokers that go


def test_of_many_streams_a_page_is_served_where_there_is_room(desk: Desk, pair: Pair, hand: Hand) -> None:
    """Whether it is told so when it opens, or later by its broker: 83 of 100 pages go at once."""
    hand.subscribe("Alice", "Google")
    host, port = pair.first.address.split(":")
    with ExitStack() as crowd:
        for number in range(limits.SPREAD_STREAMS):
            user = f"u{number // 20}"
            if number % 20 == 0:
                hand.subscribe(user, "Google")
            sock = crowd.enter_context(closing(socket.create_connection((host, int(port)))))
            sock.sendall(f"GET /stream?username={user} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
        until("all are served", lambda: rows(pair.first.address)["1001"].get("streams", 0) >= limits.SPREAD_STREAMS)
        alice = desk.open(pair.first.address, "Alice")
        alice.says("live at broker 1002")
        hand.publish("Google", "Hello Google")
        alice.shows("Hello Google")
        until("both know", lambda: rows(pair.first.address)["1002"].get("streams") == 1)
    hand.publish("Google", "Few are left")
    alice.says("live at broker 1001")
    alice.shows("Hello Google", "Few are left")


def test_cases_one_to_three_in_two_windows(desk: Desk, pair: Pair, hand: Hand) -> None:
    hand.subscribe("Alice", "Google")
    hand.subscribe("Bob", "Google")
    hand.subscribe("Bob", "Meta")
    alice = desk.open(pair.first.address, "Alice")
    bob = desk.open(pair.first.address, "Bob", width=390, height=780)
    alice.says("live at broker 1001")
    bob.says("live at broker 1001")

    hand.publish("Google", "Hello Google")
    hand.publish("Meta", "Hiring Meta")
    hand.publish("Meta", "Social Event")
    alice.shows("Hello Google")
    bob.shows("Hello Google", "Hiring Meta", "Social Event")
    delivered("Alice", pair.second)

    pair.first.kill9()
    alice.says("moved to broker 1002")
    bob.says("moved to broker 1002")
    hand.publish("Google", "Family Event")
    hand.publish("Google", "Employee")
    hand.subscribe("Carlos", "Tiktok")
    hand.publish("Tiktok", "Hi Tiktok")
    alice.shows("Hello Google", "Family Event", "Employee")
    bob.shows("Hello Google", "Hiring Meta", "Social Event", "Family Event", "Employee")
    carlos = desk.open(pair.second.address, "Carlos")
    carlos.shows("Hi Tiktok")

    pair.first.start()
    alice.says("live at broker 1001")
    hand.publish("Tiktok", "Hi Online")
    hand.publish("Google", "Back again")
    carlos.shows("Hi Tiktok", "Hi Online")
    alice.shows("Hello Google", "Family Event", "Employee", "Back again")
    bob.shows("Hello Google", "Hiring Meta", "Social Event", "Family Event", "Employee", "Back again")
    for user in ("Alice", "Bob", "Carlos"):
        delivered(user, pair.first)
    assert alice.errors == bob.errors == carlos.errors == []


def test_kill_nine_under_the_open_page_loses_and_repeats_nothing(desk: Desk, pair: Pair, hand: Hand) -> None:
    """Fifty messages, the broker under the page killed after the twentieth, back after the thirty-fifth."""
    hand.subscribe("Alice", "news")
    alice = desk.open(pair.first.address, "Alice")
    alice.says("live at broker 1001")
    for number in range(50):
        if number == 20:
            pair.first.kill9()
        if number == 35:
            pair.first.start()
        hand.publish("news", str(number))
    until("the page shows all", lambda: len(alice.texts()) >= 50, SECONDS)
    assert sorted(alice.texts(), key=int) == [str(number) for number in range(50)]
    alice.says("live at broker 1001")
    assert len(alice.texts()) == 50
    assert alice.errors == []


def test_both_brokers_die_and_return(desk: Desk, pair: Pair, hand: Hand) -> None:
    hand.subscribe("Alice", "news")
    alice = desk.open(pair.first.address, "Alice")
    alice.says("live at broker 1001")
    hand.publish("news", "before")
    alice.shows("before")
    expect(alice.page.get_by_label("Topic", exact=True)).to_have_value("news")  # her subscriptions are there
    for broker in pair.brokers:
        broker.kill9()
    expect(alice.page.locator("#state")).to_have_text(
        re.compile(r"^silent since \d\d:\d\d, trying again$"), timeout=SECONDS * 1000
    )
    alice.page.get_by_label("Message").fill("typed in the dark")
    alice.page.keyboard.press("Enter")
    alice.has("#said.bad", "No broker answers")
    assert alice.page.get_by_label("Message").input_value() == "typed in the dark"
    pair.start()
    alice.says("live at broker 1001")
    alice.page.get_by_label("Message").press("Enter")
    alice.has("#said", "Stored on")
    hand.publish("news", "after")
    alice.shows("before", "typed in the dark", "after")
    assert alice.errors == []


def test_a_hung_broker(desk: Desk, pair: Pair, hand: Hand) -> None:
    """It answers nobody and closes nothing: three missing keepalives, and the page is elsewhere, until it answers again."""
    hand.subscribe("Alice", "news")
    alice = desk.open(pair.first.address, "Alice")
    alice.says("live at broker 1001")
    hand.publish("news", "before")
    alice.shows("before")
    pause(pair.first)
    until("the other notices", lambda: rows(pair.second.address)["1001"]["state"] == "down", SECONDS)
    post(pair.second.address, "/publish", topic="news", data="meanwhile")
    alice.says("moved to broker 1002")
    alice.shows("before", "meanwhile")
    resume(pair.first)
    alice.says("live at broker 1001")
    hand.publish("news", "after")
    alice.shows("before", "meanwhile", "after")
    assert alice.errors == []


@pytest.mark.parametrize("alive", [True, False])
def test_a_broker_that_leaves_sends_its_page_on(desk: Desk, pair: Pair, hand: Hand, alive: bool) -> None:
    """The others take nothing from a page of a broker that left, so the page goes on as one of theirs."""
    hand.subscribe("Alice", "news")
    hand.publish("news", "before")
    alice = desk.open(pair.first.address, "Alice")
    alice.shows("before")
    wait_in_sync(pair.brokers)
    if not alive:
        pair.first.kill9()
        alice.says("moved to broker 1002")
    post(pair.second.address, "/remove_replica", broker_ip=pair.first.address)
    post(pair.second.address, "/publish", topic="news", data="after")
    alice.says("live at broker 1002")
    alice.shows("before", "after")
    alice.page.get_by_label("Message").fill("from here")
    alice.page.keyboard.press("Enter")
    alice.shows("before", "after", "from here")
    delivered("Alice", pair.second)
    assert alice.errors == []


# -- what was seen


def test_two_windows_of_one_user(desk: Desk, pair: Pair, hand: Hand) -> None:
    hand.subscribe("Alice", "news")
    one, two = desk.open(pair.first.address, "Alice"), desk.open(pair.second.address, "Alice", width=390, height=780)
    one.says("live at broker 1001")
    two.says("live at broker 1002")
    hand.publish("news", "to both")
    one.shows("to both")
    two.shows("to both")
    delivered("Alice", pair.first)
    two.page.get_by_role("button", name="news", exact=True).click()
    two.page.get_by_role("button", name="Unsubscribe").click()
    two.has("#said", "Successfully unsubscribed Alice from topic news")
    one.says("no topics yet")
    two.says("no topics yet")
    hand.subscribe("Alice", "news")
    one.says("live at broker 1001")
    two.says("live at broker 1002")
    hand.publish("news", "again")
    one.shows("to both", "again")
    two.shows("to both", "again")
    assert one.errors == two.errors == []


def test_a_hidden_tab_acknowledges_nothing(tabs: BrowserContext, pair: Pair, hand: Hand) -> None:
    """What comes while another tab is in front is counted in the title, and delivered when the tab is looked at."""
    hand.subscribe("Alice", "news")
    alice = Window(tabs.new_page(), pair.first.address, "Alice")
    alice.says("live at broker 1001")
    hand.publish("news", "seen")
    alice.shows("seen")
    delivered("Alice", pair.first)
    other = tabs.new_page()
    other.bring_to_front()
    until("the tab is hidden", lambda: alice.page.evaluate("document.visibilityState") == "hidden", SECONDS)
    for text in ("one", "two", "three"):
        hand.publish("news", text)
    alice.shows("seen", "one", "two", "three")
    until("the title counts", lambda: alice.page.title() == "(3) Alice · newswire", SECONDS)
    pair.first.kill9()
    alice.says("moved to broker 1002")  # naming a place in the stream would acknowledge it, too
    hand.publish("news", "four")
    alice.shows("seen", "one", "two", "three", "four")
    assert unread(pair, "Alice") == 4
    assert alice.order() == ["day", "seen", "news", "one", "two", "three", "four"]
    expect(alice.page.locator("#mine .n").first).to_contain_text("4")
    alice.page.bring_to_front()
    delivered("Alice", pair.second)
    until("the title is plain", lambda: alice.page.title() == "Alice · newswire", SECONDS)
    expect(alice.page.locator("#mine .n")).to_have_count(0, timeout=SECONDS * 1000)  # they were looked at
    assert alice.errors == []


def test_a_reload_shows_what_was_read_and_marks_what_is_new(desk: Desk, pair: Pair, hand: Hand) -> None:
    hand.subscribe("Alice", "news")
    hand.publish("news", "read")
    first = desk.open(pair.first.address, "Alice")
    first.shows("read")
    assert first.page.locator(".news").count() == 0, "nothing was read before: no line"
    delivered("Alice", pair.first)
    first.page.close()
    hand.publish("news", "new")
    second = desk.open(pair.first.address, "Alice")
    second.shows("read", "new")
    expect(second.page.locator(".news")).to_have_count(1, timeout=SECONDS * 1000)
    assert second.order() == ["day", "read", "news", "new"]
    assert second.complaints == []


@pytest.mark.parametrize("pair", [("--retention-messages", "2")], indirect=True)
def test_a_gap_is_said_in_place(desk: Desk, pair: Pair, hand: Hand) -> None:
    hand.subscribe("Alice", "news")
    hand.subscribe("Alice", "calm")
    first = desk.open(pair.first.address, "Alice")
    first.says("live at broker 1001")
    hand.publish("calm", "read")
    first.shows("read")
    delivered("Alice", pair.first)
    delivered("Alice", pair.second)
    first.page.close()
    for number in range(5):
        hand.publish("news", str(number))
    pair.first.stop()
    pair.first.start()  # retention is looked at soon after a start
    until("three are dropped", lambda: get(pair.first.address, "/topics")[-1]["messages"] == 2, SECONDS)
    alice = desk.open(pair.first.address, "Alice")
    until("the newest is shown", lambda: alice.texts()[-2:] == ["3", "4"], SECONDS)
    alice.has(".gap", "3 older messages of news were removed by retention before you read them.")
    assert alice.order() == [
        "day", "read", "news", "gap", "3", "4",
    ]  # fmt: skip
    delivered("Alice", pair.first)
    assert alice.errors == []


def test_five_thousand_at_once(desk: Desk, pair: Pair, hand: Hand) -> None:
    """The page stays small and answers; the newest are at the end, all are counted, none comes twice."""
    hand.subscribe("Alice", "news")
    lines = "\n".join(json.dumps({"topic": "news", "data": f"{number}"}) for number in range(5_000))
    answer = ask(pair.first.address, "POST", "/publish", body=lines, headers={"Content-Type": "application/x-ndjson"})
    assert answer.status == 200
    alice = desk.open(pair.first.address, "Alice")
    until("the newest is shown", lambda: alice.texts()[-1:] == ["4999"], SECONDS)
    assert alice.texts() == [str(number) for number in range(4_500, 5_000)]
    expect(alice.page.locator("#mine .pick").first).to_have_accessible_name(re.compile(r"All 999\+ new"))
    delivered("Alice", pair.first)
    pair.first.kill9()
    alice.says("moved to broker 1002")
    hand.publish("news", "5000")
    until("the next is shown", lambda: alice.texts()[-1:] == ["5000"], SECONDS)
    assert alice.texts() == [str(number) for number in range(4_501, 5_001)]
    alice.page.get_by_role("button", name="Show earlier news").press("Enter")
    until("earlier ones are there", lambda: len(alice.texts()) > 500, SECONDS)
    texts = alice.texts()  # also those that come as the top is in view
    assert texts == [str(number) for number in range(5_001 - len(texts), 5_001)]
    assert alice.errors == []


def test_a_page_of_which_a_module_did_not_come_loads_again(browser: Browser, pair: Pair) -> None:
    page = browser.new_page()
    tries = itertools.count(1)
    page.route("**/view.js", lambda route: route.abort() if next(tries) <= 2 else route.continue_())
    alice = Window(page, pair.first.address, "Alice")
    alice.says("no topics yet")
    assert next(tries) > 3
    until("it counts anew", lambda: page.evaluate("sessionStorage.getItem('newswire-loads')") == "0", SECONDS)
    page.close()
