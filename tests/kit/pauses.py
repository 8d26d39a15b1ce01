"""A plugin of pytest that pauses threads at random places: what scripts/jitter loads, and nothing else does.

From the first thread that a test starts until the test ends, each thread is looked at where a function is called and where one
returns, in newswire, in its tests and in waitress. Two things pause it, both drawn from the seed, the test and the thread:

- chance: about one event in a thousand, for 1 to 30 ms, as a machine does that runs something else meanwhile
- place: a few places of a test are slow, for 60 ms, the first times that a thread comes by. That is what finds a race whose
  window is a line wide.

A thread is not paused for longer than two seconds altogether in one test, and not at all while it is alone.
"""

from __future__ import annotations

import itertools
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final

import pytest

PAUSED: Final = ("/src/newswire/", "/tests/", "/waitress/")  # in whose files
CHANCE: Final = 0.001  # of an event
CHANCE_SECONDS: Final = (0.001, 0.03)
PLACE_SHARE: Final = 0.015  # of all places
PLACE_SECONDS: Final = 0.06
PLACE_TIMES: Final = 2  # a thread
MOST_SECONDS: Final = 2.0  # a thread
SWITCH_SECONDS: Final = 1e-5  # how long a thread may run while others wait; Python's own is 5 ms


class Draw(threading.local):
    """What one thread draws."""

    def __init__(self) -> None:
        self.test = ""
        self.left = 0.0
        self.chance = random.Random()
        self.passed: Counter[tuple[CodeType, str]] = Counter()


class Pauses:
    """Pauses the threads of the test that runs."""

    def __init__(self, seed: int, sleep: Callable[[float], object] = time.sleep) -> None:
        """`sleep`: its own, whatever a test puts in the place of `time.sleep`."""
        self.seed = seed
        self._sleep = sleep
        self.test = ""
        self.count = 0  # of pauses
        self._numbers = itertools.count()
        self._paused: dict[CodeType, bool] = {}
        self._slow: dict[tuple[CodeType, str], bool] = {}
        self._draw = Draw()
        self._start = threading.Thread.start

    def begin(self, test: str) -> None:
        """Pause threads of this test."""
        self.test, self._numbers, self._slow = test, itertools.count(1), {}
        pauses = self

        def start(thread: threading.Thread) -> None:
            thread.number = next(pauses._numbers)  # type: ignore[attr-defined]
            threading.setprofile(pauses.profile)
            sys.setprofile(pauses.profile)
            pauses._start(thread)

        threading.Thread.start = start  # type: ignore[method-assign]

    def end(self) -> None:
        """Pause nobody."""
        self.test = ""
        threading.Thread.start = self._start  # type: ignore[method-assign]
        threading.setprofile(None)  # type: ignore[arg-type]
        sys.setprofile(None)

    def profile(self, frame: FrameType, event: str, _: Any) -> None:
        """Pause the thread that calls or returns, if that is drawn."""
        code = frame.f_code
        paused = self._paused.get(code)
        if paused is None:
            paused = self._paused[code] = any(part in code.co_filename for part in PAUSED) and code.co_filename != __file__
        if not paused or event in ("c_call", "c_exception"):
            return
        draw, place = self._draw, (code, event)
        if draw.test != self.test:
            number = getattr(threading.current_thread(), "number", 0)
            draw.test, draw.left, draw.passed = self.test, MOST_SECONDS, Counter()
            draw.chance = random.Random(f"{self.seed} {self.test} {number}")
        slow = self._slow.get(place)
        if slow is None:
            slow = random.Random(f"{self.seed} {self.test} {code.co_qualname} {event}").random() < PLACE_SHARE
            self._slow[place] = slow
        if slow and draw.passed[place] < PLACE_TIMES:
            draw.passed[place] += 1
            self._pause(PLACE_SECONDS)
        elif draw.chance.random() < CHANCE:
            self._pause(draw.chance.uniform(*CHANCE_SECONDS))

    def _pause(self, seconds: float) -> None:
        if self.test and self._draw.left > 0 and threading.active_count() > 1:
            self._draw.left -= seconds
            self.count += 1
            self._sleep(seconds)


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options that scripts/jitter gives."""
    parser.addoption("--pauses-seed", type=int, default=1)
    parser.addoption("--pauses-failures", default=None, help="the file that names of failed tests are written to")


class Plugin:
    """Pauses each test; writes down which failed."""

    def __init__(self, seed: int, failures: str | None) -> None:
        self.pauses = Pauses(seed)
        self.failures = failures
        self.failed: set[str] = set()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Pause it, its fixtures as well."""
        self.pauses.begin(item.nodeid)
        try:
            return (yield)
        finally:
            self.pauses.end()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Write down which failed."""
        if report.failed and self.failures and report.nodeid not in self.failed:
            self.failed.add(report.nodeid)
            with Path(self.failures).open("a") as file:
                file.write(f"{report.nodeid}\n")

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Say how much was paused."""
        terminalreporter.write_line(f"{self.pauses.count} pauses of seed {self.pauses.seed}")


def pytest_configure(config: pytest.Config) -> None:
    """Begin."""
    sys.setswitchinterval(SWITCH_SECONDS)
    config.pluginmanager.register(Plugin(config.getoption("--pauses-seed"), config.getoption("--pauses-failures")))
