"""People who sign in: an admin who has never seen a terminal, somebody with a phone, and an open page whose session ends."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from brokers import Answer, ask, get, until
from tests.browser.test_app import RECORD
from tests.browser.test_axe import faults, faults_in_every_look
from tests.kit.access import basic, bearer
from tests.kit.menu_programs import piped
from tests.kit.processes import Pair, lend
from tests.kit.windows import SECONDS

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
Browser, BrowserContext, Page, expect = sync_api.Browser, sync_api.BrowserContext, sync_api.Page, sync_api.expect

PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two brokers that ask who one is, with an admin; what a test adds the others leave alone."""
    home = tmp_path_factory.mktemp("guarded")
    settings = home / "newswire.toml"
    settings.write_text(f'auth = "required"\nadmin-password = "{PASSWORD}"\ncluster-secret = "{"s" * 64}"\n')
    settings.chmod(0o600)
    with lend(Pair(home, "--config", str(settings))) as pair:
        pair.start()
        for broker in pair.brokers:
            until("both hold all", lambda at=broker.address: get(at, "/readyz")["copies"] == 2, SECONDS)
        until("the admin is there", lambda: asked(pair, "GET", "/me").status == 200, SECONDS)
        yield pair


def asked(pair: Pair, method: str, path: str, **fields: str) -> Answer:
    """What the first broker answers the admin."""
    return ask(pair.first.address, method, path, fields or None, headers=basic("admin", PASSWORD))


def page_of(browser: Browser, width: int, scheme: str) -> Page:
    """A window of somebody who is not signed in; axe is injected, past the policy."""
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme, bypass_csp=True)
    page = context.new_page()
    page.set_default_timeout(SECONDS * 1000)
    page.on("pageerror", lambda error: pytest.fail(f"the page threw {error}"))
    return page


def sign_in(page: Page, name: str, password: str = PASSWORD) -> None:
    """By keyboard alone: the name has the focus, the password is the next field."""
    expect(page.get_by_label("Name")).to_be_focused()
    page.keyboard.type(name)
    page.keyboard.press("Tab")
    expect(page.get_by_label("Password")).to_be_focused()
    page.keyboard.type(password)
    page.keyboard.press("Enter")


def test_an_admin_adds_and_removes_by_page(browser: Browser, guarded: Pair) -> None:
    page = page_of(browser, 1280, "light")
    page.goto(f"http://{guarded.first.address}/admin")
    assert faults(page) == [], "where one signs in"
    sign_in(page, "admin")
    expect(page.locator(".user")).to_have_count(2)

    page.get_by_label("Name").fill("Jörg")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Use joerg").click()
    page.keyboard.press("Enter")  # without a password: a program
    card = page.locator(".user[open]")
    expect(card.locator("summary").first).to_contain_text("joerg no rights yet", use_inner_text=True)
    expect(page.locator("#add .why")).to_contain_text("Now make a token")
    card.get_by_role("combobox", name="May").select_option("publish")
    card.get_by_label("Topic").fill("ops.>")
    card.get_by_role("button", name="Allow").click()
    expect(card.locator("summary").first).to_contain_text("publishes ops.>")

    card.get_by_text("New token").click()
    card.get_by_label("What is it for?").fill("<b>nightly</b>")
    card.get_by_role("button", name="Make it").click()
    token = card.get_by_label("The new token").input_value()
    assert page.evaluate("document.activeElement.textContent") == "Copy"
    assert faults_in_every_look(page) == [], "with a new token"
    message = {"topic": "ops.db", "data": "x"}
    assert ask(guarded.second.address, "POST", "/publish", message, headers=bearer(token)).status == 200
    card.get_by_role("button", name="I have it").click()
    assert token not in page.content()
    expect(card.get_by_text("<b>nightly</b>", exact=True)).to_be_visible()  # as text

    card.get_by_role("button", name="Revoke <b>nightly</b>").click()
    assert faults(page) == [], "with a question"
    assert page.evaluate("document.activeElement.textContent") == "Cancel", "what cannot be undone is not one Enter away"
    page.keyboard.press("Escape")
    expect(card.get_by_role("button", name="Revoke <b>nightly</b>")).to_be_focused()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Revoke it").click()
    expect(card.get_by_text("No tokens.")).to_be_visible()
    assert ask(guarded.second.address, "POST", "/publish", message, headers=bearer(token)).status == 401

    page.get_by_text("Show the last 100").click()
    expect(page.locator(".trail")).to_contain_text("admin let joerg publish to ops.>")
    page.get_by_role("button", name="Remove joerg …").click()
    page.get_by_role("button", name="Remove joerg", exact=True).click()
    expect(page.locator("#said")).to_have_text("Removed user joerg.")
    expect(page.locator(".user")).to_have_count(2)
    page.context.close()


def test_somebody_with_a_phone(browser: Browser, guarded: Pair) -> None:
    asked(guarded, "POST", "/users", username="ann", password=PASSWORD)
    asked(guarded, "POST", "/grants", who="ann", verb="subscribe", topic="news.>")
    page = page_of(browser, 390, "dark")
    page.goto(f"http://{guarded.first.address}/stream?username=ann")
    sign_in(page, "ann", "wrong")
    expect(page.get_by_role("alert")).to_have_text(re.compile("Wrong user or password.*"))
    assert page.evaluate("document.activeElement.id") == "password", "the name is kept, the password is typed again"
    assert faults(page) == [], "a wrong password"
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url("**/stream?username=ann")
    expect(page.locator("header")).to_contain_text("ann")
    expect(page.locator("#state")).to_contain_text("no topics yet")
    assert faults(page) == [], "the feed of who is signed in"
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "nothing is cut off at 390 pixels"

    page.get_by_role("link", name="ann").click()
    expect(page.locator("#rights")).to_contain_text("May read news.>", use_inner_text=True)
    page.get_by_label("New password").fill("another horse")
    page.get_by_label("The same again").fill("another hoarse")
    page.get_by_role("button", name="Change password").click()
    expect(page.locator("#password .why")).to_have_text("The two are not the same.")
    page.get_by_label("The same again").fill("another horse")
    page.keyboard.press("Enter")
    expect(page.locator("#password .why")).to_have_text("Your password is changed.")
    expect(page.get_by_text("No tokens.")).to_be_visible()
    assert faults_in_every_look(page) == [], "the account"
    page.goto(f"http://{guarded.first.address}/admin")
    expect(page.get_by_role("heading")).to_have_text("This page is for admins")
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/login")
    page.goto(f"http://{guarded.first.address}/account")
    page.wait_for_url("**/login?next=/account")
    page.context.close()


def test_a_session_outlives_its_broker_and_what_was_typed_outlives_the_session(browser: Browser, guarded: Pair) -> None:
    asked(guarded, "POST", "/users", username="ben", password=PASSWORD)
    for verb in ("publish", "subscribe"):
        asked(guarded, "POST", "/grants", who="ben", verb=verb, topic="news")
    page = page_of(browser, 1280, "light")
    page.context.grant_permissions(["notifications"])
    page.add_init_script(RECORD)
    page.goto(f"http://{guarded.first.address}/")
    sign_in(page, "ben")
    page.get_by_label("Topic to subscribe to").fill("news")
    page.keyboard.press("Enter")
    expect(page.locator("#state")).to_contain_text("live at broker 1001")
    page.evaluate("localStorage.setItem('newswire alerts of ben', JSON.stringify({ desktop: true }))")
    page.reload()
    expect(page.locator("#state")).to_contain_text("live at broker 1001")
    page.evaluate("navigator.serviceWorker.ready")
    guarded.first.kill9()
    expect(page.locator("#state")).to_contain_text("moved to broker 1002")
    page.get_by_label("Message").fill("Nobody signed in again")
    page.keyboard.press("Enter")
    expect(page.locator("article p")).to_have_text("Nobody signed in again")
    guarded.first.start()
    expect(page.locator("#state")).to_contain_text("live at broker 1001")

    page.get_by_label("Message").fill("What I typed")
    page.evaluate(
        """() => {
            window.said = [];
            const note = () => window.said.push($("state").textContent, $("notice").textContent);
            const $ = (id) => document.getElementById(id);
            for (const id of ["state", "notice"]) new MutationObserver(note).observe($(id), { childList: true, subtree: true });
        }"""
    )
    page.evaluate("document.hasFocus = () => false")  # who looks away is told that no news is told any more
    asked(guarded, "POST", "/users/ben/password", password=PASSWORD)  # by an admin, elsewhere
    expect(page.locator("#state")).to_have_text("signed out")
    until("it is told", lambda: page.evaluate("window.told.at(-1)?.[0]") == "newswire: signed out", SECONDS)
    page.keyboard.press("Enter")
    expect(page.locator("#notice")).to_contain_text("You are signed out.")
    asks = []
    page.on("request", lambda request: asks.append(request.url) if "/stream?" in request.url else None)
    until("the page has asked again and again", lambda: page.wait_for_timeout(200) or len(asks) >= 3, 3 * SECONDS)
    assert {url.split("/")[2] for url in asks} == {guarded.first.address}, "its own broker answers"
    said = page.evaluate("window.said")
    assert not [text for text in said[said.index("signed out") :] if "does not answer" in text or "trying again" in text]
    page.get_by_role("link", name="Sign in").click()
    sign_in(page, "ben")
    expect(page.get_by_label("Message")).to_have_value("What I typed")
    page.get_by_label("Message").press("Enter")
    expect(page.locator("article p").last).to_have_text("What I typed")
    page.context.close()


def test_a_menu_opens_a_window_that_is_signed_in_once(browser: Browser, guarded: Pair, tmp_path: Path) -> None:
    asked(guarded, "POST", "/users", username="cleo", password=PASSWORD)
    asked(guarded, "POST", "/grants", who="cleo", verb="subscribe", topic="news")
    opener, window = tmp_path / "opener", tmp_path / "window"
    opener.write_text(f'#!/bin/sh\necho "$1" > {window}\n')
    opener.chmod(0o700)
    address = guarded.first.address
    lines = ["1", "cleo", PASSWORD, "news", "2", "3"]
    shown = piped("subscriber", lines, NEWSWIRE_BROKERS=",".join(guarded.addresses), BROWSER=str(opener))
    connecting = f"Connecting to the primary broker... {address}\nhttp://{address}"
    answered = "{'message': 'Successfully subscribed cleo to topic news'}"
    assert f"{connecting}/subscribe?username=cleo&topic=news\n{answered}\n" in shown
    assert f"{connecting}/stream?username=cleo\nOpening window for streaming cleo's messages..\n" in shown
    assert shown.count("Enter your name: ") == 1
    assert PASSWORD not in shown
    url = until("the window is opened", lambda: window.exists() and window.read_text().strip(), SECONDS)
    page = page_of(browser, 1280, "dark")
    page.goto(url)
    page.wait_for_url("**/stream?username=cleo")  # no address keeps a ticket
    expect(page.locator("#state")).to_contain_text("live at broker 1001")
    other = page_of(browser, 1280, "dark")
    other.goto(url)
    other.wait_for_url("**/login?next=/")
    page.context.close()
    other.context.close()
