"""The site of the documentation: it is built without a warning, links lead somewhere, and the reference names all there is."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import docs
import newswire
import reference
from newswire.cli.main import newswire as group
from newswire.cli.options import known_settings
from newswire.errors import TABLE
from newswire.web.route import routes_of
from reference.page import block, plain, prose, table
from tests.kit.web_fakes import Web

ROOT: Final = Path(__file__).resolve().parent.parent
TEXTS: Final = {page.name: page.text() for page in reference.PAGES}


def test_the_generator_has_nothing_to_say() -> None:
    """No link or anchor that leads nowhere, no page outside the navigation: in a process of its own, as it keeps much."""
    command = [sys.executable, str(ROOT / "scripts/docs.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_leads_nowhere_is_found(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "index.md").write_text("# One\n\n[two](#three)\n")
    paths = ", ".join(f"pathlib.Path({str(tmp_path / name)!r})" for name in ("source", "output", "doctrees"))
    program = f"import docs, pathlib; docs.build({paths}, builder='dummy')"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT / "scripts", capture_output=True, text=True, check=False)
    assert "'three'" in done.stderr


def test_every_page_is_in_the_navigation_once() -> None:
    names = [name for _, names in docs.sections() for name in names]
    pages = [docs.place(page).removesuffix(".md") for page in docs.pages() if page != ROOT / "README.md"]
    assert sorted(names) == sorted([*pages, *TEXTS])
    assert [caption for caption, _ in docs.sections()] == ["Tutorial", "How to", "Reference", "Explanation"]


def test_what_is_wrong_in_a_site_is_found(tmp_path: Path) -> None:
    (tmp_path / "other.html").write_text('<p id="there">')
    (tmp_path / "page.html").write_text(
        '<a href="other.html#there">good</a><a href="https://example.org/">good</a><a href="#here"></a><a href="gone.html"></a>'
        '<a href="other.html#nowhere"></a><img src="https://example.org/x.png">'
        '<link rel="stylesheet" href="//example.org/x.css">'
    )
    (tmp_path / "style.css").write_text('@import "https://example.org/y.css"; p { background: url(//example.org/z.png) }')
    assert sorted(docs.faults_of(tmp_path)) == [
        "page.html leads to #here, where there is no such anchor",
        "page.html leads to gone.html, which is not there",
        "page.html leads to other.html#nowhere, where there is no such anchor",
        "page.html loads //example.org/x.css",
        "page.html loads https://example.org/x.png",
        "style.css loads //example.org/z.png",
        "style.css loads https://example.org/y.css",
    ]


# -- the reference -------------------------------------------------------------------------------------------------------
def test_each_command_has_a_heading() -> None:
    for name in group.commands:
        assert f"## newswire {name}\n" in TEXTS["commands"]


def test_each_setting_has_a_row() -> None:
    for setting in known_settings(group).values():
        assert f"`{setting.envvar}`" in TEXTS["settings"]


def test_each_route_has_a_heading() -> None:
    for route in routes_of(Web().app):
        path = re.sub(r"<(\w+)>", r"\\{\1\\}", route.path).replace("_", r"\_")
        assert f"## {route.method} {path}\n" in TEXTS["requests"]


def test_each_code_has_a_heading() -> None:
    assert re.findall(r"^## ([\w-]+)$", TEXTS["errors"], re.MULTILINE) == list(TABLE)


def test_each_metric_of_the_page_has_a_row_and_no_other() -> None:
    page = (ROOT / "docs/operate.md").read_text().partition("\n## Metrics\n")[2].partition("\n## ")[0]
    cells = "\n".join(line.split(" | ")[0] for line in page.splitlines() if line.startswith("| `newswire_"))
    assert set(re.findall(r"newswire_\w+", cells)) == set(re.findall(r"^\| `(\w+)`", TEXTS["metrics"], re.MULTILINE))


def test_each_class_of_the_library_has_a_heading_and_no_hook_of_tests() -> None:
    for name in set(newswire.__all__) - {"__version__"}:
        assert f"## {name}\n" in TEXTS["library"]
    assert "<built-in" not in TEXTS["library"]
    assert "<function" not in TEXTS["library"]


def test_examples_of_a_command_stand_in_lines() -> None:
    assert block("newswire user list --json") in TEXTS["commands"]


# -- Markdown ---------------------------------------------------------------------------------------------------------------
def test_nothing_but_backticks_is_markup() -> None:
    assert plain("a *b* <c> [d] `*e*`") == r"a \*b\* \<c\> \[d\] `*e*`".replace(r"\>", ">")


def test_cells_stay_in_their_rows() -> None:
    assert table(("a", "b"), [("x|y", "two\n lines")]).splitlines()[-1] == r"| x\|y | two lines |"
    assert table(("a",), []) == ""


def test_lines_that_are_marked_or_indented_stay_as_they_are() -> None:
    assert (
        prose("First\nline.\n\n\b\n  newswire x\n  newswire y")
        == f"First\nline.\n\n{block('newswire x' + chr(10) + 'newswire y')}"
    )
    assert prose("Say:\n\n    one\n    two\n") == f"Say:\n\n{block('one' + chr(10) + 'two')}"
    assert prose(None) == ""
