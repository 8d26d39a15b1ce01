"""The HTTP surface (docs/http.md): a Flask application over the engine's seam."""

from __future__ import annotations

from newswire.web.admission import create_admission
from newswire.web.app import create_app

__all__ = ["create_admission", "create_app"]
