"""The thread that runs a shell's rounds: it feeds them from an inbox, and looks at the disk, the log and the time beside."""

from __future__ import annotations

import gc
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from newswire.core import limits
from newswire.core.broker.events import Event, Submitted, Tick, Writable
from newswire.engine.operator_log import OperatorLog
from newswire.engine.shell import Shell
from newswire.threads import OnFatal, never_waits, supervise

_TICK_SECONDS = 0.05  # deadlines and heartbeats are looked at this often
_QUIET_TICK_SECONDS = 0.25  # nobody waits, and for a second nothing came: waking up costs more than a look, 0.2 ms
_QUIET_TURNS = 20
_DISK_SECONDS = 1.0  # free space is looked at this often


class CommitThread:
    """Feeds the rounds of a shell from an inbox. `put`: any thread. `stop` and `start`: the owner."""

    def __init__(
        self, shell: Shell, free_bytes: Callable[[], int], on_fatal: OnFatal, log_bytes: Callable[[], int] = lambda: 0
    ) -> None:
        """`free_bytes`: on the disk of the log; `log_bytes`: what that takes."""
        self.shell = shell
        self._inbox: queue.SimpleQueue[Sequence[Event | None]] = queue.SimpleQueue()
        self._gathered: list[Event] = []  # by the thread that hands in together
        self._gatherer = 0  # its ident
        self._free_bytes, self._log_bytes = free_bytes, log_bytes
        self._tick = Tick()
        self._disk_due = self._tick_due = 0.0
        self._quiet_turns = 0  # in a row, in which nothing came
        self._frozen = (0, 0)  # of which generation how much the garbage collector looks at no more: topics and subscriptions
        self._log = OperatorLog()
        self._stopping = False
        self._thread = supervise(self._main, "commit", on_fatal, may_end=lambda: self._stopping)

    def start(self) -> None:
        """Run rounds from now on."""
        self._thread.start()

    def put(self, event: Event) -> bool:
        """Offer an event; False when too many wait."""
        if isinstance(event, Submitted) and self._inbox.qsize() + len(self._gathered) >= limits.INBOX_EVENTS:
            return False
        if threading.get_ident() == self._gatherer:
            self._gathered.append(event)
        else:
            self._inbox.put((event,))
        return True

    @contextmanager
    def together(self) -> Iterator[None]:
        """Hand in what the caller puts meanwhile as one at the end: the commit thread is woken once. One thread: the loop."""
        self._gatherer = threading.get_ident()
        try:
            yield
        finally:
            self._gatherer = 0
            if self._gathered:
                self._inbox.put(self._gathered)
                self._gathered = []

    def stop(self, timeout: float) -> None:
        """End after what waits now."""
        self._stopping = True
        self._inbox.put((None,))
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(timeout)

    def _main(self) -> None:
        never_waits()
        while self._turn() or self.shell.has_more:
            pass

    def _turn(self) -> bool:
        events, go_on = self._gather()
        # first: what time asks for is done while nothing is staged, and who publishes all the time stages something each round
        self.shell.run([*self._tick_events(), *events])
        self._log.see(self.shell.view, self.shell.clock().clock)
        self.shell.rest()
        if self._log.see_retention(len(self.shell.topics_dropped), self.shell.messages_expired, self.shell.clock().clock):
            self.shell.topics_dropped.clear()
        state = self.shell.broker.state
        generation, size = self._frozen
        grown = len(state.messages.names) + len(state.subscriptions.alive) - size
        if grown >= limits.FREEZE_OBJECTS or state.generation != generation:
            self._frozen = state.generation, size + grown
            gc.collect(0)  # the youngest, a millisecond: circles that nobody refers to any more would stay for ever, too
            gc.freeze()  # what has grown stays: the garbage collector need not look through it, which stops every thread
        return go_on

    def _gather(self) -> tuple[list[Event], bool]:
        """All that waits, up to the bound of one commit; (events, whether to go on after them)."""
        events: list[Event] = []
        size = 0
        with suppress(queue.Empty):
            is_quiet = self._quiet_turns >= _QUIET_TURNS and not self.shell.broker.receipts
            wait = _QUIET_TICK_SECONDS if is_quiet else _TICK_SECONDS
            came = self._inbox.get_nowait() if self.shell.has_more else self._inbox.get(timeout=wait)
            while True:
                for event in came:
                    if event is None:
                        return events, False
                    events.append(event)
                    size += len(event.requests) if isinstance(event, Submitted) else 1
                if size >= limits.COMMIT_OPS:
                    break
                came = self._inbox.get_nowait()
        self._quiet_turns = 0 if events or self.shell.has_more else self._quiet_turns + 1
        return events, True

    def _tick_events(self) -> list[Event]:
        """What the time says, now and then: a round of publishes need not ask."""
        now = self.shell.clock().clock
        if now < self._tick_due and not self.shell.disk.is_near:
            return []
        self._tick_due = now + _TICK_SECONDS
        return [*self._disk_events(now), self._tick]

    def _disk_events(self, now: float) -> list[Event]:
        disk = self.shell.disk
        if now >= self._disk_due:
            self._disk_due = now + _DISK_SECONDS
            free, size = self._free_bytes(), self._log_bytes()
            writable = disk.look(free, size, now)
            self._tick = Tick(wants_room=disk.wants_room, size=size, room=max(0, free - disk.reserve // 8))
        elif disk.is_near:
            writable = self._free_bytes() > disk.reserve
        else:
            return []
        if writable == self.shell.broker.writable:
            return []
        return [Writable(writable)]
