"""Reads one page of HTML: `python -m venom_spore.builtin.page_reader < page > result`, both UTF-8.

The URL is the first line of the input: arguments are in the list of processes, and an address may hold a key.

The one door to trafilatura, and a process of its own: pages come from strangers, and one of a mebibyte can be built so
that a parser needs minutes or gigabytes for it. Here it is killed, and the limits below hold it meanwhile.
"""

from __future__ import annotations

import json
import resource
import sys
from typing import Any
from urllib.parse import urljoin, urlsplit

import trafilatura

TEXT_CHARS_MAX = 200_000
LINKS_MAX = 500
LINK_CHARS_MAX = 1000
MEMORY_BYTES_MAX = 1_073_741_824
CPU_S_MAX = 30
_META = ("title", "author", "date", "description", "sitename")


def read(html: str, url: str) -> dict[str, Any]:
    """What a page says.

    `{"title", "author", "date", "description", "sitename", "language": texts, "text": at most 200,000 characters,
    "cut": whether there were more, "links": at most 500 of {"url", "text"}}`; what is not known is empty.
    """
    if "<html" not in html.lower():  # a piece of a page: alone, it is taken for none
        html = f"<html><body>{html}</body></html>"
    tree = trafilatura.load_html(html)
    found: dict[str, Any] = dict.fromkeys(_META, "")
    text = language = ""
    links: list[dict[str, str]] = []
    if tree is not None:
        language = str(tree.get("lang") or tree.get("{http://www.w3.org/XML/1998/namespace}lang") or "")
        links = _links(tree, url)
        document = trafilatura.bare_extraction(html, url=url or None, with_metadata=True, include_comments=False)
        if document is not None:
            known = document if isinstance(document, dict) else document.as_dict()
            found |= {name: str(known.get(name) or "") for name in _META}
            text = str(known.get("text") or "")
            language = language or str(known.get("language") or "")
        # A page without an article still has words.
        text = text.strip() or str(trafilatura.html2txt(html) or "").strip()
    return found | {
        "language": language[:35],
        "text": text[:TEXT_CHARS_MAX],
        "cut": len(text) > TEXT_CHARS_MAX,
        "links": links,
    }


def _links(tree: Any, url: str) -> list[dict[str, str]]:
    """Web addresses that the page links to, each once, in order."""
    found: dict[str, str] = {}
    for anchor in tree.iter("a"):
        address = _absolute(url, str(anchor.get("href") or "").strip())
        if address and len(found) < LINKS_MAX:
            words = " ".join("".join(anchor.itertext()).split())[:LINK_CHARS_MAX]
            found[address] = found.get(address) or words
    return [{"url": address, "text": words} for address, words in found.items()]


def _absolute(base: str, link: str) -> str:
    """The address without its fragment, or nothing for one that is none or too long."""
    try:
        address = urljoin(base, link).partition("#")[0]
        kind = urlsplit(address).scheme
    except ValueError:
        return ""
    return address if kind in ("http", "https") and len(address) <= LINK_CHARS_MAX else ""


def main() -> None:
    """Read standard input, write the result as JSON."""
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S_MAX, CPU_S_MAX))
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
    url, _, html = sys.stdin.buffer.read().decode("utf-8", "replace").partition("\n")
    result = json.dumps(read(html, url), ensure_ascii=True)
    sys.stdout.write(result)


if __name__ == "__main__":
    main()
