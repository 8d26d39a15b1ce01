"""Ops files that are closed at the end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from newswire.engine.embedded.ops_file import OpsFile
from tests.kit.ops_files import ORIGIN, Opener


@pytest.fixture
def opened() -> Iterator[Opener]:
    """Open ops files that are closed at the end, also those of a failed test."""
    files: list[OpsFile] = []

    def opener(directory: Path, *, start: bool = True, **options: object) -> OpsFile:
        file = OpsFile(directory, **options)  # type: ignore[arg-type]
        files.append(file)
        if start:
            list(file.scan())
            file.start(file.cluster or "cluster", ORIGIN)
        return file

    yield opener
    for file in files:
        file.close()
