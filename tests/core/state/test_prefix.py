"""What several brokers hold, each of them."""

from __future__ import annotations

from newswire.core.model.vector import FullVector, Lineage
from newswire.core.state.prefix import Base

A = "1001-a"


def test_a_base_is_what_all_hold() -> None:
    lineage = Lineage()
    lineage.began(A, {})
    all_of_it, less = lineage.expand({A: 3}), lineage.expand({A: 2})
    base = Base([all_of_it, less])
    assert (base.get(A), base.get("1002-b")) == (2, 0)
    assert (base.holds({A: 2}), base.holds({A: 3})) == (True, False)
    assert Base([FullVector(lineage)]).get(A) == 0
