"""The browser window of a stream: find a browser with windows and open an address in it, without waiting for it.

`$BROWSER` is honoured. A browser that lives in the terminal is none: it would take the menu's place and shows no stream.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import webbrowser
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

from newswire.core import limits
from newswire.errors import NoBroker

if TYPE_CHECKING:
    from newswire.client import BrokerPool

_IN_THE_TERMINAL: Final = frozenset(("www-browser", "links", "links2", "elinks", "lynx", "w3m", "browsh", "carbonyl"))


def open_window(url: str) -> bool:
    """Open `url` in a window; False where there is no browser that has one."""
    command = chosen_command(os.environ, url, shutil.which)
    try:
        if command:
            nowhere = subprocess.DEVNULL
            subprocess.Popen(command, stdin=nowhere, stdout=nowhere, stderr=nowhere, start_new_session=True)
            return True
        if os.environ.get("BROWSER") or not has_display(os.environ, sys.platform):
            return False
        browser = webbrowser.get()
    except (OSError, webbrowser.Error):
        return False
    name = os.path.basename(str(getattr(browser, "name", "")))
    return name not in _IN_THE_TERMINAL and browser.open(url)


def with_ticket(url: str, pool: BrokerPool, broker: str) -> str:
    """The address with what signs a browser window in, once and soon. Raises NewswireError."""
    from newswire.client.transport import Call
    from newswire.client.unreached import Unreached

    try:
        answer = pool.transport.send(pool.brokers.ours(broker), Call("POST", "/tickets"), limits.CLI_CALL_SECONDS)
    except Unreached as error:
        raise NoBroker(f"{broker} gave no answer ({error.reason}): try again") from None
    if answer.code == "auth-is-off":
        return url
    if answer.status >= 300:
        raise answer.error()
    return f"{url}&{urlencode({'ticket': str(answer.json().get('ticket', ''))})}"


def chosen_command(environ: Mapping[str, str], url: str, which: Callable[[str], str | None]) -> list[str]:
    """The command of the first entry of `$BROWSER` that exists and opens windows; `%s` in it stands for the address."""
    for entry in environ.get("BROWSER", "").split(os.pathsep):
        words = [word for word in _words(entry) if word != "&"]
        if words and which(words[0]) and os.path.basename(words[0]) not in _IN_THE_TERMINAL:
            filled = [word.replace("%s", url) for word in words]
            return filled if filled != words else [*words, url]
    return []


def has_display(environ: Mapping[str, str], platform: str) -> bool:
    """Say whether windows can be opened at all."""
    return platform in ("darwin", "win32") or bool(environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY"))


def _words(entry: str) -> list[str]:
    try:
        return shlex.split(entry)
    except ValueError:
        return []
