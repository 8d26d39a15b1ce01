"""Bits rot on disk while a broker is down: holes are filled from the other broker, and nothing behind them is given up."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from brokers import Stream, ask, post, until, wait_in_sync
from tests.kit.damage import flip, in_record, segments, wipe
from tests.kit.ledger import Ledger, messages_at
from tests.kit.processes import AUDITOR, Cluster, Node
from tests.kit.waiting import PATIENCE_SECONDS


def test_a_damaged_record_comes_back_from_the_peer_with_all_that_stood_behind_it(pair: Cluster, ledger: Ledger) -> None:
    first, second = pair.nodes
    ledger.many(10, first, copies=2)
    second.kill9()
    ledger.many(10, first, copies=1)  # only this disk holds them, and they stand behind the hole
    first.kill9()
    flip(first, after=in_record(ledger.entries[4].text))

    first.start()
    first.wait_degraded("the ops file is damaged")
    shown = set(messages_at(first).values())
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


def test_a_record_that_rots_under_a_running_broker_comes_back_from_the_peer_without_a_restart(
    pair: Cluster, ledger: Ledger
) -> None:
    """Who needs it waits for it where he is."""
    first, second = pair.nodes
    ledger.many(5, first, copies=2)
    for _ in range(15):
        ledger.batch(1_000, first)  # more than is kept in memory, where no long batch is
    flip(first, after=in_record(ledger.entries[2].text))
    post(first.address, "/subscribe", username="Late", topic=">", **{"from": "earliest"})
    with Stream("Late", [first.address]) as late:
        late.wait_texts(*ledger.texts())
    first.wait_whole()
    assert ledger.publish(first).copies == 2
    ledger.check(first, second)
    first.kill9()
    first.start()
    first.wait_whole()
    ledger.check(first, second)


def test_a_hole_that_no_broker_fills_is_told_everywhere_and_closed_on_an_operators_word(pair: Cluster, ledger: Ledger) -> None:
    first, second = pair.nodes
    second.kill9()
    ledger.many(5, first, copies=1)
    post(first.address, "/subscribe", username="Behind", topic=">", **{"from": "earliest"})
    ledger.many(5, first, copies=1)
    first.kill9()
    lost = ledger.entries.pop(3)
    flip(first, after=in_record(lost.text))
    first.start()
    second.start()
    wait_in_sync(pair.nodes)
    assert "accept-loss" in first.wait_degraded("the ops file is damaged", lost.id, "wait behind it")
    assert "accept-loss" in second.wait_degraded("broker 1001: its ops file is damaged", lost.id)
    assert set(messages_at(first).values()) == {entry.text for entry in ledger.entries[:3]}
    for node in pair.nodes:  # he is known behind the hole: not now is no refusal for good
        answer = ask(node.address, "GET", "/stream?username=Behind")
        assert (answer.status, b"retry: 5000" in answer.body) == (200, True), answer.body
    with Stream(AUDITOR, [first.address]) as auditor:
        until("what waits is told", lambda: {"topic": "news.9", "dropped": 6, "reason": "waiting"} in gaps(auditor))

        shown = command("accept-loss", second)
        assert (shown.returncode, lost.id.rpartition(".")[0] in shown.stdout) == (1, True), shown
        assert second.degraded()
        first_id = lost.id.rpartition(".")[2]
        done = command("accept-loss", second, "--yes")
        assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "Nothing is missing any more."), done
        assert f"({first_id})" in done.stdout
        auditor.wait_texts(*(entry.text for entry in ledger.entries))
        until("the loss is told", lambda: {"topic": ">", "dropped": 1, "reason": "lost"} in gaps(auditor))
    for node in pair.nodes:
        node.wait_whole()
    ledger.check(first, second)
    with Stream("Behind", [second.address]) as behind:
        behind.wait_texts(*(entry.text for entry in ledger.entries))
    kill_both(pair)
    pair.start()  # and it stays so
    for node in pair.nodes:
        node.wait_whole()
    ledger.check(first, second)


def test_what_was_given_up_and_turns_up_again_is_stored_again(pair: Cluster, ledger: Ledger) -> None:
    """The only other broker that had it was away, its disk said to be gone; it comes back after all."""
    first, second = pair.nodes
    ledger.many(10, first, copies=2)
    kill_both(pair)
    flip(first, after=in_record(ledger.entries[4].text))
    first.start()
    first.wait_degraded("the ops file is damaged")
    refused = command("accept-loss", first, "--yes")
    named = "1002" in refused.stderr or second.address in refused.stderr
    assert (refused.returncode, named, "--even-if-away" in refused.stderr) == (1, True, True), refused
    done = command("accept-loss", first, "--yes", "--even-if-away")
    assert done.returncode == 0, done
    assert set(messages_at(first).values()) == ledger.texts() - {ledger.entries[4].text}
    second.start()
    for node in pair.nodes:
        node.wait_whole()
    wait_in_sync(pair.nodes)
    until("both show it", lambda: all(set(messages_at(node).values()) == ledger.texts() for node in pair.nodes))
    assert messages_at(first) == messages_at(second), "under one id"


def test_damage_to_the_last_that_a_quiet_broker_stored_is_no_torn_write(tmp_path: Path, ledger: Ledger) -> None:
    cluster = Cluster(tmp_path, count=1)
    try:
        node = cluster.start().nodes[0]
        ledger.many(3, node, copies=1)
        until("it has come to rest", lambda: b'"batch":0}' in segments(node.folder)[-1].read_bytes()[-80:])
        node.kill9()
        flip(node, after=in_record(ledger.entries[-1].text))
        node.start()
        node.wait_degraded("the ops file is damaged", ledger.entries[-1].id)
        ledger.entries.pop()
        assert command("accept-loss", node, "--yes").returncode == 0
        node.wait_whole()
        node.kill9()
        node.start()
        node.wait_whole()
        assert set(messages_at(node).values()) == ledger.texts()
    finally:
        cluster.end()


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


def command(name: str, node: Node, *options: str) -> subprocess.CompletedProcess[str]:
    """Run a command of `newswire` against a broker, with nobody at the keyboard."""
    words = [sys.executable, "-m", "newswire", name, "--brokers", node.address, *options]
    return subprocess.run(
        words, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=PATIENCE_SECONDS, check=False
    )


def gaps(stream: Stream) -> list[dict[str, object]]:
    """What a stream was told that is missing."""
    return [json.loads(event.data) for event in stream.events if event.name == "gap"]
