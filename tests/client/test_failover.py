from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from newswire.client.answers import Row
from newswire.client.failover import Brokers, Verdict, pause, perhaps_done, split, verdict
from newswire.core import limits
from newswire.errors import BadRequest

A, B, C = "a:1", "b:2", "c:3"


def rows(a: str = "up", b: str = "up", primary: str = A, told_by: str = B) -> list[Row]:
    return [
        Row("1001", A, primary == A, a, itself=told_by == A),
        Row("1002", B, primary == B, b, itself=told_by == B),
    ]


@pytest.mark.parametrize(
    ("status", "code", "meant"),
    [
        (200, "", Verdict.DONE),
        (201, "", Verdict.DONE),
        (302, "", Verdict.FINAL),
        (400, "bad-topic", Verdict.FINAL),
        (401, "unauthenticated", Verdict.FINAL),
        (502, "peer-auth-failed", Verdict.FINAL),
        (403, "not-registered", Verdict.FINAL),
        (404, "", Verdict.FINAL),
        (413, "too-large", Verdict.FINAL),
        (408, "timeout", Verdict.ELSEWHERE),
        (429, "too-many", Verdict.LATER),
        (500, "internal", Verdict.ELSEWHERE),
        (502, "", Verdict.ELSEWHERE),
        (503, "not-ready", Verdict.ELSEWHERE),
        (503, "unknown-outcome", Verdict.ELSEWHERE),
        (503, "fewer-copies-than-asked", Verdict.FINAL),
        (503, "not-enough-copies", Verdict.SHORT),
        (507, "storage-full", Verdict.SHORT),
    ],
)
def test_verdict(status: int, code: str, meant: Verdict) -> None:
    assert verdict(status, code) is meant


@pytest.mark.parametrize(
    ("status", "code", "perhaps"),
    [(500, "internal", True), (502, "", True), (503, "unknown-outcome", True), (503, "not-ready", False), (400, "", False)],
)
def test_perhaps_done(status: int, code: str, perhaps: bool) -> None:
    assert perhaps_done(status, code) is perhaps


def test_split_takes_text_and_sequences() -> None:
    assert split("a:1, b:2,a:1") == split(["a:1", "b:2/"]) == (A, B)
    for nothing in ("", " , ", [], [""]):
        with pytest.raises(BadRequest, match="HOST:PORT"):
            split(nothing)


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_pause_grows_to_its_most_and_no_further(failures: int, chance: float) -> None:
    assert pause(failures, 1.0) <= pause(failures, chance) <= pause(failures + 1, 0.0) <= limits.BACKOFF_MOST_SECONDS
    assert pause(failures, chance) >= limits.BACKOFF_FIRST_SECONDS / 2


def test_who_names_brokers_by_https_goes_to_no_other() -> None:
    secure = Brokers("https://a.example")
    told = [Row("1001", "a:1", True, itself=True), Row("1002", "b:2"), Row("1003", "https://c.example")]
    secure.learn("https://a.example", told, 0.0)
    assert secure.addresses() == ["https://a.example", "https://c.example"]
    assert secure.look(0.0).nodes == ("a:1", "b:2", "https://c.example")
    mixed = Brokers("https://a.example,b:2")
    mixed.learn("https://a.example", told, 0.0)
    assert mixed.addresses() == ["https://a.example", "b:2", "https://c.example"]


def test_the_first_named_is_tried_first_and_the_next_after_it_failed() -> None:
    brokers = Brokers([A, B])
    assert brokers.choose(0) == A
    brokers.failed(A, 0, chance=0)
    assert brokers.choose(0) == B
    brokers.failed(B, 0, chance=0)
    assert brokers.choose(0) is None
    assert brokers.wait(0) == limits.BACKOFF_FIRST_SECONDS
    assert brokers.choose(limits.BACKOFF_FIRST_SECONDS) == A


def test_the_primary_of_the_rows_beats_the_order_of_the_settings() -> None:
    brokers = Brokers([B, A])
    brokers.learn(B, rows(), 0)
    assert brokers.choose(0) == A
    assert brokers.choose(0, avoid={A}) == B


def test_a_broker_that_its_peers_call_down_is_the_last_resort_and_comes_home_when_they_call_it_up() -> None:
    brokers = Brokers([A, B])
    brokers.learn(B, rows(a="down", primary=B), 0)
    assert brokers.choose(0) == B
    brokers.failed(B, 0, chance=0)
    assert brokers.choose(0) == A
    brokers.answered(B)
    brokers.learn(B, rows(a="catching-up"), 10)
    assert brokers.choose(10) == B
    brokers.learn(B, rows(a="up"), 20)
    assert brokers.choose(20) == A


def test_learned_brokers_are_tried_when_the_configured_ones_fail() -> None:
    brokers = Brokers(A)
    brokers.learn(A, rows(told_by=A), 0)
    brokers.failed(A, 0, chance=0)
    assert brokers.choose(0) == B


def test_an_answer_ends_a_rest() -> None:
    brokers = Brokers([A, B])
    for _ in range(5):
        brokers.failed(A, 0, chance=0)
    brokers.answered(A)
    assert brokers.choose(0) == A
    brokers.failed(A, 0, chance=0)
    assert brokers.wait(0) == 0  # B
    assert brokers.choose(limits.BACKOFF_FIRST_SECONDS) == A


def test_a_stranger_that_never_answered_here_rests_longer() -> None:
    brokers = Brokers(B)
    brokers.learn(B, rows(), 0)
    for _ in range(20):
        brokers.failed(A, 0, chance=0)
        brokers.failed(B, 0, chance=0)
    assert brokers.choose(limits.BACKOFF_MOST_SECONDS) == B
    assert brokers.choose(limits.BACKOFF_MOST_SECONDS, avoid={B}) is None
    assert brokers.choose(limits.CLIENT_STRANGER_SECONDS) == A


def test_least_rest_and_hold() -> None:
    brokers = Brokers([A, B])
    brokers.failed(A, 0, chance=0, least=3.0)
    assert brokers.choose(2.9, avoid={B}) is None
    assert brokers.choose(3.0, avoid={B}) == A
    brokers.hold(7.0)
    assert brokers.choose(6.9) is None
    assert brokers.wait(5.0) == 2.0
    assert brokers.choose(7.0) == A


def test_two_names_of_one_broker_are_one() -> None:
    brokers = Brokers(["localhost:1", "localhost:2"])
    brokers.learn("localhost:2", [Row("1001", "10.0.0.1:1", True), Row("1002", "10.0.0.2:2", itself=True)], 0)
    assert brokers.addresses() == ["localhost:1", "localhost:2", "10.0.0.1:1"]
    brokers.learn("localhost:1", [Row("1001", "10.0.0.1:1", True, itself=True), Row("1002", "10.0.0.2:2")], 0)
    assert brokers.addresses() == ["localhost:1", "localhost:2"]
    assert brokers.choose(0) == "localhost:1"
    assert brokers.id_of("localhost:2") == brokers.id_of("10.0.0.2:2") == "1002"
    assert brokers.better("localhost:1", 0) is None
    assert brokers.better("localhost:2", 0) == "localhost:1"


def test_home_is_the_primary_only_when_it_is_up_and_not_resting() -> None:
    brokers = Brokers([A, B])
    assert brokers.better(B, 0) is None  # nobody told who is primary
    brokers.learn(B, rows(a="catching-up"), 0)
    assert brokers.better(B, 0) is None
    brokers.learn(B, rows(a="catching-up", b="catching-up"), 0)
    assert brokers.better(B, 0) is None
    brokers.learn(B, rows(), 0)
    assert brokers.better(B, 0) == A
    assert brokers.better(A, 0) is None
    brokers.failed(A, 0, chance=0)
    assert brokers.better(B, 0) is None


def crowd(a: int = 0, b: int = 0, c: int = 0) -> list[Row]:
    """The rows of brokers that serve so many streams."""
    rows = [Row("1001", A, is_primary=True, itself=True, streams=a), Row("1002", B, streams=b), Row("1003", C, streams=c)]
    return [msgspec.structs.replace(row, streams_limit=20_000) for row in rows]


def seats(brokers: Brokers) -> set[str | None]:
    return {brokers.seat(0, chance / 20) for chance in range(20)}


def test_of_few_streams_all_go_to_the_primary_and_of_many_each_where_there_is_room() -> None:
    brokers = Brokers([A])
    assert seats(brokers) == {A}, "nothing is known yet"
    brokers.learn(A, crowd(a=limits.SPREAD_STREAMS - 1), 0)
    assert seats(brokers) == {A}
    brokers.learn(A, crowd(a=limits.SPREAD_STREAMS), 0)
    assert seats(brokers) == {A, B, C}
    brokers.learn(A, [msgspec.structs.replace(row, streams_limit=0) for row in crowd(a=limits.SPREAD_STREAMS)], 0)
    assert seats(brokers) == {A}, "who does not say how many it has is sent none"


def test_of_many_streams_none_goes_home_until_they_are_few() -> None:
    brokers, many = Brokers([A, B, C]), limits.SPREAD_STREAMS
    for streams, home in ((many, None), (many // 2, None), (many // 2 - 1, A)):
        brokers.learn(A, crowd(b=streams), 0)
        assert brokers.better(B, 0) == home
    away = limits.CLIENT_LOOK_AWAY_SECONDS
    assert brokers.stale(B, away, 0)
    brokers.learn(A, crowd(b=many), 0)
    assert not brokers.stale(B, away, 0), "it is where it should be"


def test_where_no_broker_is_reached_that_others_named_no_stream_goes_to_one() -> None:
    """Behind one name, or a proxy, what brokers call each other counts for nothing."""
    brokers, many = Brokers([A]), limits.SPREAD_STREAMS
    brokers.learn(A, crowd(a=many), 0)
    assert brokers.may_move_to(B, 0)
    brokers.failed(B, 0, chance=0)
    later = 10 * limits.CLIENT_STRANGER_SECONDS
    assert [brokers.may_move_to(address, later) for address in (A, B, C)] == [True, False, False]
    assert seats(brokers) == {A}
    brokers.answered(B)
    assert brokers.may_move_to(C, later)
    configured = Brokers([A, B, C])
    configured.learn(A, crowd(a=many), 0)
    configured.failed(B, 0, chance=0)
    assert [configured.may_move_to(address, 0) for address in (B, C)] == [False, True], "B rests"


def test_a_broker_that_was_not_reached_and_is_named_no_more_stands_in_nobody_s_way() -> None:
    """A program runs for a year, and brokers come and go: one failure would keep it from all who were added since."""
    brokers, many = Brokers([A]), limits.SPREAD_STREAMS
    brokers.learn(A, crowd(a=many), 0)
    brokers.failed(B, 0, chance=0)
    later = 10 * limits.CLIENT_STRANGER_SECONDS
    assert not brokers.may_move_to(C, later)
    brokers.learn(A, [row for row in crowd(a=many) if row.ip != B], later)
    assert brokers.may_move_to(C, later)
    brokers.learn(A, crowd(a=many), later)
    assert brokers.may_move_to(B, later), "it is named again, perhaps as another one"
    brokers.failed(A, later, chance=0)
    brokers.learn(B, crowd(a=many)[1:], later)
    assert not brokers.may_move_to(A, later), "one of the settings is always named"


def test_brokers_behind_one_name_are_one() -> None:
    brokers, many = Brokers(["news:80"]), limits.SPREAD_STREAMS
    brokers.learn("news:80", crowd(a=many), 0)
    other = [msgspec.structs.replace(row, itself=row.ip == B) for row in crowd(a=many)]
    brokers.learn("news:80", other, 0)
    assert brokers.ours(A) == brokers.ours(B) == "news:80"
    assert seats(brokers) == {"news:80", C}


def test_away_from_home_the_rows_grow_old_sooner() -> None:
    brokers = Brokers([A, B])
    assert brokers.stale(A, 0, 0)
    brokers.learn(A, rows(told_by=A), 0)
    away, home = limits.CLIENT_LOOK_AWAY_SECONDS, limits.CLIENT_LOOK_HOME_SECONDS
    assert brokers.stale(B, away, 0)
    assert not brokers.stale(B, away, 0.5)
    assert not brokers.stale(B, away - 0.1, 0)
    assert brokers.stale(A, home, 0)
    assert not brokers.stale(A, home - 0.1, 0)
    brokers.learn(B, rows(a="down", primary=B), 0)
    assert brokers.stale(B, away, 0)  # B is primary now, but not the one that the settings want
    brokers.looked(away)
    assert not brokers.stale(B, away, 0)
    brokers.failed(A, away, 0)
    assert brokers.stale(B, away, 0)


def test_look_with_both_alive() -> None:
    brokers = Brokers([A, B])
    brokers.learn(B, list(reversed(rows())), 0)
    look = brokers.look(0)
    assert (look.nodes, look.primary, look.moved) == ((A, B), A, False)


def test_look_with_the_primary_dead() -> None:
    brokers = Brokers([A, B])
    brokers.learn(B, rows(a="down", primary=B), 0)
    look = brokers.look(0)
    assert (look.nodes, look.primary, look.moved) == ((B,), B, True)


def test_look_before_its_peers_saw_the_primary_die() -> None:
    brokers = Brokers([A, B])
    brokers.failed(A, 0, chance=0)
    brokers.learn(B, rows(), 0)
    look = brokers.look(0)
    assert (look.nodes, look.primary, look.moved) == ((B,), B, True)


addresses = st.sampled_from([A, B, C])
happenings = st.lists(
    st.one_of(
        st.tuples(st.just("failed"), addresses, st.floats(0, 1), st.floats(0, 10)),
        st.tuples(st.just("answered"), addresses),
        st.tuples(st.just("learn"), addresses, st.sampled_from(["up", "down", "catching-up"]), addresses),
        st.tuples(st.just("pass"), st.floats(0, 20)),
        st.tuples(st.just("hold"), st.floats(0, 5)),
    ),
    max_size=30,
)


@given(st.lists(addresses, min_size=1, max_size=3), happenings)
def test_whatever_happens_somebody_is_tried_again_in_bounded_time(
    configured: list[str], what: list[tuple[object, ...]]
) -> None:
    brokers, now = Brokers(configured), 0.0
    for kind, *args in what:
        if kind == "failed":
            brokers.failed(str(args[0]), now, float(args[1]), float(args[2]))  # type: ignore[arg-type]
        elif kind == "answered":
            brokers.answered(str(args[0]))
        elif kind == "learn":
            brokers.learn(str(args[0]), rows(a=str(args[1]), told_by=str(args[2])), now)
        elif kind == "hold":
            brokers.hold(now + float(args[0]))  # type: ignore[arg-type]
        else:
            now += float(args[0])  # type: ignore[arg-type]
        chosen, wait = brokers.choose(now), brokers.wait(now)
        assert (chosen is None) == (wait > 0)
        assert wait <= 15.0 + limits.BACKOFF_MOST_SECONDS
        later = now + wait + 1e-6  # a float sum may fall a bit short
        assert brokers.choose(later) in brokers.addresses()
        assert set(map(brokers.ours, brokers.configured)) <= set(brokers.addresses())


def test_a_broker_that_fails_in_another_thread_meanwhile_is_no_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    brokers = Brokers([A, B])
    brokers.learn(A, rows(told_by=A), 0)
    row = brokers.row

    def meanwhile(address: str) -> Row | None:
        brokers.failed(B, 0, chance=0)
        return row(address)

    monkeypatch.setattr(brokers, "row", meanwhile)
    assert not brokers.stale(A, 0, 0)
    assert brokers.stale(A, 0, 0)
