"""The cases I to VII (docs/architecture.md, The problem): one chain, real brokers, `kill -9`, by requests and by the menus."""

from __future__ import annotations

from pathlib import Path

import pytest

from brokers import CREDENTIALS, Stream, ask, until, wait_in_sync
from tests.kit.cases import play
from tests.kit.gateways import GatewayPair, shared_servers
from tests.kit.hands import Hand, OverHttp, OverMenus
from tests.kit.processes import PASSWORD, Guarded, Pair


@pytest.mark.parametrize("hands", [OverHttp, OverMenus])
def test_cases_one_to_seven(hands: type[Hand], pair: Pair, tmp_path: Path) -> None:
    play(hands, pair, tmp_path)


def test_cases_one_to_seven_over_a_log_that_three_servers_keep(tmp_path: Path) -> None:
    gateways = GatewayPair(tmp_path, shared_servers(3))
    try:
        play(OverHttp, gateways.start(), tmp_path)
    finally:
        gateways.end()


def test_cases_one_to_seven_where_everybody_is_asked(guarded: Guarded, tmp_path: Path) -> None:
    """With a token each; a right that ends at one broker ends at the other; a session goes on at the other."""
    for user in ("Alice", "Bob", "Carlos", "Gita", "Pooja"):
        guarded.add(user, subscribe=">")
    guarded.add("", publish=">", subscribe=">")  # the program that publishes
    play(OverHttp, guarded, tmp_path)
    first, second = guarded.brokers

    # VI again: registered, and without a right any more
    with Stream("Pooja", guarded.addresses) as pooja:
        pooja.wait_open(first.address)
        guarded.revoke("Pooja", "subscribe", ">", at=second)
        until("the stream at the other broker is refused", lambda: pooja.refused is not None)
        assert pooja.refused is not None
        assert (pooja.refused.status, pooja.refused.json()["code"]) == (403, "forbidden")
    for broker in guarded.brokers:
        for credential, status in (("none", 401), (CREDENTIALS["Gita"], 403)):
            headers = {"Authorization": credential}
            assert ask(broker.address, "POST", "/publish", {"topic": "t", "data": "x"}, headers=headers).status == status

    # who signed in at one broker is signed in at the other, also after that was killed
    login = ask(first.address, "POST", "/login", {"username": "admin", "password": PASSWORD})
    cookie = {"Cookie": login.headers["Set-Cookie"].partition(";")[0], "Authorization": ""}
    first.kill9()
    assert ask(second.address, "GET", "/me", headers=cookie).json()["username"] == "admin"
    assert ask(second.address, "POST", "/logout", headers=cookie).status == 200
    first.start()
    wait_in_sync(guarded.brokers)
    assert ask(first.address, "GET", "/me", headers=cookie).status == 401
    for broker in guarded.brokers:  # nothing that anybody showed is in a log or in the ops file
        log = broker.log.read_text() + "".join(file.read_text() for file in (broker.ops_dir / broker.id).glob("*.ops"))
        assert PASSWORD not in log
        assert not any(credential.removeprefix("Bearer ") in log for credential in CREDENTIALS.values())
