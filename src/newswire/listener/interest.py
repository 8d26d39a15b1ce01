"""What the loop waits for at each socket, and what its selector was told of that. Loop thread."""

from __future__ import annotations

import selectors
from typing import Any, Final

_READ: Final = selectors.EVENT_READ


class Interest:
    """The selector, told as seldom as may be: to tell it costs about as much as to read a head."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()  # epoll where there is one
        self._masks: dict[int, int] = {}  # descriptor -> what the selector was told
        self._early: set[int] = set()  # those of which something came that is not read now

    def select(self, seconds: float) -> list[tuple[selectors.SelectorKey, int]]:
        """What has happened; waits so long for something."""
        return self._selector.select(seconds)

    def note_early(self, fd: int) -> None:
        """Something came that is not read now: the selector would say so again and again."""
        self._early.add(fd)

    def want(self, fd: int, mask: int, item: object) -> None:
        """Wait for these events of `item`, and no others.

        Where none are wanted of what was read, the selector is told when something comes all the same: most clients send
        nothing before they are answered.
        """
        before = self._masks.get(fd, 0)
        if mask == before or (not mask and before == _READ and fd not in self._early):
            return
        self._early.discard(fd)
        self._masks[fd] = mask
        if not before:
            self._selector.register(fd, mask, item)
        elif mask:
            self._selector.modify(fd, mask, item)
        else:
            self._selector.unregister(fd)

    def forget(self, fd: Any) -> None:
        """Its descriptor leaves."""
        self._early.discard(fd)
        if self._masks.pop(fd, 0):
            self._selector.unregister(fd)

    def close(self) -> None:
        """Close the selector."""
        self._selector.close()

    def __len__(self) -> int:
        return len(self._masks)
