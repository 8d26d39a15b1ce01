"""Bits rot on disk while a broker is down: holes are filled from the other broker, and nothing behind them is given up."""

from __future__ import annotations

from brokers import Stream, post
from tests.scenarios.harness import Cluster, Ledger, Node, flip, held, in_record, segments, wipe


def test_a_damaged_record_comes_back_from_the_peer_with_all_that_stood_behind_it(pair: Cluster, ledger: Ledger) -> None:
    first, second = pair.nodes
    ledger.many(10, first, copies=2)
    second.kill9()
    ledger.many(10, first, copies=1)  # only this disk holds them, and they stand behind the hole
    first.kill9()
    flip(first, after=in_record(ledger.entries[4].text))

    first.start()
    first.wait_degraded("the ops file is damaged")
    shown = set(held(first).values())
    assert ledger.entries[3].text in shown
    assert ledger.entries[4].text not in shown
    second.start()
    first.wait_whole()
    ledger.check(first, second)


def test_a_broker_whose_hole_is_not_filled_yet_serves_and_what_it_takes_then_is_kept(pair: Cluster, ledger: Ledger) -> None:
    first, second = pair.nodes
    ledger.many(10, first, copies=2)
    second.kill9()
    first.kill9()
    flip(first, after=in_record(ledger.entries[4].text))
    first.start()
    ledger.many(5, first, copies=1)
    first.kill9()  # and again, with the hole
    first.start()
    first.wait_degraded("the ops file is damaged")
    ledger.many(5, first, copies=1)
    second.start()
    first.wait_whole()
    ledger.check(first, second)


def test_both_disks_are_damaged_in_different_records(pair: Cluster, ledger: Ledger) -> None:
    first, second = pair.nodes
    for _ in range(10):
        ledger.many(1, first, copies=2)
        ledger.many(1, second, copies=2)
    kill_both(pair)
    for number, entry in enumerate(ledger.entries[:-2]):  # of the last batch damage looks like a torn write
        flip([first, second][number // 3 % 2], after=in_record(entry.text))
    pair.start()
    for node in pair.nodes:
        node.wait_whole()
    ledger.check(first, second)


def test_whatever_is_damaged_at_one_broker_both_hold_everything_in_the_end(pair: Cluster, ledger: Ledger) -> None:
    first, second = pair.nodes
    for number, what in enumerate(("began", "mark", "header", "block", "half", "segment")):
        node, other = (first, second) if number % 2 else (second, first)
        ledger.many(5, node, other, copies=2)
        node.kill9()
        ledger.many(3, other, copies=1)
        damage(node, what)
        node.start()
        ledger.many(3, node, other, copies=2)
        node.wait_whole()
        ledger.check(first, second)
    kill_both(pair)
    pair.start()  # and it stays so
    ledger.check(first, second)


def test_a_record_rots_while_its_broker_runs(pair: Cluster, ledger: Ledger) -> None:
    """Who needs it is served by the other broker; readiness says so; a restart fetches it."""
    first, second = pair.nodes
    ledger.many(5, first, copies=2)
    for _ in range(3):
        ledger.batch(5_000, first)  # more than is kept in memory
    flip(first, after=in_record(ledger.entries[2].text))
    post(first.address, "/subscribe", username="Late", topic=">", **{"from": "earliest"})
    with Stream("Late", [first.address, second.address]) as late:
        first.wait_degraded("damaged")
        late.wait_texts(*ledger.texts())
    assert ledger.publish(first).copies == 2
    first.kill9()
    first.start()
    first.wait_whole()
    ledger.check(first, second)


def damage(node: Node, what: str) -> None:
    """Damage a broker's files in one of many ways."""
    path = segments(node.folder)[-1]
    size = path.stat().st_size
    match what:
        case "began" | "mark":
            flip(node, after=f'"op":"{what}')
        case "header":
            flip(node, after='"op":"segment')
        case "block":
            wipe(path, size // 3, 512)
        case "half":
            with path.open("r+b") as file:
                file.truncate(size // 2)
        case "segment":
            path.unlink()


def kill_both(pair: Cluster) -> None:
    for node in pair.nodes:
        node.kill9()
