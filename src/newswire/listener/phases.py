"""What a connection is doing, how long it may, and who goes first when there is no room. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from newswire.core import limits


class Phase(Enum):
    """What a connection is doing; each has its deadline."""

    __hash__ = object.__hash__  # each is there once; Enum's own takes as long as a look into a dictionary

    IDLE = auto()  # nothing begun
    HEAD = auto()  # a head has begun
    BODY = auto()  # a body has begun
    WORKING = auto()  # a request waits for a worker or has one
    SENDING = auto()  # (a part of) an answer is not yet taken
    LINGERING = auto()  # an error was answered; input is dropped


EVICTED: Final = (Phase.IDLE, Phase.HEAD, Phase.BODY, Phase.LINGERING, Phase.SENDING)
"""Who makes room, in this order; never what runs."""


@dataclass(frozen=True)
class Deadlines:
    """How long a client may take, in seconds; `check` is how often that is looked at."""

    head: float = limits.HEAD_SECONDS
    body: float = limits.BODY_SECONDS
    stall: float = limits.READ_STALL_SECONDS
    idle: float = limits.IDLE_SECONDS
    linger: float = limits.LINGER_SECONDS
    check: float = limits.DEADLINE_CHECK_SECONDS


@dataclass(frozen=True)
class Bounds:
    """How many connections there may be, and of one caller how many, and how many requests a second (0: any number).

    `counts_own_...`: whether this machine's own address is a caller like any other.
    """

    connections: int = limits.CONNECTIONS_COUNT
    connections_per_caller: int = limits.CONNECTIONS_PER_CALLER
    requests_per_caller: float = limits.REQUESTS_PER_CALLER
    counts_own_connections: bool = False
    counts_own_requests: bool = False
