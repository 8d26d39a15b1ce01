"""Many ops in one pass are what each is by itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newswire.core import limits
from newswire.core.model import ops, runs
from newswire.core.model.commands import RULES, Publish
from newswire.core.model.message import MessageFields
from newswire.core.model.ops import BareOp, Began, Op, Published

ORIGIN = "1001-a"
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)


def message(sequence: int, **fields: str) -> Published:
    return Published(ORIGIN, sequence, 5, topic="a", data="x", **fields)


@given(
    st.lists(
        st.builds(Publish, topic=TEXTS, data=TEXTS, key=TEXTS, title=TEXTS, publisher=TEXTS, tags=st.lists(TEXTS).map(tuple))
    )
)
def test_messages_are_encoded_as_their_ops_are(messages: list[Publish]) -> None:
    fields = MessageFields.__struct_fields__
    assert set(fields) >= set(RULES)
    published = [
        Published(ORIGIN, sequence, 77, **{name: getattr(one, name) for name in fields})
        for sequence, one in enumerate(messages, 2)
    ]
    assert runs.encode_messages(messages, ORIGIN, 2, 77) == list(map(ops.encode, published))


@pytest.mark.parametrize(
    "bad",
    [
        b"{}",
        b"\xff",
        b"[" * 100_000,
        b'{"op":"msg","o":"1001-a","s":3,"t":5,"topic":"a b","data":"x"}',
        b'{"op":"msg","o":"1001-a","s":3,"t":5,"topic":"a","title":"a\\nb"}',
        b'{"op":"later","o":"1001-a","s":3,"t":5}',
        b'{"op":"msg","o":"1001-a","s":3,"t":5,"topic":"a","data":"x","more":"' + b"x" * limits.OP_BYTES + b'"}',
    ],
)
def test_ops_are_decoded_as_each_is_and_what_is_not_usual_is_left_to_that(bad: bytes) -> None:
    usual: list[Op] = [message(2), Began(ORIGIN, 1, 0, "1001"), message(3, key="k")]
    raws = list(map(ops.encode, usual))
    assert runs.decode_all(raws) == usual == list(map(ops.decode, raws))
    assert runs.decode_all([*raws, bad]) is None
    assert runs.decode_all([]) == []


def test_a_run_is_messages_of_one_origin_each_the_next() -> None:
    usual: list[Op] = [message(2), message(3)]
    assert runs.are_run(usual, ORIGIN, 2)
    assert not runs.are_run(usual, ORIGIN, 3)
    assert not runs.are_run(usual, "1001-b", 2)
    assert not runs.are_run([*usual, message(5)], ORIGIN, 2)
    assert not runs.are_run([*usual, BareOp(ORIGIN, 4, 0)], ORIGIN, 2)
    assert not runs.are_run([], ORIGIN, 2)
