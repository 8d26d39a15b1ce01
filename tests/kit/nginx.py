"""Debian's nginx before two brokers, as deploy/ sets it up or as it comes."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

import pytest

from brokers import free_ports, is_free, until
from tests.kit.authority import Authority
from tests.kit.processes import Pair

DEPLOY: Final = Path(__file__).resolve().parents[2] / "deploy"
DEPLOYED: Final = DEPLOY / "nginx.conf"
NAME: Final = "news.example.org"
PROGRAM: Final = shutil.which("nginx") or ("/usr/sbin/nginx" if Path("/usr/sbin/nginx").exists() else None)
needs_nginx = pytest.mark.skipif(PROGRAM is None, reason="nginx is not installed: apt-get install nginx-light")

AS_IT_COMES: Final = """
    server {
        listen 127.0.0.1:PORT;
        location / { proxy_pass http://FIRST; EXTRA }
    }
"""
AROUND: Final = """
    daemon off; master_process off; worker_processes 1; pid HOME/nginx.pid; error_log stderr;
    events { worker_connections 256; }
    http {
        access_log HOME/access.log;
        client_body_temp_path HOME/body; proxy_temp_path HOME/proxy; fastcgi_temp_path HOME/fastcgi;
        uwsgi_temp_path HOME/uwsgi; scgi_temp_path HOME/scgi;
        SITE
    }
"""


class Nginx:
    """One nginx process; `address` is where it listens."""

    def __init__(self, home: Path, site: str, *, port: int) -> None:
        self.home, self.address = home, f"127.0.0.1:{port}"
        home.mkdir(parents=True, exist_ok=True)
        (home / "nginx.conf").write_text(AROUND.replace("SITE", site).replace("HOME", str(home)))
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def deployed(cls, home: Path, pair: Pair) -> Self:
        """With the file of deploy/, in which only addresses and ports are others."""
        (port,) = free_ports(1)
        site = DEPLOYED.read_text()
        for example, real in (
            ("10.0.0.11:5053", pair.first.address),
            ("10.0.0.12:5053", pair.second.address),
            ("listen 80;", f"listen 127.0.0.1:{port};"),
        ):
            assert example in site
            site = site.replace(example, real)
        return cls(home, site, port=port)

    @classmethod
    def in_tls(cls, home: Path, pair: Pair, ports: Sequence[int], authority: Authority) -> Self:
        """With the files of deploy/ for TLS: before each broker of `pair` at its port, and one name at the last."""
        certificate, key = authority.files("localhost", "127.0.0.1")
        one_name = DEPLOYED.read_text()
        for example, real in (
            ("10.0.0.11:5053", pair.first.address),
            ("10.0.0.12:5053", pair.second.address),
            ("listen 80;", ""),
            ("# listen 443 ssl;", f"listen 127.0.0.1:{ports[2]} ssl;"),
            ("# ssl_certificate     /etc/nginx/news.example.org.pem;", f"ssl_certificate {certificate};"),
            ("# ssl_certificate_key /etc/nginx/news.example.org.key;", f"ssl_certificate_key {key};"),
        ):
            assert example in one_name
            one_name = one_name.replace(example, real)
        sites = [one_name]
        for broker, port, plain in zip(pair.brokers, ports[:2], free_ports(2), strict=True):
            site = (DEPLOY / "nginx-broker.conf").read_text()
            for example, real in (
                ("127.0.0.1:5053", broker.address),
                ("newswire_broker", f"newswire_{broker.id}"),
                ("shared:newswire:", f"shared:newswire_{broker.id}:"),
                ("listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;"),
                ("listen 80;", f"listen 127.0.0.1:{plain};"),
                ("/etc/nginx/newswire.pem", str(certificate)),
                ("/etc/nginx/newswire.key", str(key)),
            ):
                assert example in site
                site = site.replace(example, real)
            sites.append(site)
        return cls(home, "\n".join(sites), port=ports[-1])

    @classmethod
    def as_it_comes(cls, home: Path, pair: Pair, extra: str = "") -> Self:
        """With nothing but `proxy_pass` to the first broker (and `extra`)."""
        (port,) = free_ports(1)
        site = AS_IT_COMES.replace("PORT", str(port)).replace("FIRST", pair.first.address).replace("EXTRA", extra)
        return cls(home, site, port=port)

    def __enter__(self) -> Self:
        assert PROGRAM is not None
        command = [PROGRAM, "-p", str(self.home), "-c", str(self.home / "nginx.conf"), "-e", "stderr"]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        until("nginx listens", lambda: not is_free(int(self.address.rpartition(":")[2])))
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
