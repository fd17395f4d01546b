"""The door to the network: whatever is answered, it ends in bounded time and bytes, with one sentence."""

from __future__ import annotations

import gzip
import os
import signal
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.ota.certificates import Authority, make_authority
from tests.ota.hostile_server import Answer, HostileServer, serving
from tests.servers import free_port
from venom_core.ota.fetcher import Fetcher, Patience, trusted_roots
from venom_core.ota.refusal import Code, UpdateRefused
from venom_core.ota.tuf_names import DownloadHTTPError

BYTES_MAX = 1_000
IMPATIENT = Patience(file_s=0.5)
PATH = "/ota/metadata/it"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[HostileServer]:
    (tmp_path / "metadata").mkdir()
    (tmp_path / "metadata" / "it").write_bytes(b"x" * BYTES_MAX)
    with serving(tmp_path) as running:
        yield running


def get(url: str, patience: Patience | None = None, trusted: ssl.SSLContext | None = None) -> bytes:
    with Fetcher(trusted or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), patience) as fetcher:
        return fetcher.download_bytes(url, BYTES_MAX)


def refused(code: Code, url: str, patience: Patience | None = None, trusted: ssl.SSLContext | None = None) -> str:
    with pytest.raises(UpdateRefused) as caught:
        get(url, patience, trusted)
    assert caught.value.code is code, str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_file_comes_whole_on_a_connection_that_is_kept(served: HostileServer) -> None:
    with Fetcher(trusted_roots()) as fetcher:
        for _ in range(3):
            assert fetcher.download_bytes(served.url + PATH, BYTES_MAX) == b"x" * BYTES_MAX
        with fetcher.download_file(served.url + PATH, BYTES_MAX) as file:
            assert len(file.read()) == BYTES_MAX
        assert b"".join(fetcher.fetch(served.url + PATH)) == b"x" * BYTES_MAX
    headers = served.asked[0][1]
    assert headers["Accept-Encoding"] == "identity"
    assert headers["User-Agent"].startswith("venom-hive/")
    assert "Cookie" not in headers


@pytest.mark.parametrize("status", [403, 404])
def test_a_file_that_is_absent_is_told_apart(status: int, served: HostileServer) -> None:
    served.plans[PATH] = lambda answer: answer.say(status)
    with pytest.raises(DownloadHTTPError) as caught:
        get(served.url + PATH)
    assert caught.value.status_code == status


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308])
def test_no_redirect_is_followed_anywhere(status: int, served: HostileServer) -> None:
    for target in (f"{served.url}/ota/metadata/other", "http://example.org/", "file:///etc/passwd", ""):
        served.plans[PATH] = lambda answer, to=target: answer.say(status, Location=to)  # type: ignore[misc]  # a default binds it now
        assert (target or "''") in refused(Code.REDIRECT, served.url + PATH)
    assert {path for path, _ in served.asked} == {PATH}


@pytest.mark.parametrize("status", [201, 204, 206, 400, 401, 407, 410, 416, 429, 500, 502, 503])
def test_only_200_is_an_answer(status: int, served: HostileServer) -> None:
    served.plans[PATH] = lambda answer: answer.say(status)
    assert str(status) in refused(Code.BAD_ANSWER, served.url + PATH)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "GZip", "identity, gzip", "nonsense"])
def test_a_compressed_answer_is_not_taken(coding: str, served: HostileServer) -> None:
    bomb = gzip.compress(b"x" * 1_000_000)
    served.plans[PATH] = lambda answer: answer.say(200, bomb[:BYTES_MAX], Content_Encoding=coding)
    assert "compressed" in refused(Code.BAD_ANSWER, served.url + PATH)


def test_the_coding_that_is_none_is_fine(served: HostileServer) -> None:
    served.plans[PATH] = lambda answer: answer.say(200, b"plain", Content_Encoding="Identity")
    assert get(served.url + PATH) == b"plain"


def endless(answer: Answer) -> None:
    answer.raw(b"HTTP/1.1 200 OK\r\n\r\n")
    while not answer.server.over.is_set():
        answer.wfile.write(b"x" * 65_536)


def endless_chunks(answer: Answer) -> None:
    answer.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while not answer.server.over.is_set():
        answer.wfile.write(b"1\r\nx\r\n")


def endless_headers(answer: Answer) -> None:
    answer.raw(b"HTTP/1.1 200 OK\r\n")
    while not answer.server.over.is_set():
        answer.wfile.write(b"X-More: and more\r\n")


def one_byte_too_many(answer: Answer) -> None:
    answer.say(200, b"x" * (BYTES_MAX + 1))


def told_too_many(answer: Answer) -> None:
    answer.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n")
    answer.server.over.wait(30)


@pytest.mark.parametrize("plan", [endless, endless_chunks, one_byte_too_many, told_too_many])
def test_what_is_larger_than_allowed_is_cut_off(plan: Callable[[Answer], None], served: HostileServer) -> None:
    served.plans[PATH] = plan
    assert "1,000 bytes" in refused(Code.TOO_BIG, served.url + PATH)


def test_headers_without_end_are_against_the_rules(served: HostileServer) -> None:
    served.plans[PATH] = endless_headers
    refused(Code.BAD_ANSWER, served.url + PATH)


def drip_body(answer: Answer) -> None:
    answer.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n")
    answer.drip(b"x" * 900, 0.2)


def drip_headers(answer: Answer) -> None:
    answer.drip(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 900, 0.2)


def drip_chunks(answer: Answer) -> None:
    answer.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    answer.drip(b"1\r\nx\r\n" * 200, 0.05)


def silence(answer: Answer) -> None:
    answer.server.over.wait(60)


def silence_after_the_head(answer: Answer) -> None:
    answer.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\nx")
    answer.server.over.wait(60)


@pytest.mark.parametrize("plan", [drip_body, drip_headers, drip_chunks, silence, silence_after_the_head])
def test_five_bytes_a_second_end_at_the_deadline(plan: Callable[[Answer], None], served: HostileServer) -> None:
    served.plans[PATH] = plan
    assert "within 0.5 s" in refused(Code.TOO_SLOW, served.url + PATH, IMPATIENT)


def test_a_ctrl_c_does_not_wait_for_the_answer(served: HostileServer) -> None:
    def then_interrupt(answer: Answer) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        silence(answer)

    served.plans[PATH] = then_interrupt
    with pytest.raises(KeyboardInterrupt):
        get(served.url + PATH, Patience(file_s=3_600))


async def test_who_has_an_event_loop_may_wait_too(served: HostileServer) -> None:
    assert get(served.url + PATH)


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"HTTP/1.1 two OK\r\n\r\n",
        b"\x16\x03\x01\x00\x01",
    ],
)
def test_an_answer_against_the_rules_is_said(said: bytes, served: HostileServer) -> None:
    served.plans[PATH] = lambda answer: answer.raw(said)
    refused(Code.BAD_ANSWER, served.url + PATH)


def test_nobody_there_is_said() -> None:
    assert "tried again later" in refused(Code.UNREACHABLE, f"http://127.0.0.1:{free_port()}/it")


def test_a_name_that_does_not_exist_is_said() -> None:
    refused(Code.UNREACHABLE, "http://nobody.invalid/it")


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
def test_a_proxy_of_the_environment_is_not_asked(
    name: str, served: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("NO_PROXY", "")
    assert get(served.url + PATH)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return make_authority()


def test_a_certificate_of_the_authority_that_was_joined_is_believed(authority: Authority, tmp_path: Path) -> None:
    (tmp_path / "metadata").mkdir()
    (tmp_path / "metadata" / "it").write_bytes(b"safe")
    with serving(tmp_path, authority.server_context(tmp_path)) as served:
        assert get(served.url + PATH, trusted=trusted_roots(authority.pem)) == b"safe"


@pytest.mark.parametrize(
    ("host", "days", "why"),
    [
        ("127.0.0.2", 30, "IP address mismatch"),
        ("nexus.example", 30, "IP address mismatch"),
        ("127.0.0.1", -1, "expired"),
    ],
)
def test_a_certificate_for_another_or_of_yesterday_is_not(
    host: str, days: int, why: str, authority: Authority, tmp_path: Path
) -> None:
    with serving(tmp_path, authority.server_context(tmp_path, host, days)) as served:
        assert why in refused(Code.TLS, served.url + PATH, trusted=trusted_roots(authority.pem))


def test_an_authority_that_was_not_joined_is_not_believed(authority: Authority, tmp_path: Path) -> None:
    with serving(tmp_path, make_authority("other").server_context(tmp_path)) as served:
        refused(Code.TLS, served.url + PATH, trusted=trusted_roots(authority.pem))
        refused(Code.TLS, served.url + PATH, trusted=trusted_roots())


def test_who_speaks_no_tls_is_not_asked_for_anything(served: HostileServer) -> None:
    refused(Code.TLS, served.url.replace("http:", "https:") + PATH)
    assert served.asked == []


def test_tls_that_never_ends_its_greeting_ends_before_the_deadline(authority: Authority, tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        served.mute = True
        url = served.url.replace("http:", "https:")
        refused(Code.UNREACHABLE, url + PATH, IMPATIENT, trusted_roots(authority.pem))
