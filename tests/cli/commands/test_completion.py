"""`newswire completion`: the scripts, and what they ask for."""

from __future__ import annotations

import pytest

from newswire.cli import main


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_asks_newswire(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["completion", shell]) == 0
    assert f"_NEWSWIRE_COMPLETE={shell}_complete" in capsys.readouterr().out


def test_words_are_completed(monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    for words, expected in (("newswire subsc", b"plain,subscribe\n"), ("newswire grant ann pub", b"plain,publish\n")):
        monkeypatch.setenv("_NEWSWIRE_COMPLETE", "bash_complete")
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
        with pytest.raises(SystemExit):
            main.run([])
        assert expected in capfdbinary.readouterr().out
