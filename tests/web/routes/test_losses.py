"""`POST /accept_loss`: what it takes, and what it answers."""

from __future__ import annotations

import pytest

from tests.kit.web_fakes import Web


@pytest.fixture
def web() -> Web:
    return Web()


def test_all_holes_or_a_range_of_one_origin_are_given_up(web: Web) -> None:
    done = web.post("/accept_loss")
    assert done == {"message": "Gave up 3 operations; what waited behind is there now", "count": 3, "copies": 2}
    web.post("/accept_loss?origin=1001-a&first=5&last=7&even_if_away=1")
    web.post("/accept_loss", json={"origin": "1001-a", "first": 5, "last": 7, "even_if_away": True})
    assert web.cluster.given_up == [("", 0, 0, False), ("1001-a", 5, 7, True), ("1001-a", 5, 7, True)]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("origin=1001", "bad-field"),
        ("origin=1001-a&first=0", "bad-field"),
        ("origin=1001-a&last=x", "bad-field"),
        ("first=5", "missing-field"),
        ("even_if_away=perhaps", "bad-field"),
        ("source=1001-a", "unknown-field"),
        ("origin=1001-nothing", "no-hole"),
    ],
)
def test_what_cannot_be_meant_gives_up_nothing(web: Web, query: str, code: str) -> None:
    web.post(f"/accept_loss?{query}", code)
    assert web.cluster.given_up == []
