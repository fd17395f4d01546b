"""Slow servers, kills, two updates at once: a look is bounded, and the next one goes on where it ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from chaos import clocks
from tests.hives import ShiftedClock
from tests.ota.folders import snapshot
from tests.processes import ROOT
from tests.updater.bad_servers import answering, ok
from tests.updater.releasing import NODE, Home, Releaser
from venom_core.ota.refusal import Code
from venom_core.ota.verifying import Signed
from venom_spore.launcher.phases import Phase
from venom_spore.launcher.state import StateFile
from venom_spore.updater.download import Pace
from venom_spore.updater.run import Exit, Outcome

SOME = 60_000
"""Bytes that the server sends at once before it becomes slow."""


class MoodyServer:
    """Serves a repository; while it is slow, packages come as `SOME` bytes at once and then five at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "repository"
        self.is_slow = True
        self.dripped = threading.Event()
        self._resting = threading.Event()

    def __call__(self, head: str) -> Iterable[bytes]:
        path = self._folder / head.split()[1].removeprefix("/ota/")
        if not path.is_file():
            return ok(b"", status="404 Not Found")(head)
        body = path.read_bytes()
        start = int(head.lower().partition("range: bytes=")[2].partition("-")[0] or 0)
        if self.is_slow and "/packages/" in head:
            return self._drip(body)
        if start:
            told = f"content-range: bytes {start}-{len(body) - 1}/{len(body)}"
            return ok(body[start:], told, status="206 Partial Content")(head)
        return ok(body)(head)

    def _drip(self, body: bytes) -> Iterator[bytes]:
        yield f"HTTP/1.1 200 OK\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body[:SOME]
        for at in range(SOME, len(body), 5):
            self.dripped.set()
            self._resting.wait(0.05)
            yield body[at : at + 5]


@pytest.fixture
def server(releaser: Releaser) -> MoodyServer:
    return MoodyServer(releaser.folder)


@pytest.fixture
def url(server: MoodyServer) -> Iterator[str]:
    with answering(server) as asked:
        yield asked.url


@pytest.fixture
def signed(releaser: Releaser) -> Signed:
    """A release that does not pack well, so that it takes a while."""
    noise = os.urandom(SOME).hex()
    found = releaser.release("1.0.0", {"our_skills.py": f"VERSION = '1.0.0'\nNOISE = '{noise}'\n"})
    assert found.length > SOME
    return found


def test_five_bytes_a_time_are_too_slow_and_the_next_look_goes_on(
    home: Home, server: MoodyServer, signed: Signed
) -> None:
    impatient = Pace(whole_s=60, window_s=2, window_bytes=SOME + 10_000, connections=2, pause_s=0.01)
    before = snapshot(home.layout.releases)
    outcome = home.look(pace=impatient)
    assert (outcome.exit, outcome.code) == (Exit.REFUSED, Code.TOO_SLOW)
    assert home.events[-1][1]["moved_bytes"] == outcome.moved >= SOME
    assert snapshot(home.layout.releases) == before
    assert [path.name for path in home.layout.staging.iterdir()] == [f"{signed.sha256}.part"]
    server.is_slow = False
    outcome = home.look()
    assert outcome
    assert outcome.moved <= signed.length - SOME


def updater(home: Home, **more: str) -> subprocess.Popen[str]:
    """A real `python -m venom_spore.updater` for that home, with `more` in its environment."""
    command = [sys.executable, "-m", "venom_spore.updater", "--home", str(home.layout.home), "--", "--name", NODE.name]
    environment = os.environ | {"HIVE_OTA_INTERVAL": "0", "HIVE_LOG_LEVEL": "DEBUG"} | more
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


def test_two_updates_at_once(home: Home, server: MoodyServer, signed: Signed) -> None:
    """The second says what the first is doing, and changes nothing."""
    ends: list[Outcome] = []
    first = threading.Thread(target=lambda: ends.append(home.look()))
    first.start()
    assert server.dripped.wait(20)
    before = snapshot(home.layout.releases), snapshot(home.layout.wheels)
    with updater(home) as second:
        _, words = second.communicate(timeout=60)
    assert second.returncode == Exit.REFUSED
    assert "WARNING venom.updater: BUSY: another update of" in words
    assert "is under way (1.0.0, downloading); it is tried again later" in words
    assert (snapshot(home.layout.releases), snapshot(home.layout.wheels)) == before
    assert StateFile(home.layout).load().phase is Phase.IDLE
    server.is_slow = False
    first.join()
    assert ends[0].code in {Code.TOO_SLOW, None}


def test_an_updater_that_is_killed_leaves_what_the_next_one_resumes(
    home: Home, server: MoodyServer, signed: Signed
) -> None:
    part = home.layout.staging / f"{signed.sha256}.part"
    with updater(home) as first:
        assert server.dripped.wait(60)
        while not part.exists() or part.stat().st_size < SOME:
            assert first.poll() is None
        first.send_signal(signal.SIGKILL)
    assert home.layout.update_lock.read_text() == "1.0.0, downloading"
    server.is_slow = False
    with updater(home) as second:
        _, words = second.communicate(timeout=60)
    assert second.returncode == Exit.STAGED, words
    release = f"1.0.0-{signed.sha256[:12]}"
    assert f"INFO venom.updater: {release} is staged; " in words
    moved = int(words.partition("staged; ")[2].partition(" bytes")[0].replace(",", ""))
    assert 0 < moved <= signed.length - SOME
    assert StateFile(home.layout).load().next == release
    assert not part.exists()
    with updater(home) as third:
        _, words = third.communicate(timeout=60)
    assert (third.returncode, "BUSY" in words) == (Exit.REFUSED, True)


@pytest.mark.skipif(bool(clocks.missing()), reason="no libfaketime here; .ci/run installs it")
@pytest.mark.parametrize("off_s", [-clocks.HOUR_S, clocks.HOUR_S])
def test_a_machine_whose_clock_is_an_hour_off_verifies_all_the_same(
    off_s: int, url: str, releaser: Releaser, tmp_path: Path
) -> None:
    """It stops before it builds an environment: libfaketime's `sleep` fails, so no child can be waited for."""
    releaser.release("1.0.0", nodes=["another"])
    home = Home(tmp_path / "elsewhere", url, releaser.fingerprint, clock=ShiftedClock(off_s))
    wrong = clocks.Clocks(tmp_path, "seed")
    wrong.set("n1", off_s)
    with updater(home, **wrong.environment("n1")) as process:
        _, words = process.communicate(timeout=90)
    assert (process.returncode, "NOT_FOR_THIS_NODE" in words) == (Exit.NOTHING, True), words
    # Whoever sets it right by turning it back is told so, and takes no update on such a clock.
    with updater(home) as process:
        _, words = process.communicate(timeout=90)
    expected = (Exit.REFUSED, True) if off_s > 0 else (Exit.NOTHING, False)
    assert (process.returncode, "CLOCK_BACKWARDS" in words) == expected, words
