"""What a stream says that is no news."""

from __future__ import annotations

from newswire.core.broker.values import BrokerStatus
from newswire.streams.notices import successor


def row(broker: str, *, primary: bool = False, state: str = "up", self_: bool = False) -> BrokerStatus:
    return BrokerStatus(broker, f"127.0.0.1:{broker}", primary, state, 0, self_)


def test_the_successor_is_the_primary_that_is_up() -> None:
    assert successor([row("1001", primary=True, self_=True)]) == ""
    assert successor([row("1", primary=True, state="down"), row("3"), row("2")]) == "127.0.0.1:2"
    assert successor([row("1", primary=True, state="catching-up"), row("2")]) == "127.0.0.1:2"
