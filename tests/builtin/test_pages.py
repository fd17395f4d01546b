from __future__ import annotations

import io
import json
import resource
import sys
from typing import Any

import pytest

from tests.builtin.loopback import Answer, Loopback
from venom_core.config import Settings
from venom_core.errors import InvalidTask, LimitReached, MissingExtra
from venom_spore.builtin import page_reader, pages
from venom_spore.builtin.pages import Pages
from venom_spore.builtin.web import Web

XML = '<?xml version="1.0" encoding="utf-8"?>'
PARAGRAPHS = (
    "Rzeka zalała w poniedziałek stare miasto i uszkodziła czterdzieści domów przy rynku.",
    "Piekarze rozdawali mieszkańcom chleb, a strażacy wypompowywali wodę z piwnic.",
    "Miasto prosi o pomoc dla mieszkańców domów, które rzeka zalała i uszkodziła w poniedziałek.",
    "Koncert, który miał się odbyć w niedzielę, został przełożony na koniec września.",
)


def article(paragraphs: tuple[str, ...] = PARAGRAPHS) -> str:
    """A page as newspapers have them: navigation and notices around an article."""
    return f"""<!doctype html><html lang="pl"><head><meta charset="utf-8"><title>Powódź – Gazeta</title>
        <meta name="author" content="Łucja Żak"><meta name="description" content="Rzeka wylała."></head><body>
        <nav><a href="/">Strona główna</a> <a href="/sport#top">Sport</a> <a href="mailto:a@b.c">Mail</a></nav>
        <main><article><h1>Powódź w mieście</h1>{"".join(f"<p>{text}</p>" for text in paragraphs)}
        <p>Czytaj <a href="dalej.html">dalej <b>tutaj</b></a> i <a href="/sport">o sporcie</a>.</p></article></main>
        <footer>Ciasteczka © 2026</footer><script>alert("zły")</script></body></html>"""


@pytest.fixture
def read(own: Settings) -> Pages:
    return Pages(Web(own))


# --------------------------------------------------------------------------------------------------------- extract


async def test_a_page_is_taken_apart(read: Pages, web: Loopback) -> None:
    url = web.on("/news/powodz", article())
    found = await read.extract(url)
    assert found["url"] == url
    assert found["title"] == "Powódź w mieście"
    assert (found["author"], found["description"], found["language"]) == ("Łucja Żak", "Rzeka wylała.", "pl")
    assert all(text in found["text"] for text in PARAGRAPHS)
    assert "alert" not in found["text"]
    assert "Ciasteczka" not in found["text"]
    assert found["cut"] is False
    assert found["links"] == [
        {"url": f"{web.address}/", "text": "Strona główna"},
        {"url": f"{web.address}/sport", "text": "Sport"},
        {"url": f"{web.address}/news/dalej.html", "text": "dalej tutaj"},
    ]


async def test_links_of_a_page_with_a_long_address_are_relative_to_it(read: Pages, web: Loopback) -> None:
    url = web.on(f"/{'x' * 300}/a", article())
    found = await read.extract(url)
    assert found["url"] == url
    assert found["links"][2]["url"] == f"{url.removesuffix('a')}dalej.html"


async def test_html_is_taken_apart_without_fetching_anything(read: Pages) -> None:
    found = await read.extract("http://nowhere.invalid/a/b", article())
    assert found["url"] == "http://nowhere.invalid/a/b"
    assert found["links"][2]["url"] == "http://nowhere.invalid/a/dalej.html"
    assert (await read.extract(html=article()))["links"] == []


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>just this</p>", "just this"),
        ("<html><body>日本語のページ</body></html>", "日本語のページ"),
        (f"{XML}<html xmlns='http://www.w3.org/1999/xhtml'><body><p>żółć</p></body></html>", "żółć"),
        ("<html><body></body></html>", ""),
        ("   ", ""),
        ("<", "<"),
    ],
)
async def test_a_page_without_an_article_still_has_its_words(read: Pages, html: str, text: str) -> None:
    found = await read.extract(html=html)
    assert text in found["text"]
    assert bool(found["text"]) == bool(text)


async def test_a_page_in_an_old_encoding_is_read(read: Pages, web: Loopback) -> None:
    page = article().replace('charset="utf-8"', 'charset="iso-8859-2"')
    body = page.encode("iso-8859-2", "xmlcharrefreplace")
    url = web.on("/old", Answer(body, 200, {"content-type": "text/html"}))
    assert (await read.extract(url))["title"] == "Powódź w mieście"


async def test_a_page_that_is_built_to_take_for_ever_is_ended(read: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tag of 100,000 attributes: 0.9 MB that keep the parser busy for minutes."""
    monkeypatch.setattr(pages, "READING_S_MAX", 1.0)
    html = f"<p {' '.join(f'a{number}=1' for number in range(100_000))}>x</p>"
    with pytest.raises(LimitReached, match="this page takes longer than 1 s to read"):
        await read.extract(html=html)


async def test_a_reader_that_dies_is_one_sentence(read: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "_READER", "venom_spore.builtin.no_such_reader")
    with pytest.raises(LimitReached, match=r"cannot be read within the limits of this node: .*no_such_reader"):
        await read.extract(html="<p>a</p>")


async def test_a_reader_is_given_the_address_where_no_list_of_processes_shows_it(
    read: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "_READER", "tests.builtin.telling_reader")
    told = await read.extract("http://a.example/b?key=hi\ndden", "<p>a</p>")
    assert told["arguments"] == []
    assert told["given"] == "http://a.example/b?key=hi dden\n<p>a</p>"


async def test_an_error_does_not_repeat_the_query_of_an_address(read: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "_READER", "venom_spore.builtin.no_such_reader")
    with pytest.raises(LimitReached, match=r"^http://a\.example/b cannot be read"):
        await read.extract("http://a.example/b?key=hidden", "<p>a</p>")


async def test_a_missing_extra_is_one_sentence(read: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "find_spec", lambda _: None)
    with pytest.raises(
        MissingExtra, match=r"extract needs the package trafilatura; in the clone, run: pip install '\.\[web\]'"
    ):
        await read.extract(html="<p>a</p>")
    assert (await read.summarise(text="One thing. And another."))["summary"]


async def test_nothing_to_take_apart_is_one_sentence(read: Pages) -> None:
    with pytest.raises(InvalidTask, match="extract takes the url of a page, or its html"):
        await read.extract()


# --------------------------------------------------------------------------------------------------- in the child


def test_what_the_child_says_is_json_with_every_list_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_reader, "LINKS_MAX", 2)
    monkeypatch.setattr(page_reader, "TEXT_CHARS_MAX", 100)
    long_link = f"<a href='/{'x' * 2000}'>long</a><a href='http://[broken'>broken</a>"
    found = page_reader.read(article().replace("</article>", f"{long_link}</article>"), "http://a.example/b/c")
    assert [link["url"] for link in found["links"]] == ["http://a.example/", "http://a.example/sport"]
    assert (len(found["text"]), found["cut"]) == (100, True)
    assert json.loads(json.dumps(found)) == found


def test_the_child_limits_itself_before_it_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[Any] = []
    monkeypatch.setattr(resource, "setrlimit", lambda kind, value: limits.append((kind, value)))
    page = "http://a.example/\n<p>żółć <a href='b'>b</a></p>"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(page.encode())))
    heard = io.StringIO()
    monkeypatch.setattr(sys, "stdout", heard)
    page_reader.main()
    found = json.loads(heard.getvalue())
    assert (found["text"], found["links"]) == ("żółć b", [{"url": "http://a.example/b", "text": "b"}])
    assert [value for _, value in limits] == [(30, 30), (1 << 30, 1 << 30)]


# ------------------------------------------------------------------------------------------------------- summarise


async def test_a_page_is_summarised(read: Pages, web: Loopback) -> None:
    found = await read.summarise(web.on("/a", article()), sentences=2)
    assert found["title"] == "Powódź w mieście"
    assert found["url"] == f"{web.address}/a"
    assert found["summary"] == f"{PARAGRAPHS[0]} {PARAGRAPHS[2]}"


async def test_a_text_is_summarised(read: Pages) -> None:
    assert await read.summarise(text=" ".join(PARAGRAPHS), sentences=1) == {
        "url": "",
        "title": "",
        "summary": PARAGRAPHS[0],
    }


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({}, "summarise takes the url of a page or a text, one of the two"),
        ({"url": "http://a.example", "text": "a"}, "one of the two"),
        ({"text": "a", "sentences": 0}, "sentences is 1 to 50, not 0"),
        ({"text": "a", "sentences": 51}, "sentences is 1 to 50, not 51"),
        ({"text": "..."}, "there are no sentences to summarise in this text"),
    ],
)
async def test_what_cannot_be_summarised_is_one_sentence(read: Pages, wish: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidTask, match=words):
        await read.summarise(**wish)
