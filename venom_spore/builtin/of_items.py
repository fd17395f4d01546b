"""The same skills for the items of a map-reduce, whose payload calls what is to be worked on `item`.

    await skill.map_reduce("Summarise", ["https://a.example", "https://b.example"], skill="summarise")

Beside the argument of its own name each takes `item` for it. A model's tools keep the one name: two would be a riddle.
"""

from __future__ import annotations

from typing import Any

from venom_core.errors import InvalidTask
from venom_spore.builtin.files import Files
from venom_spore.builtin.pages import Pages
from venom_spore.builtin.scan import Scan
from venom_spore.builtin.web import Web


class OfItems:
    """`fetch`, `extract`, `summarise`, `read_file` and `scan_path` with `item` as another name of what they work on."""

    def __init__(self, web: Web, pages: Pages, files: Files, scan: Scan) -> None:
        self._web, self._pages, self._files, self._scan = web, pages, files, scan

    async def fetch(self, url: str = "", item: str = "") -> dict[str, Any]:
        """`Web.fetch` of `url` or `item`."""
        return await self._web.fetch(_one("url", url, item))

    async def extract(self, url: str = "", html: str = "", item: str = "") -> dict[str, Any]:
        """`Pages.extract` of `url`, of `html`, or of the page that `item` is the address of."""
        return await self._pages.extract(_one("url", url, item) if item else url, html)

    async def summarise(self, url: str = "", text: str = "", sentences: int = 3, item: str = "") -> dict[str, Any]:
        """`Pages.summarise` of `url` or `text`; an `item` that is no web address is a text."""
        if item and (url or text):
            raise InvalidTask("summarise takes one of url, text and item")
        if item.startswith(("http://", "https://")):
            url = item
        else:
            text = text or item
        return await self._pages.summarise(url, text, sentences)

    def read_file(self, path: str = "", item: str = "") -> str:
        """`Files.read_file` of `path` or `item`."""
        return self._files.read_file(_one("path", path, item))

    def scan_path(self, path: str = "", names: str = "*", contains: str = "", item: str = "") -> dict[str, Any]:
        """`Scan.scan_path` of `path` or `item`, or of the whole workspace."""
        return self._scan.scan_path(_one("path", path, item) if path or item else ".", names, contains)


def _one(name: str, value: str, item: str) -> str:
    """The one of two names that was given."""
    if bool(value) == bool(item):
        raise InvalidTask(f"give {name}, or item in its place, and not both")
    return value or item
