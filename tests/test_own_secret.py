"""The secret that a broker makes for itself: once, for its owner's eyes, the same for all who share the folder."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from newswire.errors import NewswireError
from newswire.own_secret import NAME, own_secret


def test_it_is_made_once_and_read_afterwards(tmp_path: Path) -> None:
    folder = tmp_path / "ops_logs"
    secret = own_secret(folder)
    assert len(secret) == 64
    assert own_secret(folder) == secret
    assert [file.name for file in folder.iterdir()] == [NAME]
    assert stat.S_IMODE((folder / NAME).stat().st_mode) == 0o600


def test_brokers_that_start_together_have_one(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        secrets = list(threads.map(own_secret, [tmp_path] * 8))
    assert len(set(secrets)) == 1
    assert [file.name for file in tmp_path.iterdir()] == [NAME]


def test_one_that_others_can_read_or_that_is_none_is_refused(tmp_path: Path) -> None:
    own_secret(tmp_path)
    (tmp_path / NAME).chmod(0o644)
    with pytest.raises(NewswireError, match="chmod 600"):
        own_secret(tmp_path)
    (tmp_path / NAME).chmod(0o600)
    (tmp_path / NAME).write_text("\n")
    with pytest.raises(NewswireError, match="blank"):
        own_secret(tmp_path)
