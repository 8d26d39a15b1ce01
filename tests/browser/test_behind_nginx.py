"""The page behind a proxy that rewrites `Host`, as nginx does unless it is told otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from brokers import get, until
from tests.browser.conftest import ARGUMENTS, CHROMIUM
from tests.kit.asking import delivered
from tests.kit.nginx import NAME, Nginx, needs_nginx
from tests.kit.processes import Pair
from tests.kit.windows import SECONDS, Hand, Window, patient

pytestmark = needs_nginx


@pytest.fixture(scope="module")
def renamed(driver: "Playwright") -> Iterator["Browser"]:  # noqa: F821, UP037
    """A browser that takes the name of the service for this machine."""
    rules = f"--host-resolver-rules=MAP {NAME} 127.0.0.1"
    chromium = driver.chromium.launch(executable_path=str(CHROMIUM), args=[*ARGUMENTS, rules], timeout=SECONDS * 1000)
    yield chromium
    chromium.close()


def acts(pair: Pair, hand: Hand, browser: "Browser", address: str) -> None:  # noqa: F821, UP037
    """Open Ann's page at `address`: it shows news, acknowledges them, and publishes."""
    hand.subscribe("Ann", "news")
    window = Window(browser.new_page(), address, "Ann")
    window.says("live at broker 1001")
    hand.publish("news", "for Ann")
    window.shows("for Ann")
    delivered("Ann", pair.first)
    window.page.get_by_label("Message").fill("by Ann")
    window.page.keyboard.press("Enter")
    until("it is stored", lambda: get(pair.first.address, "/topics")[0]["messages"] == 2, SECONDS)
    assert window.errors == []
    window.page.close()


def test_the_browser_s_own_word_counts_where_it_gives_it(pair: Pair, hand: Hand, renamed: "Browser", tmp_path: Path) -> None:  # noqa: F821, UP037
    """To this machine's own addresses, as to HTTPS, it says `Sec-Fetch-Site: same-origin`."""
    with Nginx.as_it_comes(tmp_path / "nginx", pair) as nginx:
        acts(pair, hand, renamed, nginx.address)


@pytest.mark.parametrize("pair", [["--allow-host", NAME, "--trusted-proxy", "127.0.0.1"]], indirect=True)
def test_elsewhere_a_trusted_proxy_s_word_does(pair: Pair, hand: Hand, renamed: "Browser", tmp_path: Path) -> None:  # noqa: F821, UP037
    extra = "proxy_set_header X-Forwarded-Host $http_host;"
    with Nginx.as_it_comes(tmp_path / "nginx", pair, extra) as nginx:
        acts(pair, hand, renamed, nginx.address.replace("127.0.0.1", NAME))


def test_without_either_the_page_is_told_why_it_may_not_act(pair: Pair, hand: Hand, renamed: "Browser", tmp_path: Path) -> None:  # noqa: F821, UP037
    hand.subscribe("Ann", "news")
    with Nginx.as_it_comes(tmp_path / "nginx", pair) as nginx:
        page = patient(renamed.new_page())
        page.goto(f"http://{nginx.address.replace('127.0.0.1', NAME)}/")
        send = "fetch('/publish', {method: 'POST', body: new URLSearchParams({topic: 'news', data: 'x'})}).then(a => a.json())"
        told = page.evaluate(send)
        assert (told["status"], told["code"]) == (403, "cross-site")
        assert "proxy" in told["detail"]
        assert "Host" in told["detail"]
        page.close()
        ann = Window(renamed.new_page(), nginx.address.replace("127.0.0.1", NAME), "Ann")
        ann.says("not allowed at this address")
        ann.has("#said.bad", "a page of another site may not open this stream")
        ann.page.get_by_label("Message").fill("x")
        ann.page.keyboard.press("Enter")
        ann.has("#notice", "have it pass on the header Host")
        assert NAME in ann.page.url, "it does not go elsewhere by itself"
        assert ann.errors == []
        ann.page.close()
