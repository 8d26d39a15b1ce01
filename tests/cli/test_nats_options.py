"""How `newswire broker` is told of the servers of a log; what may not be said."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from newswire.cli.command import Command
from newswire.cli.nats_options import nats_options, nats_settings
from newswire.config import NatsSettings

SEEN: list[NatsSettings] = []


@click.command(cls=Command)
@nats_options
def probe(**values: object) -> int:
    """Keep what was said."""
    SEEN.append(nats_settings(dict(values)))
    return 0


def said(*words: str, env: dict[str, str] | None = None) -> NatsSettings | str:
    """What it comes to, or the sentence that refuses it."""
    SEEN.clear()
    result = CliRunner().invoke(probe, words, env=env or {}, standalone_mode=True)
    return SEEN[0] if SEEN else result.output


def test_several_servers_stand_with_commas_between() -> None:
    settings = said("--nats", "nats://a:4222, nats://b:4222,nats://c", "--nats-monitor", "http://a:8222")
    assert isinstance(settings, NatsSettings)
    assert settings.servers == ("nats://a:4222", "nats://b:4222", "nats://c")
    assert (settings.replicas, settings.stream, settings.monitors) == (3, "newswire", ("http://a:8222",))


@pytest.mark.parametrize(
    ("servers", "replicas"), [("nats://a", 1), ("nats://a,nats://b", 1), ("nats://a,nats://b,nats://c", 3)]
)
def test_a_log_has_three_replicas_where_three_servers_are_named(servers: str, replicas: int) -> None:
    settings = said("--nats", servers)
    assert isinstance(settings, NatsSettings)
    assert settings.replicas == replicas


@pytest.mark.parametrize("url", ["a:4222", "http://a:4222", "nats://", "nats://a:0", "nats://a:x"])
def test_what_is_no_url_of_a_server_is_refused(url: str) -> None:
    assert "name each server as nats://HOST:PORT" in str(said("--nats", url))


def test_a_password_comes_from_the_environment_and_is_shown_by_nobody() -> None:
    secret = "nats://newswire:hush@a:4222"
    refused = said("--nats", secret)
    assert isinstance(refused, str)
    assert "NEWSWIRE_NATS" in refused
    assert "hush" not in refused
    settings = said(env={"NEWSWIRE_NATS": secret})
    assert isinstance(settings, NatsSettings)
    assert settings.servers == (secret,)
    assert "hush" not in repr(settings)
    assert "hush" not in str(said(env={"NEWSWIRE_NATS": "nats://newswire:hush@:x"}))


@pytest.mark.parametrize("name", ["a.b", "a b", "", "x" * 65, ">"])
def test_the_name_of_a_stream_is_one_word(name: str) -> None:
    assert isinstance(said("--nats-stream", name), str)
