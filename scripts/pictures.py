"""Take the pictures of README.md and docs/ anew: two brokers, a morning's news, and Debian's Chromium.

    scripts/pictures              into docs/
    scripts/pictures --output F   into another folder

The news are the same each time; what a clock says is not, so the pictures differ a little from run to run.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from brokers import Broker, ask, free_ports, post, wait_in_sync

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT: Final = Path(__file__).resolve().parent.parent
CHROMIUM: Final = "/usr/bin/chromium"
READER: Final = "ann"
LOCALE: Final = "en-GB"
TRAFFIC_SECONDS: Final = 150.0  # so that charts have something to show
BEFORE: Final[tuple[dict[str, str], ...]] = (
    {"topic": "social", "data": "Family day is on Saturday at ten, in the park behind the office."},
    {
        "topic": "finance.closing",
        "title": "October is closed",
        "data": "All bookings from now on belong to **November**.\n\n- accruals: done\n- intercompany: *Thursday*",
        "markdown": "1",
    },
)
AFTER: Final[tuple[dict[str, str], ...]] = (
    {
        "topic": "ops.incident",
        "title": "Card payments fail in region north",
        "data": "Cards of all banks are refused since this morning. On call: Bob. Next word in a quarter of an hour.",
        "priority": "5",
        "tags": "warning,payments",
        "confirm": "3600",
    },
    {"topic": "hiring", "data": "Two openings for data engineers, see https://jobs.example.org/data."},
    {"topic": "hiring", "title": "Interviews", "data": "They move to room 4.", "tags": "rooms"},
)
OTHERS: Final = ("canteen", "it.work")


def main(arguments: list[str]) -> int:
    """Take them; the exit status."""
    parser = argparse.ArgumentParser(description="Take the pictures of README.md and docs/ anew.")
    parser.add_argument("--output", type=Path, default=ROOT / "docs", help="the folder [default: docs]")
    output: Path = parser.parse_args(arguments).output
    from playwright.sync_api import sync_playwright

    one, two = free_ports(2)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        pair = (
            Broker("1001", one, Path(folder), peers=[two], primary=True),
            Broker("1002", two, Path(folder), peers=[one]),
        )
        try:
            for broker in pair:
                broker.launch()
            for broker in pair:
                broker.wait_ready()
            wait_in_sync(pair)
            flags = ["--no-sandbox"] if os.geteuid() == 0 else []
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
            take(browser, pair[0].address, output)
            browser.close()
        finally:
            for broker in pair:
                broker.kill9()
    return 0


def take(browser: Browser, address: str, output: Path) -> None:
    """Publish the news and take each picture."""
    for message in (*BEFORE, *AFTER):
        post(address, "/subscribe", username=READER, topic=message["topic"])
    for message in BEFORE:
        post(address, "/publish", **message)
    for topic in OTHERS:
        post(address, "/publish", topic=topic, data="Nothing to add.")
    busy(address, TRAFFIC_SECONDS)
    feed = f"http://{address}/?username={READER}"
    for width, height in ((1280, 760), (390, 844)):
        page = browser.new_page(viewport={"width": width, "height": height}, locale=LOCALE)
        page.goto(feed)
        page.get_by_text("Family day").first.wait_for()
        if width == 1280:
            for message in AFTER:
                post(address, "/publish", **message)
        page.get_by_text("They move to room 4.").first.wait_for()
        page.wait_for_timeout(1500)
        page.screenshot(path=output / f"feed-{width}.png")
        page.close()
    page = browser.new_page(viewport={"width": 1280, "height": 1130}, locale=LOCALE)
    page.goto(f"http://{address}/cluster")
    page.get_by_text("1002").first.wait_for()
    page.wait_for_timeout(3000)
    page.screenshot(path=output / "cluster-1280.png")


def busy(address: str, seconds: float) -> None:
    """Publish now more, now less, to a topic that nobody reads."""
    end, count = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        count += 1
        ask(address, "POST", "/publish", {"topic": "it.metrics", "data": str(count)})
        time.sleep(0.05 + 0.15 * (count // 200 % 2))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
