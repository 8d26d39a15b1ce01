"""One segment's bytes: whatever happens to them, nothing is invented and nothing that was vouched for is given up."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from newswire.core.model import ops
from newswire.core.model.ops import Published
from newswire.engine.embedded import segment
from newswire.engine.embedded.segment import Damage

ORIGIN = "1001-k3f9x2qa"
NUMBER = 7


def raw(sequence: int, data: str = "x") -> bytes:
    return ops.encode(Published(ORIGIN, sequence, 1_700_000_000_000 + sequence, topic="Google", data=data))


class Written:
    """A segment as `OpsFile` writes it, synced after each batch; remembers what stands where."""

    def __init__(self, batches: list[list[bytes]]) -> None:
        self.data = segment.header_line(NUMBER, "cluster", ORIGIN, {})
        self.header_length = len(self.data)
        self.starts: list[int] = []  # of batches
        self.records: list[tuple[int, int, bytes]] = []  # start, end, JSON object
        for raws in batches:
            self.starts.append(len(self.data))
            block, places = segment.batch(NUMBER, len(self.data), len(self.data), raws)
            self.data += block
            for (place, length), one in zip(places, raws, strict=True):
                start = segment.split_place(place)[1]
                self.records.append((start, start + length, one))

    def vouched(self, touched: range) -> int:
        """The length that the last mark vouches for of which no byte was touched."""
        whole = [at for at in self.starts if touched.stop <= at or touched.start >= self.data.index(b"\n", at) + 1]
        return max(whole, default=0)


def read(data: bytes, kept: int | None = None) -> tuple[list[tuple[int, int, bytes]], list[Damage], int]:
    damage: list[Damage] = []
    kept = segment.kept_length(data, NUMBER) if kept is None else kept
    found = []
    for rows in segment.records(data, NUMBER, kept, damage):
        for op, place, length in rows:
            number, start = segment.split_place(place)
            assert number == NUMBER
            one = segment.body(data[start : start + length - 1])
            assert one is not None
            assert ops.decode(one) == op
            found.append((start, start + length, one))
    return found, damage, kept


texts = st.one_of(
    st.text(max_size=30), st.sampled_from(['0123abcd {"op":"msg"', "deadbeef {", '{"op":"mark","segment":7', "\n\r\0", "}"])
)
files = st.lists(st.lists(texts, max_size=5), max_size=5).map(
    lambda batches: Written(
        [[raw(10 * i + j + 1, text) for j, text in enumerate(batch)] for i, batch in enumerate(batches)],
    )
)


def test_a_line_is_what_the_contract_says() -> None:
    assert segment.line(b"123456789") == b"cbf43926 123456789\n"  # the check value of CRC-32
    assert segment.body(b"cbf43926 123456789") == b"123456789"
    assert segment.body(b"cbf43927 123456789") is None


@pytest.mark.parametrize("one", [b"", b"c", b"cbf4392", b"zzzzzzzz {}", b"\0" * 30, b"cbf43926"])
def test_what_is_no_line_has_no_body(one: bytes) -> None:
    assert segment.body(one) is None


@given(files)
def test_everything_written_is_read(written: Written) -> None:
    found, damage, kept = read(written.data)
    assert found == written.records
    assert damage == []
    assert kept == len(written.data)


@given(files, st.data())
def test_a_cut_file_keeps_exactly_the_batches_that_are_whole(written: Written, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(written.data)))
    found, damage, kept = read(written.data[:cut])
    ends = [at for at in (*written.starts, len(written.data)) if at <= cut]
    assert kept == max(ends, default=0)
    assert found == [one for one in written.records if one[1] <= kept]
    assert damage == []


def test_a_cut_at_every_byte_of_the_last_batch_keeps_all_before_it() -> None:
    written = Written([[raw(1), raw(2)], [raw(3)], [raw(4), raw(5), raw(6)]])
    for cut in range(written.starts[-1], len(written.data)):
        found, damage, kept = read(written.data[:cut])
        assert (found, damage, kept) == (written.records[:3], [], written.starts[-1])
    assert read(written.data)[0] == written.records


def check_overwritten(written: Written, changed: bytes, touched: range) -> None:
    """The two sides: nothing invented; what is vouched for and untouched is there, and the rest of it is listed."""
    found, damage, _ = read(changed)
    assert set(found) <= set(written.records)
    vouched = written.vouched(touched)
    expected = [one for one in written.records if one[1] <= vouched]
    untouched = [one for one in expected if one[1] <= touched.start or one[0] >= touched.stop]
    missing = set(expected) - set(found)
    assert set(untouched) <= set(found)
    for start, end, _ in missing:
        assert any(one.offset <= start and end <= one.offset + one.length for one in damage)


@given(files, st.data())
def test_zeros_anywhere(written: Written, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(written.data)))
    stop = data.draw(st.integers(start, len(written.data)))
    changed = written.data[:start] + bytes(stop - start) + written.data[stop:]
    check_overwritten(written, changed, range(start, stop))


@given(files, st.data())
def test_a_flipped_bit_anywhere(written: Written, data: st.DataObject) -> None:
    at, bit = data.draw(st.integers(0, len(written.data) - 1)), data.draw(st.integers(0, 7))
    changed = bytearray(written.data)
    changed[at] ^= 1 << bit
    check_overwritten(written, bytes(changed), range(at, at + 1))


@given(files, st.data())
def test_an_older_chunk_put_back(written: Written, data: st.DataObject) -> None:
    length = data.draw(st.integers(1, len(written.data)))
    source, target = (data.draw(st.integers(0, len(written.data) - length)) for _ in range(2))
    changed = written.data[:target] + written.data[source : source + length] + written.data[target + length :]
    found, _, _ = read(changed)
    assert {one for _, _, one in found} <= {one for _, _, one in written.records}


@given(st.binary(max_size=300), st.integers(0, 400))
def test_any_bytes_at_all(data: bytes, kept: int) -> None:
    found, damage, _ = read(data)
    assert (found, damage) == ([], [])
    found, damage, _ = read(data, kept)
    assert found == []
    assert sum(one.length for one in damage) == kept


def test_every_flipped_newline_costs_at_most_its_own_record() -> None:
    written = Written([[raw(i) for i in range(1, 6)], [raw(6)]])
    for _, end, _ in written.records[:5]:
        changed = written.data[: end - 1] + b"\x8a" + written.data[end:]
        found, damage, _ = read(changed)
        assert found == written.records
        assert damage == []


def test_damage_before_a_mark_is_listed_and_all_around_it_is_kept() -> None:
    written = Written([[raw(i) for i in range(1, 6)], [raw(6)]])
    start, end, _ = written.records[2]
    found, damage, kept = read(written.data[: start + 20] + b"#" + written.data[start + 21 :])
    assert found == written.records[:2] + written.records[3:]
    assert damage == [Damage(NUMBER, start, end - start, "checksum")]
    assert kept == len(written.data)


def test_neighbouring_damage_is_one_stretch() -> None:
    written = Written([[raw(i) for i in range(1, 6)], [raw(6)]])
    (first, _, _), (_, last, _) = written.records[1], written.records[3]
    changed = b"".join(b"#" + line[1:] for line in written.data[first:last].splitlines(keepends=True))
    _, damage, _ = read(written.data[:first] + changed + written.data[last:])
    assert damage == [Damage(NUMBER, first, last - first, "checksum")]


def test_damage_behind_the_last_mark_is_a_torn_write_and_takes_its_batch_with_it() -> None:
    written = Written([[raw(1)], [raw(2), raw(3), raw(4)]])
    start, _, _ = written.records[2]
    found, damage, kept = read(written.data[:start] + b"#" + written.data[start + 1 :])
    assert (found, damage, kept) == (written.records[:1], [], written.starts[1])


def test_a_closing_mark_turns_a_torn_write_into_damage() -> None:
    written = Written([[raw(1)], [raw(2), raw(3), raw(4)], []])
    start, end, _ = written.records[2]
    found, damage, _ = read(written.data[:start] + b"#" + written.data[start + 1 :])
    assert found == [written.records[0], written.records[1], written.records[3]]
    assert damage == [Damage(NUMBER, start, end - start, "checksum")]


def test_an_earlier_mark_vouches_when_the_last_one_is_bad() -> None:
    written = Written([[raw(1), raw(2)], [raw(3)], [raw(4)]])
    first, last = written.records[0][0], written.starts[2]
    changed = bytearray(written.data)
    changed[first + 30] ^= 1
    changed[last + 2] ^= 1
    found, damage, kept = read(bytes(changed))
    assert found == written.records[1:3]
    assert [one.offset for one in damage] == [first]
    assert kept == last


def test_a_named_length_rules_over_what_the_bytes_look_like() -> None:
    written = Written([[raw(1)], [raw(2)], [raw(3)]])
    assert read(written.data, written.starts[1]) == (written.records[:1], [], written.starts[1])
    found, damage, _ = read(written.data[: written.starts[2]], len(written.data))
    assert found == written.records[:2]
    assert damage == [Damage(NUMBER, written.starts[2], len(written.data) - written.starts[2], "missing")]


def test_marks_of_another_segment_vouch_for_nothing() -> None:
    written = Written([[raw(1)]])
    end = len(written.data)
    foreign, _ = segment.batch(NUMBER + 1, end + 1, end + 1, [raw(2)])
    found, damage, kept = read(written.data + b"#" + foreign)
    assert (found, damage, kept) == (written.records, [], end)


@given(files, st.data())
def test_bytes_gone_from_before_a_mark_are_missing_and_all_others_are_kept(written: Written, data: st.DataObject) -> None:
    if not written.records:
        return
    start, _, _ = data.draw(st.sampled_from(written.records))
    end = data.draw(st.sampled_from([end for _, end, _ in written.records if end > start]))
    found, damage, kept = read(written.data[:start] + written.data[end:])
    gone = end - start
    if any(at >= end for at in written.starts):
        left = [(at, to) for at, to, _ in written.records if to <= start] + [
            (at - gone, to - gone) for at, to, _ in written.records if at >= end
        ]
        assert [(at, to) for at, to, _ in found] == left
        assert damage == [Damage(NUMBER, len(written.data) - gone, gone, "missing")]
        assert kept == len(written.data)


def test_a_closing_mark_vouches_for_all_before_it_also_where_bytes_came_in_between() -> None:
    written = Written([[raw(1)], [raw(2)], [raw(3)], []])
    start, end, _ = written.records[1]
    again = written.data[start:end]
    found, damage, kept = read(written.data[:start] + again + written.data[start:])
    assert [one for _, _, one in found] == [raw(1), raw(2), raw(2), raw(3)], "which of two is taken is the caller's"
    assert (damage, kept) == ([], len(written.data) + len(again))
    _, damage, _ = read(written.data[:start] + b"garbage" + written.data[start:])
    assert damage == [Damage(NUMBER, start, 7, "checksum")]


def test_an_op_may_be_named_like_our_own_lines() -> None:
    """A later version's, or a stranger's: it has an op's fields, so it is stored like any other and vouches for nothing."""
    sly = [
        b'{"op":"mark","segment":7,"synced":1,"batch":0,"o":"1001-k3f9x2qa","s":1,"t":5}',
        b'{"o":"1001-k3f9x2qa","s":2,"t":5,"op":"mark","segment":7,"synced":99999,"batch":0}',
        b'{"op":"segment","v":2,"o":"1001-k3f9x2qa","s":3,"t":5}',
    ]
    written = Written([sly, [raw(4)]])
    assert read(written.data) == (written.records, [], len(written.data))


def test_unknown_ops_are_read_and_what_is_no_op_is_listed() -> None:
    unknown = b'{"op":"from-the-future","o":"1001-k3f9x2qa","s":2,"t":5,"shape":[1,2]}'
    written = Written([[raw(1), unknown, b'{"op":"msg"}', b"[]", raw(3)]])
    found, damage, _ = read(written.data)
    assert [one for _, _, one in found] == [raw(1), unknown, raw(3)]
    assert [one.reason for one in damage] == ["not an operation"]


@pytest.mark.parametrize("change", [(b"1001-k3f9x2qa", b"no origin"), (b'"s":2', b'"s":0'), (b'"t":', b'"t":-')])
def test_a_known_op_without_valid_coordinates_is_no_op(change: tuple[bytes, bytes]) -> None:
    written = Written([[raw(1), raw(2).replace(*change), raw(3)]])
    found, damage, _ = read(written.data)
    assert [one for _, _, one in found] == [raw(1), raw(3)]
    assert [one.reason for one in damage] == ["not an operation"]


@pytest.mark.parametrize("change", [(b'"Google"', b'"no topic"'), (b'"data":"x"', b'"data":"x","publisher":"a b"')])
def test_a_message_with_a_name_of_another_form_is_an_op_of_no_effect(change: tuple[bytes, bytes]) -> None:
    written = Written([[raw(1), raw(2).replace(*change), raw(3)]])
    rows = [row for rows in segment.records(written.data, NUMBER, len(written.data), []) for row in rows]
    assert [type(op) for op, _, _ in rows] == [Published, ops.BareOp, Published]


def test_long_batches_and_long_lines_cross_the_chunks() -> None:
    written = Written([[raw(i, "y" * (i % 7) * 1000) for i in range(1, 400)], [raw(400, "z" * 600_000), raw(401)], [raw(402)]])
    assert read(written.data) == (written.records, [], len(written.data))


def test_a_bad_header_hides_nothing_that_is_vouched_for() -> None:
    written = Written([[raw(1)], [raw(2)]])
    found, damage, _ = read(b"#" + written.data[1:])
    assert found == written.records
    assert damage == [Damage(NUMBER, 0, written.header_length, "checksum")]


def test_headers() -> None:
    data = segment.header_line(NUMBER, "cluster", ORIGIN, {5: 100, 6: 0})
    header, length = segment.read_header(data + b"rest", NUMBER)
    assert header == segment.SegmentHeader(segment.VERSION, NUMBER, "cluster", ORIGIN, {5: 100, 6: 0})
    assert length == len(data)
    assert segment.read_header(data, NUMBER + 1) == (None, 0)
    assert segment.read_header(data[:-1], NUMBER) == (None, 0)
    assert segment.read_header(segment.line(raw(1)), NUMBER) == (None, 0)
    assert segment.read_header(segment.line(b'{"op":"segment","v":1}'), NUMBER) == (None, 0)
    assert segment.read_header(b"", NUMBER) == (None, 0)
    with pytest.raises(segment.OtherVersion, match="version 4"):
        segment.read_header(segment.line(msgspec.json.encode({"op": "segment", "v": 4, "anything": []})), NUMBER)


def test_places() -> None:
    assert segment.split_place(segment.place(12, 4_000_000_000)) == (12, 4_000_000_000)
