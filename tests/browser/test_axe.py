"""What axe and WCAG say of the page, wide and narrow, light and dark."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from brokers import ask, post, until
from newswire import web
from tests.kit.processes import Pair
from tests.kit.windows import SECONDS, Hand, Window, patient

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
Browser, Page, expect = sync_api.Browser, sync_api.Page, sync_api.expect


def faults(page: Page) -> list[tuple[Any, ...]]:
    """What axe finds, of every impact: rule, impact, and the elements."""
    found = axe.Axe().run(page).response
    assert len(found["passes"]) > 10, "it looked"
    return [(one["id"], one["impact"], *(node["html"][:120] for node in one["nodes"])) for one in found["violations"]]


def faults_by_day_and_night(page: Page) -> list[tuple[Any, ...]]:
    """The same of a page that is light, then dark."""
    found = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        found += [(scheme, *one) for one in faults(page)]
    return found


def faults_in_every_look(page: Page) -> list[tuple[Any, ...]]:
    """The same wide and narrow, light and dark; and whether anything is cut off. Afterwards the page looks as before."""
    size, found = page.viewport_size, []
    dark = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 800})
        found += [(width, *one) for one in faults_by_day_and_night(page)]
        if page.evaluate("document.documentElement.scrollWidth") > width:
            found.append((width, "scrolls sideways"))
    page.emulate_media(color_scheme="dark" if dark else "light")
    page.set_viewport_size(size)
    return found


@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing(browser: Browser, pair: Pair, hand: Hand, width: int) -> None:
    page = patient(browser.new_page(viewport={"width": width, "height": 780}, bypass_csp=True))  # axe is injected
    page.goto(f"http://{pair.first.address}/")
    assert faults_by_day_and_night(page) == [], "the page that asks for a name"
    page.get_by_label("Name").fill("no name")
    page.keyboard.press("Enter")
    assert faults_by_day_and_night(page) == [], "and refuses one"

    alice = Window(page, pair.first.address, "Alice")
    alice.has("#empty", "not registered")
    assert faults_by_day_and_night(page) == [], "a user without subscriptions"
    for topic in ("ops", "team.red", "team.*"):
        hand.subscribe("Alice", topic)
    hand.publish("other", "x")
    fields = {
        "topic": "ops",
        "title": "Payments fail",
        "data": "See https://example.org/status",
        "priority": "5",
        "tags": "a,b",
    }
    assert ask(pair.first.address, "POST", "/publish", fields).status == 200
    hand.publish("team.red", "w" * 5_000)
    alice.says("live at broker 1001")
    until("all are shown", lambda: len(alice.texts()) == 2, SECONDS)
    page.locator("#find").evaluate("details => { details.open = true }")
    expect(page.locator("#more .pick")).to_have_count(1, timeout=SECONDS * 1000)
    assert faults_by_day_and_night(page) == [], "with messages, and the other topics open"
    page.get_by_role("button", name="team.red").click()
    assert faults_by_day_and_night(page) == [], "a topic"
    page.get_by_text("Title, priority, tags").click()
    page.get_by_label("To be confirmed").select_option("within an hour")
    assert faults_by_day_and_night(page) == [], "all that a message may have"
    if width < 700:
        page.get_by_role("button", name="Search the news").click()
    page.get_by_role("searchbox", name="Search the news").fill("ww")
    page.keyboard.press("Enter")
    alice.has("#found-said", "1 message with “ww”")
    assert faults_by_day_and_night(page) == [], "what was found"
    page.keyboard.press("Escape")

    page.get_by_role("button", name="Notifications").click()
    page.get_by_label("Topic or pattern").fill("a b")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Use a-b")).to_be_visible()
    assert faults_by_day_and_night(page) == [], "what is told"
    page.keyboard.press("Escape")

    page.get_by_label("Topic to subscribe to").fill("my topic")
    page.keyboard.press("Enter")
    page.get_by_label("Topic", exact=True).fill("Jörg Müller")
    page.get_by_label("Message").fill("x")
    page.keyboard.press("Enter")
    alice.has("#said.bad", "accents")
    alice.has("#why.bad", "accents")
    assert faults_by_day_and_night(page) == [], "with names refused"
    page.route(
        re.compile("/ack"), lambda route: route.fulfill(status=403, json={"detail": "not this page", "code": "forbidden"})
    )
    post(pair.first.address, "/publish", topic="team.red", data="refused")
    alice.has("#notice", "not this page")
    assert faults_by_day_and_night(page) == [], "a page that may not act"
    pair.first.kill9()
    alice.says("moved to broker 1002")
    pair.second.kill9()
    alice.says("silent since")
    assert faults_by_day_and_night(page) == [], "without a broker"
    page.close()


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
