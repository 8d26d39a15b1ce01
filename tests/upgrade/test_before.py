"""What earlier versions stored is opened, and what they said is understood and answered (tests/data/before, tests/data/v0.1.0).

That is a rolling upgrade as far as one version can show it: the later broker reads the older one's disk, takes its pushes and
its answers, and says nothing that lacks what the older one reads. That the older one goes on beside what it does not know
is its own test of unknown types (H15).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final
from unittest.mock import patch

import msgspec
import pytest
import zstandard

from newswire.cli.commands.ops_file import look
from newswire.config import EngineSettings
from newswire.core import limits
from newswire.core.broker.events import Header
from newswire.core.model import ops
from newswire.core.model.ops import BareOp, Published, Withdrawn
from newswire.engine.embedded.engine import EmbeddedEngine
from newswire.engine.peers import push_codec, signing
from newswire.engine.seam import Entry, TopicRow
from tests.kit.waiting import PATIENCE_SECONDS, wait_until

DATA: Final = Path(__file__).resolve().parents[1] / "data"
SECRET: Final = b"golden-secret-of-more-than-thirty-two-bytes"
LATER: Final = 4_000_000_000_000  # ms: the time of day for those who ask for topics


class Version:
    """What two brokers of an earlier version stored, said and showed."""

    def __init__(self, name: str) -> None:
        self.folder = DATA / name
        self.expected: dict[str, Any] = json.loads((self.folder / "expected.json").read_text())
        lines = (self.folder / "pushes.jsonl").read_text().splitlines()
        self.said: list[dict[str, Any]] = [json.loads(line) for line in lines]
        for one in self.said:
            one["nonce"] = dict(part.split("=", 1) for part in one["signature"].split(";")[1:])["nonce"]

    def without_expired(self) -> dict[str, Any]:
        """What is to be seen now: the message that was to live for a second is over, if it was not by then."""
        messages = [one for one in self.expected["messages"] if one[2] != "over soon"]
        over = len(self.expected["messages"]) - len(messages)
        topics = [[topic, count - (over if topic == "news" else 0)] for topic, count in self.expected["topics"]]
        ann, bob = ([list(row) for row in self.expected["subscriptions"][user]] for user in ("Ann", "Bob"))
        ann[0][1] -= over
        return {"topics": topics, "messages": messages, "subscriptions": {"Ann": ann, "Bob": bob}}

    def always_said(self) -> set[str]:
        """The fields of a header that each answer has."""
        answers = [
            signing.unseal((SECRET,), one["nonce"], 200, one["answer"].encode()) for one in self.said if one["status"] == 200
        ]
        heads = [msgspec.json.decode(body.split(b"\n", 1)[0]).keys() for body in answers]
        return set.intersection(*map(set, heads))


@pytest.fixture(params=["before", "v0.1.0"])
def before(request: pytest.FixtureRequest) -> Version:
    return Version(request.param)


@pytest.fixture
def engines() -> Iterator[list[EmbeddedEngine]]:
    made: list[EmbeddedEngine] = []
    yield made
    for engine in made:
        engine.close()


def opened(engines: list[EmbeddedEngine], directory: Path, broker: str) -> EmbeddedEngine:
    settings = EngineSettings(id=broker, ops_dir=directory, primary=True, retention_seconds=1e10)  # whenever this runs
    died: SimpleQueue[BaseException] = SimpleQueue()
    engine = EmbeddedEngine(settings, on_fatal=died.put)
    engines.append(engine)
    engine.start("127.0.0.1:1")
    return engine


def seen(engine: EmbeddedEngine) -> dict[str, Any]:
    """What clients see, as in `expected.json`."""
    rows: list[TopicRow] = []
    engine.topics(LATER, rows.extend)
    start = engine.open_page("Ann", None, 0, LATER)
    assert start is not None
    entries = engine.next_page(start.position, 1_000).entries
    messages = [[one.message.id, one.message.topic, one.message.data] for one in entries if isinstance(one, Entry)]
    return {
        "topics": [[row.topic, row.messages] for row in rows],
        "messages": sorted(messages),
        "subscriptions": {user: [[row.topic, row.unread] for row in engine.subscriptions_of(user)] for user in ("Ann", "Bob")},
    }


@pytest.mark.parametrize("broker", ["1001", "1002"])
def test_its_ops_files_are_whole_and_opened_and_show_the_same(
    before: Version, broker: str, tmp_path: Path, engines: list[EmbeddedEngine]
) -> None:
    shutil.copytree(before.folder / broker, tmp_path / broker)
    assert look(tmp_path / broker).whole
    engine = opened(engines, tmp_path, broker)
    wait_until(lambda: seen(engine) == before.without_expired())
    names = [name for name, _, _ in before.expected["messages"]]
    assert engine.describe().holes == ()
    engine.close()
    assert look(tmp_path / broker).whole, "what this version wrote behind it, too"
    again = opened(engines, tmp_path, broker)
    assert seen(again) == before.without_expired()
    assert len(names) == len(set(names))


def test_its_signatures_fit(before: Version) -> None:
    for one in before.said:
        match = dict(part.split("=", 1) for part in one["signature"].split(";")[1:])
        receiver, time, nonce = match["to"], int(match["time"]), match["nonce"]
        verifier = signing.Verifier((SECRET,))
        body = one["body"].encode()
        signed = verifier.verify("POST", one["path"], body, one["signature"], own="x", names=frozenset({receiver}), now=time)
        assert signed is not None
        assert signed.nonce == nonce
        header, _ = push_codec.read(signing.unseal((SECRET,), nonce, one["status"], one["answer"].encode()))
        assert header.broker == one["to"] or one["status"] != 200


def test_its_pushes_are_taken_and_answered_and_bring_all(
    before: Version, tmp_path: Path, engines: list[EmbeddedEngine]
) -> None:
    """A third broker hears all that the two told each other, in order; then it has what they had."""
    with patch("newswire.engine.embedded.engine.secrets.token_hex", lambda count: "f" * 2 * count):  # it yields to their id
        engine = opened(engines, tmp_path, "1003")
    told: SimpleQueue[Any] = SimpleQueue()
    for one in before.said:
        answered = signing.unseal((SECRET,), one["nonce"], one["status"], one["answer"].encode())
        for body in (one["body"].encode(), answered):  # an answer brings ops, too
            header, raws = push_codec.read(body)
            assert [type(ops.decode(raw)) for raw in raws if type(ops.decode(raw)) is BareOp] == []
            engine.receive_later(one["path"], {}, push_codec.write(header, raws), told.put)
            answer = told.get(timeout=PATIENCE_SECONDS)
            assert answer.status == 200, answer
            mine = answer.write().split(b"\n", 1)[0]
            assert msgspec.json.decode(mine).keys() >= before.always_said(), "what the older one does not go without"
    with patch.object(limits, "EXPIRY_EVERY_SECONDS", 0.0):
        wait_until(lambda: seen(engine) in (before.expected, before.without_expired()))
    asks = msgspec.structs.replace(header, address="127.0.0.1:9", vector={}, began={}, want=limits.PUSH_OPS)
    for packs in (False, True):
        engine.receive_later("/replicate", {}, push_codec.write(msgspec.structs.replace(asks, packs=packs), []), told.put)
        with patch.object(limits, "PACK_LEAST_BYTES", 1_024):
            answer = told.get(timeout=PATIENCE_SECONDS).write()
        assert len(push_codec.read(answer)[1]) > 20, "it hands over all that it has"
        assert answer.startswith(zstandard.FRAME_HEADER) == packs, "compressed for who said that it reads that"


def test_what_is_new_is_of_no_effect_to_who_does_not_know_it() -> None:
    """The older one keeps and forwards an op of another type: it needs coordinates only (H15)."""
    raw = ops.encode(Withdrawn("1001-a", 7, 5, ("1001-a.2",)))

    class Coordinates(msgspec.Struct):
        o: str
        s: int
        t: int

    assert msgspec.json.decode(raw, type=Coordinates) == Coordinates("1001-a", 7, 5)
    assert isinstance(ops.decode(raw), Withdrawn)
    assert not isinstance(ops.decode(raw.replace(b"withdrawn", b"later")), (Withdrawn, Published))
    assert Header.__struct_config__.forbid_unknown_fields is False
