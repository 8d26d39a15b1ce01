"""Windows of the feed page, and a hand that publishes beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from brokers import until
from newswire.core.model.addresses import url_of
from tests.kit.hands import OverHttp
from tests.kit.waiting import PATIENCE_SECONDS

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SECONDS = PATIENCE_SECONDS

# Tabs that ask one another count who answers within 300 ms (COUNT_MS of locks.js, ANSWER_MS of alerts.js). Ten times that is
# enough on a slow machine, too.
PATIENT = """{
    const plain = window.setTimeout;
    window.setTimeout = (what, ms, ...more) => plain(what, ms === 300 ? 3_000 : ms, ...more);
}"""
# What is on the screen has been read when a while is over (view.js), which goes on only when `pass` says so.
READ_AS_TOLD = "{ let now = 0; performance.now = () => now; window.pass = (ms) => { now += ms; }; }"


def patient(page: Page) -> Page:
    """The page, for which each act and each address is waited for as long as a test waits."""
    page.set_default_timeout(SECONDS * 1000)
    return page


class Window:
    """A page of one user, and what it shows."""

    def __init__(self, page: Page, address: str, user: str) -> None:
        self.page = patient(page)
        self.errors: list[str] = []  # what the script threw
        self.complaints: list[str] = []  # what the console shows in red
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)
        self.pending: list[str] = []  # what was asked and is not answered
        self.page.on("request", lambda request: self.pending.append(request.url))
        for event in ("requestfinished", "requestfailed"):
            self.page.on(event, lambda request: self.pending.remove(request.url) if request.url in self.pending else None)
        self.page.goto(f"{url_of(address)}/stream?username={user}")

    def texts(self) -> list[str]:
        """The texts shown, in order."""
        return list(self.page.evaluate("[...document.querySelectorAll('article p')].map(p => p.textContent)"))

    def order(self) -> list[str]:
        """What stands in the feed from top to bottom: the text of each message, the class of all else; the day once."""
        shown = self.page.evaluate(
            "[...document.querySelectorAll('#feed > *')].map(e => e.querySelector('p')?.textContent ?? e.className)"
        )
        return [one for at, one in enumerate(shown) if one != "day" or at == 0]  # midnight may come between

    def shows(self, *texts: str) -> None:
        """Wait until exactly these are shown, in this order, each once."""
        until(f"the page shows {texts}", lambda: self.texts() == list(texts), SECONDS)

    def says(self, state: str) -> None:
        """Wait for a state of the connection."""
        self.has("#state", state)

    def has(self, selector: str, text: str) -> None:
        """Wait until the element that `selector` names holds `text`."""
        from playwright.sync_api import expect

        try:
            expect(self.page.locator(selector)).to_contain_text(text, timeout=SECONDS * 1000)
        except AssertionError as error:
            seen = self.page.evaluate("[document.visibilityState, document.readyState]")
            error.add_note(f"{seen}; not answered: {self.pending}; in red: {self.complaints}; thrown: {self.errors}")
            raise

    def focused(self) -> str:
        """The name or text of what has the focus."""
        return str(self.page.evaluate("(e => e.getAttribute('aria-label') ?? e.innerText.trim())(document.activeElement)"))

    def tab_to(self, name: str) -> None:
        """Press Tab until what is named has the focus, as one who has no mouse."""
        for _ in range(40):
            self.page.keyboard.press("Tab")
            if self.focused() == name:
                return
        raise AssertionError(f"no way to {name!r} by keyboard")


class Desk:
    """Where windows are opened."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self.windows: list[Window] = []

    def open(
        self, address: str, user: str, width: int = 1280, height: int = 800, locale: str = "en-GB", script: str = ""
    ) -> Window:
        """Open the page of `user` at a broker, in a window of its own. `script` runs before those of the page."""
        page = self._browser.new_page(viewport={"width": width, "height": height}, locale=locale)
        page.add_init_script(script)
        self.windows.append(Window(page, address, user))
        return self.windows[-1]

    def clear(self) -> None:
        """Close all windows."""
        for window in self.windows:
            window.page.close()


class Hand(OverHttp):
    """Publishes and subscribes by plain requests."""

    def publish(self, topic: str, data: str) -> str:
        """Publish; the address that took it. How many copies there are is not the matter of these tests."""
        address, answer = self._post("/publish", topic=topic, data=data)
        assert answer.json()["copies"] >= 1
        return address
