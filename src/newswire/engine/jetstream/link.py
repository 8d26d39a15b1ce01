"""The log as JetStream keeps it: its API by its subjects.

    NAME.<incarnation>.ops   what is appended to the log, the stream NAME
    NAME.base                what is appended to the log of checkpoints, the stream NAME-base
    NAME.news.<kind>         told to all brokers, kept nowhere

Reads go to any server of the stream (DIRECT.GET, in batches), in the order of the log, from a number on; looks go to its leader
(STREAM.INFO, STREAM.MSG.GET). There are no consumers: one that is told of what comes dies in silence when a stream is restored.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from newswire.core import limits
from newswire.core.broker.log_place import LogLook
from newswire.engine.jetstream.connection import NatsConnection
from newswire.engine.jetstream.servers import Checkpoint, LogAway, LogElsewhere, LogMoved, LogRefused, Record

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg

_TOKEN: Final = "Nats-Msg-Id"
_STORED_ELSEWHERE: Final = frozenset({10_058})  # "stream name already in use": somebody made it a moment before
_UNAVAILABLE: Final = 503  # JetStream's code of a server that reaches no majority, or knows of no leader
_FULL: Final = frozenset({10_023, 10_047, 10_077})  # no room: resources, memory, the stream's own bound


class _Error(msgspec.Struct):
    code: int = 0
    err_code: int = 0
    description: str = ""


class _Answer(msgspec.Struct):
    error: _Error | None = None


class _Ack(_Answer):
    seq: int = 0
    duplicate: bool = False


class _StreamState(msgspec.Struct):
    first_seq: int = 0
    last_seq: int = 0


class _Info(_Answer):
    config: dict[str, Any] = {}
    state: _StreamState = msgspec.field(default_factory=_StreamState)


class _Stored(msgspec.Struct):
    seq: int
    hdrs: str = ""
    data: str = ""


class _Got(_Answer):
    message: _Stored | None = None


class NatsLink(NatsConnection):
    """`servers.LogServers` over NATS. `replicas`: servers that keep the log, as they said last."""

    replicas = 1

    # -- the log --------------------------------------------------------------------------------------------------

    def open(self, cluster: str) -> str:
        """Make the streams where they are not there, for the cluster of this id ("": a new one); return the log's cluster id.

        Raises LogAway, LogRefused.
        """
        found = self.run(lambda client: self._info(client, self._name))
        if found is None:
            incarnation = secrets.token_hex(4)
            metadata = {"newswire": cluster or secrets.token_hex(16)}
            self._make(self._name, f"{self._name}.{incarnation}.ops", metadata)
            found = self.run(lambda client: self._info(client, self._name))
        if found is None:
            raise LogAway("the stream is not there yet")
        its_cluster: str = found.config.get("metadata", {}).get("newswire", "")
        if not its_cluster:
            raise LogRefused(f"the stream {self._name} is not newswire's: name another one (--nats-stream)")
        if found.config.get("storage") != "file":
            raise LogRefused(f"the stream {self._name} is kept in memory: make it anew with files")
        return its_cluster

    def _make(self, name: str, subject: str, metadata: dict[str, str]) -> None:
        body = {
            "name": name,
            "subjects": [subject],
            "retention": "limits",
            "storage": "file",
            "discard": "new",
            "num_replicas": self._settings.replicas,
            "allow_direct": True,
            "max_consumers": -1,
            "max_msgs": -1,
            "max_bytes": -1,
            "max_age": 0,
            "max_msg_size": -1,
            "duplicate_window": 120_000_000_000,
            "metadata": metadata,
        }
        raw = self.run(lambda client: self.ask(client, f"$JS.API.STREAM.CREATE.{name}", body))
        error = msgspec.json.decode(raw, type=_Answer).error
        if error is not None and error.err_code not in _STORED_ELSEWHERE:
            raise LogRefused(f"the servers do not make the stream {name}: {error.description}")

    async def _info(self, client: Client, name: str) -> _Info | None:
        info = msgspec.json.decode(await self.ask(client, f"$JS.API.STREAM.INFO.{name}"), type=_Info)
        if info.error is not None:
            if info.error.code == 404:
                return None
            raise _refusal(info.error)
        if name == self._name:
            self.replicas = info.config.get("num_replicas", 1)
        return info

    async def _get(self, client: Client, name: str, body: dict[str, object]) -> _Stored | None:
        got = msgspec.json.decode(await self.ask(client, f"$JS.API.STREAM.MSG.GET.{name}", body), type=_Got)
        if got.error is not None and got.error.code != 404:
            raise _refusal(got.error)
        return got.message

    def look(self, sequence: int) -> LogLook:
        """See `LogServers`."""

        async def ask(client: Client) -> LogLook:
            info = await self._info(client, self._name)
            if info is None:
                raise LogAway("the stream is not there")
            stored = await self._get(client, self._name, {"seq": sequence}) if sequence else None
            return LogLook(
                incarnation=_incarnation(info.config["subjects"][0]),
                first=info.state.first_seq,
                last=info.state.last_seq,
                token=_token_of(base64.b64decode(stored.hdrs)) if stored is not None else None,
            )

        return self.run(ask)

    def bounds(self) -> tuple[int, int]:
        """See `LogServers`."""
        info = self.run(lambda client: self._info(client, self._name))
        if info is None:
            raise LogAway("the stream is not there")
        return info.state.first_seq, info.state.last_seq

    def append(self, incarnation: str, token: str, payload: bytes) -> tuple[int, bool]:
        """See `LogServers`."""
        return self._append(f"{self._name}.{incarnation}.ops", self._name, token, payload)

    def _append(self, subject: str, stream: str, token: str, payload: bytes) -> tuple[int, bool]:
        headers = {_TOKEN: token, "Nats-Expected-Stream": stream}
        raw = self.run(lambda client: self.ask(client, subject, payload, headers))
        ack = msgspec.json.decode(raw, type=_Ack)
        if ack.error is not None:
            if ack.error.err_code in _FULL:
                raise LogRefused(ack.error.description)
            raise LogMoved(ack.error.description)
        return ack.seq, ack.duplicate

    def read(self, sequence: int) -> Sequence[Record]:
        """See `LogServers`."""
        return self.run(lambda client: self._read(client, self._name, sequence))

    async def _read(self, client: Client, stream: str, sequence: int) -> list[Record]:
        records: list[Record] = []
        ended: asyncio.Future[None] = self._loop.create_future()

        async def take(message: Msg) -> None:
            headers = message.headers or {}
            number = headers.get("Nats-Sequence")
            if number is not None:
                records.append(Record(int(number), headers.get(_TOKEN, ""), message.data))
            elif not ended.done():
                ended.set_result(None)

        inbox = client.new_inbox()
        subscription = await client.subscribe(inbox, cb=take)
        try:
            body = {"seq": sequence, "batch": limits.LOG_PAGE_RECORDS, "max_bytes": limits.LOG_PAGE_BYTES}
            await client.publish(f"$JS.API.DIRECT.GET.{stream}", msgspec.json.encode(body), reply=inbox)
            await asyncio.wait_for(ended, limits.LOG_ANSWER_SECONDS)
        finally:
            if not client.is_closed:
                await subscription.unsubscribe()
        return records

    def rename(self, old: str, new: str) -> None:
        """See `LogServers`."""

        async def ask(client: Client) -> None:
            info = await self._info(client, self._name)
            if info is None or _incarnation(info.config["subjects"][0]) != old:
                return
            config = info.config | {"subjects": [f"{self._name}.{new}.ops"]}
            raw = await self.ask(client, f"$JS.API.STREAM.UPDATE.{self._name}", config)
            error = msgspec.json.decode(raw, type=_Answer).error
            if error is not None:
                raise _refusal(error)

        self.run(ask)

    # -- checkpoints ------------------------------------------------------------------------------------------------

    def checkpoint(self) -> Checkpoint | None:
        """See `LogServers`. It stands in the metadata of the log of checkpoints."""
        info = self.run(lambda client: self._info(client, f"{self._name}-base"))
        text = info.config.get("metadata", {}).get("checkpoint", "") if info is not None else ""
        return msgspec.json.decode(text, type=Checkpoint) if text else None

    def read_checkpoint(self, sequence: int) -> Sequence[Record]:
        """See `LogServers`."""
        return self.run(lambda client: self._read(client, f"{self._name}-base", sequence))

    def append_checkpoint(self, payload: bytes) -> int:
        """See `LogServers`. That log is made when it is needed first."""
        base = f"{self._name}-base"
        if self.run(lambda client: self._info(client, base)) is None:
            self._make(base, f"{self._name}.base", {})
        return self._append(f"{self._name}.base", base, secrets.token_hex(8), payload)[0]

    def seal(self, checkpoint: Checkpoint) -> None:
        """See `LogServers`."""

        async def ask(client: Client) -> None:
            base = f"{self._name}-base"
            info = await self._info(client, base)
            if info is None or info.state.first_seq > checkpoint.first:
                raise LogAway("another checkpoint was sealed meanwhile")
            metadata = info.config.get("metadata", {}) | {"checkpoint": msgspec.json.encode(checkpoint).decode()}
            for subject, body in (
                (f"$JS.API.STREAM.UPDATE.{base}", info.config | {"metadata": metadata}),
                (f"$JS.API.STREAM.PURGE.{base}", {"seq": checkpoint.first}),
                (f"$JS.API.STREAM.PURGE.{self._name}", {"seq": checkpoint.upto + 1}),
            ):
                error = msgspec.json.decode(await self.ask(client, subject, body), type=_Answer).error
                if error is not None:
                    raise _refusal(error)

        self.run(ask)


def _refusal(error: _Error) -> LogAway:
    return (LogElsewhere if error.code == _UNAVAILABLE else LogAway)(error.description)


def _incarnation(subject: str) -> str:
    return subject.split(".")[-2]


def _token_of(headers: bytes) -> str:
    """The token in the headers of a record, as they are stored."""
    for line in headers.decode("ascii", "replace").splitlines():
        name, colon, text = line.partition(":")
        if colon and name.lower() == _TOKEN.lower():
            return text.strip()
    return ""
