"""The page in TLS, through nginx as deploy/ sets it up: it goes on at the other broker's https address, and home again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from brokers import free_ports, post, wait_in_sync
from tests.kit.authority import Authority
from tests.kit.nginx import Nginx, needs_nginx
from tests.kit.secure_pair import SecurePair
from tests.kit.windows import Window

pytestmark = needs_nginx


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[SecurePair]:
    """Two brokers behind nginx."""
    ports, authority = free_ports(3), Authority(tmp_path / "ca")
    made = SecurePair(tmp_path, ports, authority)
    with Nginx.in_tls(tmp_path / "proxy", made, ports, authority):
        try:
            made.start()
            wait_in_sync(made.brokers)
            yield made
        finally:
            made.end()


def test_a_page_in_tls_goes_on_in_tls(browser: "Browser", pair: SecurePair) -> None:  # noqa: F821, UP037
    post(pair.second.address, "/subscribe", username="Ann", topic="news")
    context = browser.new_context(ignore_https_errors=True)  # the CA is of this test
    ann = Window(context.new_page(), pair.urls[0], "Ann")
    asked: list[str] = []
    ann.page.on("request", lambda request: asked.append(request.url))
    assert ann.complaints == []  # all of the page has come
    ann.says("live at broker 1001")
    post(pair.first.address, "/publish", topic="news", data="one")
    ann.shows("one")
    pair.first.kill9()
    ann.says("moved to broker 1002")
    post(pair.second.address, "/publish", topic="news", data="two")
    ann.shows("one", "two")
    ann.page.get_by_label("Message").fill("by Ann")  # it may publish there, too
    ann.page.keyboard.press("Enter")
    ann.shows("one", "two", "by Ann")
    pair.first.start()
    ann.says("live at broker 1001")
    assert ann.errors == []
    assert {url.partition("/stream")[0] for url in asked if "/stream" in url} == set(pair.urls)
    assert all(url.startswith("https://") for url in asked)
    context.close()
