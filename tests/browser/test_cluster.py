"""The page of the cluster: what it shows, adds and removes, by keyboard, and what axe says of it."""

from __future__ import annotations

import pytest

from brokers import rows, until
from tests.browser.test_axe import faults, faults_in_every_look
from tests.kit.processes import Pair
from tests.kit.windows import SECONDS, Hand, patient

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
Browser, expect = sync_api.Browser, sync_api.expect


def test_an_operator_looks_removes_and_adds(browser: Browser, pair: Pair, hand: Hand) -> None:
    hand.publish("ops", "x")
    size = {"width": 1280, "height": 900}
    page = patient(browser.new_page(viewport=size, color_scheme="light", bypass_csp=True))  # axe is injected
    page.on("pageerror", lambda error: pytest.fail(f"the page threw {error}"))
    page.goto(f"http://{pair.first.address}/cluster")
    expect(page.locator("#lead")).to_contain_text("on 2 disks", timeout=SECONDS * 1000)
    expect(page.locator("#charts canvas")).to_have_count(6, timeout=SECONDS * 1000)
    expect(page.get_by_role("img", name="Streams, open here")).to_be_visible()
    expect(page.locator("#events")).to_contain_text("This broker was started", timeout=SECONDS * 1000)
    assert faults_in_every_look(page) == []

    page.get_by_role("button", name="Remove broker 1002").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Cancel")).to_be_focused()
    assert faults(page) == [], "the question"
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert len(rows(pair.first.address)) == 2, "nothing was removed"
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Remove 1002", exact=True).press("Enter")
    expect(page.locator("#said")).to_contain_text("Removed broker", timeout=SECONDS * 1000)
    until("one broker is left", lambda: len(rows(pair.first.address)) == 1, SECONDS)

    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": 390, "height": 800})
    page.locator("summary").press("Enter")
    page.get_by_label("Its address").fill("127.0.0.1:1")
    page.keyboard.press("Enter")
    expect(page.locator("#add .why.bad")).to_be_visible(timeout=SECONDS * 1000)
    assert faults(page) == [], "narrow and dark, with a refusal"
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.close()
