"""A progress bar for what may take long. On standard error, as standard output is for what a command gives."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from newswire import escape

_BAR_AFTER_SECONDS: Final = 1.0

Moved = Callable[[int, int], None]  # so much is done, of so much


@contextmanager
def bar(label: str) -> Iterator[Moved | None]:
    """What moves a progress bar: only on a terminal, and only once it has taken over a second."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    start = time.monotonic()
    shown = Progress(console=Console(stderr=True), transient=True)
    task = shown.add_task(escape.line(label).replace("[", r"\["))

    def moved(count: int, total: int) -> None:
        if not shown.live.is_started and time.monotonic() - start > _BAR_AFTER_SECONDS:
            stack.enter_context(shown)
        shown.update(task, completed=count, total=total)

    with ExitStack() as stack:
        yield moved
