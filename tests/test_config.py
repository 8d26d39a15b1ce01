"""Settings: each room's part has the same defaults as the whole, and where things are follows from them."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields
from pathlib import Path

import pytest

from newswire.config import EngineSettings, ServiceSettings, Settings


@pytest.mark.parametrize(
    ("settings", "address"),
    [
        (Settings(), "127.0.0.1:5053"),
        (Settings(host="::1", port=1), "[::1]:1"),
        (Settings(host="0.0.0.0", advertise="news.example.org:80"), "news.example.org:80"),
    ],
)
def test_how_a_broker_is_reached(settings: Settings, address: str) -> None:
    assert settings.address == address


def test_each_broker_has_a_directory_of_its_own() -> None:
    assert Settings(id="1002", ops_dir=Path("ops")).directory == Path("ops/1002")


@pytest.mark.parametrize("part", [EngineSettings, ServiceSettings])
def test_a_part_says_the_same_as_the_whole(part: type[EngineSettings | ServiceSettings]) -> None:
    """What two parts share, both would have to set."""
    assert {field.name: getattr(part(), field.name) for field in fields(part)} == {
        field.name: getattr(Settings(), field.name) for field in fields(part)
    }


def test_the_engine_sees_no_limits_of_clients_and_the_web_no_secrets() -> None:
    engine, service = ({field.name for field in fields(part)} for part in (EngineSettings, ServiceSettings))
    assert engine & service == {"id", "subscriptions_per_user"}
    assert "secrets" not in service
    assert not engine & {"streams", "auth", "requests_per_user"}


def test_nobody_changes_them() -> None:
    with pytest.raises(FrozenInstanceError):
        Settings().port = 1  # type: ignore[misc]
