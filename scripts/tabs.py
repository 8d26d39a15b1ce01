"""Many tabs of one browser, and two brokers that are killed in turn: is every message in every tab, once?

    scripts/tabs                         20 tabs, 20 kills
    scripts/tabs --tabs 40 --kills 5

While messages are published all the time, each kill -9 takes the broker that serves the stream away; the other one serves, the
first is started again, and the page goes home. Looked at: that no tab ever shows a message twice, that in the end each tab has
them all in order, that the tabs share one stream, and that all is acknowledged.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from brokers import UNREACHABLE, Broker, ask, free_ports, get, post, until, wait_in_sync

CHROMIUM: Final = "/usr/bin/chromium"
USER: Final = "Alice"
PAUSE_SECONDS: Final = 0.25  # between two messages: what a page keeps in view is 1,500 of them
DOWN_SECONDS: Final = 2.0  # of a broker that was killed
WAIT_SECONDS: Final = 120.0

# what a tab shows more than once at any time
WATCH: Final = """
    window.twice = new Set();
    addEventListener("DOMContentLoaded", () => {
        new MutationObserver(() => {
            const seen = new Set();
            for (const { dataset: { id } } of document.querySelectorAll("#feed > article")) {
                if (seen.has(id)) window.twice.add(id);
                seen.add(id);
            }
        }).observe(document.getElementById("feed"), { childList: true });
    });
"""
STATE: Final = "document.getElementById('state').textContent"
TEXTS: Final = "[...document.querySelectorAll('#feed > article')].map((one) => one.querySelector('p').textContent)"


class Writer(threading.Thread):
    """Publishes numbers until it is ended, each again until a broker has taken it."""

    def __init__(self, addresses: Sequence[str]) -> None:
        super().__init__(name="writer", daemon=True)
        self._addresses = list(addresses)
        self._ending = threading.Event()
        self.count = 0

    def run(self) -> None:
        """Publish one after the other."""
        while not self._ending.wait(PAUSE_SECONDS):
            while not self._publish(self.count):
                self._addresses.append(self._addresses.pop(0))
                time.sleep(0.1)
            self.count += 1

    def _publish(self, number: int) -> bool:
        fields = {"topic": "news", "data": str(number), "key": f"number {number}"}
        try:
            return ask(self._addresses[0], "POST", "/publish", fields, timeout=5.0).status == 200
        except UNREACHABLE:
            return False

    def end(self) -> int:
        """Stop after the one that is on its way; how many there are."""
        self._ending.set()
        self.join()
        return self.count


def play(browser: Any, brokers: list[Broker], tabs: int, kills: int) -> list[str]:
    """Run it; what is wrong, in words."""
    post(brokers[0].address, "/subscribe", username=USER, topic="news")
    context = browser.new_context()
    context.add_init_script(WATCH)
    pages = [context.new_page() for _ in range(tabs)]
    for page in pages:
        page.goto(f"http://{brokers[0].address}/stream?username={USER}")
    wait_for_text(pages, "live at broker 1001")
    writer = Writer([broker.address for broker in brokers])
    writer.start()
    served = "1001"
    for kill in range(kills):
        broker = brokers[kill % 2]
        served = "1002" if broker is brokers[0] else "1001"
        broker.kill9()
        wait_for_text(pages, f"broker {served}")  # live at it, or moved to it
        pages[0].wait_for_timeout(DOWN_SECONDS * 1000)
        broker.start()
        wait_in_sync(brokers, WAIT_SECONDS)
        print(f"kill {kill + 1} of {kills}: broker {broker.id}, {writer.count} messages so far", flush=True)
    wait_for_text(pages, f"broker {served}")
    return judge(pages, brokers, [str(number) for number in range(writer.end())])


def wait_for_text(pages: list[Any], words: str) -> None:
    """Wait until every tab says in its state that it is served there."""
    until(f"all tabs say {words}", lambda: all(words in page.evaluate(STATE) for page in pages), WAIT_SECONDS)


def judge(pages: list[Any], brokers: list[Broker], expected: list[str]) -> list[str]:
    """What is wrong in the end."""
    wrong = []
    until("all have the last", lambda: all(page.evaluate(TEXTS)[-1:] == expected[-1:] for page in pages), WAIT_SECONDS)
    for number, page in enumerate(pages):
        while page.locator("#earlier").is_visible():
            page.locator("#earlier").click()
        texts = page.evaluate(TEXTS)
        if texts != expected:
            missing, twice = len(set(expected) - set(texts)), len(texts) - len(set(texts))
            wrong.append(
                f"tab {number} shows {len(texts)} of {len(expected)}: {missing} missing, {twice} twice, or out of order"
            )
        if for_a_while := page.evaluate("window.twice.size"):
            wrong.append(f"tab {number} has shown {for_a_while} twice for a while")
    streams = sum(get(broker.address, "/readyz")["streams"] for broker in brokers)
    if streams != 1:
        wrong.append(f"{streams} streams instead of one")
    for broker in brokers:
        unread = sum(row["unread"] for row in get(broker.address, "/subscriptions", username=USER))
        if unread:
            wrong.append(f"{unread} are not acknowledged at broker {broker.id}")
    print(f"{len(expected)} messages in {len(pages)} tabs, {streams} stream{'' if streams == 1 else 's'}")
    return wrong


def main() -> int:
    """Run it, and print what comes of it."""
    parser = argparse.ArgumentParser(prog="scripts/tabs", description=__doc__.partition("\n")[0])
    parser.add_argument("--tabs", type=int, default=20, metavar="N", help="default 20")
    parser.add_argument("--kills", type=int, default=20, metavar="N", help="default 20")
    asked: Any = parser.parse_args()
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        print("playwright is not installed: pip install playwright")
        return 2
    first, second = free_ports(2)
    with tempfile.TemporaryDirectory(prefix="newswire-tabs-") as home, sync_playwright() as driver:
        arguments = ["--disable-gpu", *(["--no-sandbox"] if os.getuid() == 0 else [])]
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=arguments)
        options = ["--heartbeat", "0.5"]
        brokers = [
            Broker("1001", first, Path(home), peers=[second], primary=True, options=options),
            Broker("1002", second, Path(home), peers=[first], options=options),
        ]
        begin = time.monotonic()
        try:
            for broker in brokers:
                broker.launch()
            wait_in_sync(brokers, WAIT_SECONDS)
            wrong = play(browser, brokers, asked.tabs, asked.kills)
        finally:
            browser.close()
            for broker in brokers:
                broker.kill9()
    print("\n".join(wrong) or f"Nothing is missing and nothing came twice, in {time.monotonic() - begin:.0f} s.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
