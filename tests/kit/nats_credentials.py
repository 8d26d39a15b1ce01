"""What an operator of NATS servers hands out: an account with JetStream, and the file of credentials of one user of it.

JWTs as NATS has them (ADR-14 of nats-architecture-and-design): claims signed with ed25519 keys, each by who stands above.
"""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any, NamedTuple

import nkeys

_UNLIMITED = dict.fromkeys(("subs", "data", "payload"), -1)
_ACCOUNT_LIMITS = {
    **_UNLIMITED,
    **dict.fromkeys(("imports", "exports", "conn", "leaf", "mem_storage", "disk_storage", "streams", "consumer"), -1),
    "wildcards": True,
}


class Credentials(NamedTuple):
    """`config`: lines of a server's configuration that trust them; `file`: what a client shows."""

    config: str
    file: Path


def make_credentials(folder: Path) -> Credentials:
    """Make an operator, an account and a user; servers with JetStream want an account of their own beside."""
    operator = _key(nkeys.PREFIX_BYTE_OPERATOR)
    system, account, user = _key(nkeys.PREFIX_BYTE_ACCOUNT), _key(nkeys.PREFIX_BYTE_ACCOUNT), _key(nkeys.PREFIX_BYTE_USER)
    words = {
        system: _sign(system, operator, "account", {}),
        account: _sign(account, operator, "account", {"limits": _ACCOUNT_LIMITS}),
    }
    file = folder / "news.creds"
    file.write_text(
        f"-----BEGIN NATS USER JWT-----\n{_sign(user, account, 'user', {'pub': {}, 'sub': {}, **_UNLIMITED})}\n"
        f"------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{user.seed.decode()}\n------END USER NKEY SEED------\n"
    )
    preload = "\n".join(f"{key.public_key.decode()}: {word}" for key, word in words.items())
    return Credentials(
        f"operator: {_sign(operator, operator, 'operator', {})}\nsystem_account: {system.public_key.decode()}\n"
        f"resolver: MEMORY\nresolver_preload: {{\n{preload}\n}}\n",
        file,
    )


def _key(kind: int) -> Any:
    return nkeys.from_seed(nkeys.encode_seed(os.urandom(32), kind))


def _sign(subject: Any, issuer: Any, kind: str, claims: dict[str, object]) -> str:
    body = {
        "jti": "x",
        "iat": 1_700_000_000,
        "iss": issuer.public_key.decode(),
        "name": kind,
        "sub": subject.public_key.decode(),
        "nats": {**claims, "type": kind, "version": 2},
    }
    signed = f"{_part(json.dumps({'typ': 'JWT', 'alg': 'ed25519-nkey'}).encode())}.{_part(json.dumps(body).encode())}"
    return f"{signed}.{_part(issuer.sign(signed.encode()))}"


def _part(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
