"""A hub that runs, and ends with the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.kit.stream_fakes import Newsroom


@pytest.fixture
def make() -> Iterator[Callable[..., Newsroom]]:
    rooms: list[Newsroom] = []

    def made(**options: object) -> Newsroom:
        rooms.append(Newsroom(**options))  # type: ignore[arg-type]
        rooms[-1].hub.start()
        return rooms[-1]

    yield made
    for room in rooms:
        room.close()
        assert not room.hub._thread.is_alive()


@pytest.fixture
def room(make: Callable[..., Newsroom]) -> Newsroom:
    return make()
