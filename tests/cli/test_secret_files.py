"""Secrets in files: long enough, readable by people, and by nobody else."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from newswire.cli.secret_files import as_secrets, read_secret
from newswire.core import limits

SECRET = "0123456789abcdef0123456789abcdef"


def test_a_file_is_read_by_its_owner_and_a_group_that_is_given_it(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text(f"{SECRET}\n")
    for mode, is_fit in ((0o600, True), (0o400, True), (0o440, True), (0o644, False), (0o620, False), (0o602, False)):
        path.chmod(mode)
        if is_fit:
            assert read_secret(path, "cluster-secret") == SECRET
        else:
            with pytest.raises(click.UsageError, match="chmod 600"):
                read_secret(path, "cluster-secret")


def test_no_secret_is_none_and_a_blank_one_is_refused() -> None:
    assert as_secrets(None) == ()
    with pytest.raises(click.UsageError, match="blank"):
        as_secrets(" \n")


def test_a_secret_must_be_long_enough() -> None:
    assert as_secrets("x" * limits.SECRET_BYTES) == (b"x" * limits.SECRET_BYTES,)
    with pytest.raises(click.UsageError, match="shorter than 32 bytes"):
        as_secrets("x" * (limits.SECRET_BYTES - 1))
    with pytest.raises(click.UsageError, match="shorter than 32 bytes"):
        as_secrets(f"{SECRET}\nshort\n")


@pytest.mark.parametrize("unseen", ["\0" * 64, "\u200b" * 64, "a" * 40 + "\x1b"])
def test_a_secret_that_nobody_sees_is_refused(unseen: str) -> None:
    with pytest.raises(click.UsageError, match="nobody sees"):
        as_secrets(unseen)


@pytest.mark.parametrize(("content", "words"), [(b" \n", "is blank: put the addresses into it"), (b"\xff", "is no UTF-8 text")])
def test_what_is_wrong_names_the_file_and_advises_nothing_that_destroys_it(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "to"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(click.UsageError, match=words) as raised:
        read_secret(path, "addresses")
    assert f"the file {path} " in raised.value.message
    assert "openssl" not in raised.value.message
