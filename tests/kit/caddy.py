"""Debian's Caddy before the brokers of a pair, as deploy/ sets it up."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

import pytest

from brokers import clean_environment, is_free, until
from tests.kit.authority import Authority
from tests.kit.nginx import DEPLOY
from tests.kit.processes import Pair

PROGRAM: Final = shutil.which("caddy")
needs_caddy = pytest.mark.skipif(PROGRAM is None, reason="Caddy is not installed: apt-get install caddy")

GLOBAL: Final = """{
	admin off
	auto_https off
}
"""


class Caddy:
    """One Caddy process that ends TLS before each broker of `pair`, at the first of `ports`."""

    def __init__(self, home: Path, pair: Pair, ports: Sequence[int], authority: Authority) -> None:
        home.mkdir(parents=True, exist_ok=True)
        certificate, key = authority.files("localhost", "127.0.0.1")
        sites = []
        for broker, port in zip(pair.brokers, ports[:2], strict=True):
            site = (DEPLOY / "Caddyfile").read_text()
            for example, real in (
                ("news1.example.org {", f"https://localhost:{port}, https://127.0.0.1:{port} {{\n\tbind 127.0.0.1"),
                ("# tls /etc/caddy/newswire.pem /etc/caddy/newswire.key", f"tls {certificate} {key}"),
                ("127.0.0.1:5053", broker.address),
            ):
                assert example in site
                site = site.replace(example, real)
            sites.append(site)
        self._home, self._ports = home, ports[:2]
        (home / "Caddyfile").write_text("\n".join((GLOBAL, *sites)))
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        assert PROGRAM is not None
        with open(self._home / "caddy.log", "wb") as log:
            self._process = subprocess.Popen(
                [PROGRAM, "run", "--config", str(self._home / "Caddyfile"), "--adapter", "caddyfile"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=clean_environment(HOME=str(self._home)),
            )  # fmt: skip
        until("Caddy listens", lambda: not any(map(is_free, self._ports)))
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
