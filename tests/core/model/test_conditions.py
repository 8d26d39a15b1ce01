"""One table of conditions: what brokers say is found in it, and docs/operate.md says the same of what to do."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from newswire.core import limits
from newswire.core.broker import status
from newswire.core.foresight.outlook import Foresight, Sample
from newswire.core.model import conditions
from newswire.core.model.conditions import CONDITIONS, Condition, condition_of
from newswire.core.model.forecasts import Past
from newswire.core.state.holes import Hole
from newswire.engine.disk_watch import DiskWatch
from newswire.engine.jetstream.monitor import Varz, VarzConfig, VarzJetStream, durability
from tests.core.broker.test_status import THREE, peer, situation, state

PAGE = Path(__file__).resolve().parents[3] / "docs" / "operate.md"
HOLES = tuple(Hole("1003-a", 2 * n, 2 * n) for n in range(1, limits.HOLES_SHOWN_COUNT + 2))


@pytest.mark.parametrize("condition", CONDITIONS, ids=lambda condition: condition.code)
def test_each_is_found_in_its_sentence_whatever_stands_in_it(condition: Condition) -> None:
    names = re.findall(r"\{(\w+)\}", condition.sentence)
    for value in ("", "7", "broker 1002, 10.0.0.2:5053,", "two\nlines {x}"):
        assert condition_of(condition.say(**dict.fromkeys(names, value))) is condition


def test_what_no_broker_of_this_version_says_is_none() -> None:
    assert condition_of("something of a later version") is None
    assert condition_of("the disk is full of stars") is None


def test_each_has_a_code_of_its_own() -> None:
    assert len({condition.code for condition in CONDITIONS}) == len(CONDITIONS)


def warnings() -> list[str]:
    """Everything that is foreseen, of peers and of loads."""
    held, foresight = state(), Foresight()
    suspicious = situation(held, peer(held, phi=9.5, silence=(1.2, 0.1)))
    hours = [dict.fromkeys("abcdef", 60)] * 72
    foresight.restore(Past(first=500_000 - 72, hours=hours, peaks=[100.0] * 72), 0.0, 500_000 * 3_600_000)
    said: list[str] = []
    for minute in range(72 * 60):
        is_last, much = minute >= 71 * 60, minute % 2
        foresight.take(
            Sample(
                clock=minute * 60.0,
                wall=500_000 * 3_600_000 + minute * 60_000,
                seconds=5.0,
                counts={"a": 0} if is_last else {"a": 1, "e": 600 * much},
                streams=200,
                streams_limit=100,
                free_bytes=10**9,
                log_bytes=minute * 10**6,
            )
        )
        said += foresight.outlook.warnings
    for step in range(12 * 30):
        much = step // 12 % 2
        foresight.take(
            Sample(
                clock=72 * 3_600.0 + step * 5,
                wall=500_072 * 3_600_000 + step * 5_000,
                seconds=5.0,
                counts={"e": 100 * much, **dict.fromkeys("bcdf", 100)},
                processor_seconds=4.0 * much,
                free_bytes=10**9,
                log_bytes=72 * 60 * 10**6,
            )
        )
        said += foresight.outlook.warnings
    return [*status.view(suspicious).warnings, *said]


def test_each_is_said_by_a_broker_and_nothing_else_is() -> None:
    held = state()
    worst = [
        situation(held, peer(held, state=name, in_sync=False, detail="so")) for name in conditions.OF_STATE
    ] + [
        situation(
            held,
            peer(held, state="down", down_since=0, away_seconds=10.0**6, in_sync=False, caught_up=False, detail="no"),
            peer(held, id="1004", lacks_void=True, knows_voids=False),
            peer(held, id="1003", address=THREE, writable=False, reaches_us=False, ahead=10**8, holes=HOLES),
            writable=False,
            lacks_room=(2**20, 0),
            damage=2,
            wall_jump=10**8,
            retention_behind=10**12,
        ),
    ]  # fmt: skip
    crowded = state()
    crowded.log._vector.update({f"1009-{n}": 1 for n in range(limits.VECTOR_ALARM_ENTRIES)})
    worst.append(situation(crowded))
    said = [sentence for one in worst for sentence in status.view(one).degraded]
    disk = DiskWatch(2**20)
    disk.look(2**20 + 1, 2**22, 7_200.0)
    disk.note_sync(2.0, 7_200.0)
    said += disk.reasons(7_200.0)
    said.append(conditions.NO_ADMIN.say())  # the web's
    late = Varz(VarzJetStream(VarzConfig(sync_interval=120 * 10**9)))
    said += [*durability(3, []).reasons, *durability(3, [late]).reasons]
    said += warnings()
    codes = {found.code if (found := condition_of(sentence)) else sentence for sentence in said}
    assert codes == {condition.code for condition in CONDITIONS}


def test_operators_read_the_same() -> None:
    rows = {
        cells[0].strip("` "): (cells[1].strip(), cells[2].strip())
        for line in PAGE.read_text().partition("### Conditions")[2].partition("\n## ")[0].splitlines()
        if line.startswith("| `") and (cells := line.strip("|").split("|"))
    }
    told = {one.code: (re.sub(r"\{\w+\}", "\u2026", one.sentence), one.advice) for one in CONDITIONS}
    assert rows == told


def test_sentences_are_one_line_of_the_log_whatever_changes_in_them() -> None:
    """A count, a size or a time that moves is no news (`core.broker.journal`)."""
    from newswire.core.broker.journal import tell_changes
    from newswire.core.broker.values import ClusterStatus

    for condition, before, after in (
        (conditions.DISK_LOW, {"room": "90 MiB", "reserve": "16 MiB"}, {"room": "89 MiB", "reserve": "16 MiB"}),
        (conditions.DISK_SLOW, {"count": 1, "longest": "1.2"}, {"count": 5, "longest": "7.3"}),
        (conditions.DISK_FILLS, {"days": 3}, {"days": 2}),
    ):
        views = [ClusterStatus((), serves=True, degraded=(condition.say(**values),)) for values in (before, after)]
        assert list(tell_changes(*views)) == []
        calm = msgspec.structs.replace(views[1], degraded=())
        assert [fact.text for fact in tell_changes(views[1], calm)] == [f"no longer: {condition.say(**after)}"]
