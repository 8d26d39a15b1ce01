"""What a later version says is kept by this one: fields and types that it does not know go to the disk and on as they came.

So brokers of two versions work together while they are upgraded one after the other (docs/rules.md, WIRE; H15).
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final

import msgspec
import pytest

from newswire.config import EngineSettings
from newswire.core.broker.events import WIRE, Header
from newswire.core.model import ops
from newswire.core.model.ops import BareOp
from newswire.engine.embedded.engine import EmbeddedEngine
from newswire.engine.embedded.scan import read_layout
from newswire.engine.peers import push_codec
from newswire.engine.waiting import wait_for
from newswire.errors import Unknown
from tests.kit.waiting import PATIENCE_SECONDS, wait_until

LATER: Final = "1009-later"
OPS: Final[list[Mapping[str, Any]]] = [
    {"op": "began", "o": LATER, "s": 1, "t": 1, "broker": "1009", "epoch": 7},
    {"op": "msg", "o": LATER, "s": 2, "t": 2, "topic": "news", "data": "dropped", "mood": "glad"},
    {"op": "msg", "o": LATER, "s": 3, "t": 3, "topic": "other", "data": "stays", "mood": {"of": ["all", 1.5, None]}},
    {"op": "pinned", "o": LATER, "s": 4, "t": 4, "ids": [f"{LATER}.3"], "until": "doomsday"},
    {"op": "sub", "o": LATER, "s": 5, "t": 5, "user": "Ann", "pattern": "other", "since": {}, "quietly": True},
    {"op": "drop", "o": LATER, "s": 6, "t": 6, "topic": "news", "vector": {LATER: 2}},
    {"op": "msg", "o": LATER, "s": 7, "t": 7, "topic": "other", "data": 5, "note": "of a type that data has later"},
]
RAWS: Final = [json.dumps(op, separators=(",", ":")).encode() for op in OPS]
GONE: Final = {RAWS[1], RAWS[5]}  # by compaction: a message that was dropped, and what dropped it
KEPT: Final = {*RAWS} - GONE


@pytest.fixture
def begun(tmp_path: Path) -> Iterator[Any]:
    """Starts a broker on one directory, after the one before has ended."""
    engines: list[EmbeddedEngine] = []
    died: list[BaseException] = []

    def begin() -> EmbeddedEngine:
        for before in engines:
            before.close()
        settings = EngineSettings(id="1001", ops_dir=tmp_path, primary=True, compacts=True, retention_seconds=1e10)
        engines.append(EmbeddedEngine(settings, on_fatal=died.append))
        engines[-1].start("127.0.0.1:1")
        return engines[-1]

    yield begin
    for engine in engines:
        engine.close()
    assert died == []


def header(broker: str, number: int = 1, **said: Any) -> bytes:
    """What a broker of a later version says first; it has a field that nobody here knows."""
    usual = Header(
        broker=broker, address=f"127.0.0.1:{broker[-1]}", origin=f"{broker}-later", cluster="later", settled=True,
        primary=False, serves=True, number=number, vector={}, voids=True, has_ops=True, wire=WIRE + 1, wire_least=WIRE,
    )  # fmt: skip
    fields = msgspec.to_builtins(msgspec.structs.replace(usual, **said))
    return json.dumps(fields | {"weather": "fine"}).encode()


def push(engine: EmbeddedEngine, head: bytes, raws: list[bytes]) -> tuple[Header, list[bytes]]:
    """Push, and take the answer apart."""
    told: SimpleQueue[Any] = SimpleQueue()
    engine.receive_later("/replicate", {}, b"\n".join((head, *raws)), told.put)
    answer = told.get(timeout=PATIENCE_SECONDS)
    assert answer.status == 200, answer
    return push_codec.read(answer.write())


def compact(engine: EmbeddedEngine) -> None:
    wait_for(lambda then: engine.compact_later(then, even_if_away=True), PATIENCE_SECONDS, Unknown("late"))


def test_fields_and_types_that_are_not_known_are_kept_through_storing_handing_on_compaction_and_backup(
    tmp_path: Path, begun: Any
) -> None:
    assert [type(ops.decode(raw)) is BareOp for raw in RAWS] == [False, False, False, True, False, False, True]
    engine = begun()
    answer, _ = push(engine, header("1009", vector={LATER: len(RAWS)}), RAWS)
    assert answer.vector[LATER] == len(RAWS)
    assert is_handed_on(engine, "1003") == set(RAWS)

    engine = begun()
    wait_until(lambda: engine.describe().serves)
    compact(engine)
    wait_until(lambda: read_layout(tmp_path / "1001") is not None)
    assert is_handed_on(engine, "1004") == KEPT
    copy = gzip.decompress(b"".join(engine.backup().parts))
    assert [raw for raw in KEPT if raw not in copy] == []

    engine = begun()
    assert is_handed_on(engine, "1005") == KEPT


def is_handed_on(engine: EmbeddedEngine, to: str) -> set[bytes]:
    """What of the later version's ops somebody who has nothing is handed, byte by byte."""
    came: set[bytes] = set()
    for number in range(1, 21):
        _, raws = push(engine, header(to, number, want=1_000, has_ops=False, vector={f"{to}-later": 1}), [])
        came.update(raw for raw in raws if raw in RAWS)
        if came >= KEPT:
            break
    return came
