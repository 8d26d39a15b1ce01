"""TLS towards brokers: a certificate is always checked, and what is wrong with it is said in words."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest

from newswire import tls
from tests.kit.authority import Authority, server_side
from tests.kit.waiting import PATIENCE_SECONDS


def why_not(ours: ssl.SSLContext, theirs: ssl.SSLContext, name: str) -> ssl.SSLError | None:
    """What a handshake with a server of that name comes to. No socket: the bytes are carried by hand."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ours.wrap_bio(to_client, to_server, server_hostname=name)
    server = theirs.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError as error:
                if side is client:
                    return error
    return None


def test_a_certificate_of_the_ca_for_the_name_is_taken_and_no_other(tmp_path: Path) -> None:
    own, other = Authority(tmp_path / "own"), Authority(tmp_path / "other")
    leaf = server_side(own.issue("news1.example.org", "127.0.0.1"))
    for name in ("news1.example.org", "127.0.0.1"):
        assert why_not(tls.context(own.file), leaf, name) is None
    for trust, theirs, name, words in (
        (other.file, leaf, "news1.example.org", "nobody who is trusted here: name its CA with --ca-file"),
        ("", leaf, "news1.example.org", "nobody who is trusted here"),
        (own.file, leaf, "news2.example.org", "for another name"),
        (own.file, leaf, "127.0.0.2", "for another name"),
        (own.file, server_side(own.issue("news1.example.org", days=-1)), "news1.example.org", "has expired"),
    ):
        error = why_not(tls.context(trust), theirs, name)
        assert error is not None
        assert words in tls.reason(error)


def test_how_long_a_certificate_is_good_is_read_where_it_is_shown(tmp_path: Path) -> None:
    own, other = Authority(tmp_path / "own"), Authority(tmp_path / "other")
    server = server_side(own.issue("127.0.0.1", days=10))

    def greet() -> None:
        for _ in range(2):
            with closing(listener.accept()[0]) as plain, suppress(OSError), server.wrap_socket(plain, server_side=True):
                pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=greet)
        thread.start()
        port = listener.getsockname()[1]
        begin, end = tls.validity("127.0.0.1", port, own.file, PATIENCE_SECONDS)
        with pytest.raises(ssl.SSLCertVerificationError):
            tls.validity("127.0.0.1", port, other.file, PATIENCE_SECONDS)
        thread.join()
    assert end - begin == pytest.approx(13 * 86_400, abs=2)
    assert end - time.time() == pytest.approx(10 * 86_400, abs=PATIENCE_SECONDS)


def test_a_file_that_holds_no_certificates_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("no certificate")
    for name, words in (("empty.pem", "holds no certificates in PEM"), ("absent.pem", "No such file")):
        with pytest.raises(tls.NoTrust, match=f"{name}.*--ca-file.*{words}"):
            tls.context(str(tmp_path / name))


def test_plain_http_at_either_end_is_told_apart() -> None:
    assert tls.reason(ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number")) == tls.SPEAKS_HTTP
    assert tls.is_tls_port(b"<center>The plain HTTP request was sent to HTTPS port</center>")
    assert tls.is_tls_port(b"Client sent an HTTP request to an HTTPS server.\n")
    assert not tls.is_tls_port(b'{"code":"not-found"}')
