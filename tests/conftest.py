"""What all tests share: steady hypothesis runs, and an environment without settings of whoever runs them."""

from __future__ import annotations

import gc
import os

import pytest
from hypothesis import HealthCheck, settings

from tests.kit import forks

# The same examples in every run: a red test stays red until it is understood. `-p no:...` and seeds are for the long runs.
settings.register_profile(
    "steady", derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("steady")

forks.install()


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every option is also NEWSWIRE_<OPTION>: none of the caller's may reach a test."""
    for name in [name for name in os.environ if name.startswith("NEWSWIRE_")]:
        monkeypatch.delenv(name)


# Real processes start, fail over, hang and time out: they get more than a unit test does, unless a test says otherwise.
# Schedules compute behind all others: how long that takes says what else the machine does.
SECONDS = {"tests/e2e/": 600, "tests/scenarios/": 600, "tests/browser/": 600, "tests/simulation/": 1_800}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each test the time of its room."""
    for item in items:
        for room, seconds in SECONDS.items():
            if room in item.path.as_posix() and item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(seconds))


def pytest_collection_finish() -> None:
    """Keep the garbage collector from looking through all tests and modules again and again: a fifth of a long run."""
    gc.collect()
    gc.freeze()
