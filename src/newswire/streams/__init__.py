"""The room that serves all streams with one thread: `hub` (the loop), `fanout` (shared pages), `acks` (what is confirmed)."""

from __future__ import annotations

from newswire.streams.hub import Hub

__all__ = ["Hub"]
