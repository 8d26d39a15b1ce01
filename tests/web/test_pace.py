"""How often may be read for one user."""

from __future__ import annotations

import pytest

from newswire.core import limits
from newswire.errors import Refused
from newswire.web.pace import Pace


def test_a_user_may_read_so_often_and_again_after_a_while_and_others_meanwhile() -> None:
    now = 0.0
    pace = Pace(2.0, lambda: now)
    most = int(2 * limits.RATE_BURST_SECONDS)
    assert [pace.refusal("ann") for _ in range(most)] == [""] * most
    assert "for ann" in pace.refusal("ann")
    with pytest.raises(Refused) as caught:
        pace.check("ann")
    assert (caught.value.code, caught.value.extra["retry_after"]) == ("too-many", 1)
    pace.check("ben")
    now = 0.5
    pace.check("ann")
    assert pace.refusal("ann")


def test_none_is_no_limit() -> None:
    pace = Pace(0, lambda: 0.0)
    assert {pace.refusal("ann") for _ in range(10_000)} == {""}
