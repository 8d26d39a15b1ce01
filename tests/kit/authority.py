"""A CA made in the test, and what its certificates are put into."""

from __future__ import annotations

import datetime
import ssl
from pathlib import Path

import trustme


class Authority:
    """Signs certificates; `file` is what those trust who trust it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._ca = trustme.CA()
        home.mkdir(parents=True, exist_ok=True)
        self.file = str(home / "ca.pem")
        self._ca.cert_pem.write_to_path(self.file)

    def issue(self, *names: str, days: int = 2) -> trustme.LeafCert:
        """A certificate for these names or addresses; one of -1 days has expired."""
        now = datetime.datetime.now(datetime.UTC)
        begin = now - datetime.timedelta(days=3)
        return self._ca.issue_cert(*names, not_before=begin, not_after=now + datetime.timedelta(days=days))

    def files(self, *names: str) -> tuple[Path, Path]:
        """A certificate (with its chain) and its key as files, for a proxy."""
        leaf, at = self.issue(*names), self.home / names[0]
        certificate, key = at.with_suffix(".pem"), at.with_suffix(".key")
        certificate.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
        key.write_bytes(leaf.private_key_pem.bytes())
        return certificate, key


def server_side(leaf: trustme.LeafCert) -> ssl.SSLContext:
    """What a server presents `leaf` with."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    leaf.configure_cert(context)
    return context
