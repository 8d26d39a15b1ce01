"""`newswire backup` and `newswire restore`: what is whole is there, and what is not leaves nothing behind."""

from __future__ import annotations

import io
import os
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from newswire.cli import main, output
from newswire.core.model import ops
from newswire.core.model.ops import Began, Published
from newswire.engine.embedded.archive import FORMAT, Manifest, pack
from newswire.engine.embedded.layout import SegmentLength
from newswire.engine.embedded.ops_file import OpsFile, Scan, path_of
from tests.kit.fake_broker import DOWN, Fake
from tests.kit.waiting import PATIENCE_SECONDS

ORIGIN, TIME = "1001-k3f9x2qa", 1_795_514_400_000
Capture = pytest.CaptureFixture[str]


class Source:
    """A broker that sends `data` in chunks, and the last one only if it `ends`."""

    def __init__(self) -> None:
        self.data, self.ends = b"", True
        source = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                if self.path == "/livez":
                    self.send_response(204)
                    self.end_headers()
                    return
                self.send_response(200)
                self.send_header("Content-Type", "application/gzip")
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                for at in range(0, len(source.data), 100):
                    part = source.data[at : at + 100]
                    self.wfile.write(b"%x\r\n%b\r\n" % (len(part), part))
                if source.ends:
                    self.wfile.write(b"0\r\n\r\n")
                self.close_connection = True

            def log_message(self, *args: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join(PATIENCE_SECONDS)
        self.server.server_close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    file = OpsFile(tmp_path / "1001")
    list(file.scan())
    file.start("0123456789abcdef" * 2, ORIGIN)
    messages = [Published(ORIGIN, sequence, TIME, topic="news", data="x" * 100) for sequence in range(2, 52)]
    file.append([ops.encode(op) for op in (Began(ORIGIN, 1, TIME, "1001"), *messages)])
    file.sync()
    file.close()
    return tmp_path / "1001"


@pytest.fixture
def broker(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Source]:
    """A broker with a backup of `folder`; the working directory is an empty one."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    source = Source()
    source.data = packed(folder)
    monkeypatch.setenv("NEWSWIRE_BROKERS", source.address)
    yield source
    source.close()


def packed(folder: Path) -> bytes:
    length = path_of(folder, 1).stat().st_size
    manifest = Manifest(
        format=FORMAT,
        cluster="0123456789abcdef" * 2,
        broker="1001",
        time=TIME,
        newest=TIME,
        vector={ORIGIN: 51},
        segments=(SegmentLength(1, length),),
    )
    return b"".join(pack(manifest, folder))


def here() -> list[str]:
    return sorted(path.name for path in Path().iterdir())


def test_a_backup_is_written_and_restored(broker: Source, capsys: Capture, folder: Path) -> None:
    assert main.run(["backup", "x.tar.gz"]) == output.DONE
    told = capsys.readouterr().out
    assert told == ("Wrote x.tar.gz: broker 1001, cluster 01234567, as of 2026-11-24 10:00:00 UTC, 54 records, all checked.\n")
    assert here() == ["x.tar.gz"]
    assert Path("x.tar.gz").read_bytes() == broker.data
    assert Path("x.tar.gz").stat().st_mode & 0o777 == 0o600
    assert main.run(["restore", "x.tar.gz", "--ops-dir", "ops"]) == output.DONE
    told = capsys.readouterr().out
    assert "broker 1001 of cluster 01234567 as of 2026-11-24 10:00:00 UTC: 50 messages" in told
    assert "What is newer" in told
    assert path_of(Path("ops/1001"), 1).read_bytes() == path_of(folder, 1).read_bytes()
    assert main.run(["restore", "x.tar.gz", "--ops-dir", "ops"]) == output.FAILED
    assert "not empty" in capsys.readouterr().err
    assert main.run(["restore", "x.tar.gz", "--ops-dir", "ops", "--id", "1003", "--new-cluster"]) == output.DONE
    told = capsys.readouterr().out
    assert "broker 1003 of new cluster" in told
    assert "01234567" not in told
    assert Scan(Path("ops/1003")).cluster == ""


def test_standard_output_and_input(broker: Source, capfdbinary: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert main.run(["backup", "-"]) == output.DONE
    out, err = capfdbinary.readouterr()
    assert out == broker.data
    assert b"Wrote standard output" in err
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(out)))
    assert main.run(["restore", "-"]) == output.DONE
    assert here() == ["ops_logs"]


def test_a_terminal_gets_no_backup(broker: Source, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert main.run(["backup", "-"]) == output.USAGE
    assert "name a file" in capsys.readouterr().err


@pytest.mark.parametrize("cut", [0, 1, 300, 700])
def test_what_breaks_off_leaves_what_was_there(broker: Source, cut: int, capsys: Capture) -> None:
    Path("x.tar.gz").write_bytes(b"yesterday's")
    broker.data, broker.ends = broker.data[:cut], False
    assert main.run(["backup", "x.tar.gz"]) == output.NO_BROKER
    assert "broke off" in capsys.readouterr().err
    assert (here(), Path("x.tar.gz").read_bytes()) == (["x.tar.gz"], b"yesterday's")


def test_what_is_not_whole_leaves_nothing_behind(broker: Source, capsys: Capture) -> None:
    whole = bytearray(broker.data)
    for at in (300, len(whole) - 6):
        whole[at] ^= 1
        broker.data = bytes(whole)
        assert main.run(["backup", "x.tar.gz"]) == output.FAILED
        assert "no whole backup" in capsys.readouterr().err
        Path("bad").write_bytes(whole)
        assert main.run(["restore", "bad"]) == output.FAILED
        assert "no whole backup" in capsys.readouterr().err
        Path("bad").unlink()
        assert [name for name in here() if name != "ops_logs"] == []


def test_damage_at_the_broker_is_copied_and_told(broker: Source, folder: Path, capsys: Capture) -> None:
    path = path_of(folder, 1)
    path.write_bytes(path.read_bytes().replace(b'"s":7', b'"s":8', 1))
    broker.data = packed(folder)
    assert main.run(["backup", "x.tar.gz"]) == output.DONE
    assert "1 record is damaged at the broker already" in capsys.readouterr().err
    assert main.run(["restore", "x.tar.gz", "--ops-dir", "ops"]) == output.DONE
    assert "bytes were damaged at the broker already" in capsys.readouterr().err


def test_who_refuses_is_heard_and_who_is_not_there_passed_over(broker: Source, capsys: Capture) -> None:
    busy = Fake()
    busy.answers["/backup"] = (409, {"code": "backup-running", "status": 409, "detail": "another backup is under way"})
    assert main.run(["backup", "x.tar.gz", "--brokers", f"{DOWN},{busy.address},{broker.address}"]) == output.FAILED
    assert "Another backup is under way." in capsys.readouterr().err
    busy.close()
    assert main.run(["backup", "x.tar.gz", "--brokers", f"{DOWN},{broker.address}"]) == output.DONE
    assert main.run(["backup", "y.tar.gz", "--brokers", DOWN]) == output.NO_BROKER
    assert here() == ["x.tar.gz"]


def test_files_that_cannot_be_written_or_read(broker: Source, capsys: Capture) -> None:
    assert main.run(["backup", "nowhere/x.tar.gz"]) == output.FAILED
    assert "nowhere/x.tar.gz could not be written" in capsys.readouterr().err
    assert main.run(["restore", "monday.tar.gz"]) == output.FAILED
    assert "Cannot use monday.tar.gz: No such file or directory. Nothing is restored." in capsys.readouterr().err
    Path("text").write_text("no backup")
    assert main.run(["restore", "text"]) == output.FAILED
    assert "no whole backup" in capsys.readouterr().err


def test_a_backup_takes_the_place_of_nothing_that_is_no_file(broker: Source, capsys: Capture) -> None:
    os.mkfifo("pipe")
    assert main.run(["backup", "pipe"]) == output.USAGE
    assert "Cannot write pipe, which is no file" in capsys.readouterr().err
    assert Path("pipe").is_fifo()
    Path("newest").symlink_to("monday.tar.gz")
    assert main.run(["backup", "newest"]) == output.DONE
    assert Path("newest").is_symlink()
    assert Path("monday.tar.gz").read_bytes() == broker.data
