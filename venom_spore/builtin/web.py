"""Fetches pages from the web within bounds: addresses by policy, bytes while streaming, time with all redirects."""

from __future__ import annotations

import asyncio
import codecs
import re
from dataclasses import dataclass
from email.message import Message
from http import HTTPStatus
from typing import Any

import httpx

from venom_core import __version__
from venom_core.config import Settings
from venom_core.errors import Forbidden, InvalidTask, LimitReached, ServiceFailed
from venom_spore.builtin.addresses import AddressPolicy
from venom_spore.builtin.bounded_body import ENCODINGS, read_body
from venom_spore.builtin.guarded_transport import GuardedTransport
from venom_spore.builtin.tls import tls_context

REDIRECTS_MAX = 5
# A larger body is decoded in a thread: the slowest charset needs 8 ms for a mebibyte, and a page may have 256.
DECODED_HERE_BYTES_MAX = 65_536
# The charsets of browsers, by their names in Python; others that Python knows are no text (hex, zip), are a way round
# whoever looks for tags (utf-7), or need time by the square of the length (punycode).
CHARSETS = frozenset({
    "utf-8", "utf-16", "utf-16-le", "utf-16-be", "cp866", "cp874", "tis-620", "mac-roman", "mac-cyrillic",
    "koi8-r", "koi8-u", "cp1250", "cp1251", "cp1252", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258",
    "iso8859-2", "iso8859-3", "iso8859-4", "iso8859-5", "iso8859-6", "iso8859-7", "iso8859-8", "iso8859-9",
    "iso8859-10", "iso8859-11", "iso8859-13", "iso8859-14", "iso8859-15", "iso8859-16",
    "gb2312", "gbk", "gb18030", "big5", "big5hkscs", "shift_jis", "cp932", "euc_jp", "iso2022_jp", "euc_kr", "cp949",
})  # fmt: skip
URL_CHARS_MAX = 4096
_HEADERS = {"user-agent": f"venom-hive/{__version__}", "accept-encoding": ENCODINGS, "accept": "text/*, */*;q=0.5"}
# Answers of 4xx that another attempt may turn into a page.
_WORTH_ANOTHER_ATTEMPT = frozenset({408, 425, 429})
_TEXT = re.compile(r"text/|application/(?:.*\+)?(?:json|xml|javascript|x-ndjson|yaml)\b", re.IGNORECASE)
_META_CHARSET = re.compile(
    rb"""<meta[^>]{0,200}?charset\s{0,8}=\s{0,8}["']?([\w-]{1,40})|encoding=["']([\w-]{1,40})""", re.IGNORECASE
)
_LOGIN = re.compile(r"//[^/]*@")
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


@dataclass(frozen=True, slots=True)
class Page:
    """A page as it came in; `url` is the last address of a chain of redirects."""

    url: str
    status: int
    content_type: str
    body: bytes

    async def text(self) -> str:
        """The body as text, by the first that fits: byte mark, header, the page's own words, UTF-8, Windows-1252."""
        if len(self.body) <= DECODED_HERE_BYTES_MAX:
            return decode(self.body, self.content_type)
        return await asyncio.to_thread(decode, self.body, self.content_type)


class Web:
    """The skill `fetch`, and pages for other skills."""

    def __init__(self, settings: Settings) -> None:
        self._bytes_max = settings.hive_fetch_bytes_max
        self._timeout_s = settings.hive_fetch_timeout
        self._policy = AddressPolicy(settings.hive_fetch_private)

    async def fetch(self, url: str) -> dict[str, Any]:
        """Fetch a page over http or https and give its text as it is (`url`, `status`, `content_type`, `text`)."""
        page = await self.get(url)
        return {"url": page.url, "status": page.status, "content_type": page.content_type, "text": await page.text()}

    async def get(self, url: str) -> Page:
        """A page of text.

        Raises:
            InvalidTask: it is no http(s) address, not there (4xx), or not text.
            Forbidden: the address, or one that it redirects to, is refused by policy.
            LimitReached: it is larger than HIVE_FETCH_BYTES_MAX, or redirects more than five times.
            ServiceFailed: it does not answer, not in time, or with an error of its own.
        """
        _check(url)
        name = shown(url)
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._get(url, name)
        except TimeoutError:
            raise ServiceFailed(f"{name} did not arrive within {self._timeout_s:g} s (HIVE_FETCH_TIMEOUT)") from None
        except httpx.TooManyRedirects:
            raise LimitReached(f"{name} redirects more than {REDIRECTS_MAX} times") from None
        except (httpx.UnsupportedProtocol, httpx.InvalidURL):
            raise InvalidTask(f"{name} is, or redirects to, something else than an http or https address") from None
        except httpx.HTTPError as fault:
            raise ServiceFailed(f"{name} cannot be fetched: {str(fault) or type(fault).__name__}") from None

    async def _get(self, url: str, name: str) -> Page:
        transport = GuardedTransport(self._policy, tls_context())
        async with (
            httpx.AsyncClient(
                transport=transport,
                headers=_HEADERS,
                follow_redirects=True,
                max_redirects=REDIRECTS_MAX,
                timeout=None,  # noqa: S113 - the time of the whole is limited, not of each step
                trust_env=False,
            ) as client,
            client.stream("GET", url) as response,
        ):
            _judge(response, name)
            body = await read_body(response, name, self._bytes_max, "HIVE_FETCH_BYTES_MAX")
            content_type = response.headers.get("content-type", "")
            return Page(str(response.url), response.status_code, content_type, body)


def _check(url: str) -> None:
    """Refuse what cannot be fetched before anything is sent; a password in an address would end up in logs."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        parsed = httpx.URL("")
    if parsed.scheme not in ("http", "https") or not parsed.host or len(url) > URL_CHARS_MAX:
        raise InvalidTask(f"{shown(url)} is no http or https address of at most {URL_CHARS_MAX:,} characters")
    if parsed.userinfo:
        raise Forbidden("an address with a user name or password in it is not fetched")


def _judge(response: httpx.Response, name: str) -> None:
    """Raise for an answer that is no page of text."""
    status = response.status_code
    if status >= 400:
        known = {member.value: member.phrase for member in HTTPStatus}
        words = f"{name} answered {status} {known.get(status, '')}".rstrip()
        if status >= 500 or status in _WORTH_ANOTHER_ATTEMPT:
            raise ServiceFailed(words)
        raise InvalidTask(words)
    kind = response.headers.get("content-type", "")
    if kind and not _TEXT.match(kind.strip()):
        raise InvalidTask(f"{name} is {kind!r:.60}, and fetch gives text only")


def decode(body: bytes, content_type: str) -> str:
    """Bytes of a page as text; what cannot be read becomes a replacement character."""
    for mark, encoding in _MARKS:
        if body.startswith(mark):
            return body.decode(encoding, "replace")
    for label in (_charset_of(content_type), _charset_within(body), "utf-8"):
        try:
            return body.decode(_charset(label))
        except (LookupError, ValueError):  # also UnicodeDecodeError
            continue
    return body.decode("windows-1252", "replace")


def _charset(label: str) -> str:
    """Python's name of a charset of browsers; `LookupError` or `ValueError` for any other."""
    name = codecs.lookup(label).name
    if name in ("iso8859-1", "ascii"):  # browsers read both as Windows-1252: more letters in the same places
        return "cp1252"
    if name not in CHARSETS:
        raise LookupError(label)
    return name


def _charset_of(content_type: str) -> str:
    message = Message()
    message["content-type"] = content_type.replace("\n", " ").replace("\r", " ")
    return str(message.get_content_charset("utf-8"))


def _charset_within(body: bytes) -> str:
    found = _META_CHARSET.search(body[:2048])
    return (found[1] or found[2]).decode() if found else "utf-8"


def shown(url: str) -> str:
    """An address for a sentence, without what may be secret in it: login, query and fragment."""
    url = _LOGIN.sub("//", re.split(r"[?#]", url, maxsplit=1)[0])
    return url if len(url) <= 200 else f"{url[:197]}..."
