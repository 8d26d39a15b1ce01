"""Every value that a peer can send has a bound, and what is staged is what its bytes say (docs/rules.md, BOUNDS)."""

from __future__ import annotations

from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from newswire.core import limits
from newswire.core.broker.events import Header
from newswire.core.broker.stager import Stager
from newswire.core.model import ops
from newswire.core.model.commands import Acknowledge, Publish, Subscribe
from newswire.core.model.coverage import Coverage, write
from newswire.core.model.event_ids import parse
from newswire.core.model.ops import (
    Acknowledged,
    Audited,
    BareOp,
    Began,
    Confirmed,
    Dropped,
    Granted,
    GrantedRight,
    GrantsRevoked,
    Joined,
    Left,
    Lost,
    Op,
    PasswordSet,
    Published,
    Scheduled,
    SessionEnded,
    Subscribed,
    TokenCreated,
    TokensRevoked,
    Unsubscribed,
    UserAdded,
    UsersRemoved,
    Void,
    Withdrawn,
)
from newswire.core.state.accounts import Accounts
from newswire.core.state.fold import State
from newswire.core.state.salvage import again
from newswire.engine.peers import push_codec
from newswire.errors import BadRequest
from newswire.web import message_fields
from tests.kit.accounts import seen

HERE = "1001-a"
LINES = "two\r\nlines"
NAMED: dict[str, Any] = {"again": "1001-a.2", "made": limits.TIME_MILLISECONDS, "by": "u" * 64}
FIELDS: dict[str, dict[str, Any]] = {
    # of each type every field, the widest that a client or broker makes
    "began": {"broker": "A" * 16, "vector": {"1001-a": 2**53}, "batch": limits.BATCH_MESSAGES + 1},
    "msg": {
        "topic": "t" * 128, "data": "d" * limits.MESSAGE_BYTES, "key": "k" * 64, "publisher": "p" * 64, "title": "\u00e9" * 256,
        "priority": 5, "tags": ["tag"] * 16, "click": "HTTPS://x/" + "c" * 2038, "expires": limits.TIME_MILLISECONDS,
        "again": "1001-a.2", "confirm": limits.EXPIRES_SECONDS, "escalate": "e" * 128, "about": "1001-a.2",
        "markdown": True, "replaces": "1001-a.2", "original": "1001-a.2",
    },
    "scheduled": {
        "topic": "t" * 128, "data": "d" * limits.MESSAGE_BYTES, "key": "k" * 64, "publisher": "p" * 64, "title": "\u00e9" * 256,
        "priority": 5, "tags": ["tag"] * 16, "click": "HTTPS://x/" + "c" * 2038, "expires": limits.TIME_MILLISECONDS,
        "again": "1001-a.2", "confirm": limits.EXPIRES_SECONDS, "escalate": "e" * 128, "about": "1001-a.2",
        "markdown": True, "replaces": "1001-a.2", "original": "1001-a.2",
        "due": limits.TIME_MILLISECONDS, "delay": limits.SCHEDULE_AHEAD_SECONDS * 1000, "account": "1001-a.2",
        "token": "1001-a.2",
    },
    "confirmed": {
        "message": "1001-a.2", "user": "a@b.c_d-e", "account": "1001-a.2", "made": limits.TIME_MILLISECONDS,
    },
    "sub": {"user": "a@b.c_d-e", "pattern": "a.*.>", "since": {"1001-a": 1}, "follows": ["1001-a.2"], "replaces": ["1002-b.9"],
            "account": "1001-a.2"},
    "unsub": {"ids": ["1001-a.2"]},
    "ack": {"ids": ["1001-a.2"], "vector": {"1001-a": 7}},
    "drop": {"topic": "news", "vector": {"1001-a": 7}},
    "withdrawn": {"ids": ["1001-a.2"], "topic": "t" * 128, "original": "1001-a.2", "by": "u" * 64},
    "join": {"broker": "1002", "address": "[::1]:65535", "seen": ["1001-a.2"]},
    "left": {"broker": "1002", "seen": ["1001-a.2"]},
    "lost": {"source": "1001-a", "first": 2, "last": 2**32 - 1},
    "user": {"name": "a@b.c_d-e", "admin": True, "first": True, **NAMED},
    "user_removed": {"accounts": ["1001-a.2"], "by": "u" * 64},
    "password": {"account": "1001-a.2", "hash": "$" * limits.PASSWORD_HASH_CHARS, **NAMED},
    "token": {
        "account": "1001-a.2", "hash": "0f" * 32, "label": "\u00e9" * limits.TOKEN_LABEL_CHARS,
        "expires": limits.TIME_MILLISECONDS,
        "publish": ["a.*.>"] * limits.TOKEN_PATTERNS, "subscribe": [], **NAMED,
    },
    "token_revoked": {"tokens": ["1001-a.2"], "account": "1001-a.2", "by": "root"},
    "grant": {"who": "*", "verb": "subscribe", "pattern": "a.*.>", "replaces": ["1001-a.2"], **NAMED},
    "grant_revoked": {"grants": ["1001-a.2"], "was": {"who": "1001-a.2", "verb": "publish", "pattern": ">"}, "by": "root"},
    "session_ended": {"session": "s" * 64, "account": "1001-a.2", "by": "root"},
    "audit": {"what": "a" * 32, "who": "\u00e9" * 64, "at": "a" * limits.ADDRESS_CHARS},
    "void": {"first": 2, "messages": {f"t{number}": [2**32 - 1, 2] for number in range(limits.VOID_TOPICS)}, "of": 7},
}  # fmt: skip
TYPES = {
    "began": Began, "msg": Published, "scheduled": Scheduled,
    "sub": Subscribed, "unsub": Unsubscribed, "ack": Acknowledged, "drop": Dropped,
    "withdrawn": Withdrawn, "confirmed": Confirmed,
    "join": Joined, "left": Left, "lost": Lost, "user": UserAdded, "user_removed": UsersRemoved, "password": PasswordSet,
    "token": TokenCreated, "token_revoked": TokensRevoked, "grant": Granted, "grant_revoked": GrantsRevoked,
    "session_ended": SessionEnded, "audit": Audited, "void": Void,
}  # fmt: skip
VECTORS = [
    {"x": 1},
    {"1001-a": 0},
    {"1001-a": 2**53 + 1},
    {"1001-a": -1},
    {f"1-{n}": 1 for n in range(limits.VECTOR_ENTRIES + 1)},
]
IDS = [["1001-a"], ["1001-a.0"], [LINES], [7]]
NAMES = ["", LINES, "x" * 300, "\x1b[2J", 7, None]
SEQUENCES = [0, -1, 2**32, 1.5, "1"]
BAD: dict[str, list[Any]] = {
    "source": NAMES,
    "first": SEQUENCES,
    "last": SEQUENCES,
    "again": ["1001-a", LINES, 7],
    "broker": [*NAMES, "10-01", "A" * 17],
    "batch": [-1, limits.BATCH_MESSAGES + 2, "2"],
    "vector": VECTORS,
    "since": VECTORS,
    "topic": [*NAMES, "news.*", ".news", "a..b"],
    "pattern": [*NAMES, "news.>.x", "a*"],
    "user": [*NAMES, "a b"],
    "data": ["d" * (limits.MESSAGE_BYTES + 1), 7],
    "key": ["k" * 65],
    "publisher": [LINES, "p" * 65],
    "title": [LINES, "t" * 257, "\x9b2J"],
    "priority": [-1, 6, 2**70],
    "tags": [["t"] * 17, [""], [LINES], ["t" * 65]],
    "click": ["javascript:alert(1)", "https://x\r\ny", 'https://x"y', "https://" + "c" * 2048],
    "expires": [-1, 2**60, 2**70],
    "confirm": [-1, 2**60, "5"],
    "due": [-1, 2**60, "5"],
    "delay": [-1, 2**60, "5"],
    "escalate": [LINES, "news.*", "e" * 129, 7],
    "about": ["1001-a", LINES, 7],
    "original": ["1001-a", LINES, 7],
    "markdown": [1, "true"],
    "message": ["1001-a", "1001-a.0", LINES, 7],
    "address": [*NAMES, "10.0.0.1:5053\r\nX: y", "10.0.0.1", "10.0.0.1:0", "10.0.0.1:65536"],
    "ids": IDS,
    "follows": IDS,
    "replaces": IDS,
    "seen": IDS,
    "accounts": IDS,
    "tokens": IDS,
    "grants": IDS,
    "account": ["1001-a", LINES, 7],
    "token": ["1001-a", LINES, 7],
    "name": [*NAMES, "a b"],
    "admin": [1, "true"],
    "hash": ["x" * 300, LINES, "\u00e9", 7],
    "label": ["l" * 129, 7],
    "made": [-1, 2**60],
    "by": [LINES, "a b", "u" * 65, 7],
    "publish": ["news", ["a*"], ["news"] * 65, [7]],
    "subscribe": ["news", ["a*"], ["news"] * 65, [7]],
    "who": ["w" * 300, 7],
    "verb": ["read", "", 7],
    "was": [7, {"who": LINES, "verb": "publish", "pattern": ">"}, {"who": "*", "verb": "read", "pattern": ">"}, {"who": "*"}],
    "session": [*NAMES, "a b"],
    "what": [*NAMES, "Signed in"],
    "at": ["a" * 300, 7],
    "of": [-1, 2**54, "2"],
    "messages": [{LINES: [1, 2]}, {"": [1, 2]}, {"news.*": [1, 2]}, {"news": [0, 2]}, {"news": [1]}, {"news": [1, 2**32]}],
}


def record(kind: str, **changed: Any) -> bytes:
    return msgspec.json.encode({"op": kind, "o": "1002-b", "s": 2, "t": 5, **FIELDS[kind], **changed})


def test_each_type_of_op_and_each_field_of_it_has_values_here() -> None:
    kinds = {str(kind.__struct_config__.tag): kind for kind in get_args(ops.KnownOp)}
    assert kinds == TYPES, "a new type: add it to FIELDS, TYPES and DRAFTS"
    for name, kind in kinds.items():
        assert set(FIELDS[name]) == set(kind.__struct_fields__) - {"origin", "sequence", "time"}, name


@pytest.mark.parametrize("kind", [kind for kind in FIELDS if kind not in ("began", "void")])
def test_each_type_of_op_but_the_first_can_be_stored_again_when_it_is_given_up(kind: str) -> None:
    """docs/rules.md, LOST."""
    assert again(State(), ops.decode(record(kind)))


@pytest.mark.parametrize("kind", FIELDS)
def test_the_widest_values_of_each_type_are_read(kind: str) -> None:
    op = ops.decode(record(kind))
    assert type(op) is TYPES[kind]
    assert ops.decode(ops.encode(op)) == op


@pytest.mark.parametrize(("kind", "field"), [(kind, field) for kind, fields in FIELDS.items() for field in fields])
def test_a_value_out_of_its_bounds_makes_an_op_of_no_effect(kind: str, field: str) -> None:
    """It is stored and forwarded like one of an unknown type, so it blocks no link; and no state, page or log meets it."""
    for value in BAD[field]:
        if (kind, field, value) == ("withdrawn", "topic", ""):
            continue  # its readers are told nothing
        op = ops.decode(record(kind, **{field: value}))
        assert op == BareOp("1002-b", 2, 5), value
        state = State()
        state.apply(Began("1002-b", 1, 0, "1002"), 0, 0, None)
        assert state.takes(op, {}), "the origin goes on behind it"
        state.apply(op, 0, 0, None)
        assert not state.subscriptions.alive
        assert seen(state.accounts) == seen(Accounts())
        assert not state.members.addresses
        assert state.messages.names == [""]


@pytest.mark.parametrize(
    "changed", [{"s": 0}, {"s": 2**32}, {"t": -1}, {"t": limits.TIME_MILLISECONDS + 1}, {"o": LINES}, {"o": "1001"}, {"s": 1.5}]
)
def test_what_has_no_place_in_a_log_is_no_op(changed: dict[str, Any]) -> None:
    for kind in (*FIELDS, "levitate"):
        with pytest.raises(ops.NotAnOp):
            ops.decode(msgspec.json.encode({"op": kind, "o": "1002-b", "s": 2, "t": 5, **FIELDS.get(kind, {}), **changed}))


def test_what_does_not_fit_into_a_record_is_no_op() -> None:
    with pytest.raises(ops.NotAnOp):
        ops.decode(msgspec.json.encode({"op": "later", "o": "1002-b", "s": 2, "t": 5, "x": "y" * limits.RECORD_BYTES}))


TEXTS = st.one_of(
    st.text(st.characters(), max_size=300),  # surrogates by themselves among them
    st.sampled_from([LINES, "news", "news.>", "alice", "1002", "127.0.0.1:5053", "https://x/", "x" * 70_000, "\ud800"]),
)
NUMBERS = st.one_of(st.integers(), st.sampled_from([2**32, 2**53, 2**53 + 1, 2**63, 2**64, limits.TIME_MILLISECONDS]))
ORIGINS = st.sampled_from(["1001-a", "1002-b", "x", LINES, "\ud800-a"])
WILD_VECTORS = st.dictionaries(ORIGINS, NUMBERS, max_size=3)
WILD_IDS = st.lists(st.sampled_from(["1001-a.2", "1002-b.9999999999999999", "x", LINES]), max_size=3).map(tuple)
ONE_ID = st.sampled_from(["", "*", "1001-a.2", "1001-a", LINES])
TEXT_LISTS = st.none() | st.lists(TEXTS, max_size=3).map(tuple)
DRAFTS = st.one_of(
    st.builds(Began, st.just(""), st.just(0), st.just(0), TEXTS, WILD_VECTORS),
    st.builds(
        Published, st.just(""), st.just(0), st.just(0), topic=TEXTS, data=TEXTS, key=TEXTS, publisher=TEXTS, title=TEXTS,
        priority=NUMBERS, tags=st.lists(TEXTS, max_size=3).map(tuple), click=TEXTS, expires=NUMBERS,
    ),
    st.builds(Subscribed, st.just(""), st.just(0), st.just(0), TEXTS, TEXTS, WILD_VECTORS, WILD_IDS, WILD_IDS, ONE_ID),
    st.builds(UserAdded, st.just(""), st.just(0), st.just(0), name=TEXTS, again=ONE_ID, made=NUMBERS, by=TEXTS),
    st.builds(UsersRemoved, st.just(""), st.just(0), st.just(0), WILD_IDS, TEXTS),
    st.builds(PasswordSet, st.just(""), st.just(0), st.just(0), ONE_ID, TEXTS),
    st.builds(TokenCreated, st.just(""), st.just(0), st.just(0), ONE_ID, TEXTS, TEXTS, NUMBERS, TEXT_LISTS, TEXT_LISTS),
    st.builds(TokensRevoked, st.just(""), st.just(0), st.just(0), WILD_IDS, ONE_ID),
    st.builds(Granted, st.just(""), st.just(0), st.just(0), ONE_ID, TEXTS, TEXTS, WILD_IDS),
    st.builds(GrantsRevoked, st.just(""), st.just(0), st.just(0), WILD_IDS, st.builds(GrantedRight, ONE_ID, TEXTS, TEXTS)),
    st.builds(SessionEnded, st.just(""), st.just(0), st.just(0), TEXTS, ONE_ID),
    st.builds(Audited, st.just(""), st.just(0), st.just(0), TEXTS, TEXTS, TEXTS),
    st.builds(Unsubscribed, st.just(""), st.just(0), st.just(0), WILD_IDS),
    st.builds(Acknowledged, st.just(""), st.just(0), st.just(0), WILD_IDS, WILD_VECTORS),
    st.builds(Dropped, st.just(""), st.just(0), st.just(0), TEXTS, WILD_VECTORS),
    st.builds(Withdrawn, st.just(""), st.just(0), st.just(0), WILD_IDS),
    st.builds(Joined, st.just(""), st.just(0), st.just(0), TEXTS, TEXTS, WILD_IDS),
    st.builds(Left, st.just(""), st.just(0), st.just(0), TEXTS, WILD_IDS),
    st.builds(Lost, st.just(""), st.just(0), st.just(0), ORIGINS, NUMBERS, NUMBERS),
)  # fmt: skip


@given(DRAFTS, NUMBERS)
def test_what_is_staged_is_what_its_bytes_say_or_nothing_is(draft: Op, wall: int) -> None:
    intake = Stager(State(), HERE, 10)
    try:
        op = intake.stamp(draft, wall)
    except BadRequest:
        assert not intake.staged
        assert not intake.raws
        return
    assert type(op) is type(draft)
    assert intake.staged == [op] == [ops.decode(raw) for raw in intake.raws]


GIVEN = st.fixed_dictionaries(
    {"topic": TEXTS, "data": TEXTS},
    optional={
        "title": TEXTS, "key": TEXTS, "priority": NUMBERS, "expires": NUMBERS, "click": TEXTS,
        "tags": st.lists(TEXTS, max_size=3),
    },
)  # fmt: skip


@given(GIVEN, NUMBERS)
def test_whatever_a_client_may_publish_can_be_kept(given_: dict[str, Any], wall: int) -> None:
    """A bound that is narrower than a client's would refuse at the disk what was let in at the door."""
    try:
        request = message_fields.publish({**given_, "topic": "news", "data": given_["data"].encode(errors="replace").decode()})
    except Exception:  # the door refuses it
        return
    intake = Stager(State(), HERE, 10)
    intake.decide([request], max(0, min(wall, limits.TIME_MILLISECONDS)))
    assert isinstance(intake.staged[0], Published)


def test_a_batch_of_which_one_cannot_be_kept_stages_nothing() -> None:
    intake = Stager(State(), HERE, 10)
    good, bad = Publish("news", "x", key="key"), Publish("news", "\ud800", key="other")
    intake.decide([Publish("news", "first", key="kept")], 0)
    for refused in ([good, bad], [bad], [Publish("news", "x", key="\ud800")], [Subscribe("a b", "news")]):
        with pytest.raises(BadRequest):
            intake.decide(refused, 0)
        assert [op.sequence for op in intake.staged] == [1]
    decided = intake.decide([good], 0)
    assert (decided.ids, decided.stored) == ((f"{HERE}.2",), 1), "its key was not noted, its place not used"
    assert len(intake.raws) == 2


def test_an_event_id_beyond_what_can_be_stored_is_none() -> None:
    """Applied here and refused when read back, it would give two states under one vector."""
    assert parse(f"e~~{HERE}.{2**53}~") is not None
    for text in (f"e~~{HERE}.{2**53 + 1}~", f"e~~~{HERE}.9999999999999999", f"p~~{HERE}.9999999999999999~"):
        assert parse(text) is None
    state = State()
    state.apply(Began(HERE, 1, 0, "1001"), 0, 0, None)
    state.apply(Subscribed(HERE, 2, 0, "alice", "news"), 0, 0, None)
    intake = Stager(state, HERE, 10)
    with pytest.raises(BadRequest):
        intake.decide([Acknowledge("alice", write(Coverage("", {HERE: 2**53 + 1})))], 0)


def test_an_op_of_this_very_run_is_not_taken_from_outside() -> None:
    state = State()
    state.apply(Began(HERE, 1, 0, "1001"), 0, 0, None)
    intake = Stager(state, HERE, 10)
    forged = ops.encode(Published(HERE, 2, 0, topic="news", data="forged"))
    assert not intake.take(ops.decode(forged), forged), "and it is no reason to refuse the push: an echo looks the same"
    assert intake.stamp(Published("", 0, 0, topic="news", data="own"), 0).id == f"{HERE}.2"
    assert not intake.take(ops.decode(forged), forged)


HEADER: dict[str, Any] = {
    "broker": "1002", "address": "10.0.0.2:5053", "origin": "1002-b", "cluster": "c" * 32, "settled": True, "primary": False,
    "serves": True, "number": 1, "vector": {"1002-b": 1},
}  # fmt: skip


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("broker", BAD["broker"]),
        ("address", BAD["address"]),
        ("origin", NAMES),
        ("cluster", NAMES),
        ("number", [-1, 2**53 + 1, "1"]),
        ("vector", VECTORS),
        ("began", [{LINES: {}}, {"1001-a": {"x": 1}}, {f"1-{n}": {} for n in range(2 * limits.ANCESTRY_MOST + 1)}]),
        ("ask", [-1, 2**53 + 1]),
        ("waits", VECTORS),
        ("holes", [[{"origin": LINES, "first": 1, "last": 1}], [{"origin": "1001-a", "first": 0, "last": 1}]]),
        ("want", [-1, 2**53 + 1]),
        ("code", [LINES, "x" * 65]),
    ],
)
def test_a_header_has_bounds(field: str, values: list[Any]) -> None:
    assert push_codec.read(msgspec.json.encode(HEADER))[0].broker == "1002"
    for value in values:
        with pytest.raises(msgspec.DecodeError):
            push_codec.read(msgspec.json.encode({**HEADER, field: value}))


def test_a_peer_s_own_words_are_fit_for_a_log() -> None:
    header, _ = push_codec.read(msgspec.json.encode({**HEADER, "detail": "\x1b[2J" + LINES + "x" * 1000}))
    assert isinstance(header, Header)
    assert header.detail.startswith("\\x1b[2Jtwo\\x0d\\x0alines")
    assert len(header.detail) == limits.DETAIL_CHARS
