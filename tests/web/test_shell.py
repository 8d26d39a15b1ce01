"""The files of the pages, and what a browser keeps of them (web/shell.py)."""

from __future__ import annotations

import base64
import hashlib
import json
import re

import pytest

from newswire.web import shell
from tests.kit.access import GuardedWeb

TEMPLATES = shell.FOLDER.parent / "templates"


def kept() -> dict[str, object]:
    """What the service worker is told to keep."""
    first = shell.worker().partition("\n")[0]
    return dict(json.loads(first.removeprefix("const SHELL = ").removesuffix(";")))


def test_what_the_page_without_a_broker_loads_is_kept_and_nothing_else() -> None:
    page, needed = str(kept()["page"]), {"offline.js"}
    assert "{" not in page.replace("{{", "{"), "it was rendered"
    loads = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert {place.rpartition("/")[0] for place in loads} == {shell.PLACE}
    needed |= {place.rpartition("/")[2] for place in loads}
    for name in list(needed):
        if name.endswith(".js"):
            needed |= set(re.findall(r'from "\./([\w.]+)"', (shell.FOLDER / name).read_text()))
    for name in needed:
        text = (shell.FOLDER / name).read_text()
        assert set(re.findall(r'from "\./([\w.]+)"', text)) <= needed, name
        assert "url(" not in text, name
    assert needed == set(shell.OFFLINE)
    script = (shell.FOLDER / "offline.js").read_text()
    assert set(re.findall(r'\$\("([\w-]+)"\)', script)) <= set(re.findall(r'id="([\w-]+)"', page))


def test_what_is_kept_is_checked_against_what_it_hashes_to() -> None:
    for name, integrity in dict(kept()["files"]).items():  # type: ignore[call-overload]
        assert (
            base64.b64decode(integrity.removeprefix("sha256-")) == hashlib.sha256((shell.FOLDER / name).read_bytes()).digest()
        )
    text = (shell.FOLDER / shell.WORKER).read_text()
    assert text.count("cache.put(") == 1, "only what install has checked is kept"
    assert 'integrity, credentials: "omit"' in text


@pytest.mark.parametrize("route", ["/static/worker.js", f"{shell.PLACE}/worker.js"])
def test_the_worker_is_for_every_page_and_asked_for_again(route: str) -> None:
    response = GuardedWeb().client.get(route, headers={"Accept-Encoding": "gzip"})  # by nobody who is signed in
    assert response.get_data(as_text=True) == shell.worker()
    assert (response.headers["Service-Worker-Allowed"], response.headers["Cache-Control"]) == ("/", "no-cache")
    assert response.content_type == "text/javascript; charset=utf-8"


def test_a_file_of_another_version_is_not_kept_under_its_name() -> None:
    client = GuardedWeb().client
    for headers in ({}, {"Accept-Encoding": "gzip"}):
        assert "max-age=300" in client.get(f"{shell.PLACE}/feed.js", headers=headers).headers["Cache-Control"]
        assert "max-age=0" in client.get("/static/0123456789ab/feed.js", headers=headers).headers["Cache-Control"]


def test_the_manifest_names_icons_that_are_there() -> None:
    response = GuardedWeb().client.get(f"{shell.PLACE}/app.webmanifest")
    assert response.mimetype == "application/manifest+json"
    said = json.loads(response.get_data(as_text=True))
    assert (said["id"], said["start_url"], said["scope"], said["display"]) == ("/", "/", "/", "standalone")
    sizes = set()
    for icon in said["icons"]:
        data = (shell.FOLDER / icon["src"]).read_bytes()
        if icon["type"] == "image/png":
            width, height = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
            assert icon["sizes"] == f"{width}x{height}"
            sizes.add((width, icon.get("purpose", "any")))
    assert sizes == {(192, "any"), (512, "any"), (512, "maskable")}
    for template in ("feed.html", "frame.html"):
        assert "app.webmanifest" in (TEMPLATES / template).read_text()
