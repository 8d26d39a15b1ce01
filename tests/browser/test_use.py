"""The feed in use: by hand, keyboard and screen reader; what is read, what is linked, which topic the address names."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from brokers import ask, get, until
from tests.kit.processes import Pair
from tests.kit.windows import READ_AS_TOLD, SECONDS, Desk, Hand, Window, patient

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
Browser, BrowserContext, expect = sync_api.Browser, sync_api.BrowserContext, sync_api.expect


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


def test_a_long_name_pushes_nothing_off_a_phone(desk: Desk, pair: Pair, hand: Hand) -> None:
    hand.publish("building." + "a-very-long-name-of-a-floor." * 4 + "end", "x")
    gita = desk.open(pair.first.address, "Gita", width=390, height=780)
    gita.has("#more", "building.")
    inside = "node => node.getBoundingClientRect().right <= innerWidth"
    for shown in ("#subscribe button", "#more .pick .n"):
        assert gita.page.locator(shown).first.evaluate(inside), f"{shown} can be reached"
    assert gita.errors == gita.complaints == []


def test_a_topic_is_looked_at_and_counted(desk: Desk, pair: Pair, hand: Hand) -> None:
    hand.subscribe("Alice", "team.*")
    hand.subscribe("Alice", "news")
    hand.publish("team.red", "red")
    hand.publish("team.blue", "blue")
    hand.publish("news", "paper")
    alice = desk.open(pair.first.address, "Alice", script=READ_AS_TOLD)
    alice.shows("red", "blue", "paper")
    names = ["All3 new", "news1 new", "team.*2 new", "team.blue1 new", "team.red1 new"]
    expect(alice.page.locator("#mine .pick")).to_have_text(names, timeout=SECONDS * 1000)
    alice.page.get_by_role("button", name="team.*").click()
    alice.shows("red", "blue")
    hand.publish("news", "unseen")
    alice.page.evaluate("pass(10_000)")
    expect(alice.page.locator("#mine .pick").nth(2)).to_have_text("team.*", timeout=SECONDS * 1000)  # it was looked at
    expect(alice.page.locator("#mine .pick").nth(1)).to_contain_text("2 new", timeout=SECONDS * 1000)
    alice.shows("red", "blue")
    alice.page.get_by_role("button", name="All").click()
    alice.shows("red", "blue", "paper", "unseen")
    expect(alice.page.locator("#mine .pick").nth(2)).to_have_text("team.*")
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
    page = patient(browser.new_page())
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


def test_from_the_keyboard_alone_past_many_topics(desk: Desk, pair: Pair, hand: Hand) -> None:
    """150 topics are one Tab stop, and the first Tab offers to write at once."""
    for number in range(150):
        hand.subscribe("Alice", f"topic{number:03}")
        hand.publish(f"topic{number:03}", f"see https://example.org/{number}")
    alice = desk.open(pair.first.address, "Alice")
    alice.says("live at broker 1001")
    expect(alice.page.locator("#mine .pick")).to_have_count(151, timeout=SECONDS * 1000)
    alice.page.keyboard.press("Tab")
    assert alice.focused() == "Write a message"
    alice.page.keyboard.press("Enter")
    assert alice.focused() == "Message"
    alice.page.keyboard.type("three keys")
    alice.page.keyboard.press("Enter")
    alice.has("#said", "Stored on 2 brokers")
    alice.page.reload()
    expect(alice.page.locator("#mine .pick")).to_have_count(151, timeout=SECONDS * 1000)
    stops = []
    while not stops or stops[-1] != "All":
        alice.page.keyboard.press("Tab")
        stops.append(alice.focused().partition("\n")[0])
        assert len(stops) < 6, stops
    moves = {
        "ArrowDown": "topic000", "End": "topic149", "ArrowUp": "topic148", "Home": "All", "t": "topic000",
        "ArrowRight": "topic001",
    }  # fmt: skip
    for key, expected in moves.items():
        alice.page.keyboard.press(key)
        assert alice.focused().partition("\n")[0] == expected, key

    def is_found() -> bool:
        alice.page.keyboard.press("Home")
        alice.page.wait_for_timeout(1_000)  # typing after a pause begins a new name
        alice.page.keyboard.type("topic14")  # as it does on a machine that pauses between two keys
        return alice.focused().partition("\n")[0] == "topic140"

    until("it is found by its name", is_found, SECONDS)
    alice.page.keyboard.press("Enter")
    expect(alice.page.locator("#mine [aria-current=true]")).to_contain_text("topic140")
    after = []
    while not after or after[-1] != "Topic to subscribe to":
        alice.page.keyboard.press("Tab")
        after.append(alice.focused())
        assert len(after) < 5, after
    assert alice.errors == alice.complaints == []


def test_the_topic_stands_in_the_address(desk: Desk, pair: Pair, hand: Hand) -> None:
    for topic in ("news", "team.red", "team.blue"):
        hand.subscribe("Alice", topic)
        hand.publish(topic, f"of {topic}")
    hand.subscribe("Alice", "team.*")
    alice = desk.open(pair.first.address, "Alice")
    alice.shows("of news", "of team.red", "of team.blue")
    alice.page.get_by_role("button", name="team.red").click()
    assert "topic=team.red" in alice.page.url
    alice.shows("of team.red")
    alice.page.get_by_role("button", name="team.*").click()
    alice.shows("of team.red", "of team.blue")
    alice.page.reload()
    alice.shows("of team.red", "of team.blue")
    alice.has("#mine [aria-current=true]", "team.*")
    shared = alice.page.url
    alice.page.go_back()
    alice.shows("of team.red")
    alice.has("#mine [aria-current=true]", "team.red")
    assert alice.page.get_by_label("Topic", exact=True).input_value() == "team.red"
    alice.page.go_back()
    alice.shows("of news", "of team.red", "of team.blue")
    alice.page.go_forward()
    alice.shows("of team.red")
    other = desk.open(pair.first.address, "Alice")
    other.page.goto(shared)
    other.shows("of team.red", "of team.blue")
    pair.first.kill9()
    other.says("moved to broker 1002")
    other.shows("of team.red", "of team.blue")
    assert alice.errors == other.errors == []


def test_an_address_with_a_topic_that_one_does_not_have(desk: Desk, pair: Pair, hand: Hand) -> None:
    hand.subscribe("Alice", "news")
    hand.publish("news", "paper")
    alice = desk.open(pair.first.address, "Alice&topic=team.red")
    alice.has("#empty", "Alice is not subscribed to team.red.")
    alice.page.get_by_role("button", name="Subscribe to team.red").first.click()
    alice.has("#said", "Successfully subscribed Alice to topic team.red")
    alice.has("#mine [aria-current=true]", "team.red")
    hand.publish("team.red", "red")
    alice.shows("red")
    bad = desk.open(pair.first.address, "Alice&topic=%3Cscript%3E")
    bad.shows("paper", "red")
    assert alice.errors == bad.errors == []


def test_addresses_in_texts_are_links(desk: Desk, pair: Pair, hand: Hand) -> None:
    hand.subscribe("Alice", "news")
    alice = desk.open(pair.first.address, "Alice", width=390, height=780)
    alice.says("live at broker 1001")
    text = "See https://example.org/a_(b). Not <a href='https://example.org/x'>javascript:alert(1)</a>, but http://localhost:1/?q=1&r=2!"
    hand.publish("news", text)
    alice.shows(text)
    links = alice.page.locator("article a")
    expect(links).to_have_text(["https://example.org/a_(b)", "https://example.org/x", "http://localhost:1/?q=1&r=2"])
    for link in links.all():
        assert (link.get_attribute("href"), link.get_attribute("target")) == (link.text_content(), "_blank")
        assert "noopener" in (link.get_attribute("rel") or "")
    assert alice.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "nothing is cut off at 390 pixels"
    assert alice.errors == alice.complaints == []


@pytest.mark.parametrize("width", [1280, 390])
def test_the_end_is_in_view_and_nothing_moves_with_the_focus(desk: Desk, pair: Pair, hand: Hand, width: int) -> None:
    """When the page opens, when a notice takes room, and when what is sticky gets the focus."""
    for number in range(30):
        hand.subscribe("Alice", f"topic{number}")
        hand.publish(f"topic{number}", f"line {number}\n" * 3)
    alice = desk.open(pair.first.address, "Alice", width=width, height=780)
    until("all are shown", lambda: len(alice.texts()) == 30, SECONDS)

    def left() -> float:
        return alice.page.evaluate("document.documentElement.scrollHeight - innerHeight - scrollY")

    until("its end is in view", lambda: left() < 2, SECONDS)
    expect(alice.page.locator("#mine .pick")).to_have_count(31, timeout=SECONDS * 1000)
    until("its end is in view", lambda: left() < 2, SECONDS)
    if width < 700:  # the topics stand above the news there
        assert alice.page.evaluate("document.querySelector('nav').offsetHeight / innerHeight") < 0.2
    alice.page.get_by_label("Topic", exact=True).fill("Jörg Müller " * 8)
    alice.page.get_by_label("Message").fill("x")
    alice.page.keyboard.press("Enter")
    alice.has("#said.bad", "accents")
    until("its end is in view", lambda: left() < 2, SECONDS)
    alice.page.mouse.move(200, 400)
    alice.page.mouse.wheel(0, -600)

    def stands() -> float:
        there = left()
        alice.page.wait_for_timeout(200)  # it may move smoothly
        return there if there == left() > 500 else 0

    before = until("it has moved, and stands", stands, SECONDS)
    for name in ("Message", "Topic", "Publish"):
        alice.tab_to(name)
        assert left() == before, name
    alice.tab_to("Find a topic in the list")
    for key, topic in {"Tab": "All", "ArrowDown": "topic0", "End": "topic9", "Home": "All"}.items():
        alice.page.keyboard.press(key)
        assert alice.focused().partition("\n")[0] == topic
        assert left() == before, key


def test_counts_fall_when_a_message_was_on_the_screen(desk: Desk, pair: Pair, hand: Hand) -> None:
    """Only what is in view is read; the rest of the topic stays counted, until it is in view or marked."""
    hand.subscribe("Alice", "long")
    hand.subscribe("Alice", "short")
    for number in range(40):
        hand.publish("long", f"line {number}\n" * 4)
    hand.publish("short", "last")
    alice = desk.open(pair.first.address, "Alice", script=READ_AS_TOLD)
    expect(alice.page.locator("#mine [data-topic=short] .n")).to_have_count(1, timeout=SECONDS * 1000)

    def left() -> int:
        alice.page.evaluate("pass(1_000)")
        return int((alice.page.locator("#mine [data-topic=long] .n").text_content() or "0").split()[0])

    until("those in view are read", lambda: left() < 40, SECONDS)
    expect(alice.page.locator("#mine [data-topic=short] .n")).to_have_count(0, timeout=SECONDS * 1000)
    before = left()
    assert before > 30, "those above are not"
    alice.page.mouse.move(600, 300)
    alice.page.mouse.wheel(0, -100_000)
    until("the first are read", lambda: left() < before, SECONDS)
    alice.page.get_by_role("button", name="Mark read").click()
    expect(alice.page.locator("#mine .n")).to_have_count(0)
    assert alice.focused() == "All"
    assert alice.errors == alice.complaints == []


def test_what_is_read_in_one_tab_is_read_in_the_others(tabs: BrowserContext, pair: Pair, hand: Hand) -> None:
    hand.subscribe("Alice", "news")
    one = Window(tabs.new_page(), pair.first.address, "Alice")
    one.says("live at broker 1001")
    two = Window(tabs.new_page(), pair.first.address, "Alice")
    two.says("live at broker 1001")
    other = tabs.new_page()
    other.bring_to_front()
    until("both are hidden", lambda: two.page.evaluate("document.visibilityState") == "hidden", SECONDS)
    for number in range(3):
        hand.publish("news", str(number))
    for window in (one, two):
        expect(window.page.locator("#mine [data-topic=news] .n")).to_have_text("3 new", timeout=SECONDS * 1000)
    two.page.bring_to_front()
    for window in (two, one):
        expect(window.page.locator("#mine .n")).to_have_count(0, timeout=SECONDS * 1000)
    assert one.page.title() == "Alice · newswire"


def test_a_message_that_asks_for_it_is_confirmed_by_a_button(desk: Desk, pair: Pair, hand: Hand) -> None:
    hand.subscribe("Alice", "team.*")
    fields = {"topic": "team.red", "data": "Leave the house", "confirm": "600"}
    name = ask(pair.first.address, "POST", "/publish", fields).json()["id"]
    alice = desk.open(pair.first.address, "Alice", width=390, height=780)
    alice.has(".confirm", "Please confirm by")
    alice.page.get_by_role("button", name="Confirm").click()
    alice.has(".confirm", "You have confirmed this")
    report = get(pair.second.address, "/receipts", id=name)
    assert (report["confirmed"], report["subscribers"][0]["username"]) == (1, "Alice")
    alice.page.reload()
    alice.has(".confirm", "You have confirmed this")
    assert alice.errors == alice.complaints == []


def test_a_message_is_sent_later_and_taken_back_while_it_waits(desk: Desk, pair: Pair, hand: Hand) -> None:
    hand.subscribe("Alice", "news")
    alice = desk.open(pair.first.address, "Alice", width=390, height=780)
    alice.says("live at broker 1001")
    form, waits = alice.page.locator("#publish"), alice.page.locator("#waits")
    for text in ("Doors close", "Doors open"):
        form.locator("[name=topic]").fill("news")
        form.locator("[name=data]").fill(text)
        alice.page.locator("#details summary").click()
        form.locator("[name=at]").fill(f"{datetime.now() + timedelta(days=2):%Y-%m-%dT%H:%M}")
        alice.has("#at-said", "Sent on")
        form.locator("[name=data]").press("Enter")
        alice.has("#said", "Waits until")
    alice.has("#waits-said", "2 messages wait to be sent")
    waits.locator("summary").press("Enter")
    waits.get_by_role("button").first.press("Enter")
    alice.has("#waits-said", "1 message waits to be sent")
    alice.has("#said", "Withdrawn")
    (left,) = get(pair.second.address, "/messages", scheduled="1")["messages"]
    alice.page.reload()
    alice.has("#waits-said", "1 message waits to be sent")
    assert ask(pair.second.address, "DELETE", f"/messages/{left['id']}").status == 200
    alice.page.reload()
    alice.says("live at broker 1001")
    assert alice.texts() == []
    assert alice.errors == alice.complaints == []
