"""The reference pages of the site, made from the code each time it is built: nothing here can fall behind what it describes."""

from __future__ import annotations

from typing import Final

from reference import commands, errors, library, metrics, requests, settings
from reference.page import Page

PAGES: Final = (commands.PAGE, settings.PAGE, requests.PAGE, errors.PAGE, metrics.PAGE, library.PAGE)

__all__ = ["PAGES", "Page"]
