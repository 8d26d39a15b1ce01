"""The feed in a real browser: cases I to III in two windows, failover under the open page, and use by hand and keyboard."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from brokers import ask, get, post, rows, until, wait_in_sync
from newswire import web
from tests.browser.windows import SECONDS, Desk, Hand, Window
from tests.e2e.harness import Pair, delivered, pause, resume

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
Browser, BrowserContext, expect = sync_api.Browser, sync_api.BrowserContext, sync_api.expect


@pytest.fixture
def hand(pair: Pair, tmp_path: Path) -> Iterator[Hand]:
    """Publishes and subscribes by plain requests."""
    with Hand(pair, tmp_path) as hand:
        yield hand


def unread(pair: Pair, user: str) -> int:
    """What the living broker counts as undelivered."""
    return sum(row["unread"] for row in get(pair.living()[0].address, "/subscriptions", username=user))


# -- the paper's cases, and brokers that go


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
    for broker in pair.brokers:
        broker.kill9()
    expect(alice.page.locator("#state")).to_have_text(re.compile(r"^silent since \d\d:\d\d, trying again$"), timeout=30_000)
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
    assert alice.texts() == [str(number) for number in range(4_301, 5_001)]
    assert alice.errors == []


# -- use by hand, keyboard and screen reader


def test_publish_and_subscribe_by_keyboard(desk: Desk, pair: Pair) -> None:
    gita = desk.open(pair.first.address, "Gita", width=390, height=780)
    gita.has("#empty", "not registered for any topic")
    gita.tab_to("Topic to subscribe to")
    gita.page.keyboard.type("news")
    gita.page.keyboard.press("Enter")
    gita.says("live at broker 1001")
    gita.tab_to("Topic")
    gita.page.keyboard.press("Control+A")
    gita.page.keyboard.type("news")
    gita.page.keyboard.press("Tab")
    assert gita.focused() == "Message"
    gita.page.keyboard.type("Hello <b>all</b> & \u202eeveryone")
    gita.page.keyboard.press("Shift+Enter")
    gita.page.keyboard.type("and so on")
    gita.page.keyboard.press("Enter")
    gita.has("#said", "Stored on 2 brokers")
    gita.shows("Hello <b>all</b> & \u202eeveryone\nand so on")
    gita.has("#heard", "news: Hello <b>all</b>")
    assert get(pair.second.address, "/subscriptions", username="Gita")[0]["topic"] == "news"
    assert gita.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "nothing is cut off at 390 pixels"
    gita.tab_to("All")  # from the end around to the top
    gita.page.keyboard.press("ArrowDown")
    assert gita.focused() == "news"
    gita.page.keyboard.press("Enter")
    gita.page.keyboard.press("Tab")
    assert gita.focused() == "Unsubscribe"
    gita.page.keyboard.press("Enter")
    gita.has("#said", "Successfully unsubscribed Gita from topic news")
    assert gita.focused() == "All", "the focus is somewhere"
    assert get(pair.second.address, "/subscriptions", username="Gita") == []
    assert gita.errors == gita.complaints == []


def test_a_topic_is_looked_at_and_counted(desk: Desk, pair: Pair, hand: Hand) -> None:
    hand.subscribe("Alice", "team.*")
    hand.subscribe("Alice", "news")
    hand.publish("team.red", "red")
    hand.publish("team.blue", "blue")
    hand.publish("news", "paper")
    alice = desk.open(pair.first.address, "Alice")
    alice.shows("red", "blue", "paper")
    names = ["All3 new", "news1 new", "team.*2 new", "team.blue1 new", "team.red1 new"]
    expect(alice.page.locator("#mine .pick")).to_have_text(names, timeout=SECONDS * 1000)
    alice.page.get_by_role("button", name="team.*").click()
    alice.shows("red", "blue")
    hand.publish("news", "unseen")
    expect(alice.page.locator("#mine .pick").nth(1)).to_contain_text("2 new", timeout=SECONDS * 1000)
    alice.shows("red", "blue")
    alice.page.get_by_role("button", name="All").click()
    alice.shows("red", "blue", "paper", "unseen")
    expect(alice.page.locator("#mine .pick").nth(2)).to_have_text("team.*")  # it was looked at
    assert alice.errors == alice.complaints == []


def test_what_comes_below_is_said_and_nothing_moves(desk: Desk, pair: Pair, hand: Hand) -> None:
    hand.subscribe("Alice", "news")
    alice = desk.open(pair.first.address, "Alice", width=390, height=500)
    alice.says("live at broker 1001")
    for number in range(12):
        hand.publish("news", str(number))
    until("all are shown", lambda: len(alice.texts()) == 12, SECONDS)
    until("its end is in view", lambda: alice.page.evaluate("scrollY > 0"), SECONDS)
    alice.page.mouse.move(200, 250)
    alice.page.mouse.wheel(0, -5_000)
    until("the top is in view", lambda: alice.page.evaluate("scrollY") == 0, SECONDS)
    hand.publish("news", "below")
    hand.publish("news", "further below")
    expect(alice.page.locator("#jump")).to_have_text("↓ 2 new messages", timeout=SECONDS * 1000)
    assert alice.page.evaluate("scrollY") == 0
    alice.page.locator("#jump").click()
    expect(alice.page.get_by_text("further below")).to_be_in_viewport()
    expect(alice.page.locator("#jump")).to_be_hidden()


def test_what_is_wrong_with_a_publish_is_said(desk: Desk, pair: Pair, hand: Hand) -> None:
    hand.subscribe("Alice", "news")
    alice = desk.open(pair.first.address, "Alice")
    alice.says("live at broker 1001")
    alice.page.get_by_label("Topic", exact=True).fill("news.*")
    alice.page.get_by_label("Message").fill("x")
    alice.page.get_by_role("button", name="Publish").click()
    alice.has("#said.bad", "are for subscriptions only")
    assert alice.page.get_by_label("Message").input_value() == "x", "what was typed stays"


def test_without_a_name_it_asks_for_one(browser: Browser, pair: Pair) -> None:
    page = browser.new_page()
    page.goto(f"http://{pair.first.address}/")
    page.get_by_label("Name").fill("Alice")
    page.keyboard.press("Enter")
    expect(page.locator("#state")).to_be_visible(timeout=SECONDS * 1000)
    assert "username=Alice" in page.url
    page.close()


def test_titles_priority_tags_links_and_long_texts(desk: Desk, pair: Pair, hand: Hand) -> None:
    hand.subscribe("Alice", "ops")
    alice = desk.open(pair.first.address, "Alice", width=390, height=780)
    alice.says("live at broker 1001")
    fields = {"topic": "ops", "title": "Payments fail", "data": "Since 09:28", "priority": "5", "tags": "payments,north",
              "click": "https://example.org/incident"}  # fmt: skip
    assert ask(pair.first.address, "POST", "/publish", fields).status == 200
    article = alice.page.locator("article.high")
    expect(article.locator("h3")).to_have_text("Payments fail", timeout=SECONDS * 1000)
    expect(article.locator(".tag")).to_have_text(["payments", "north"])
    expect(article.locator("a")).to_have_attribute("href", "https://example.org/incident")
    whole = "w" * 60_000
    hand.publish("ops", whole)
    until("its beginning is shown", lambda: alice.texts()[1:] == ["w" * 1_500 + "…"], SECONDS)
    alice.page.get_by_role("button", name="Show all 60,000 characters").press("Enter")
    alice.shows("Since 09:28", whole)
    assert alice.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "nothing is cut off at 390 pixels"
    assert alice.errors == alice.complaints == []


# -- parts


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(scheme: str) -> None:
    """Text has a contrast of at least 4.5 to what it stands on, the edges of fields and dots of states 3 (WCAG 2.2, AA)."""
    css = (Path(web.__file__).parent / "static" / "feed.css").read_text()
    pairs = re.findall(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\)", css)
    colour = {name: light if scheme == "light" else dark for name, light, dark in pairs}
    for ground in ("ground", "sheet"):
        for text in ("ink", "soft", "accent", "warn", "dead"):
            assert contrast(colour[text], colour[ground]) >= 4.5, (text, ground)
        for edge in ("edge", "live", "warn", "dead", "soft"):
            assert contrast(colour[edge], colour[ground]) >= 3, (edge, ground)
    for text, ground in (("ink", "mark"), ("warn", "mark"), ("soft", "mark"), ("accent", "chosen"), ("on-accent", "accent")):
        assert contrast(colour[text], colour[ground]) >= 4.5, (text, ground)


def contrast(one: str, other: str) -> float:
    """WCAG's contrast ratio of two colours."""
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    """WCAG's relative luminance of `#rrggbb`."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
