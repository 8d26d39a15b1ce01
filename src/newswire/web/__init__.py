"""The HTTP surface (docs/http.md): a Flask application over the engine's seam."""

from __future__ import annotations

from newswire.web.admission import create_admission
from newswire.web.app import create_app
from newswire.web.auth import Authenticator
from newswire.web.route import light_routes
from newswire.web.slim import SlimApp

__all__ = ["Authenticator", "SlimApp", "create_admission", "create_app", "light_routes"]
