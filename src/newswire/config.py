"""Frozen settings of a broker. Flags beat the environment, the environment beats the file; `cli` reads all three."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from newswire.core import limits


@dataclass(frozen=True)
class Settings:
    """What one broker process is told. Durations in seconds, sizes in bytes."""

    id: str = "1001"
    host: str = "127.0.0.1"
    port: int = 5053
    advertise: str = ""  # HOST:PORT for peers and clients; "" means host:port as bound
    primary: bool = False
    peers: tuple[str, ...] = ()
    ops_dir: Path = field(default_factory=lambda: Path("ops_logs"))
    heartbeat: float = limits.HEARTBEAT_SECONDS
    allowed_hosts: tuple[str, ...] = ()  # further names that clients may ask for, `*` for any
    trusted_proxies: tuple[str, ...] = ()  # addresses and networks whose X-Forwarded-* headers count
    auth: str = "none"
    insecure: bool = False
    secrets: tuple[bytes, ...] = ()  # first signs, all verify (two during rotation); () leaves peers unsigned
    min_copies: int = 1
    threads: int = limits.LARGE_THREADS
    retention_seconds: float = limits.RETENTION_SECONDS
    retention_messages: int = limits.RETENTION_MESSAGES
    retention_bytes: int = 0  # of all messages together; 0: any number
    trust_clock: bool = False  # retention begins at the clock as it is, whatever the stamps say
    streams_per_user: int = limits.STREAMS_PER_USER
    streams: int = limits.STREAMS_COUNT
    subscriptions_per_user: int = limits.SUBSCRIPTIONS_PER_USER
    connections: int = limits.CONNECTIONS_COUNT
    # of one address; one that is not set (None) has a default, and does not count for this machine's own address
    streams_per_address: int | None = None
    connections_per_address: int | None = None
    requests_per_address: float | None = None  # a second; 0: any number
    requests_per_user: float = limits.REQUESTS_PER_USER  # a second, of what reads; 0: any number

    @property
    def address(self) -> str:
        """How this broker is reached by others, as configured (before a port 0 is bound)."""
        if self.advertise:
            return self.advertise
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def directory(self) -> Path:
        """Where this broker's ops file lies."""
        return self.ops_dir / self.id
