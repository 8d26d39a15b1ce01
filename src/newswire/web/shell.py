"""The files that pages load, and what a browser keeps of them for when no broker answers.

A file's address names the version, which is what all of them hash to. The service worker (`static/worker.js`) is served with
what it is to keep written before it: the page that opens then, and the few files of that page with their hashes, so that a
browser refuses what another version of newswire would answer under the same names. It never keeps what a broker says.
"""

from __future__ import annotations

import base64
import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Final

from newswire.web.content_coding import deflate

FOLDER: Final = Path(__file__).parent / "static"
TYPES: Final = {  # of what is compressed
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
}
WORKER: Final = "worker.js"
FILES: Final = frozenset(file.name for file in FOLDER.iterdir() if file.suffix in TYPES and file.name != WORKER)
VERSION: Final = hashlib.sha256(b"".join(file.read_bytes() for file in sorted(FOLDER.iterdir()))).hexdigest()[:12]
PLACE: Final = f"/static/{VERSION}"
OFFLINE: Final = ("feed.css", "icon.svg", "dom.js", "last_word.js", "offline.js")  # what `templates/offline.html` loads
# the page looks for brokers wherever the last page knew some: a policy that named them would be as old as the worker is
OFFLINE_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src http: https:; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)


@cache
def compressed(name: str) -> tuple[str, bytes]:
    """The content type of one of `FILES`, and the file as gzip: made once, as small as it gets."""
    file = FOLDER / name
    return f"{TYPES[file.suffix]}; charset=utf-8", b"".join(deflate([file.read_bytes()], level=9))


@cache
def worker() -> str:
    """The service worker, with what it keeps written before it."""
    page = (FOLDER.parent / "templates" / "offline.html").read_text().replace("{{ static }}", PLACE)
    files = {name: _integrity((FOLDER / name).read_bytes()) for name in OFFLINE}
    shell = {"version": VERSION, "place": PLACE, "files": files, "page": page, "policy": OFFLINE_POLICY}
    return f"const SHELL = {json.dumps(shell)};\n{(FOLDER / WORKER).read_text()}"


def _integrity(data: bytes) -> str:
    """The hash of a file as a browser checks it (Subresource Integrity, 3.1)."""
    return f"sha256-{base64.b64encode(hashlib.sha256(data).digest()).decode()}"
