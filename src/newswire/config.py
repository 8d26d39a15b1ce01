"""Frozen settings of a broker. Flags beat the environment, the environment beats the file; `cli` reads all three.

Each room takes its part of them as a type of its own: the engine sees no limits of clients, the web no secrets.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from newswire.core import limits


@dataclass(frozen=True)
class NatsSettings:
    """How the engine `jetstream` reaches its servers."""

    servers: tuple[str, ...] = field(default=(), repr=False)  # URLs, a name and password in them
    credentials: str = ""  # a file, as `nsc` makes it
    stream: str = "newswire"
    replicas: int = 1  # of a stream that is made: servers that keep it
    monitors: tuple[str, ...] = ()  # the servers' monitoring addresses: whether they sync is told there alone


@dataclass(frozen=True)
class EngineSettings:
    """What an engine is told. Durations in seconds, sizes in bytes."""

    id: str = "1001"
    primary: bool = False
    peers: tuple[str, ...] = ()
    ops_dir: Path = field(default_factory=lambda: Path("ops_logs"))
    heartbeat: float = limits.HEARTBEAT_SECONDS
    ca_file: str = ""  # of those who sign certificates of https peers; "": those that this machine trusts
    secrets: tuple[bytes, ...] = ()  # first signs, all verify (two during rotation); () leaves peers unsigned
    retention_seconds: float = limits.RETENTION_SECONDS
    retention_messages: int = limits.RETENTION_MESSAGES
    retention_bytes: int = 0  # of all messages together; 0: any number
    disk_reserve: int = limits.DISK_RESERVE_BYTES  # below this much free space nothing is taken from clients
    trust_clock: bool = False  # retention begins at the clock as it is, whatever the stamps say
    subscriptions_per_user: int = limits.SUBSCRIPTIONS_PER_USER
    compacts: bool = True  # it compacts its ops file, and takes what others compacted
    compress_segments: bool = False  # files of the log that do not change any more: an older version refuses the log then
    away_seconds: float = limits.COMPACT_AWAY_SECONDS  # a broker that is away for longer is not waited for
    engine: str = "embedded"
    nats: NatsSettings = field(default_factory=NatsSettings)

    @property
    def directory(self) -> Path:
        """Where this broker's ops file lies."""
        return self.ops_dir / self.id


@dataclass(frozen=True)
class ServiceSettings:
    """What `web` and `streams` are told: how this broker is called, and how much clients may have. Durations in seconds."""

    id: str = "1001"
    host: str = "127.0.0.1"
    advertise: str = ""  # an address (core.model.addresses) for peers and clients; "" means host:port as bound
    allowed_hosts: tuple[str, ...] = ()  # further names that clients may ask for, `*` for any
    auth: str = "none"
    open_reading: bool = False  # topics are read by ntfy's wire though nobody is asked who he is
    min_copies: int = 1
    subscriptions_per_user: int = limits.SUBSCRIPTIONS_PER_USER
    streams: int = limits.STREAMS_COUNT
    streams_per_user: int = limits.STREAMS_PER_USER
    # of one address; one that is not set (None) has a default, and does not count for this machine's own address
    streams_per_address: int | None = None
    requests_per_user: float = limits.REQUESTS_PER_USER  # a second, of what reads; 0: any number
    requests_per_address: float | None = None  # a second, also of one user; 0: any number; else as streams_per_address


@dataclass(frozen=True)
class Settings(EngineSettings, ServiceSettings):
    """All that one broker process is told: its parts, and what the listener and the composition root need."""

    port: int = 5053
    insecure: bool = False
    admin_password: str = field(default="", repr=False)  # of the user `admin` that is made while there is no admin
    reset_admin_password: bool = False  # `admin_password` is set though there is an admin
    threads: int = limits.LARGE_THREADS
    trusted_proxies: tuple[str, ...] = ()  # addresses and networks whose X-Forwarded-* headers count
    connections: int = limits.CONNECTIONS_COUNT
    connections_per_address: int | None = None  # as streams_per_address

    @property
    def address(self) -> str:
        """How this broker is reached by others, as configured (before a port 0 is bound)."""
        if self.advertise:
            return self.advertise
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"
