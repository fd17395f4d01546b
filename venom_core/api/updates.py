"""Signed updates over HTTP: the files of the TUF repository, read-only, each by its exact name.

Nothing here is secret and nothing is believed: whoever downloads checks every byte against what is signed. What a
name may be is a grammar, so that there is no path to escape by and nothing else of the folder can be asked for.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from venom_core.api.served_file import answer_with, open_below

NAME_CHARS_MAX = 255
_METADATA = re.compile(r"(?:[1-9][0-9]{0,8}\.(?:root|snapshot|targets)|timestamp)\.json", re.ASCII)
_TARGET = re.compile(r"(packages|wheels)/([0-9a-f]{64}\.[A-Za-z0-9][A-Za-z0-9._+!-]{0,180})", re.ASCII)
_ALWAYS = {"x-content-type-options": "nosniff"}
_FOR_GOOD = {**_ALWAYS, "cache-control": "public, max-age=31536000, immutable"}
_FOR_NOW = {**_ALWAYS, "cache-control": "no-cache"}


class UpdateFiles:
    """The routes `/ota/metadata/<file>` and `/ota/targets/<path>` over one repository, which may not be there yet."""

    def __init__(self, repository: Path) -> None:
        self._repository = repository

    def routes(self) -> list[Route]:
        """Both routes; each answers GET and HEAD."""
        return [
            Route("/ota/metadata/{name}", self.metadata, methods=["GET"]),
            Route("/ota/targets/{path:path}", self.target, methods=["GET"]),
        ]

    async def metadata(self, request: Request) -> Response:
        """A file of metadata; 404 tells a client that there is no newer root."""
        name = request.path_params["name"]
        if not _METADATA.fullmatch(name):
            return _absent()
        headers = _FOR_NOW if name == "timestamp.json" else _FOR_GOOD
        return await self._answer(request, ("metadata", name), {**headers, "content-type": "application/json"})

    async def target(self, request: Request) -> Response:
        """A package or a wheel, by its hash."""
        found = _TARGET.fullmatch(request.path_params["path"])
        if found is None:
            return _absent()
        return await self._answer(
            request, ("targets", *found.groups()), {**_FOR_GOOD, "content-type": "application/octet-stream"}
        )

    async def _answer(self, request: Request, parts: Sequence[str], headers: dict[str, str]) -> Response:
        try:
            opened = await asyncio.to_thread(open_below, self._repository, parts)
        except OSError:
            return _absent()
        return answer_with(request, opened, headers)


def _absent() -> Response:
    return PlainTextResponse("there is no such file\n", status_code=404, headers={**_FOR_NOW})
