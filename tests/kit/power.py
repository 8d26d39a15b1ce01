"""A power cut at every step: what a disk may hold that was told so much, and synced so much of it.

`PowerLog` notes each system call that changes a directory, on a real one. After each, `states` are what a kill, or a power
cut, at that moment may leave: names that no directory sync covered are there or not, in any prefix of their order or one
alone; of files that no sync covered all, half or nothing of the rest is there.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

Files = dict[str, bytes]


class _Inode:
    def __init__(self) -> None:
        self.content = self.synced = b""


class PowerLog:
    """Notes what happens in `directory`, all of which is synced now; calls `at_step` with the name of each call after it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, directory: Path, at_step: Callable[[str], object]) -> None:
        self.directory, self._at_step = directory, at_step
        self._names: dict[str, _Inode] = {}
        self._durable: dict[str, _Inode] = {}
        self._changes: list[Callable[[dict[str, _Inode]], object]] = []  # of names since the last sync of the directory
        self._fds: dict[int, _Inode | None] = {}  # None: the directory itself
        self.steps: list[str] = []
        for name in ("open", "close", "write", "ftruncate", "fdatasync", "fsync", "rename", "unlink"):
            monkeypatch.setattr(os, name, self._noting(getattr(self, f"_{name}"), getattr(os, name)))
        for path in directory.iterdir():
            inode = self._names[path.name] = self._durable[path.name] = _Inode()
            inode.content = inode.synced = path.read_bytes()

    def states(self) -> Iterator[Files]:
        """What may be left of the directory at this moment, the likely first: a kill, then power cuts."""
        yield {name: inode.content for name, inode in self._names.items()}
        count = len(self._changes)
        orders = [range(end) for end in range(count + 1)] + [range(at, at + 1) for at in range(1, count)]
        for order in orders:
            names = dict(self._durable)
            for at in order:
                self._changes[at](names)
            for part in (0, 1, 2):
                yield {name: _torn(inode, part) for name, inode in names.items()}

    def _noting(self, note: Callable[..., str], real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            result = real(*arguments, **named)
            if step := note(result, *arguments):
                self.steps.append(step)
                self._at_step(step)
            return result

        return call

    def _name(self, path: Any) -> str:
        path = Path(path)
        return path.name if path.parent == self.directory and path.name != "LOCK" else ""

    def _change(self, change: Callable[[dict[str, _Inode]], object]) -> None:
        change(self._names)
        self._changes.append(change)

    def _open(self, fd: int, path: Any, flags: int, *_: Any) -> str:
        if Path(path) == self.directory:
            self._fds[fd] = None
        elif (name := self._name(path)) and flags & os.O_CREAT:
            inode = self._fds[fd] = _Inode()
            self._change(lambda names: names.update({name: inode}))
            return f"create {name}"
        return ""

    def _close(self, _: None, fd: int) -> str:
        self._fds.pop(fd, None)
        return ""

    def _write(self, count: int, fd: int, data: bytes) -> str:
        if (inode := self._fds.get(fd)) is None:
            return ""
        inode.content += bytes(data)[:count]
        return "write"

    def _ftruncate(self, _: None, fd: int, length: int) -> str:
        if (inode := self._fds.get(fd)) is None:
            return ""
        inode.content = inode.content[:length]
        return "cut"

    def _fdatasync(self, _: None, fd: int) -> str:
        if (inode := self._fds.get(fd)) is None:
            return ""
        inode.synced = inode.content
        return "sync"

    def _fsync(self, _: None, fd: int) -> str:
        if fd not in self._fds or self._fds[fd] is not None:
            return self._fdatasync(None, fd)
        self._durable, self._changes = dict(self._names), []
        return "sync the directory"

    def _rename(self, _: None, before: Any, after: Any) -> str:
        old, new = self._name(before), self._name(after)
        if not old:
            return ""

        inode = self._names[old]

        def change(names: dict[str, _Inode]) -> None:
            names.pop(old, None)
            names[new] = inode

        self._change(change)
        return f"rename {old}"

    def _unlink(self, _: None, path: Any) -> str:
        name = self._name(path)
        if name not in self._names:
            return ""
        self._change(lambda names: names.pop(name, None))
        return f"unlink {name}"


def _torn(inode: _Inode, part: int) -> bytes:
    rest = inode.content[len(inode.synced) :]
    return (inode.synced, inode.synced + rest[: len(rest) // 2], inode.content)[part]


def lay_out(files: Files, directory: Path) -> Path:
    """A directory that holds these."""
    directory.mkdir()
    for name, content in files.items():
        (directory / name).write_bytes(content)
    return directory
