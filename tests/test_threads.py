"""A thread that dies is missed; a loop that stumbles goes on, one that only stumbles does not."""

from __future__ import annotations

import threading

import pytest

from newswire.threads import MustNotWait, Stumbles, ThreadEnded, check_may_wait, must_not_wait, never_waits, supervise
from tests.kit.waiting import PATIENCE_SECONDS


def died(main: object, *, may_end: bool) -> list[BaseException]:
    """What `on_fatal` is told of a thread that runs `main`."""
    told: list[BaseException] = []
    thread = supervise(main, "t", told.append, may_end=lambda: may_end)  # type: ignore[arg-type]
    thread.start()
    thread.join(PATIENCE_SECONDS)
    assert not thread.is_alive()
    return told


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(0), KeyboardInterrupt(), MemoryError()])
@pytest.mark.parametrize("may_end", [True, False])
def test_whatever_kills_a_thread_is_fatal(error: BaseException, may_end: bool) -> None:
    def main() -> None:
        raise error

    assert died(main, may_end=may_end) == [error]


def test_a_thread_ends_when_it_was_asked_to_and_not_before() -> None:
    assert died(lambda: None, may_end=True) == []
    (error,) = died(lambda: None, may_end=False)
    assert isinstance(error, ThreadEnded)


def test_its_name_is_its_own_and_the_process_does_not_wait_for_it() -> None:
    thread = supervise(lambda: None, "hub", lambda error: None, may_end=lambda: True)
    assert (thread.name, thread.daemon, thread.ident) == ("hub", True, None)
    assert thread not in threading.enumerate()


def test_stumbles_in_a_row_end_a_loop() -> None:
    stumbles, error = Stumbles(3), ValueError()
    for _ in range(5):
        stumbles.failed(error)
        stumbles.failed(error)
        stumbles.went_well()
    stumbles.failed(error)
    stumbles.failed(error)
    with pytest.raises(ValueError):
        stumbles.failed(error)
    assert stumbles.count == 13


def test_a_thread_that_never_waits_may_not_wait_and_others_may() -> None:
    raised: list[str] = []

    def main() -> None:
        check_may_wait("before it said so")
        never_waits()
        assert must_not_wait()
        try:
            check_may_wait("a disk")
        except MustNotWait as error:
            raised.append(str(error))

    thread = threading.Thread(target=main, name="loop")
    thread.start()
    thread.join()
    assert raised == ["the thread loop serves everybody and may not wait for a disk"]
    assert not must_not_wait()
