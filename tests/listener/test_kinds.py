"""Kinds of requests, each with threads of its own."""

from __future__ import annotations

import pytest

from newswire.core import limits
from newswire.listener.kinds import Kind, Threads, kind_of, wire_of

LARGE = limits.LARGE_BODY_BYTES + 1


@pytest.mark.parametrize(
    ("method", "path", "size", "body_type", "kind"),
    [
        ("POST", "/replicate", LARGE, "", Kind.PEER),
        ("POST", "/heartbeat/receive", 0, "", Kind.PEER),
        ("GET", "/livez", 0, "", Kind.PROBE),
        ("GET", "/list_replicas", 0, "", Kind.PROBE),
        ("GET", "/livez", LARGE, "", Kind.LARGE),
        ("POST", "/publish", LARGE - 1, "application/json", Kind.PUBLISH),
        ("POST", "/publish", LARGE, "application/json", Kind.LARGE),
        ("POST", "/publish", 10, "Application/X-NDJSON; charset=utf-8", Kind.LARGE),
        ("POST", "/subscribe", 10, "", Kind.CHANGE),
        ("POST", "/ack", 10, "", Kind.CHANGE),
        ("POST", "/add_replica", 10, "", Kind.CLUSTER),
        ("POST", "/remove_replica", 10, "", Kind.CLUSTER),
        ("POST", "/accept_loss", 0, "", Kind.CLUSTER),
        ("POST", "/compact", 0, "", Kind.CLUSTER),
        ("DELETE", "/users/ann", 0, "", Kind.SIGN_IN),
        ("POST", "/login", 10, "", Kind.SIGN_IN),
        ("POST", "/users/ann/password", 10, "", Kind.SIGN_IN),
        ("POST", "/tokens", 10, "", Kind.CHANGE),
        ("DELETE", "/grants", 0, "", Kind.CHANGE),
        ("GET", "/users", 0, "", Kind.READ),
        ("GET", "/audit", 0, "", Kind.READ),
        ("GET", "/login", 0, "", Kind.OPEN),
        ("GET", "/messages", 0, "", Kind.READ),
        ("GET", "/topics", 0, "", Kind.READ),
        ("GET", "/stream", 0, "", Kind.OPEN),
        ("HEAD", "/", 0, "", Kind.OPEN),
        ("OPTIONS", "/publish", 0, "", Kind.OPEN),
        ("", "", 0, "", Kind.CHANGE),
    ],
)
def test_kind(method: str, path: str, size: int, body_type: str, kind: Kind) -> None:
    assert kind_of(method, path, size, body_type) is kind


def test_what_is_compressed_may_become_large() -> None:
    assert kind_of("POST", "/publish", 10, "application/json", "gzip") is Kind.LARGE
    assert kind_of("POST", "/replicate", 10, "", "gzip") is Kind.PEER


def test_each_kind_has_threads() -> None:
    threads = Threads()
    assert all(getattr(threads, kind.value) >= 1 for kind in Kind)
    assert threads.total == sum(getattr(threads, kind.value) for kind in Kind)


@pytest.mark.parametrize(
    ("method", "path", "wire"),
    [
        ("POST", "/backups", "ntfy"),
        ("PUT", "/backups", "ntfy"),
        ("POST", "/", "ntfy"),
        ("GET", "/backups/json", "ntfy"),
        ("GET", "/backups", ""),
        ("POST", "/publish", ""),
        ("POST", "/users/ann", ""),
        ("GET", "/static/feed.js", ""),
        ("GET", "/", ""),
        ("DELETE", "/backups", ""),
    ],
)
def test_what_is_of_ntfys_wire_is_known_by_its_path(method: str, path: str, wire: str) -> None:
    assert wire_of(method, path) == wire
