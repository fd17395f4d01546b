from __future__ import annotations

import hashlib
import os
import resource
import socket
from pathlib import Path

import pytest

from tests.updater.bad_servers import Answer, answering, dripping, ok, ranged
from venom_core.ota.fetcher import trusted_roots
from venom_core.ota.refusal import Code, UpdateRefused
from venom_spore.updater.download import PART_KEPT_S, Downloader, Pace, Wanted, drop_old_parts, sha256_of

BODY = os.urandom(100_000)
SHA256 = hashlib.sha256(BODY).hexdigest()
WANTED = Wanted(f"ota/targets/packages/{SHA256}.tasks-1.0.zip", len(BODY), SHA256)
QUICK = Pace(whole_s=60, window_s=20, window_bytes=10_000, connections=3, pause_s=0.01)
IMPATIENT = Pace(whole_s=60, window_s=1.5, window_bytes=10_000, connections=3, pause_s=0.01)


def load(url: str, folder: Path, pace: Pace = QUICK, wanted: Wanted = WANTED) -> Downloader:
    """Download to `folder`/done."""
    downloader = Downloader(url, trusted_roots(), pace)
    downloader.fetch(wanted, folder, folder / "done")
    return downloader


def refused(url: str, folder: Path, pace: Pace = QUICK, wanted: Wanted = WANTED) -> UpdateRefused:
    with pytest.raises(UpdateRefused) as caught:
        load(url, folder, pace, wanted)
    assert not (folder / "done").exists()
    return caught.value


def part(folder: Path, content: bytes) -> Path:
    path = folder / f"{SHA256}.part"
    path.write_bytes(content)
    return path


def test_a_file_arrives_under_its_name_and_nothing_else_stays(tmp_path: Path) -> None:
    with answering(ok(BODY)) as asked:
        assert load(asked.url, tmp_path).moved == len(BODY)
    assert [path.name for path in tmp_path.iterdir()] == ["done"]
    assert sha256_of(tmp_path / "done") == SHA256
    [request] = asked.requests
    assert request.startswith(f"GET /{WANTED.path} HTTP/1.1\r\n")
    assert "accept-encoding: identity\r\n" in request.lower()
    assert "range" not in request.lower()


def test_an_empty_file_is_not_even_asked_for(tmp_path: Path) -> None:
    empty = Wanted("ota/targets/wheels/empty", 0, hashlib.sha256().hexdigest())
    load("http://127.0.0.1:9", tmp_path, wanted=empty)
    assert (tmp_path / "done").read_bytes() == b""


# ------------------------------------------------------------------------------------------------------- going on


def test_a_download_that_was_killed_goes_on_where_it_ended(tmp_path: Path) -> None:
    part(tmp_path, BODY[:60_000])
    with answering(ranged(BODY, 60_000)) as asked:
        assert load(asked.url, tmp_path).moved == 40_000
    assert (tmp_path / "done").read_bytes() == BODY
    assert "range: bytes=60000-\r\n" in asked.requests[0].lower()


def test_a_part_that_is_whole_is_not_asked_for_again(tmp_path: Path) -> None:
    part(tmp_path, BODY)
    assert load("http://127.0.0.1:9", tmp_path).moved == 0
    assert (tmp_path / "done").read_bytes() == BODY


def test_a_connection_that_is_lost_is_followed_by_another_with_the_tag_of_the_file(tmp_path: Path) -> None:
    first = ok(BODY[:30_000], 'etag: "one"', length=len(BODY))
    with answering(first, ranged(BODY, 30_000)) as asked:
        assert load(asked.url, tmp_path).moved == len(BODY)
    assert "range: bytes=30000-\r\n" in asked.requests[1].lower()
    assert 'if-range: "one"\r\n' in asked.requests[1].lower()


def test_a_server_that_knows_no_ranges_begins_anew(tmp_path: Path) -> None:
    part(tmp_path, BODY[:60_000])
    with answering(ok(BODY)) as asked:
        assert load(asked.url, tmp_path).moved == len(BODY)
    assert (tmp_path / "done").read_bytes() == BODY


def test_a_part_of_something_else_is_loaded_once_more_from_its_start(tmp_path: Path) -> None:
    part(tmp_path, b"x" * 60_000)
    with answering(ranged(BODY, 60_000), ok(BODY)) as asked:
        load(asked.url, tmp_path)
    assert (tmp_path / "done").read_bytes() == BODY
    assert "range" not in asked.requests[1].lower()


def test_a_part_that_is_too_long_is_thrown_away(tmp_path: Path) -> None:
    part(tmp_path, BODY + b"x")
    with answering(ok(BODY)) as asked:
        load(asked.url, tmp_path)
    assert "range" not in asked.requests[0].lower()


def test_parts_are_kept_for_a_day(tmp_path: Path) -> None:
    now_s = 1_800_000_000.0
    for name, age_s in (("young", PART_KEPT_S - 1), ("old", PART_KEPT_S + 1), ("ahead", -PART_KEPT_S - 1)):
        path = tmp_path / f"{name}.part"
        path.touch()
        os.utime(path, (now_s - age_s, now_s - age_s))
    (tmp_path / "no part").touch()
    drop_old_parts(tmp_path, now_s)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["no part", "young.part"]


# ------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        (ok(b"", "location: http://evil.example/x", status="302 Found"), Code.REDIRECT, "evil.example"),
        (ok(b"", "location: /other", status="308 Permanent Redirect"), Code.REDIRECT, "/other"),
        (ok(b"", status="304 Not Modified"), Code.REDIRECT, "leads to"),
        (ok(b"", status="404 Not Found"), Code.BAD_ANSWER, "signed, but not there (404); publish it again"),
        (ok(b"", status="403 Forbidden"), Code.BAD_ANSWER, "not there (403)"),
        (ok(b"", status="500 Oh"), Code.BAD_ANSWER, "500"),
        (ok(b"", status="204 No Content"), Code.BAD_ANSWER, "204"),
        (ranged(BODY, 0), Code.BAD_ANSWER, "206"),
        (ok(BODY, "content-encoding: gzip"), Code.BAD_ANSWER, "compressed"),
        (ok(BODY[1:]), Code.WRONG_LENGTH, "comes with 99999 bytes, but 100,000 are signed"),
        (ok(BODY + b"x"), Code.WRONG_LENGTH, "comes with 100001 bytes"),
        (ok(bytes(len(BODY))), Code.WRONG_HASH, "is not what was signed"),
        (lambda _: [b"SSH-2.0-OpenSSH\r\n\r\n"], Code.BAD_ANSWER, "rules of HTTP"),
        (lambda _: [b"HTTP/1.1 200 OK\r\n\r\n", BODY, b"x"], Code.TOO_BIG, "larger than 100,000 bytes"),
        (lambda _: [b"HTTP/1.1 200 OK\r\n\r\n", BODY[1:]], Code.BAD_ANSWER, "99,999 of 100,000 bytes"),
    ],
)
def test_a_bad_answer_is_refused_by_its_code(answer: Answer, code: Code, words: str, tmp_path: Path) -> None:
    with answering(answer) as asked:
        fault = refused(asked.url, tmp_path)
    assert (fault.code, words in str(fault)) == (code, True), fault
    assert str(fault).count("\n") == 0


@pytest.mark.parametrize(
    "told",
    ["bytes 0-39999/100000", "bytes 60000-99998/100000", "bytes 60000-99999/100001", "bytes 60000-99999/*", "x", ""],
)
def test_a_rest_that_is_another_is_refused(told: str, tmp_path: Path) -> None:
    kept = part(tmp_path, BODY[:60_000])
    lying = ok(BODY[60_000:], f"content-range: {told}", status="206 Partial Content")
    with answering(lying) as asked:
        assert refused(asked.url, tmp_path).code is Code.BAD_ANSWER
    assert kept.read_bytes() == BODY[:60_000]


def test_five_bytes_a_second_are_too_slow_and_what_came_is_kept(tmp_path: Path) -> None:
    head = f"HTTP/1.1 200 OK\r\ncontent-length: {len(BODY)}\r\n\r\n".encode() + BODY[:50_000]
    with answering(dripping(head, BODY[50_000:50_005], 0.05)) as asked:
        fault = refused(asked.url, tmp_path, IMPATIENT)
        assert fault.code is Code.TOO_SLOW
        assert "fewer than 10,000 bytes in 1.5 s" in str(fault)
    assert (tmp_path / f"{SHA256}.part").stat().st_size >= 50_000


def test_a_head_that_never_ends_is_too_slow(tmp_path: Path) -> None:
    with answering(dripping(b"HTTP/1.1 200 OK\r\n", b"x: y\r\n", 0.05)) as asked:
        assert refused(asked.url, tmp_path, IMPATIENT).code is Code.TOO_SLOW


def test_a_server_that_is_just_fast_enough_has_its_time_all_the_same(tmp_path: Path) -> None:
    head = f"HTTP/1.1 200 OK\r\ncontent-length: {len(BODY)}\r\n\r\n".encode()
    with answering(dripping(head, b"x" * 10, 0.01)) as asked:
        pace = Pace(whole_s=0.4, window_s=30, window_bytes=1, connections=1)
        assert "did not come whole within 0.4 s" in str(refused(asked.url, tmp_path, pace))


def test_a_server_that_hangs_up_again_and_again_has_so_many_connections(tmp_path: Path) -> None:
    with answering(lambda _: []) as asked:
        assert refused(asked.url, tmp_path).code is Code.BAD_ANSWER
    assert len(asked.requests) == 3


def test_nobody_there_is_unreachable(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    assert refused(url, tmp_path).code is Code.UNREACHABLE


def test_what_speaks_no_tls_is_told_so_at_once(tmp_path: Path) -> None:
    with answering(ok(BODY)) as asked:
        fault = refused(asked.url.replace("http://", "https://"), tmp_path)
    assert fault.code is Code.TLS
    assert len(asked.requests) == 1


def test_no_proxy_of_the_environment_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with answering(ok(BODY)) as asked:
        load(asked.url, tmp_path)


def test_a_disk_that_is_full_is_an_error_of_this_machine(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with answering(ok(BODY)) as asked:
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
        try:
            with pytest.raises(OSError, match="File too large"):
                load(asked.url, tmp_path)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
