"""The HTTP side of a Nexus as one ASGI application, put together from the routes of each part."""

from __future__ import annotations

from pathlib import Path

from starlette.applications import Starlette

from venom_core.api.updates import UpdateFiles
from venom_core.config import Settings

REPOSITORY = "repository"


def make_app(settings: Settings) -> Starlette:
    """The application of a Nexus with these settings; it reads files only when it is asked for them."""
    updates = UpdateFiles(Path(settings.hive_ota_home) / REPOSITORY)
    app = Starlette(routes=updates.routes())
    app.router.redirect_slashes = False  # nobody who downloads follows a redirect
    return app
