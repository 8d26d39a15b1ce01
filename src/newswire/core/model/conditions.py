"""What may be wrong with a broker that serves: one sentence each, and what to do about it. Data, and its two directions. Pure.

A broker says a condition as a sentence (`degraded` in `/readyz`, `newswire status`, the log), so that whoever reads it needs
no table. `newswire doctor` finds the condition in the sentence of any broker (`condition_of`), and docs/operate.md has a line
for each (Conditions).
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from newswire.core import limits


class Condition(msgspec.Struct, frozen=True):
    """`code`: a stable word. `sentence`: with names in braces for what changes. `advice`: what an operator does."""

    code: str
    sentence: str
    advice: str

    def say(self, **values: object) -> str:
        """Return the sentence with these values in it."""
        return self.sentence.format(**values)


def _condition(code: str, sentence: str, advice: str) -> Condition:
    return Condition(code=code, sentence=sentence, advice=advice)


PEER_DOWN: Final = _condition(
    "peer-down",
    "{peer} is down since {since} ({why}): {copies}",
    "start it, or look at its log and at the network; one that is gone for good should be removed: newswire remove-replica",
)
PEER_LONG_AWAY: Final = _condition(
    "peer-long-away",
    "{peer} has been away for {span}: logs are compacted without it, and it is offered everything when it is back",
    "start it; one that is gone for good should be removed: newswire remove-replica",
)
PEER_OLD: Final = _condition(
    "peer-old",
    "{peer} is of a version that cannot take over what was compacted here: it gets no news before it is upgraded",
    "install on it the version that the others have",
)
PEER_AUTH_FAILED: Final = _condition(
    "peer-auth-failed",
    "{peer}: peer-auth-failed: {why}",
    "give every broker the same cluster secret (NEWSWIRE_CLUSTER_SECRET_FILE), and restart whose differs",
)
OTHER_CLUSTER: Final = _condition(
    "other-cluster",
    "{peer}: other-cluster: {why}",
    "point --peer elsewhere; only a broker whose messages nobody wants is started with an empty --ops-dir, to join the others",
)
OTHER_VERSION: Final = _condition(
    "other-version",
    "{peer}: other-version: {why}",
    "brokers of these two versions do not understand each other: install the newer one on both, by way of those between",
)
ID_IN_USE: Final = _condition(
    "id-in-use",
    "{peer}: id-in-use: {why}",
    "two brokers have one id: start one of them with another --id and an --ops-dir of its own",
)
PEER_DISK_FULL: Final = _condition(
    "peer-disk-full", "the disk of {peer} is full: {copies}", "make room on it: until then that broker takes nothing"
)
STALE: Final = _condition(
    "stale",
    "may be stale: {peer} has not handed over since the start what it holds",
    "start that broker, or look at the way to it and at the room here: what only it holds is not shown here; remove it if it is"
    " gone for good",
)
NOT_REACHED: Final = _condition(
    "not-reached",
    "{peer} answers, and does not reach this broker at {address}: what is published there is late here, and has fewer copies",
    "see that the address that this broker gives others (--advertise) leads to it from there, through firewalls and proxies"
    " too",
)
CLOCKS_APART: Final = _condition(
    "clocks-apart",
    "the clock of {peer} is {span} {way} this broker's: use NTP",
    "run NTP (chrony or systemd-timesyncd) on both: times of messages and their age are told by these clocks",
)
CLOCK_SET: Final = _condition(
    "clock-set",
    "the clock of this broker was set {span} {way} within the last hour: see that it is right",
    "see that NTP runs there and that the time is right; it is told for an hour",
)
RETENTION_WAITS: Final = _condition(
    "retention-waits",
    "nothing is dropped for its age: the clock of this broker is {span} ahead of what the brokers have run through; if it is"
    " right, restart this one with --trust-clock, or wait a week",
    "if its clock is right, restart it once with --trust-clock",
)
DISK_FULL: Final = _condition(
    "disk-full",
    "the disk is full: publishing is refused, streams go on{where}",
    "make room on it, or move --ops-dir to a larger disk while the broker is stopped",
)
DISK_LOW: Final = _condition(
    "disk-low",
    "the disk has {room} left: below {reserve} publishing is refused",
    "make room on it, keep less (--retention-bytes), or move --ops-dir to a larger disk while the broker is stopped",
)
DISK_FILLS: Final = _condition(
    "disk-fills",
    "the disk is full within {days} days if the ops file grows on as it does",
    "keep less (--retention-bytes, --retention-days), or plan a larger disk; `newswire doctor` says which day",
)
DISK_CRAMPED: Final = _condition(
    "disk-cramped",
    "the disk has no room to compact the ops file: about {writes} of it would stay, and {room} may be written",
    "make room on it, keep less (--retention-bytes), or move --ops-dir to a larger disk while the broker is stopped",
)
PEER_SUSPICIOUS: Final = _condition(
    "peer-suspicious",
    "{peer} was silent for {silence} s, where {usual} s is usual (phi {phi}): it may be down soon",
    "look at its load, its disk and the way to it: it pauses, or what it says is late; nothing is decided by this",
)
LOAD_NEARS: Final = _condition(
    "load-nears",
    "{high} messages a second are to be expected within a day (most likely {middle}): about {limit} are what this broker"
    " takes of messages as they come now",
    "publish in batches, which costs a tenth, or plan a faster machine; /cluster shows when it comes",
)
STREAMS_NEAR: Final = _condition(
    "streams-near",
    "{high} streams are to be expected within a day (most likely {middle}): there may be {limit} here",
    "raise --streams and the descriptor limit (LimitNOFILE, ulimit -n), or add a broker",
)
TOPIC_BUSY: Final = _condition(
    "topic-busy",
    "topic {topic} is unusually busy: {count} messages in ten minutes, where {usual} are usual at this hour",
    "see who publishes there, and whether it should: a loop, or news",
)
TOPIC_QUIET: Final = _condition(
    "topic-quiet",
    "topic {topic} is unusually quiet: {count} messages within an hour, where {usual} are usual at this hour",
    "see whether its publisher still runs",
)
MORE_TOPICS: Final = _condition(
    "more-topics",
    "{count} more topics are unusually busy or quiet",
    "as for the topics that are named; GET /cluster/trends has all",
)
DISK_SLOW: Final = _condition(
    "disk-slow",
    "the disk is slow: {count} syncs took a second or more, the longest {longest} s",
    "each publish waits for a sync: look at the disk's health, and at what else writes to it",
)
HOLE: Final = _condition(
    "hole",
    "{file} is damaged: {hole} {lack}{behind}; another broker that has it brings it by itself, and if none has,"
    " `newswire accept-loss` shows what would be given up",
    "a broker that has them brings them by itself once it is reached; if none has,"
    " `newswire accept-loss` shows what would be given up",
)
MORE_HOLES: Final = _condition(
    "more-holes", "broker {broker} has {count} more holes like these", "as for the holes that are named; /readyz lists more"
)
DAMAGE: Final = _condition(
    "damage",
    "the ops file is damaged in {places}, and what was there cannot be told: another broker that has it brings it",
    "bring the other brokers back: they hand over what they have; then look at the disk, and check its file with"
    " `newswire opsfile check`",
)
LOG_LATE: Final = _condition(
    "log-late",
    "the servers of the log acknowledge before they sync: a power failure of most of them takes what was published up to"
    " {span} before",
    "set `sync_interval: always` in their jetstream block, one server after the other; then `copies` counts what is synced",
)
LOG_UNPROVED: Final = _condition(
    "log-unproved",
    "it is not known whether the servers of the log sync what they acknowledge: `copies` counts one",
    "name their monitoring addresses (--nats-monitor http://HOST:8222), which say so; they serve them with `http_port`",
)
LONG_VECTOR: Final = _condition(
    "long-vector",
    "the vector has {count} entries, more than {most}: it is shortened when there is room on the disk",
    "make room on the disk; if there is, many brokers without a disk of their own were started: see why they are",
)
NO_ADMIN: Final = _condition(
    "no-admin",
    "there is no admin, so nobody can add users: start a broker with NEWSWIRE_ADMIN_PASSWORD_FILE once, which makes one",
    "start a broker with NEWSWIRE_ADMIN_PASSWORD_FILE once: that makes the user `admin` with the password in that file",
)

CONDITIONS: Final = (
    PEER_DOWN, PEER_LONG_AWAY, PEER_OLD, PEER_AUTH_FAILED, OTHER_CLUSTER, OTHER_VERSION, ID_IN_USE, PEER_DISK_FULL,
    NOT_REACHED, STALE, CLOCKS_APART, CLOCK_SET, RETENTION_WAITS, DISK_FULL, DISK_LOW, DISK_FILLS, DISK_CRAMPED, DISK_SLOW,
    HOLE, MORE_HOLES, DAMAGE, LOG_LATE, LOG_UNPROVED, LONG_VECTOR, NO_ADMIN, PEER_SUSPICIOUS, LOAD_NEARS, STREAMS_NEAR,
    TOPIC_BUSY, TOPIC_QUIET, MORE_TOPICS,
)  # fmt: skip
# of a peer that is not reached
OF_STATE: Final = {one.code: one for one in (PEER_AUTH_FAILED, OTHER_CLUSTER, OTHER_VERSION, ID_IN_USE)}


def low_water(free: int, size: int, reserve: int) -> int:
    """The bytes below which the room on a disk is low (DISK_LOW): so many are free, the log has `size`, `reserve` stay free.

    A large reserve stands for a large disk, or much that comes.
    """
    return reserve + min(max(limits.DISK_LOW_BYTES, reserve), int((free + size) * limits.DISK_LOW_SHARE))


_forms: Final = [
    (re.compile(".*".join(re.escape(part) for part in re.split(r"\{\w+\}", one.sentence)), re.DOTALL), one)
    for one in CONDITIONS
]


def condition_of(sentence: str) -> Condition | None:
    """The condition that a broker said in this sentence; None for one that this version does not know."""
    return next((condition for form, condition in _forms if form.fullmatch(sentence)), None)
