"""A stream in the menu's own terminal, where no browser has a window: it looks like a plain stream in a window.

Two threads: one iterates over the stream and prints; the menu's waits for Enter, Ctrl-C or the end of input and closes
the stream under it. A pipe has no Enter to wait for: its next line has often been sent already, so what is undelivered
is shown first, until nothing has come for a moment.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from newswire import escape, sse
from newswire.cli.credentials import Signature
from newswire.cli.terminal import Terminal
from newswire.core import limits
from newswire.errors import NewswireError

if TYPE_CHECKING:
    from newswire.client import ConnectionState, Gap, Message, Subscriber

_LOOK_EVERY_SECONDS: Final = 0.1


def stream_here(here: Terminal, brokers: Sequence[str], username: str, who: Signature) -> None:
    """Print the messages of `username` until a line is entered. Raises NewswireError when the stream is refused."""
    from newswire.client import Subscriber

    here.tell("There is no browser with a window here: streaming in this terminal, press Enter to return to the menu.")
    viewer = _Viewer(here, Subscriber(brokers, username, **who))
    viewer.start()
    try:
        viewer.wait_for_line()
    except KeyboardInterrupt:
        here.say("")
    finally:
        viewer.stop()
    if viewer.error:
        raise viewer.error


def event_text(item: Message | Gap) -> str:
    """An item as the stream window shows it: one `data:` line a line of text, then an empty one."""
    from newswire.client import Gap

    if isinstance(item, Gap):
        return f": {item.dropped} messages of topic {escape.line(item.topic)} were removed by retention undelivered\n"
    text = "\n".join(part for part in (item.title, item.data) if part)
    return "".join(f"data: {line}\n" for line in escape.block(text).split("\n"))


class _Viewer(threading.Thread):
    def __init__(self, here: Terminal, subscriber: Subscriber) -> None:
        super().__init__(name="viewer", daemon=True)
        self.error: NewswireError | None = None
        self._here = here
        self._subscriber = subscriber
        self._stopped = threading.Event()
        self._said = threading.Event()  # the stream is open, or has failed
        self._last = time.monotonic()
        self._detail = ""

    def run(self) -> None:
        try:
            with self._subscriber, self._subscriber.stream(stop=self._stopped, on_state=self._tell) as stream:
                for item in stream:
                    self._here.say(event_text(item))
                    self._last = time.monotonic()
        except NewswireError as error:
            self.error = error
        except Exception as error:  # the menu would go on as if the stream had ended
            self.error = NewswireError(f"the stream failed here: {type(error).__name__}: {error}")
        finally:
            self._said.set()

    def wait_for_line(self) -> None:
        """Wait until a line or the end has come, or the stream has failed."""
        if not self._here.lines.is_terminal:
            self._said.wait(limits.CLI_CALL_SECONDS)
        while self.is_alive() and not self._here.lines.wait(_LOOK_EVERY_SECONDS):
            pass
        if self.is_alive():
            self._here.lines.next()
        while not self._here.lines.is_terminal and self.is_alive() and time.monotonic() < self._last + limits.SETTLE_SECONDS:
            self.join(_LOOK_EVERY_SECONDS)

    def stop(self) -> None:
        """End the stream; what was printed is acknowledged."""
        self._stopped.set()
        self.join(limits.VIEWING_END_SECONDS)

    def _tell(self, state: ConnectionState) -> None:
        if state.kind == "live" and not self._said.is_set():
            self._last = time.monotonic()
            self._said.set()
            self._here.say(f"data: {sse.GREETING}\n")
        elif state.kind != "waiting" and state.detail != self._detail:
            self._here.say(f": {escape.line(state.detail)}\n")
        self._detail = state.detail if state.kind != "waiting" else self._detail
