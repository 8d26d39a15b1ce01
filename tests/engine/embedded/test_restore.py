"""An ops directory of a backup: whole or not there, and of another cluster where that is asked for."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from newswire.core.model import ops
from newswire.core.model.ops import Began, Joined, Left, Op, Published, Subscribed
from newswire.core.state.members import Members
from newswire.engine.embedded.archive import FORMAT, Archive, Manifest, pack
from newswire.engine.embedded.layout import SegmentLength
from newswire.engine.embedded.ops_file import OpsFile, Scan, path_of, segments_in
from newswire.engine.embedded.restore import restore
from newswire.errors import Refused

ORIGIN, CLUSTER, TIME = "1001-k3f9x2qa", "0123456789abcdef" * 2, 1_795_514_400_000
OPS: list[Op] = [
    Began(ORIGIN, 1, TIME, "1001"),
    Joined(ORIGIN, 2, TIME, "1001", "10.0.0.1:5053"),
    Joined(ORIGIN, 3, TIME, "1002", "10.0.0.2:5053"),
    Subscribed(ORIGIN, 4, TIME, "Alice", ">"),
    *(Published(ORIGIN, sequence, TIME, topic="news", data=f"text {sequence}") for sequence in range(5, 25)),
]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The folder of a broker: several segments, the first without a cluster, an end that is not synced."""
    folder = tmp_path / "source"
    file = OpsFile(folder, segment_bytes=800)
    list(file.scan())
    file.start("", ORIGIN)
    file.append([ops.encode(OPS[0])])
    file.roll(CLUSTER)
    for op in OPS[1:]:
        file.append([ops.encode(op)])
    file.sync()
    file.close()
    assert len(segments_in(folder)) > 3
    return folder


def backup(folder: Path) -> bytes:
    lengths = tuple(SegmentLength(number, path_of(folder, number).stat().st_size) for number in segments_in(folder))
    manifest = Manifest(
        format=FORMAT, cluster=CLUSTER, broker="1001", time=TIME + 1, newest=TIME, vector={ORIGIN: 24}, segments=lengths
    )
    return b"".join(pack(manifest, folder))


def archive(folder: Path) -> Archive:
    return Archive(io.BytesIO(backup(folder)))


def look(folder: Path) -> tuple[str, list[Op]]:
    """Cluster and operations, as a start finds them; nothing is damaged."""
    scan = Scan(folder)
    held = [op for rows in scan.batches() for op, _, _ in rows]
    assert (scan.damage, scan.torn_bytes) == ([], 0)
    return scan.cluster, held


def test_what_is_made_holds_what_was_copied(source: Path, tmp_path: Path) -> None:
    made = restore(archive(source), tmp_path / "new" / "ops")
    assert (made.broker, made.cluster, made.time, made.messages, made.subscriptions) == ("1001", CLUSTER, TIME + 1, 20, 1)
    assert made.damaged_bytes == 0
    assert made.directory == tmp_path / "new" / "ops" / "1001"
    assert look(made.directory) == (CLUSTER, OPS)
    assert [path.name for path in made.directory.iterdir() if path.suffix != ".ops"] == []
    assert {path.stat().st_mode & 0o777 for path in made.directory.iterdir()} == {0o600}


def test_another_id_and_an_empty_directory(source: Path, tmp_path: Path) -> None:
    (tmp_path / "ops" / "1003").mkdir(parents=True)
    made = restore(archive(source), tmp_path / "ops", "1003")
    assert (made.broker, look(made.directory)) == ("1003", (CLUSTER, OPS))


def test_a_directory_that_is_not_empty_is_left_alone(source: Path, tmp_path: Path) -> None:
    (tmp_path / "ops" / "1001").mkdir(parents=True)
    (tmp_path / "ops" / "1001" / "LOCK").touch()
    with pytest.raises(Refused, match="not empty") as refusal:
        restore(archive(source), tmp_path / "ops")
    assert refusal.value.code == "ops-dir"
    assert [path.name for path in (tmp_path / "ops").iterdir()] == ["1001"]


def test_a_backup_that_is_not_whole_leaves_nothing_behind(source: Path, tmp_path: Path) -> None:
    data = backup(source)
    for at in (len(data) // 2, len(data) - 20, len(data) - 6):
        flipped = bytearray(data)
        flipped[at] ^= 1
        for bad in (data[:at], bytes(flipped)):
            with pytest.raises(Refused, match="no whole backup"):
                restore(Archive(io.BytesIO(bad)), tmp_path / "ops")
            assert not [*(tmp_path / "ops").iterdir()] if (tmp_path / "ops").exists() else True


def test_damage_that_was_there_is_restored_and_told(source: Path, tmp_path: Path) -> None:
    path = path_of(source, 2)
    path.write_bytes(path.read_bytes().replace(b"Alice", b"Alicf"))
    made = restore(archive(source), tmp_path / "ops")
    assert made.damaged_bytes > 0
    assert path_of(made.directory, 2).read_bytes() == path.read_bytes()


def test_a_new_cluster_has_an_id_of_its_own_and_one_member(source: Path, tmp_path: Path) -> None:
    made = restore(archive(source), tmp_path / "ops", "1001", new_cluster=True)
    cluster, held = look(made.directory)
    assert cluster == made.cluster != CLUSTER
    assert len(cluster) == len(CLUSTER)
    assert held[: len(OPS)] == OPS
    began = held[len(OPS)]
    assert isinstance(began, Began)
    assert (began.vector, began.origin != ORIGIN) == ({ORIGIN: 24}, True)
    members = Members()
    for op in held:
        if isinstance(op, Joined):
            members.joined(op)
        elif isinstance(op, Left):
            members.left(op)
    assert ("1001" in members, "1002" in members) == (True, False)
    assert set(members.addresses.values()) == {"restored.invalid:1"}, "nobody of the former cluster is pushed to"
    assert restore(archive(source), tmp_path / "more", new_cluster=True).cluster not in (cluster, CLUSTER)
