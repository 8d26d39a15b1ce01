"""The page as an app: what is told to who looks away, keys, finding a topic, and what opens when no broker answers."""

from __future__ import annotations

import re

import pytest

from brokers import ask, post, until
from tests.browser.test_axe import faults
from tests.kit.processes import Pair
from tests.kit.windows import PATIENT, SECONDS, Hand, Window

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
Browser, BrowserContext, expect = sync_api.Browser, sync_api.BrowserContext, sync_api.expect

ICON = "decodeURIComponent(document.querySelector('link[rel=icon]').href)"
RECORD = """
    window.told = [];
    const show = ServiceWorkerRegistration.prototype.showNotification;
    ServiceWorkerRegistration.prototype.showNotification = function (title, options) {
        window.told.push([title, options.data]);
        return show.call(this, title, options);
    };
"""


def test_who_looks_away_is_told_once(tabs: BrowserContext, pair: Pair, hand: Hand) -> None:
    """Of two tabs one tells; nothing of what somebody sees; a click leads to the message."""
    for topic in ("news", "noise"):
        hand.subscribe("Alice", topic)
    tabs.add_init_script(PATIENT + RECORD)
    tabs.grant_permissions(["notifications"])
    one = Window(tabs.new_page(), pair.first.address, "Alice")
    one.says("live at broker 1001")
    one.page.locator("#alerts-open").focus()
    one.page.keyboard.press("n")
    one.page.get_by_label("Show a notification").press("Space")
    one.page.get_by_label("Make a sound").press("Space")
    one.page.get_by_label("Topic or pattern").fill("noi*")
    one.page.keyboard.press("Enter")
    one.has("#alerts-why.bad", "* stands for one whole level")
    one.page.get_by_label("Topic or pattern").fill("noise")
    one.page.get_by_label("What is told of it").select_option("nothing")
    one.page.get_by_role("button", name="Add").press("Enter")
    one.has("#alerts-topics", "noise nothing")
    one.page.keyboard.press("Escape")
    assert one.focused() == "Notifications"
    two = Window(tabs.new_page(), pair.first.address, "Alice")
    two.says("live at broker 1001")

    def told() -> list[str]:
        return [title for window in (one, two) for title, _ in window.page.evaluate("window.told")]

    one.page.evaluate("navigator.serviceWorker.ready")
    other = tabs.new_page()
    other.bring_to_front()
    for window in (one, two):
        until("it is hidden", lambda w=window: w.page.evaluate("document.visibilityState") == "hidden", SECONDS)
    hand.publish("noise", "not told")
    ask(pair.first.address, "POST", "/publish", {"topic": "news", "title": "Fire drill", "data": "at ten"})
    until("it is told", lambda: told() == ["news: Fire drill"], SECONDS)
    until("the icon counts", lambda: ">2</text>" in two.page.evaluate(ICON), SECONDS)
    assert two.page.title() == "(2) Alice · newswire"
    two.page.bring_to_front()
    until("all is read", lambda: two.page.evaluate(ICON).endswith("/icon.svg"), SECONDS)
    hand.publish("news", "seen")
    two.shows("not told", "at ten", "seen")
    for window in (two, one):
        expect(window.page.locator("#mine .n")).to_have_count(0, timeout=SECONDS * 1000)  # it is read
    other.bring_to_front()
    until("it is hidden", lambda: two.page.evaluate("document.visibilityState") == "hidden", SECONDS)
    ask(pair.first.address, "POST", "/publish", {"topic": "news", "title": "Later", "data": "x", "priority": "5"})
    until("it is told", lambda: told() == ["news: Fire drill", "news: Later"], SECONDS)
    data = next(data for window in (one, two) for _, data in window.page.evaluate("window.told"))
    tabs.service_workers[0].evaluate("data => void goTo(data).catch(() => {})", data)  # without a click no focus is given
    until("a page shows it", lambda: any("at ten" in window.focused() for window in (one, two)), SECONDS)
    assert one.errors == two.errors == []


def test_topics_are_found_and_end_where_they_came_from(browser: Browser, pair: Pair, hand: Hand) -> None:
    """And without a broker the page opens all the same, and goes on at the first that answers."""
    for number in range(10):
        hand.subscribe("Alice", f"topic{number}")
    hand.subscribe("Alice", "team.>")
    hand.publish("team.red", "red")
    hand.publish("teapot", "x")
    small = {"width": 390, "height": 780}
    context = browser.new_context(viewport=small, color_scheme="dark", bypass_csp=True)  # axe is injected
    alice = Window(context.new_page(), pair.first.address, "Alice")
    alice.says("live at broker 1001")
    alice.shows("red")
    expect(alice.page.locator("#mine .pick")).to_have_count(13, timeout=SECONDS * 1000)
    alice.page.locator("#state").click()
    alice.page.keyboard.press("?")
    expect(alice.page.get_by_role("dialog", name="Keys")).to_be_visible()
    assert faults(alice.page) == [], "the keys"
    alice.page.keyboard.press("Escape")
    alice.page.keyboard.press("f")
    assert alice.focused() == "Find a topic in the list"
    alice.page.keyboard.type("TEA")
    expect(alice.page.locator("#mine .pick")).to_have_text(["All", "team.>", re.compile("^team.red")])
    expect(alice.page.locator("#more .pick")).to_have_count(1)
    assert faults(alice.page) == [], "some topics"
    for key in ("ArrowDown", "ArrowDown", "Enter"):
        alice.page.keyboard.press(key)
    alice.has("#mine [aria-current=true]", "team.red")
    alice.has("#mine .by", "comes by team.>, and ends with it")
    assert alice.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "nothing is cut off at 390 pixels"
    alice.tab_to("Unsubscribe from team.>")
    alice.page.keyboard.press("Enter")
    alice.has("#said", "Successfully unsubscribed Alice from topic team.>")
    assert alice.focused() == "All"
    alice.page.keyboard.press("Shift+Tab")
    alice.page.keyboard.press("Escape")
    expect(alice.page.locator("#mine .pick")).to_have_count(11, timeout=SECONDS * 1000)

    alice.page.evaluate("navigator.serviceWorker.ready")
    for broker in pair.brokers:
        broker.kill9()
    alice.has("#stale", "what stands here may be out of date")
    alice.page.reload()
    alice.says("silent since")
    alice.has("h1", "No broker answers.")
    alice.has("main", "What you saw before may be out of date.")
    alice.has("#tried", pair.second.address)
    assert faults(alice.page) == [], "without a broker"
    pair.second.start()
    alice.page.wait_for_url(f"http://{pair.second.address}/stream?username=Alice**")
    alice.says("live at broker 1002")
    post(pair.second.address, "/publish", topic="topic1", data="on it goes")
    alice.shows("on it goes")
    assert alice.errors == []
    context.close()
