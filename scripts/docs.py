"""Build the documentation as a site: README.md in front, docs/ behind it, and a reference made from the code.

    scripts/docs                    into build/site; open build/site/index.html, or let any web server serve the folder
    scripts/docs --output FOLDER    into another folder
    scripts/docs --check            into none: what can be wrong in the pages is looked for, in half the time

The pages are those of the repository, as they lie there: their lists in README.md, Documentation, are the navigation, so a
page that stands in none of them is a warning. What `reference` makes of the code stands in no file that could fall behind. A
warning of the generator is an error, and so is a link, an anchor or a picture that leads nowhere, or anything that a page
would load from elsewhere.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import unquote, urlsplit

from reference import PAGES

ROOT: Final = Path(__file__).resolve().parent.parent
PLACES: Final = {"README.md": "index.md", "CHANGELOG.md": "changelog.md", "deploy/README.md": "two-machines.md"}
FILES: Final = "files"  # what pages link to that is no page
LINK: Final = re.compile(r"(?<=\]\()([^)#\s:]+)(?=[)#])")
SECTION: Final = re.compile(r"^### (.+)\n+((?:- .*\n(?:  .*\n)*)+)", re.MULTILINE)
LISTED: Final = re.compile(r"\]\(([^)#\s]+\.md)\)")
LOADED: Final = {"script": ("src",), "img": ("src",), "source": ("src",), "iframe": ("src",), "video": ("src",)}
LOADING: Final = ("stylesheet", "icon", "preload", "modulepreload", "prefetch", "preconnect", "dns-prefetch", "manifest")
IN_STYLE: Final = re.compile(r"""url\(\s*["']?((?:https?:)?//[^)"']+)|@import\s+["']((?:https?:)?//[^"']+)""")
SETTINGS: Final[dict[str, Any]] = {
    "project": "newswire",
    "html_title": "newswire",
    "root_doc": "index",
    "language": "en",
    "extensions": ["myst_parser"],
    "myst_heading_anchors": 4,  # as deep as a code forge makes them
    "nitpicky": True,
    "smartquotes": False,  # a text says "--" where it means that
    "html_theme": "furo",
    "html_static_path": ["_static"],
    "html_css_files": ["site.css"],
    "html_js_files": [("site.js", {"defer": "defer"})],
    "html_copy_source": False,
    "html_show_sourcelink": False,
    "html_show_copyright": False,
    "html_show_search_summary": False,  # it would fetch pages, which no browser does for files
}


def main(arguments: list[str]) -> int:
    """Build the site; the exit status."""
    parser = argparse.ArgumentParser(description="Build the documentation as a site.")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "site", help="the folder [default: build/site]")
    parser.add_argument("--check", action="store_true", help="look for what is wrong in the pages, and write nothing")
    options = parser.parse_args(arguments)
    output: Path = options.output.resolve()
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source"
        lay_out(source)
        if options.check:
            return int(not build(source, Path(folder) / "nothing", Path(folder) / "doctrees", builder="dummy"))
        shutil.rmtree(output, ignore_errors=True)
        if not build(source, output, Path(folder) / "doctrees", builder="html"):
            return 1
    faults = [*faults_of(output)]
    for fault in faults:
        print(fault, file=sys.stderr)
    print(f"{len([*output.glob('*.html')])} pages in {output}" if not faults else f"{len(faults)} faults")
    return int(bool(faults))


def lay_out(source: Path) -> None:
    """Lay the pages out as the site has them: links follow, what they lead to comes along, and the lists become navigation."""
    (source / "_static").mkdir(parents=True)
    for name in ("site.css", "site.js"):
        shutil.copyfile(ROOT / "docs" / name, source / "_static" / name)
    for page in pages():
        text = LINK.sub(lambda link, page=page: _moved(page, link[1], source), page.read_text())  # type: ignore[misc]
        (source / place(page)).write_text(text if page != ROOT / "README.md" else f"{_with_reference(text)}{navigation()}")
    for made in PAGES:
        (source / f"{made.name}.md").write_text(made.text())
        for name, content in made.files().items():
            (source / name).write_text(content)


def pages() -> list[Path]:
    """The pages of the repository."""
    return [*(ROOT / name for name in PLACES), *sorted((ROOT / "docs").glob("*.md"))]


def place(page: Path) -> str:
    """Where a page of the repository lies in the site."""
    name = page.relative_to(ROOT).as_posix()
    return PLACES.get(name, name.removeprefix("docs/"))


def navigation() -> str:
    """The lists of README.md, Documentation, as the generator's own."""
    return "\n".join(_toctree(caption, names) for caption, names in sections())


def sections() -> list[tuple[str, list[str]]]:
    """By caption, the names of the pages of the site. What has changed stands behind all other references."""
    text = (ROOT / "README.md").read_text().partition("\n## Documentation\n")[2].partition("\n## ")[0]
    found = []
    for section in SECTION.finditer(text):
        names = [place(ROOT / link).removesuffix(".md") for link in LISTED.findall(section[2])]
        made = [page.name for page in PAGES] if section[1] == "Reference" else []
        found.append((section[1], [*names[:-1], *made, names[-1]]))
    return found


def _toctree(caption: str, names: list[str]) -> str:
    return "\n".join(
        ("", "```{toctree}", ":hidden:", ":titlesonly:", ":maxdepth: 1", f":caption: {caption}", "", *names, "```", "")
    )


def _with_reference(text: str) -> str:
    """README.md with what is made from the code in its list of the reference."""
    lines = "".join(f"- [{made.title.lower()}]({made.name}.md): {made.about}\n" for made in PAGES)
    return SECTION.sub(lambda section: section[0] + (lines if section[1] == "Reference" else ""), text)


def _moved(page: Path, link: str, source: Path) -> str:
    """A link of a page as it is in the site. A file that is no page is copied there."""
    target = (page.parent / link).resolve()
    if not target.is_relative_to(ROOT) or not target.is_file():
        return link  # the generator says so
    if target.suffix == ".md":
        return place(target)
    copy = source / FILES / target.relative_to(ROOT)
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(target, copy)
    return copy.relative_to(source).as_posix()


def build(source: Path, output: Path, doctrees: Path, *, builder: Literal["html", "dummy"]) -> bool:
    """Run the generator; whether it had nothing to say."""
    from sphinx.application import Sphinx
    from sphinx.util.console import nocolor

    if not sys.stderr.isatty():
        nocolor()
    app = Sphinx(
        srcdir=source,
        confdir=None,
        outdir=output,
        doctreedir=doctrees,
        buildername=builder,
        confoverrides=SETTINGS,
        status=None,
        warning=sys.stderr,
        warningiserror=True,
    )
    app.build()
    (output / ".buildinfo").unlink(missing_ok=True)
    return app.statuscode == 0


class _Html(HTMLParser):
    """What a page links to, what it loads, and what can be linked to."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.anchors: set[str] = set()
        self.feed(page.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take note of an element."""
        values = {name: value or "" for name, value in attrs}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if tag == "link" and any(word in LOADING for word in values.get("rel", "").split()):
            self.loads.append(values["href"])
        self.loads += [values[name] for name in LOADED.get(tag, ()) if name in values]


def faults_of(site: Path) -> Iterator[str]:
    """What is wrong in a site: links, anchors and pictures that lead nowhere, and what is loaded from elsewhere."""
    pages = {page: _Html(page) for page in sorted(site.rglob("*.html"))}
    for page, html in pages.items():
        name = page.relative_to(site)
        for address in html.loads:
            if urlsplit(address).netloc:
                yield f"{name} loads {address}"
        for address in (*html.links, *html.loads):
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                continue
            target = Path(os.path.normpath(page.parent / unquote(parts.path))) if parts.path else page
            if not target.is_file():
                yield f"{name} leads to {address}, which is not there"
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
                yield f"{name} leads to {address}, where there is no such anchor"
    for style in sorted(site.rglob("*.css")):
        for found in IN_STYLE.finditer(style.read_text()):
            yield f"{style.relative_to(site)} loads {found[1] or found[2]}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
