"""The room that serves all streams with one thread, the hub's."""

from __future__ import annotations

from newswire.streams.hub import Hub

__all__ = ["Hub"]
