"""What the Tab key offers of what brokers know."""

from __future__ import annotations

import pytest

from newswire.cli import completing, main
from tests.kit.fake_broker import Fake
from tests.kit.waiting import PATIENCE_SECONDS


def offers(words: str, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> list[str]:
    monkeypatch.setattr(completing, "_SECONDS", PATIENCE_SECONDS)
    monkeypatch.setenv("_NEWSWIRE_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
    with pytest.raises(SystemExit):
        main.run([])
    return [line.partition(",")[2] for line in capfdbinary.readouterr().out.decode().splitlines()]


def test_topics_and_brokers_are_offered(
    fake: Fake, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    fake.answers["/topics"] = (200, [{"topic": "kitchen"}, {"topic": "kitchen.soup"}, {"topic": "garden"}])
    assert offers("newswire publish kit", monkeypatch, capfdbinary) == ["kitchen", "kitchen.soup"]
    assert offers("newswire stream ann --topic gar", monkeypatch, capfdbinary) == ["garden"]
    assert offers("newswire remove-replica 10", monkeypatch, capfdbinary) == ["1001"]


def test_where_nobody_answers_nothing_is_offered(
    fake: Fake, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    fake.let_in = lambda path, shown: False
    assert "".join(offers("newswire publish kit", monkeypatch, capfdbinary)) == ""
