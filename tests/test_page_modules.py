"""The page's pure modules, tested by node beside this: each file of tests/page counts as one test."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from newswire import web
from newswire.core.model import offers
from newswire.core.model.names import check_pattern, check_topic, check_username
from newswire.core.read import audit
from newswire.errors import BadRequest
from tests.kit.waiting import PATIENCE_SECONDS

TESTS = Path(__file__).parent / "page"
STATIC = Path(web.__file__).parent / "static"

OFFERS = {"topic": offers.topic_like, "pattern": offers.pattern_like, "username": offers.username_like}
CHECKS = {"topic": check_topic, "pattern": check_pattern, "username": check_username}

PLANTED = {  # a bug for each rule that tabs.test.js must find broken: file, what it says, what it would say
    "a missing piece is not noticed": (
        "tabs.js",
        "if (term !== this.#following?.term || n > this.#following.next) return this.#join();",
        "if (term !== this.#following?.term) return this.#join();",
    ),
    "a new leader is followed without its backlog": (
        "tabs.js",
        'if (type === "lead") this.#join(true);',
        'if (type === "lead") this.#following = { term, next: 0 };',
    ),
    "a tab acknowledges the leader's news before its backlog": (
        "tabs.js",
        "if (term !== this.#following?.term || n > this.#following.next) return this.#join();",
        "if (!this.#following) this.#following = { term, next: n };",
    ),
    "the backlog leaves out what nobody has shown": ("store.js", "items: items.filter(Boolean)", "items: []"),
    "a tab takes what another has shown for what it has itself": ("store.js", "if (at < 0) return;", ""),
    "a silent leader is waited for": ("tabs.js", "this.#steal = true;", ""),
}


def run(folder: Path, name: str) -> subprocess.CompletedProcess[str]:
    """Run the tests of one file of tests/page over a copy of the modules in `folder`."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node: apt-get install nodejs")
    for file in (*TESTS.glob("*.js"), *TESTS.glob("*.json")):
        shutil.copy(file, folder)
    (folder / "package.json").write_text('{"type": "module"}')  # or node takes these for scripts of its older kind
    return subprocess.run(
        [node, "--test", name], cwd=folder, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )


@pytest.mark.parametrize("name", sorted(file.name for file in TESTS.glob("*.test.js")))
def test_modules(tmp_path: Path, name: str) -> None:
    shutil.copytree(STATIC, tmp_path / "static")
    done = run(tmp_path, name)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "# pass 0\n" not in done.stdout, "node ran no test"


def test_the_page_offers_the_names_that_a_broker_offers() -> None:
    """names.json is what tests/page/names.test.js holds names.js to."""
    for kind, names in json.loads((TESTS / "names.json").read_text()).items():
        for name, instead in names.items():
            with pytest.raises(BadRequest) as refused:
                CHECKS[kind](name)
            offered = OFFERS[kind](name)
            assert (f"`{offered}` would do" in refused.value.detail) == bool(instead), name
            assert offered == instead or not instead, name


def test_the_page_has_words_for_all_that_the_audit_trail_says() -> None:
    sources = [Path(audit.__file__), *Path(web.__file__).parent.rglob("*.py")]
    kinds = {kind for source in sources for kind in re.findall(r'what="([a-z-]+)"', source.read_text())}
    words = (STATIC / "trail.js").read_text()
    assert len(kinds) > 10
    assert [kind for kind in sorted(kinds) if not re.search(rf'^  "?{kind}"?: ', words, re.MULTILINE)] == []


@pytest.mark.parametrize("bug", PLANTED)
def test_a_planted_bug_is_found(tmp_path: Path, bug: str) -> None:
    """The schedules of tests/page/tabs.test.js are worth something."""
    shutil.copytree(STATIC, tmp_path / "static")
    module, right, wrong = PLANTED[bug]
    text = (tmp_path / "static" / module).read_text()
    assert right in text
    (tmp_path / "static" / module).write_text(text.replace(right, wrong))
    done = run(tmp_path, "tabs.test.js")
    assert done.returncode == 1, done.stdout
    assert "ERR_ASSERTION" in done.stdout, done.stdout + done.stderr
