"""Brokers join, leave, are removed and return while the others serve; those that must not come in are told why."""

from __future__ import annotations

from pathlib import Path

from brokers import Stream, ask, free_ports, get, post, until, wait_in_sync
from tests.kit.ledger import Ledger, on_disk
from tests.kit.processes import Cluster, Node, audit, pause


def test_fresh_brokers_find_each_other_while_clients_already_publish(tmp_path: Path) -> None:
    """However the first start of each falls: one cluster, nothing lost."""
    for number, count in enumerate((2, 2, 3)):
        cluster, ledger = Cluster(tmp_path / str(number), count=count), Ledger()
        try:
            with ledger.load(*cluster.nodes, threads=4):
                for node in cluster.nodes[:: 1 if number % 2 else -1]:
                    node.launch()
                for node in cluster.nodes:
                    node.wait_ready()
                ledger.wait_more(10)
            audit(cluster.nodes[0])
            ledger.check(*cluster.nodes)
            ledger.many(count, *cluster.nodes, copies=count)
        finally:
            cluster.end()


def test_a_third_broker_joins_at_run_time(pair: Cluster, ledger: Ledger) -> None:
    first, second = pair.nodes
    ledger.many(20, first, second, copies=2)
    third = pair.spare("1003").start()
    added = post(first.address, "/add_replica", broker_ip=third.address)
    assert added["broker"]["id"] == "1003"
    wait_in_sync([first, second, third])  # so the second was told
    ledger.many(10, third, copies=3)
    ledger.many(10, first, second, copies=3)
    ledger.check(first, second, third)

    second.kill9()
    first.kill9()
    ledger.many(5, third, copies=1)
    first.start()
    second.start()
    ledger.check(first, second, third)


def test_a_broker_is_removed_and_added_again(pair: Cluster, ledger: Ledger) -> None:
    first, second = pair.nodes
    third = pair.spare("1003", first, second).start()
    wait_in_sync([first, second, third])
    post(third.address, "/subscribe", username="Alice", topic=">")
    with Stream("Alice", [third.address, first.address], query="&format=json") as alice, ledger.load(third, second, threads=2):
        alice.wait_open(third.address)
        ledger.wait_more(10)
        removed = post(first.address, "/remove_replica", broker_ip=third.address)
        assert "Removed" in removed["message"]
        until("it refuses clients", lambda: third.readiness()[0] == 503)
        assert "removed" in third.readiness()[1]["detail"]
        alice.wait_open(first.address)
        assert any(event.name == "moved" for event in alice.events)
        ledger.wait_more(10)
    assert ask(third.address, "POST", "/publish", {"topic": "a", "data": "b"}).status == 503
    assert first.row("1003") == {}
    ledger.check(first, second)  # what only the removed broker took is here too
    ledger.many(1, first, copies=2)

    third.kill9()
    third.launch()  # its --peer options do not bring it back
    until("it refuses clients", lambda: third.readiness()[0] == 503)
    ledger.many(1, first, copies=2)
    until("it has been met", lambda: set(on_disk(third).values()) >= ledger.texts())  # it still gets what the others have
    assert third.readiness()[0] == 503
    post(second.address, "/add_replica", broker_ip=third.address)
    wait_in_sync([first, second, third])
    ledger.many(5, third, copies=3)
    ledger.check(first, second, third)


def test_a_removed_broker_that_was_down_hands_over_what_only_it_holds(pair: Cluster, ledger: Ledger) -> None:
    first, second = pair.nodes
    ledger.many(5, first, copies=2)
    first.kill9()
    ledger.many(5, second, copies=1)
    second.kill9()
    first.start()
    post(first.address, "/remove_replica", broker_ip="1002")
    ledger.many(5, first, copies=1)
    second.launch()
    until("it refuses clients", lambda: "removed" in second.readiness()[1].get("detail", ""))
    until("all is at the other", lambda: ledger.texts() <= set(on_disk(first).values()))
    second.kill9()
    ledger.check(first)


def test_a_broker_leaves_by_itself_and_ends_when_another_has_all(pair: Cluster, ledger: Ledger) -> None:
    first, second = pair.nodes
    with ledger.load(first, second):
        ledger.wait_more(20)
        post(first.address, "/remove_replica", broker_ip=first.address)
        assert first.end_code() == 0
        ledger.check_copies(first, second)
    assert ledger.texts() <= set(on_disk(second).values())
    ledger.check(second)
    assert second.row("1001") == {}
    refused = ask(second.address, "POST", "/remove_replica", {"broker_ip": second.address})
    assert refused.status == 409, refused.body
    assert refused.json()["code"] == "last-broker"
    ledger.many(5, second, copies=1)


def test_a_broker_that_leaves_waits_for_the_other_and_can_be_called_back(pair: Cluster, ledger: Ledger) -> None:
    """The other one hangs, then is gone: nobody holds all, so the one that leaves must not end."""
    first, second = pair.nodes
    ledger.many(5, first, second, copies=2)
    pause(second)
    post(first.address, "/remove_replica", broker_ip=first.address)
    second.kill9()
    until("it says so", lambda: "leaving" in first.readiness()[1].get("detail", ""))
    post(first.address, "/add_replica", broker_ip=first.address)
    until("it serves again", lambda: first.readiness()[0] == 200)
    ledger.many(5, first, copies=1)
    second.start()
    ledger.check(first, second)
    assert first.row("1001")["state"] == second.row("1001")["state"] == "up"


def test_brokers_move_to_other_ports(pair: Cluster, ledger: Ledger) -> None:
    """They exchange their ports; then one moves to a free one, and a new broker takes its place."""
    first, second = pair.nodes
    ledger.many(5, first, second, copies=2)
    for node in pair.nodes:
        node.kill9()
    (first.port, first.peers), (second.port, second.peers) = (second.port, second.peers), (first.port, first.peers)
    first.address, second.address = second.address, first.address
    pair.start()
    ledger.many(5, first, second, copies=2)
    second.kill9()
    third = Node("1003", second.port, pair.home, peers=[first.address], options=pair.options)
    pair.made.append(third)
    second.port = free_ports(1)[0]
    second.address = f"127.0.0.1:{second.port}"
    second.start()
    third.start()
    ledger.check(first, second, third)
    ledger.many(6, first, second, third, copies=3)


def test_another_name_of_an_address_makes_no_other_broker(pair: Cluster, ledger: Ledger) -> None:
    first, second = pair.nodes
    post(first.address, "/add_replica", broker_ip=f"localhost:{second.port}")
    own = ask(first.address, "POST", "/add_replica", {"broker_ip": f"localhost:{first.port}"})
    assert (own.status, own.json()["code"]) == (400, "bad-address")
    ledger.many(5, first, second, copies=2)
    second.kill9()
    ledger.many(5, first, copies=1)
    second.start()
    ledger.check(first, second)


def test_a_folder_is_used_by_one_process(pair: Cluster, ledger: Ledger) -> None:
    first, second = pair.nodes
    twin = pair.spare("1001", second)
    twin.log = pair.home / "twin.log"
    twin.launch()
    assert twin.end_code() == 1
    assert "another broker" in twin.last_words()
    ledger.many(5, first, second, copies=2)


def test_the_second_process_with_one_broker_id_is_refused(pair: Cluster, ledger: Ledger, tmp_path: Path) -> None:
    first, second = pair.nodes
    ledger.many(5, first, second, copies=2)
    impostor = pair.spare("1002", first, second, home=tmp_path / "elsewhere")
    impostor.launch()
    until("it is refused", lambda: "--id" in impostor.readiness()[1].get("detail", ""))
    told = impostor.readiness()
    assert told[0] == 503
    assert second.address in told[1]["detail"]
    assert "1002" in told[1]["detail"]
    assert ask(impostor.address, "POST", "/publish", {"topic": "a", "data": "b"}).status == 503
    ledger.many(5, first, second, copies=2)
    for node in pair.nodes:
        node.wait_whole()
    ledger.check(first, second)
    assert on_disk(impostor) == {}


def test_a_copied_folder_does_not_make_a_second_one(pair: Cluster, ledger: Ledger, tmp_path: Path) -> None:
    """The impostor has the original's files, and knows one of the others only."""
    first, second = pair.nodes
    ledger.many(5, first, second, copies=2)
    impostor = pair.spare("1001", second, home=tmp_path / "elsewhere")
    impostor.ops_dir.mkdir(parents=True)
    second_run = [word for word in first.folder.iterdir() if word.suffix == ".ops"]
    impostor.folder.mkdir()
    for path in second_run:
        (impostor.folder / path.name).write_bytes(path.read_bytes())
    impostor.launch()
    until("it is refused", lambda: "--id" in impostor.readiness()[1].get("detail", ""))
    assert impostor.readiness()[0] == 503
    ledger.many(5, first, second, copies=2)
    ledger.check(first, second)


def test_brokers_of_two_clusters_do_not_mix(pair: Cluster, ledger: Ledger, tmp_path: Path) -> None:
    first, second = pair.nodes
    ledger.many(5, first, second, copies=2)
    stranger = pair.spare("1009", home=tmp_path / "elsewhere").start()
    audit(stranger)
    strange = Ledger()
    strange.many(3, stranger, copies=1)
    refused = ask(first.address, "POST", "/add_replica", {"broker_ip": stranger.address})
    assert refused.status == 409
    assert refused.json()["code"] == "other-cluster"
    assert "empty ops directory" in refused.json()["detail"]
    ledger.many(5, first, second, copies=2)
    strange.many(3, stranger, copies=1)
    ledger.check(first, second)
    assert stranger.address not in [row["ip"] for row in get(first.address, "/list_replicas")]

    caller = stranger_that_calls(stranger, first)
    assert ask(caller.address, "POST", "/publish", {"topic": "a", "data": "b"}).json()["copies"] == 1
    assert "other-cluster" in caller.wait_degraded("other-cluster")
    ledger.check(first, second)


def stranger_that_calls(stranger: Node, called: Node) -> Node:
    """Start it again with a peer of another cluster."""
    stranger.kill9()
    stranger.peers = [called.address]
    return stranger.start()
