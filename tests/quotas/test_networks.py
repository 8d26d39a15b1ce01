"""Who counts as one caller."""

from __future__ import annotations

import pytest

from newswire.quotas.networks import is_counted, network_of


@pytest.mark.parametrize(
    ("address", "network", "counted"),
    [
        ("192.0.2.7", "192.0.2.7", True),
        ("127.0.0.1", "127.0.0.1", False),
        ("127.0.0.2", "127.0.0.2", True),
        ("::1", "::1", False),
        ("::ffff:192.0.2.7", "192.0.2.7", True),
        ("::ffff:127.0.0.1", "127.0.0.1", False),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64", True),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64", True),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64", True),
        ("fe80::1%eth0", "fe80::/64", True),
        ("", "", False),
    ],
)
def test_one_caller(address: str, network: str, counted: bool) -> None:
    assert network_of(address) == network
    assert is_counted(network, own=False) is counted


@pytest.mark.parametrize(("caller", "counted"), [("127.0.0.1", True), ("::1", True), ("192.0.2.7", True), ("", False)])
def test_a_limit_that_an_operator_sets_counts_for_this_machines_own_address_too(caller: str, counted: bool) -> None:
    assert is_counted(caller, own=True) is counted
