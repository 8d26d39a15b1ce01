"""`GET /backup`: who may ask, one at a time, and what the answer says of itself."""

from __future__ import annotations

import pytest

from newswire.core.model.commands import Publish
from tests.kit.web_fakes import Web

BROWSER = "Mozilla/5.0 (X11; Linux x86_64) Firefox/130.0"


@pytest.fixture
def web() -> Web:
    return Web()


def test_a_program_gets_all_of_it(web: Web) -> None:
    web.engine.submit([Publish("news", "It rains")])
    answer = web.client.get("/backup")
    assert (answer.status_code, answer.content_type) == (200, "application/gzip")
    assert b"It rains" in answer.get_data()
    assert answer.headers["Content-Disposition"].startswith('attachment; filename="newswire-')
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Sec-Fetch-Site": "cross-site", "User-Agent": BROWSER},
        {"Referer": "http://evil.example/page", "User-Agent": BROWSER},
        {"User-Agent": BROWSER},  # it does not say for which page
    ],
)
def test_a_page_of_another_site_gets_nothing(web: Web, headers: dict[str, str]) -> None:
    for path in ("/backup", "/backup/"):
        assert "newswire backup" in str(web.get(path, "cross-site", headers=headers))
    assert "Access-Control-Allow-Origin" not in web.client.get("/backup", headers=headers).headers


def test_who_typed_the_address_gets_it_and_no_page_may_read_it(web: Web) -> None:
    assert web.client.get("/backup", headers={"User-Agent": BROWSER, "Sec-Fetch-Site": "none"}).status_code == 200
    member = web.client.get("/backup", headers={"Origin": "http://10.0.0.2:5054"})
    assert "Access-Control-Allow-Origin" not in member.headers


def test_another_name_is_none_of_this_broker(web: Web) -> None:
    web.get("/backup", "misdirected", headers={"Host": "rebound.example"})


def test_one_at_a_time(web: Web) -> None:
    web.is_downloading = True
    assert "under way" in str(web.get("/backup", "backup-running"))
    web.is_downloading = False
    assert web.client.get("/backup").status_code == 200


def test_a_field_is_unknown(web: Web) -> None:
    web.get("/backup?since=1h", "unknown-field")
