"""`POST /compact`: what it answers."""

from __future__ import annotations

import pytest

from tests.kit.web_fakes import Web


@pytest.fixture
def web() -> Web:
    return Web()


def test_it_says_what_became_of_the_ops_file(web: Web) -> None:
    assert web.post("/compact?even_if_away=1") == {
        "message": "Compacted: 31000000 bytes became 3000000",
        "bytes_before": 31_000_000,
        "bytes_after": 3_000_000,
        "operations_before": 105_000,
        "operations_after": 10_500,
    }


def test_what_is_not_done_has_its_reason(web: Web) -> None:
    assert "broker 1002 is away" in str(web.post("/compact", "not-compacted"))
    web.post("/compact?even_if_away=perhaps", "bad-field")
