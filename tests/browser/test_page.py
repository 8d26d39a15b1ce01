"""The feed in a real browser: cases I to III in two windows, failover under the open page, and use by hand and keyboard."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from brokers import ask, get, until
from tests.e2e.harness import OverHttp, Pair, delivered

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
Browser, Page, expect = sync_api.Browser, sync_api.Page, sync_api.expect

SECONDS = 30


class Window:
    """A page of one user, and what it shows."""

    def __init__(self, browser: Browser, address: str, user: str, width: int = 1280, height: int = 800) -> None:
        self.page: Page = browser.new_page(viewport={"width": width, "height": height})
        self.page.set_default_timeout(SECONDS * 1000)
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(f"http://{address}/stream?username={user}")

    def texts(self) -> list[str]:
        """The texts shown, in order."""
        return list(self.page.locator("article p").all_inner_texts())

    def shows(self, *texts: str) -> None:
        """Wait until exactly these are shown, in this order, each once."""
        until(f"the page shows {texts}", lambda: self.texts() == list(texts), SECONDS)

    def says(self, state: str) -> None:
        """Wait for a state of the connection."""
        expect(self.page.locator("#state")).to_contain_text(state, timeout=SECONDS * 1000)


@pytest.fixture
def hand(pair: Pair, tmp_path: object) -> Iterator[OverHttp]:
    """Publishes and subscribes by plain requests."""
    yield OverHttp(pair, None)  # type: ignore[arg-type]  # it keeps nothing there


def test_cases_one_to_three_in_two_windows(browser: Browser, pair: Pair, hand: OverHttp) -> None:
    hand.subscribe("Alice", "Google")
    hand.subscribe("Bob", "Google")
    hand.subscribe("Bob", "Meta")
    alice = Window(browser, pair.first.address, "Alice")
    bob = Window(browser, pair.first.address, "Bob", width=390, height=780)
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
    carlos = Window(browser, pair.second.address, "Carlos")
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


def test_kill_nine_under_the_open_page_loses_and_repeats_nothing(browser: Browser, pair: Pair, hand: OverHttp) -> None:
    """Fifty messages, the broker under the page killed after the twentieth, back after the thirty-fifth."""
    hand.subscribe("Alice", "news")
    alice = Window(browser, pair.first.address, "Alice")
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


def test_a_reload_shows_what_was_read_and_marks_what_is_new(browser: Browser, pair: Pair, hand: OverHttp) -> None:
    hand.subscribe("Alice", "news")
    hand.publish("news", "read")
    first = Window(browser, pair.first.address, "Alice")
    first.shows("read")
    assert first.page.locator(".news").count() == 0, "nothing was read before: no line"
    delivered("Alice", pair.first)
    first.page.close()
    hand.publish("news", "new")
    second = Window(browser, pair.first.address, "Alice")
    second.shows("read", "new")
    expect(second.page.locator(".news")).to_have_count(1, timeout=SECONDS * 1000)
    order = second.page.locator("#feed > *").evaluate_all("all => all.map(e => e.className || e.tagName)")
    assert order == ["day", "ARTICLE", "news", "ARTICLE"]


def test_publish_and_subscribe_by_keyboard(browser: Browser, pair: Pair) -> None:
    gita = Window(browser, pair.first.address, "Gita", width=390, height=780)
    expect(gita.page.locator("#empty")).to_contain_text("not registered for any topic", timeout=SECONDS * 1000)
    gita.page.get_by_label("Topic to subscribe to").focus()
    gita.page.keyboard.type("news")
    gita.page.keyboard.press("Enter")
    gita.says("live at broker 1001")
    gita.page.get_by_label("Topic", exact=True).fill("news")
    gita.page.keyboard.press("Tab")
    gita.page.keyboard.type("Hello <b>all</b> & \u202eeveryone")
    gita.page.keyboard.press("Enter")
    expect(gita.page.locator("#said")).to_contain_text("Stored on 2 brokers", timeout=SECONDS * 1000)
    gita.shows("Hello <b>all</b> & \u202eeveryone")
    assert get(pair.second.address, "/subscriptions", username="Gita")[0]["topic"] == "news"
    assert gita.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "nothing is cut off at 390 pixels"
    assert gita.errors == []


def test_what_is_wrong_with_a_publish_is_said(browser: Browser, pair: Pair, hand: OverHttp) -> None:
    hand.subscribe("Alice", "news")
    alice = Window(browser, pair.first.address, "Alice")
    alice.says("live at broker 1001")
    alice.page.get_by_label("Topic", exact=True).fill("news.*")
    alice.page.get_by_label("Message").fill("x")
    alice.page.get_by_role("button", name="Publish").click()
    expect(alice.page.locator("#said.bad")).to_contain_text("are for subscriptions only", timeout=SECONDS * 1000)
    assert alice.page.get_by_label("Message").input_value() == "x", "what was typed stays"


def test_without_a_name_it_asks_for_one(browser: Browser, pair: Pair) -> None:
    page = browser.new_page()
    page.goto(f"http://{pair.first.address}/")
    page.get_by_label("Name").fill("Alice")
    page.keyboard.press("Enter")
    expect(page.locator("#state")).to_be_visible(timeout=SECONDS * 1000)
    assert "username=Alice" in page.url


def test_titles_priority_tags_links_and_gaps(browser: Browser, pair: Pair, hand: OverHttp) -> None:
    hand.subscribe("Alice", "ops")
    alice = Window(browser, pair.first.address, "Alice")
    alice.says("live at broker 1001")
    fields = {"topic": "ops", "title": "Payments fail", "data": "Since 09:28", "priority": "5", "tags": "payments,north",
              "click": "https://example.org/incident"}  # fmt: skip
    assert ask(pair.first.address, "POST", "/publish", fields).status == 200
    article = alice.page.locator("article.high")
    expect(article.locator("h3")).to_have_text("Payments fail", timeout=SECONDS * 1000)
    expect(article.locator(".tag")).to_have_text(["payments", "north"])
    expect(article.locator("a")).to_have_attribute("href", "https://example.org/incident")
