"""The application whose declarations are read: over an engine in memory, which is asked nothing but its numbers."""

from __future__ import annotations

from typing import Any, Final, cast

import msgspec

from newswire.config import Settings
from newswire.core.model.forecasts import Band, LoadForecast, Outlook
from newswire.engine.memory import MemoryEngine, MemoryNetwork
from newswire.engine.seam import ClusterAdmin, ClusterStatus, DiskFacts
from newswire.web import create_app
from newswire.web.routes import trends
from newswire.web.slim import PlainFlask

AUTH: Final = "required"  # all there is: with `none` less is asked for, and refused
_LOAD: Final = LoadForecast(peak=Band(1, 2, 3), limit=4, error=0.5)


class _Engine(MemoryEngine):
    """One that shows all that one on a disk shows."""

    def describe(self) -> ClusterStatus:
        view = super().describe()
        rows = tuple(msgspec.structs.replace(row, seconds=1, streams=1, streams_limit=2) for row in view.rows)
        return msgspec.structs.replace(view, rows=rows, disk=DiskFacts(free_bytes=3, reserve_bytes=2, log_bytes=1))


class _Measured(trends.Nothing):
    """One that foresees all that can be foreseen."""

    outlook = Outlook(disk_full_seconds=(1, 2), publish=_LOAD, streams=_LOAD)


def engine() -> MemoryEngine:
    """One with a peer and a disk."""
    return _Engine("1001", address="127.0.0.1:5053", peers=("127.0.0.1:5054",), primary=True, network=MemoryNetwork())


def foresight() -> trends.Measured:
    """What measures."""
    return _Measured()


def application() -> PlainFlask:
    """An application with all routes."""
    cluster = cast(ClusterAdmin, cast(Any, object()))  # nobody is asked for anything
    return create_app(engine(), Settings(auth=AUTH), cluster=cluster, measured=foresight())
