"""Skills that take the words out of a page and pick the sentences that say most of them, without a model."""

from __future__ import annotations

import asyncio
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec

from venom_core.errors import InvalidTask, LimitReached, MissingExtra, TaskTimeout
from venom_spore.builtin import summary
from venom_spore.builtin.child import run_child
from venom_spore.builtin.web import Web, shown

SENTENCES_MAX = 50
READING_S_MAX = 30.0
READERS_MAX = 4
_RESULT_BYTES_MAX = 8_388_608
_READER = "venom_spore.builtin.page_reader"
_EXTRA = "extract needs the package trafilatura; in the clone, run: pip install '.[web]'"


class Pages:
    """The skills `extract` and `summarise`; pages come through `Web`."""

    def __init__(self, web: Web) -> None:
        self._web = web
        self._readers = asyncio.Semaphore(READERS_MAX)

    async def extract(self, url: str = "", html: str = "") -> dict[str, Any]:
        """Take title, author, date, language, text and links out of a web page: give its `url`, or its `html`.

        With both, `url` is what links in `html` are relative to, and nothing is fetched.
        """
        if not url and not html:
            raise InvalidTask("extract takes the url of a page, or its html")
        _require_extra()
        if not html:
            page = await self._web.get(url)
            url, html = page.url, await page.text()
        async with self._readers:  # each may take a gibibyte
            return {"url": url} | await _read(html, url)

    async def summarise(self, url: str = "", text: str = "", sentences: int = 3) -> dict[str, Any]:
        """Summarise a web page (give `url`) or a `text` by its most telling sentences, word for word, in any language.

        `sentences` is how many, 1 to 50. Gives `url`, `title` and `summary`.
        """
        if not 1 <= sentences <= SENTENCES_MAX:
            raise InvalidTask(f"sentences is 1 to {SENTENCES_MAX}, not {sentences}")
        if bool(url) == bool(text):
            raise InvalidTask("summarise takes the url of a page or a text, one of the two")
        page = await self.extract(url) if url else {"url": "", "title": "", "text": text}
        chosen = await asyncio.to_thread(summary.summarise, page["text"], sentences)
        if not chosen:
            raise InvalidTask(f"there are no sentences to summarise in {shown(url) or 'this text'}")
        return {"url": page["url"], "title": page["title"], "summary": " ".join(chosen)}


def _require_extra() -> None:
    if find_spec("trafilatura") is None:
        raise MissingExtra(_EXTRA)


async def _read(html: str, url: str) -> dict[str, Any]:
    """What the page says, from a process of its own: see `page_reader`."""
    # -P: nothing in the current folder is imported in place of a library.
    command = [sys.executable, "-P", "-m", _READER]
    name = shown(url) or "this page"
    path = os.pathsep.join(entry for entry in sys.path if entry)
    try:
        done = await run_child(
            command,
            folder=Path.cwd(),
            environment={"PYTHONPATH": path, "PYTHONIOENCODING": "utf-8"},
            timeout_s=READING_S_MAX,
            output_bytes_max=_RESULT_BYTES_MAX,
            given=f"{' '.join(url.splitlines())}\n{html}".encode("utf-8", "replace"),
        )
    except TaskTimeout:
        raise LimitReached(f"{name} takes longer than {READING_S_MAX:g} s to read") from None
    if done.exit_code != 0 or done.cut:
        raise LimitReached(f"{name} cannot be read within the limits of this node: {_last_line(done.err)}")
    found: dict[str, Any] = msgspec.json.decode(done.out)
    return found


def _last_line(said: bytes) -> str:
    lines = said.decode(errors="replace").strip().splitlines()
    return lines[-1][:200] if lines else "its process was ended"
