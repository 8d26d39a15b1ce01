"""Older news in the page: as one scrolls up, and found by its words; and a message with all that the form has for it."""

from __future__ import annotations

import json

import pytest

from brokers import ask, get, post, until
from tests.kit.processes import Pair
from tests.kit.windows import SECONDS, Desk, Hand

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = sync_api.expect

COUNT = 450  # more than are loaded at first


def test_older_news_comes_as_one_scrolls_and_is_found_by_its_words(desk: Desk, pair: Pair, hand: Hand) -> None:
    lines = "\n".join(json.dumps({"topic": "news", "data": f"Nummer {number}"}) for number in range(COUNT))
    ask(pair.first.address, "POST", "/publish", body=lines, headers={"Content-Type": "application/x-ndjson"})
    hand.subscribe("Alice", "news")
    alice = desk.open(pair.first.address, "Alice")
    alice.says("live at broker 1001")
    until("the newest are there", lambda: alice.texts()[-1:] == [f"Nummer {COUNT - 1}"], SECONDS)
    assert len(alice.texts()) < COUNT
    for _ in range(2):
        seen = len(alice.texts())
        alice.page.evaluate("scrollTo(0, 0)")
        until("older ones are there", lambda seen=seen: len(alice.texts()) > seen or len(alice.texts()) == COUNT, SECONDS)
    alice.shows(*(f"Nummer {number}" for number in range(COUNT)))
    expect(alice.page.get_by_role("button", name="Show earlier news")).to_be_hidden()

    alice.page.get_by_role("searchbox", name="Search the news").fill("nummer 44")
    alice.page.keyboard.press("Enter")
    alice.has("#found-said", "14 messages with “nummer 44”, the newest first.")
    found = [f"Nummer {number}" for number in (*range(449, 439, -1), 344, 244, 144, 44)]
    assert alice.page.locator("#found article p").all_text_contents() == found
    assert alice.page.evaluate("CSS.highlights.get('found').size") == 2 * len(found), "each word where it stands"
    hand.publish("news", "meanwhile")
    alice.page.keyboard.press("Escape")
    expect(alice.page.locator("#feed article").last).to_be_visible()
    assert alice.page.locator("#found article").count() == 0
    until("what came meanwhile is there", lambda: alice.texts()[-1:] == ["meanwhile"], SECONDS)
    assert alice.errors == alice.complaints == []


def test_a_message_is_written_with_all_that_it_may_have(desk: Desk, pair: Pair, hand: Hand) -> None:
    hand.subscribe("Alice", "news.>")
    hand.publish("news.old", "x")
    alice = desk.open(pair.first.address, "Alice", locale="de-DE")
    alice.says("live at broker 1001")
    alice.shows("x")
    form = alice.page.locator("#publish")
    form.get_by_label("Topic", exact=True).fill("news.lod")
    alice.has("#new-topic", "There is no topic news.lod yet: publishing makes it.")
    form.get_by_label("Topic", exact=True).fill("news.old")
    expect(alice.page.locator("#new-topic")).to_be_empty()
    form.get_by_label("Message").fill("*Heute* <b>neu</b>")
    alice.page.keyboard.press("Tab")
    alice.tab_to("Title, priority, tags …")
    alice.page.keyboard.press("Enter")
    expect(form.get_by_label("Title")).to_be_focused()
    alice.page.keyboard.type("Probe")
    form.get_by_label("Tags").fill("warning, nord")
    form.get_by_label("Priority").select_option("highest")
    expect(form.get_by_label("Who is late is named in")).to_be_hidden()
    form.get_by_label("To be confirmed").select_option("within an hour")
    form.get_by_label("Who is late is named in").fill("news.late")
    form.get_by_label("Text is Markdown").check()
    form.get_by_label("Title").press("Enter")
    alice.has("#said", "Stored on 2 brokers")
    article = alice.page.locator("#feed article").last
    expect(article.locator(".topic")).to_have_text("news.old · highest", timeout=SECONDS * 1000)
    expect(article.locator("h3")).to_have_text("Probe")
    expect(article.locator(".markdown")).to_have_text("Heute <b>neu</b>")
    expect(article.locator(".markdown em")).to_have_text("Heute")
    assert article.locator(".tag").all_text_contents() == ["⚠️ warning", "nord"]
    message = get(pair.second.address, "/messages", username="Alice", before="now", limit="1")["messages"][0]
    assert (message["priority"], message["tags"], message["confirm"], message["markdown"]) == (
        5,
        ["warning", "nord"],
        3600,
        True,
    )
    assert form.get_by_label("Message").input_value() == "", "the next one begins empty"
    expect(form.get_by_label("Title")).to_be_hidden()
    alice.page.get_by_role("button", name="Confirm").click()
    expect(article.locator(".confirm")).to_have_text("✓ You have confirmed this.", timeout=SECONDS * 1000)
    older = get(pair.first.address, "/messages", username="Alice", before="now")["messages"][1]["id"]
    post(pair.second.address, "/publish", topic="news.old", data="y", replaces=older)
    alice.has("#feed article >> nth=0", "changed")
    until("it stands in place of the other", lambda: alice.texts()[0] == "y", SECONDS)
    form.get_by_label("Message").fill("too soon")
    alice.page.keyboard.press("Enter")
    alice.page.get_by_role("button", name="Withdraw it").click()
    alice.has("#said", "Withdrawn.")
    alice.has("#feed article >> nth=-1", "This message was withdrawn.")
    assert alice.page.evaluate("[...document.querySelectorAll('time')].every(t => /^\\d\\d:\\d\\d$/.test(t.textContent))")
    assert alice.errors == alice.complaints == []
