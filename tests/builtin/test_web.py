from __future__ import annotations

import asyncio
import codecs
import gzip
import socket
import ssl
import threading
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.builtin.loopback import Answer, Loopback, head, loopback
from tests.hives import altered
from tests.infrastructure.test_redis_pools import certify
from venom_core.config import Settings
from venom_core.errors import Forbidden, InvalidTask, LimitReached, ServiceFailed, VenomError
from venom_spore.builtin.addresses import AddressPolicy
from venom_spore.builtin.guarded_transport import GuardedTransport
from venom_spore.builtin.tls import tls_context
from venom_spore.builtin.web import CHARSETS, DECODED_HERE_BYTES_MAX, Web, decode

HTML = {"content-type": "text/html"}
STATUS = [(400, InvalidTask), (403, InvalidTask), (404, InvalidTask)]
STATUS_AGAIN = [(429, ServiceFailed), (500, ServiceFailed), (503, ServiceFailed), (599, ServiceFailed)]


def redirect(to: str, status: int = 302) -> Answer:
    return Answer(b"", status, {"location": to})


Resolve = Callable[..., list[str]]


@pytest.fixture
async def resolve(monkeypatch: pytest.MonkeyPatch) -> Resolve:
    """Lets every name lead to these addresses, one list after the other; returns the names that are asked for."""

    def lead(*answers: list[str]) -> list[str]:
        asked: list[str] = []
        coming = iter(answers)

        async def getaddrinfo(host: str, port: int, **_: Any) -> list[Any]:
            asked.append(host)
            if host == "nowhere.invalid":
                raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in next(coming)]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo, raising=False)
        return asked

    return lead


# ------------------------------------------------------------------------------------------------------- fetching


async def test_a_page_is_fetched_with_its_last_address(own: Settings, web: Loopback) -> None:
    web.on("/a", redirect("/b"))
    web.on("/b", redirect(f"{web.address}/c", 301))
    web.on("/c", "<p>zażółć gęślą</p>")
    assert await Web(own).fetch(f"{web.address}/a") == {
        "url": f"{web.address}/c",
        "status": 200,
        "content_type": "text/html; charset=utf-8",
        "text": "<p>zażółć gęślą</p>",
    }
    assert web.requests[0].headers["user-agent"].startswith("venom-hive/")
    assert web.requests[0].headers["host"] == f"127.0.0.1:{web.port}"


async def test_the_name_goes_into_the_request_and_the_address_into_the_connection(
    own: Settings, web: Loopback, resolve: Resolve
) -> None:
    web.on("/", "hello")
    resolve(["127.0.0.1"])
    page = await Web(own).fetch(f"http://a.example:{web.port}/")
    assert (page["url"], page["text"]) == (f"http://a.example:{web.port}/", "hello")
    assert web.requests[0].headers["host"] == f"a.example:{web.port}"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com",
        "/etc/passwd",
        "file:///etc/passwd",
        "ftp://example.com/",
        "gopher://example.com/",
        "http://",
        "http://[::1",
        "javascript:alert(1)",
        "http://example.com/" + "x" * 5000,
        "http://ex\x00ample.com/",
    ],
)
async def test_what_is_no_web_address_is_refused_before_anything_is_sent(own: Settings, url: str) -> None:
    with pytest.raises(InvalidTask, match="is no http or https address of at most 4,096 characters") as caught:
        await Web(own).fetch(url)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("status", [404, 500])
async def test_an_error_does_not_repeat_the_query_of_an_address(own: Settings, web: Loopback, status: int) -> None:
    url = web.on("/a?key=hidden", Answer(b"sorry", status, HTML))
    with pytest.raises(VenomError, match=f"/a answered {status}") as caught:
        await Web(own).fetch(f"{url}#part-hidden")
    assert "hidden" not in str(caught.value)


async def test_what_is_no_address_is_not_repeated_with_its_secrets(own: Settings) -> None:
    with pytest.raises(InvalidTask, match=r"^ftp://a\.example/b is no http") as caught:
        await Web(own).fetch("ftp://me:hidden@a.example/b?key=hidden")
    assert "hidden" not in str(caught.value)


async def test_a_long_address_is_given_back_as_it_is(own: Settings, web: Loopback) -> None:
    url = web.on(f"/{'x' * 300}?q=1", "hello")
    assert (await Web(own).fetch(url))["url"] == url
    missing = web.on(f"/{'y' * 300}", Answer(b"", 404, HTML))
    with pytest.raises(InvalidTask, match=r"/y{100,180}\.\.\. answered 404"):
        await Web(own).fetch(missing)


async def test_a_password_in_an_address_is_refused_and_not_repeated(own: Settings) -> None:
    with pytest.raises(Forbidden, match="user name or password") as caught:
        await Web(own).fetch("http://user:hidden@example.com/")
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(("status", "kind"), [*STATUS, *STATUS_AGAIN])
async def test_an_error_of_the_server_says_whether_another_attempt_helps(
    own: Settings, web: Loopback, status: int, kind: type[VenomError]
) -> None:
    url = web.on("/a", Answer(b"sorry", status, HTML))
    with pytest.raises(kind, match=f"/a answered {status}"):
        await Web(own).fetch(url)


@pytest.mark.parametrize("kind", ["image/png", "application/pdf", "application/octet-stream", "video/mp4"])
async def test_what_is_no_text_is_refused(own: Settings, web: Loopback, kind: str) -> None:
    url = web.on("/a", Answer(b"\x89PNG", 200, {"content-type": kind}))
    with pytest.raises(InvalidTask, match=f"is '{kind}', and fetch gives text only"):
        await Web(own).fetch(url)


@pytest.mark.parametrize(
    "kind", ["application/json", "application/xhtml+xml; charset=utf-8", "text/plain", "application/ld+json", ""]
)
async def test_text_of_any_kind_is_given(own: Settings, web: Loopback, kind: str) -> None:
    url = web.on("/a", Answer(b"{}", 200, {"content-type": kind} if kind else {}))
    assert (await Web(own).fetch(url))["text"] == "{}"


# --------------------------------------------------------------------------------------------------------- policy


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]", "0"])
async def test_however_a_private_address_is_written_it_is_refused(web: Loopback, host: str) -> None:
    web.on("/", "secret")
    with pytest.raises((Forbidden, ServiceFailed)) as caught:
        await Web(Settings.load()).fetch(f"http://{host}:{web.port}/")
    assert "private, local or reserved" in str(caught.value) or "cannot be resolved" in str(caught.value)
    assert web.requests == []


@pytest.mark.parametrize(
    "to", ["http://169.254.169.254/latest/", "http://10.1.2.3/", "//192.168.0.1/", "http://[::1]/"]
)
async def test_a_redirect_does_not_get_round_the_policy(own: Settings, web: Loopback, to: str) -> None:
    url = web.on("/a", redirect(to))
    with pytest.raises(Forbidden, match="a private, local or reserved address"):
        await Web(own).fetch(url)


@pytest.mark.parametrize("to", ["file:///etc/passwd", "ftp://example.com/"])
async def test_a_redirect_to_something_else_than_the_web_is_refused(own: Settings, web: Loopback, to: str) -> None:
    url = web.on("/a", redirect(to))
    with pytest.raises(InvalidTask, match="redirects to, something else than an http or https address"):
        await Web(own).fetch(url)


async def test_a_name_is_asked_once_and_connected_to_what_was_judged(
    own: Settings, web: Loopback, resolve: Resolve
) -> None:
    """A name that says an allowed address first and another one afterwards (DNS rebinding)."""
    web.on("/", "hello")
    asked = resolve(["127.0.0.1"], ["10.0.0.1"])
    page = await Web(own).fetch(f"http://rebinding.example:{web.port}/")
    assert (page["text"], asked) == ("hello", ["rebinding.example"])
    with pytest.raises(Forbidden, match=r"'rebinding\.example' leads to 10\.0\.0\.1"):
        await Web(own).fetch(f"http://rebinding.example:{web.port}/")
    assert len(web.requests) == 1


async def test_one_private_address_among_public_ones_is_enough_to_refuse(own: Settings, resolve: Resolve) -> None:
    resolve(["8.8.8.8", "10.0.0.1"])
    with pytest.raises(Forbidden, match=r"leads to 10\.0\.0\.1"):
        await Web(own).fetch("http://both.example/")


async def test_when_the_first_address_does_not_answer_the_next_is_tried(
    own: Settings, web: Loopback, resolve: Resolve
) -> None:
    web.on("/", "hello")
    resolve(["127.0.0.2", "127.0.0.1"])
    assert (await Web(own).fetch(f"http://two.example:{web.port}/"))["text"] == "hello"


async def test_a_name_that_leads_nowhere_is_one_sentence(own: Settings, resolve: Resolve) -> None:
    resolve([])
    with pytest.raises(ServiceFailed, match=r"the name 'nowhere\.invalid' cannot be resolved: Name or service"):
        await Web(own).fetch("http://nowhere.invalid/")
    with pytest.raises(ServiceFailed, match="leads to no address"):
        await Web(own).fetch("http://empty.example/")


async def test_a_label_that_is_too_long_is_one_sentence(own: Settings) -> None:
    with pytest.raises((ServiceFailed, InvalidTask)):
        await Web(own).fetch(f"http://{'x' * 70}.example/")


async def test_the_certificate_is_checked_against_the_name_and_not_the_address(
    resolve: Resolve, tmp_path: Path
) -> None:
    certify(tmp_path)
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    serving.load_cert_chain(tmp_path / "srv.pem", tmp_path / "srv.key")
    trusting = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    resolve(*[["127.0.0.1"]] * 3)
    async with loopback(serving) as web:
        web.on("/", "hello")
        for host, context in (("localhost", trusting), ("other.example", trusting), ("localhost", tls_context())):
            transport = GuardedTransport(AddressPolicy("127.0.0.0/8"), context)
            async with httpx.AsyncClient(transport=transport, trust_env=False) as client:
                if (host, context) == ("localhost", trusting):
                    assert (await client.get(f"https://{host}:{web.port}/")).text == "hello"
                    continue
                with pytest.raises(httpx.ConnectError, match="certificate verify failed"):
                    await client.get(f"https://{host}:{web.port}/")
    assert len(web.requests) == 1


# ---------------------------------------------------------------------------------------------------------- limits


async def test_a_page_of_a_gigabyte_ends_at_the_limit(own: Settings, web: Loopback) -> None:
    async def flood(writer: asyncio.StreamWriter) -> None:
        writer.write(head(content_type="text/html"))
        await web.flood(writer)

    url = web.on("/big", flood)
    with pytest.raises(LimitReached, match=r"/big is larger than 100,000 bytes \(HIVE_FETCH_BYTES_MAX\)"):
        await Web(altered(own, hive_fetch_bytes_max=100_000)).fetch(url)
    assert web.sent_bytes < 16 << 20


async def test_a_page_that_says_it_is_a_gigabyte_is_not_even_read(own: Settings, web: Loopback) -> None:
    async def claim(writer: asyncio.StreamWriter) -> None:
        writer.write(head(1 << 30, content_type="text/html"))
        await asyncio.Event().wait()

    with pytest.raises(LimitReached, match="is larger than 5,242,880 bytes"):
        await Web(own).fetch(web.on("/big", claim))


async def test_a_packed_page_is_unpacked_and_a_bomb_is_not(own: Settings, web: Loopback) -> None:
    small = web.on("/small", Answer(gzip.compress(b"hello"), 200, HTML | {"content-encoding": "gzip"}))
    assert (await Web(own).fetch(small))["text"] == "hello"
    deflated = web.on("/deflated", Answer(zlib.compress(b"hello"), 200, HTML | {"content-encoding": "deflate"}))
    assert (await Web(own).fetch(deflated))["text"] == "hello"
    bomb = gzip.compress(bytes(64 << 20))
    assert len(bomb) < 100_000
    url = web.on("/bomb", Answer(bomb, 200, HTML | {"content-encoding": "gzip"}))
    with pytest.raises(LimitReached, match="is larger than 5,242,880 bytes"):
        await Web(own).fetch(url)


@pytest.mark.parametrize(
    ("packing", "words"), [("gzip", "cannot be unpacked"), ("br", "comes packed as 'br', which was not asked for")]
)
async def test_a_page_that_cannot_be_unpacked_is_one_sentence(
    own: Settings, web: Loopback, packing: str, words: str
) -> None:
    url = web.on("/a", Answer(b"not packed", 200, HTML | {"content-encoding": packing}))
    with pytest.raises(ServiceFailed, match=words):
        await Web(own).fetch(url)


async def test_a_page_that_drips_is_given_up(own: Settings, web: Loopback) -> None:
    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(head(content_type="text/html"))
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.01)

    url = web.on("/slow", drip)
    with pytest.raises(ServiceFailed, match=r"/slow did not arrive within 0\.3 s \(HIVE_FETCH_TIMEOUT\)"):
        await Web(altered(own, hive_fetch_timeout=0.3)).fetch(url)


async def test_redirects_in_a_circle_are_given_up(own: Settings, web: Loopback) -> None:
    url = web.on("/a", redirect("/a"))
    with pytest.raises(LimitReached, match="redirects more than 5 times"):
        await Web(own).fetch(url)
    assert len(web.requests) == 6


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nx"])
async def test_what_speaks_no_http_or_hangs_up_is_one_sentence(own: Settings, web: Loopback, answer: bytes) -> None:
    async def say(writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()

    with pytest.raises(ServiceFailed, match="/a cannot be fetched: ") as caught:
        await Web(own).fetch(web.on("/a", say))
    assert "\n" not in str(caught.value)


async def test_nobody_at_home_is_one_sentence(own: Settings) -> None:
    with pytest.raises(ServiceFailed, match="cannot be fetched: All connection attempts failed"):
        await Web(own).fetch("http://127.0.0.1:1/")


# ------------------------------------------------------------------------------------------------------------ text


@pytest.mark.parametrize(
    ("body", "content_type", "text"),
    [
        ("zażółć".encode(), "text/html", "zażółć"),
        ("zażółć".encode(), "text/html; charset=utf-8", "zażółć"),
        ("zażółć".encode("iso-8859-2"), "text/html; charset=ISO-8859-2", "zażółć"),
        ("zażółć".encode("windows-1250"), "text/html; charset='windows-1250'", "zażółć"),
        ("日本語".encode("shift_jis"), "text/html; charset=Shift_JIS", "日本語"),
        ("größe".encode("latin-1"), "text/html", "größe"),
        ("größe “quoted”".encode("windows-1252"), "text/html; charset=iso-8859-1", "größe “quoted”"),
        ('<meta charset="gb2312">中文'.encode("gb2312"), "text/html", '<meta charset="gb2312">中文'),
        ("<?xml encoding='koi8-r'?>привет".encode("koi8-r"), "", "<?xml encoding='koi8-r'?>привет"),
        ("zażółć".encode("utf-8-sig"), "text/html; charset=iso-8859-2", "zażółć"),
        ("żółć".encode("utf-16"), "text/html", "żółć"),
        ("zażółć".encode(), "text/html; charset=no-such-thing", "zażółć"),
        ("zażółć".encode(), "text/html; charset=hex", "zażółć"),
        ("zażółć".encode(), "text/html;\r\n charset", "zażółć"),
        (b"a\x81b", "text/html", "a\ufffdb"),
        (b"a-b", "text/html; charset=punycode", "a-b"),
        (b"a+ACI-b", "text/html; charset=utf-7", "a+ACI-b"),
        (rb"a\u0041b", "text/html; charset=unicode_escape", rb"a\u0041b".decode()),
        ('<meta charset="idna">zażółć'.encode(), "text/html", '<meta charset="idna">zażółć'),
    ],
)
def test_the_letters_of_many_languages_are_read(body: bytes, content_type: str, text: str) -> None:
    assert decode(body, content_type) == text


@pytest.mark.parametrize("charset", sorted(CHARSETS))
def test_every_charset_that_is_read_is_one_that_there_is(charset: str) -> None:
    assert codecs.lookup(charset).name == charset


async def test_a_large_page_is_decoded_outside_of_the_event_loop(own: Settings, web: Loopback) -> None:
    decoding: list[str] = []

    def note(fault: UnicodeError) -> tuple[str | bytes, int]:
        decoding.append(threading.current_thread().name)
        return original(fault)

    original = codecs.lookup_error("replace")
    codecs.register_error("replace", note)
    try:
        for size in (100, DECODED_HERE_BYTES_MAX):
            url = web.on(f"/{size}", Answer(b"a" * size + b"\x81", 200, HTML))
            assert (await Web(own).fetch(url))["text"] == "a" * size + "\ufffd"
    finally:
        codecs.register_error("replace", original)
    assert decoding[0] == threading.main_thread().name
    assert decoding[1] != decoding[0]
