"""What usually goes wrong, from what brokers say."""

from __future__ import annotations

from typing import Any

import pytest

from newswire.cli.diagnosis import Certificate, Examined, diagnose
from newswire.client import Row
from newswire.core import limits
from newswire.core.model import conditions

A, B = "127.0.0.1:5053", "127.0.0.1:5054"


def broker(address: str = A, name: str = "1001", **changed: Any) -> Examined:
    """A broker of two that is well; `condition` and `sees` (the other's row) may say otherwise."""
    other = (B, "1002") if address == A else (A, "1001")
    condition = {"ready": True, "version": "1.0", "disk_free_bytes": 10**12, "streams": 1, "streams_limit": 100, "degraded": []}
    sees = {"state": "up", **changed.pop("sees", {})}
    rows = (Row(name, address, itself=True), Row(other[1], other[0], **sees))
    condition |= changed.pop("condition", {})
    return Examined(**{"address": address, "id": name, "condition": condition, "rows": rows, "clock_seconds": 0.0, **changed})


def other(**changed: Any) -> Examined:
    return broker(B, "1002", **changed)


def codes(*brokers: Examined) -> list[str]:
    return [finding.code for finding in diagnose(brokers)]


def test_nothing_is_wrong_with_two_that_are_well() -> None:
    assert diagnose([broker(), other()]) == []


DAY = 86_400.0
HOLE = {"broker": "1001", "origin": "1001-a", "first": 3, "last": 5, "waiting": 9, "unreadable": False}


@pytest.mark.parametrize(
    ("code", "first", "second"),
    [
        ("unreached", {"sees": {"state": "down"}}, {"refusal": "no connection"}),
        ("unreached-here", {}, {"refusal": "no connection"}),
        ("not-ready", {"condition": {"ready": False, "detail": "starting"}}, {}),
        ("peer-unreached", {"sees": {"state": "down"}}, {}),
        ("peer-unreached", {}, {"sees": {"state": "down"}}),
        ("peer-auth-failed", {"sees": {"state": "peer-auth-failed", "detail": "its signature is wrong"}}, {}),
        ("other-cluster", {"sees": {"state": "other-cluster"}}, {}),
        ("id-in-use", {"sees": {"state": "id-in-use"}}, {}),
        ("hole", {"condition": {"holes": [HOLE]}}, {"condition": {"holes": [HOLE]}}),
        ("disk-low", {"condition": {"disk_free_bytes": limits.DISK_LOW_BYTES, "ops_file_bytes": 2**31}}, {}),
        ("disk-full", {}, {"condition": {"disk_free_bytes": limits.DISK_RESERVE_BYTES - 1}}),
        ("clocks-apart", {"clock_seconds": 3.0}, {"clock_seconds": -1.0}),
        ("clock-here", {"clock_seconds": 60.0}, {"clock_seconds": 60.5}),
        ("certificate-ends", {"certificate": Certificate(seconds=90 * DAY, seconds_left=13.9 * DAY)}, {}),
        ("certificate-ends", {}, {"certificate": Certificate(seconds=6 * DAY, seconds_left=1.4 * DAY)}),
        ("versions-differ", {"condition": {"version": "1.1"}}, {}),
        ("streams-full", {"condition": {"streams": 95}}, {}),
        ("descriptors", {"condition": {"streams_configured": 200}}, {}),
        ("proxy-buffers", {"stream": "held back"}, {}),
        ("degraded", {"condition": {"degraded": ["something of a later version"]}}, {}),
        ("disk-full", {"condition": {"disk_free_bytes": 2**31, "disk_reserve_bytes": 2**31}}, {}),
        ("disk-low", {"condition": {"disk_free_bytes": 2**31, "ops_file_bytes": 2**34, "disk_reserve_bytes": 2**30 + 1}}, {}),
        ("disk-fills", {"condition": {"disk_full_seconds": [86_400, 6 * 86_400]}}, {}),
        ("damage", {"condition": {"degraded": [conditions.DAMAGE.say(places="2 places")]}}, {}),
    ],
)
def test_each_is_told_once_with_what_to_do(code: str, first: dict[str, Any], second: dict[str, Any]) -> None:
    (finding,) = diagnose([broker(**first), other(**second)])
    assert finding.code == code
    assert finding.text
    assert finding.advice
    assert finding.severity == ("note" if code in ("clock-here", "versions-differ", "descriptors") else "wrong")


def test_what_is_said_better_is_not_said_twice() -> None:
    """The sentences of `degraded` that come of the same facts."""
    down = "broker 1002, 127.0.0.1:5054, is down since 2026-11-27T09:00:00Z (no connection): a publish gets 1 copy"
    alone = broker(sees={"state": "down"}, condition={"degraded": [down]})
    assert codes(alone, other(refusal="no connection")) == ["unreached"]


@pytest.mark.parametrize("name", ["1002", "news-2"])
def test_clocks_that_differ_are_told_once_whatever_the_ids(name: str) -> None:
    said = f"the clock of {name} is 2 min ahead of this broker's: use NTP"
    assert codes(broker(condition={"degraded": [said]}), other(clock_seconds=120.0)) == ["clocks-apart"]


@pytest.mark.parametrize(("days", "left"), [(90, 14.1), (90, 30), (6, 1.6), (0.5, 0.2), (730, 15)])
def test_a_certificate_that_is_renewed_in_time_is_no_matter(days: float, left: float) -> None:
    assert codes(broker(certificate=Certificate(seconds=days * DAY, seconds_left=left * DAY)), other()) == []


def test_a_clock_that_was_set_is_told() -> None:
    """No other check sees it."""
    said = "the clock of this broker was set 2 min ahead within the last hour: see that it is right"
    assert codes(broker(condition={"degraded": [said]}), other()) == ["clock-set"]


def test_one_broker_is_no_second() -> None:
    assert codes(Examined(address=A, id="1001", rows=(Row("1001", A, itself=True),))) == ["alone"]


@pytest.mark.parametrize(
    ("address", "severity"),
    [("10.0.0.1:5053", "note"), ("broker.example:5053", "note"), ("18.217.232.220:5053", "wrong"), ("[2600::1]:5053", "wrong"),
     ("https://broker.example", "note"), ("https://18.217.232.220", "wrong")],
)  # fmt: skip
def test_a_broker_that_others_reach_is_open_to_them(address: str, severity: str) -> None:
    """To those of one network that may be meant; to all of the Internet it is not."""
    rows = (Row("1001", address, itself=True), Row("1002", B))
    (finding,) = diagnose([broker(address=address, rows=rows), other()])
    assert (finding.code, finding.severity) == ("open-broker", severity)


def test_a_broker_that_is_asked_on_its_own_machine_is_open_to_whom_it_tells_its_address() -> None:
    rows = (Row("1001", "18.217.232.220:5053", itself=True), Row("1002", B))
    (finding,) = diagnose([broker(rows=rows), other()])
    assert (finding.code, finding.severity) == ("open-broker", "wrong")
    assert f"broker 1001, {A}, which others reach at 18.217.232.220:5053, lets anybody" in finding.text
    assert codes(broker(rows=rows, asks=True), other()) == []


def test_who_is_asked_at_another_address_than_the_others_call_it_by_is_known_to_answer() -> None:
    rows = (Row("1001", "10.0.0.11:5053", itself=True), Row("1002", B))
    theirs = (Row("1001", "10.0.0.11:5053", state="down"), Row("1002", B, itself=True))
    assert codes(broker(rows=rows, asks=True), other(rows=theirs)) == ["peer-unreached"]


@pytest.mark.parametrize("state", conditions.OF_STATE)
def test_who_answers_and_is_refused_is_not_to_be_started(state: str) -> None:
    """That it was never met is the same fact, with advice that would not help."""
    stale = {"degraded": [conditions.STALE.say(peer=B)]}
    assert codes(broker(sees={"state": state}, condition=stale), other()) == [state]
    assert codes(broker(condition={"degraded": [conditions.STALE.say(peer="c:3")]}), other()) == ["stale"]


def test_a_broker_that_asks_who_one_is_is_not_open() -> None:
    rows = (Row("1001", "https://broker.example", itself=True), Row("1002", B))
    assert codes(broker(address="https://broker.example", rows=rows, asks=True), other()) == []


def test_what_is_wrong_stands_before_what_is_only_noted() -> None:
    assert codes(broker(condition={"version": "1.1"}), other(refusal="no connection", rows=())) == ["unreached-here"]
    assert codes(broker(condition={"version": "1.1", "streams": 95}), other()) == ["streams-full", "versions-differ"]


@pytest.mark.parametrize("condition", conditions.CONDITIONS, ids=lambda condition: condition.code)
def test_whatever_a_broker_says_is_found_with_what_to_do(condition: conditions.Condition) -> None:
    findings = diagnose([broker(condition={"degraded": [condition.sentence]}), other()])
    assert [(finding.code, finding.advice) for finding in findings] == [(condition.code, condition.advice)]


def test_what_a_check_says_better_is_not_said_again() -> None:
    """A full disk, as both brokers name it; a hole; a broker that is down."""
    full = {"ready": False, "detail": "full", "disk_free_bytes": 1, "degraded": [conditions.DISK_FULL.say(where="")]}
    theirs = {"degraded": [conditions.PEER_DISK_FULL.say(peer="broker 1001", copies="a publish gets 1 copy")]}
    assert sorted(codes(broker(condition=full), other(condition=theirs))) == ["disk-full", "not-ready"]
    down = conditions.PEER_DOWN.say(peer="broker 1002, x,", since="now", why="no", copies="a publish gets 1 copy")
    assert codes(broker(sees={"state": "down"}, condition={"degraded": [down]}), other(refusal="no")) == ["unreached"]
    hole = conditions.HOLE.say(file="the ops file", hole="1001-a.3", lack="is missing", behind="")
    assert codes(broker(condition={"holes": [HOLE], "degraded": [hole]}), other()) == ["hole"]


@pytest.mark.parametrize(
    ("seconds", "severity", "words"),
    [
        ([86_400, 3 * 86_400], "wrong", "is full between 2026-11-28 and 2026-11-30"),
        ([86_400, 86_500], "wrong", "is full on 2026-11-28"),
        ([86_400, 30 * 86_400], "note", "between 2026-11-28 and 2026-12-27"),
        ([10 * 86_400, None], "note", "is full on 2026-12-07, or perhaps never"),
        ([70 * 86_400, 80 * 86_400], "", ""),
    ],
)
def test_on_which_day_the_disk_is_full(seconds: list[int | None], severity: str, words: str) -> None:
    condition = {"disk_full_seconds": seconds, "time": "2026-11-27T12:00:00.000Z"}
    findings = diagnose([broker(condition=condition), other()])
    assert [finding.severity for finding in findings] == ([severity] if severity else [])
    assert all(words in finding.text for finding in findings)
