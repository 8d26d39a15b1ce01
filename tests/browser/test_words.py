"""What the page says in words: names that cannot be, and what it may not do."""

from __future__ import annotations

import json
import re

import pytest

from brokers import get, until
from tests.kit.asking import delivered
from tests.kit.processes import Pair
from tests.kit.windows import SECONDS, Desk, Hand, patient

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
Browser, Route, expect = sync_api.Browser, sync_api.Route, sync_api.expect


def test_a_topic_that_cannot_be_is_explained_and_another_offered(desk: Desk, pair: Pair, hand: Hand) -> None:
    hand.subscribe("Alice", "news")
    alice = desk.open(pair.first.address, "Alice")
    alice.says("live at broker 1001")
    topic, text = alice.page.get_by_label("Topic", exact=True), alice.page.get_by_label("Message")
    topic.fill("Jörg Müller news")
    text.fill("Hello")
    text.press("Enter")
    alice.has("#said.bad", "letters a to z and A to Z (no accents)")
    alice.has("#said.bad", "This one has spaces, ö and ü.")
    expect(topic).to_have_attribute("aria-invalid", "true")
    assert alice.focused() == "Topic"
    assert text.input_value() == "Hello", "what was typed stays"
    alice.page.get_by_role("button", name="Use Joerg-Mueller-news").press("Enter")
    assert topic.input_value() == "Joerg-Mueller-news"
    expect(topic).not_to_have_attribute("aria-invalid", "true")
    alice.page.keyboard.press("Enter")  # the button to publish has the focus
    alice.has("#said", "Stored on 2 brokers")
    topic.fill("logout")
    text.fill("kept for the service")
    text.press("Enter")
    alice.has("#said.bad", "that word is kept for the service")
    assert alice.errors == []


def test_a_subscription_that_cannot_be_is_explained_and_another_offered(desk: Desk, pair: Pair, hand: Hand) -> None:
    hand.subscribe("Alice", "news")
    alice = desk.open(pair.first.address, "Alice", width=390, height=780)
    alice.says("live at broker 1001")
    alice.page.get_by_text("More").click()
    alice.page.get_by_label("Topic to subscribe to").fill("my topic")
    alice.page.keyboard.press("Enter")
    alice.has("#why.bad", "This one has spaces.")
    alice.page.get_by_role("button", name="Use my-topic").click()
    expect(alice.page.locator("#why")).to_be_hidden()
    alice.page.keyboard.press("Enter")
    alice.has("#said", "Successfully subscribed Alice to topic my-topic")
    assert alice.errors == alice.complaints == []


def test_a_username_that_cannot_be_is_explained_and_another_offered(browser: Browser, pair: Pair) -> None:
    page = patient(browser.new_page())
    page.goto(f"http://{pair.first.address}/stream?username=J%C3%B6rg+M%C3%BCller")  # the broker refuses it
    expect(page.locator("#notice.bad")).to_contain_text("no accents")
    assert page.get_by_label("Name").input_value() == "Jörg Müller", "what was typed stays"
    page.get_by_label("Name").fill("a b")
    page.keyboard.press("Enter")  # the page does
    expect(page.locator("#notice.bad")).to_contain_text("This one has spaces.")
    page.get_by_role("button", name="Use a.b").click()
    page.keyboard.press("Enter")
    expect(page.locator("#state")).to_be_visible(timeout=SECONDS * 1000)
    assert "username=a.b" in page.url
    page.close()


def test_a_page_that_may_not_act_says_so(desk: Desk, pair: Pair, hand: Hand) -> None:
    """As behind a proxy that rewrites Host: news comes in, and every acknowledgement is refused."""
    hand.subscribe("Alice", "news")
    alice = desk.open(pair.first.address, "Alice", width=390, height=780)
    alice.says("live at broker 1001")
    refusal = {"title": "Not allowed", "status": 403, "detail": "this page is of another site", "code": "cross-site"}

    def refuse(route: Route) -> None:
        route.fulfill(status=403, content_type="application/problem+json", body=json.dumps(refusal))

    for path in ("ack", "publish"):
        alice.page.route(re.compile(rf"/{path}\b"), refuse)
    hand.publish("news", "one")
    alice.shows("one")
    alice.says("read only at broker 1001")
    alice.has("#notice", "This page may only show news")
    alice.has("#notice", "this page is of another site")
    alice.page.get_by_label("Message").fill("x")
    alice.page.keyboard.press("Enter")
    alice.has("#said.bad", "this page is of another site")
    assert alice.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "nothing is cut off at 390 pixels"
    assert sum(row["unread"] for row in get(pair.first.address, "/subscriptions", username="Alice")) == 1
    for path in ("ack", "publish"):
        alice.page.unroute(re.compile(rf"/{path}\b"))
    hand.publish("news", "two")
    delivered("Alice", pair.first)
    until("it may again", lambda: alice.page.locator("#state").text_content() == "live at broker 1001", SECONDS)
    expect(alice.page.locator("#notice")).to_be_hidden()
    assert alice.errors == []
