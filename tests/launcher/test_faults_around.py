"""What a launcher does when the disk takes nothing, and when the hive's Redis is away during a trial."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.hives import FAST, done, until
from tests.launcher.launchers import CHECK, YES, LauncherProcess, put
from tests.servers import PrivateServer
from venom_core.config import Settings
from venom_core.infrastructure.message_broker import MessageBroker
from venom_spore.launcher.child import Child
from venom_spore.launcher.gate import Gate, Terms
from venom_spore.launcher.layout import Layout
from venom_spore.launcher.life import Life
from venom_spore.launcher.link import Link
from venom_spore.launcher.phases import Mode, Phase
from venom_spore.launcher.releases import BASE
from venom_spore.launcher.state import State, StateFile
from venom_spore.launcher.supervisor import Options, Supervisor

DISK_MB = 16
Step = Callable[[Path], None]
NOBODY = Child.__new__(Child)  # a worker that is never told anything


def fill(folder: Path) -> None:
    """Write until there is no room for a byte."""
    with (folder / "filler").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * (1 << 20))
        except OSError:
            pass


def make_room(folder: Path) -> None:
    (folder / "filler").unlink()


def write_protect(folder: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", folder], check=True)


def write_enable(folder: Path) -> None:
    subprocess.run(["mount", "-o", "remount,rw", folder], check=True)


@contextmanager
def disk(folder: Path) -> Iterator[None]:
    """A file system of its own at this folder, for the length of a block."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m,mode=700", "venom-test", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def can_mount() -> bool:
    """Whether this process may mount a file system."""
    tried = subprocess.run(
        ["unshare", "--mount", "mount", "-t", "tmpfs", "x", "/mnt"], capture_output=True, check=False
    )
    return os.geteuid() == 0 and tried.returncode == 0


@pytest.mark.skipif(not can_mount(), reason="needs the right to mount a small file system")
@pytest.mark.parametrize(
    ("spoil", "mend"), [(fill, make_room), (write_protect, write_enable)], ids=["full", "read-only"]
)
async def test_on_a_disk_that_takes_nothing_what_runs_goes_on_and_the_update_waits(
    fast: Settings, broker: MessageBroker, tmp_path: Path, spoil: Step, mend: Step
) -> None:
    journal = str(tmp_path / "journal")
    home = tmp_path / "n1-home"
    with disk(home), LauncherProcess(fast, tmp_path) as launcher:
        await launcher.said("joined with")
        name = put(launcher.layout, "1.0", YES)
        StateFile(launcher.layout).change(lambda state: state.move(Phase.STAGED, next=name))
        spoil(home)
        launcher.send(signal.SIGHUP)
        await launcher.said("going on with what runs")
        assert await done(broker, "work", {"journal": journal, "number": 1}) == 1

        os.kill(launcher.workers[0], signal.SIGKILL)
        await launcher.said("joined with", times=2)
        launcher.kill()
        launcher.start_again()
        await launcher.said("joined with", times=3)
        assert await done(broker, "work", {"journal": journal, "number": 2}) == 2
        assert launcher.layout.current.resolve().name == BASE

        mend(home)
        launcher.send(signal.SIGHUP)
        await launcher.rests(Phase.IDLE, name)
        assert await done(broker, "work", {"journal": journal, "number": 3}) == 3
        launcher.send(signal.SIGTERM)
        assert await launcher.ended() == 0


def dies_once_there_is(gate: Path) -> dict[str, str]:
    """The files of a release whose check kills its Spore, but not before somebody makes this file."""
    body = f"""
        import os, signal, time
        def well():
            while not os.path.exists({str(gate)!r}):
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGKILL)
    """
    return {"release_check.py": body}


def environment_of(pid: int) -> bytes:
    """What a process was started with."""
    return Path(f"/proc/{pid}/environ").read_bytes()


@pytest.mark.skipif(not can_mount(), reason="needs the right to mount a small file system")
async def test_a_sick_release_is_not_what_runs_while_the_disk_is_full(
    fast: Settings, broker: MessageBroker, tmp_path: Path
) -> None:
    home, journal = tmp_path / "n1-home", str(tmp_path / "journal")
    with disk(home), LauncherProcess(fast, tmp_path) as launcher:
        await launcher.said("joined with")
        launcher.stage("2.0", dies_once_there_is(tmp_path / "gate"), CHECK)
        await launcher.said("(on trial)")
        fill(home)
        (tmp_path / "gate").touch()
        await launcher.said_in_time("going on with what runs")
        await launcher.said("starting 0-base", times=2)
        assert await done(broker, "work", {"journal": journal, "number": 1}) == 1
        [worker] = launcher.workers
        assert b"VENOM_RELEASE=0-base\0" in environment_of(worker)
        launcher.send(signal.SIGHUP)
        await launcher.said("going on with what runs", times=2)
        assert launcher.workers == [worker]  # no step that cannot be taken stops it
        make_room(home)
        launcher.send(signal.SIGHUP)
        await launcher.rests(Phase.IDLE, BASE, version_bad="2.0")
        assert await done(broker, "work", {"journal": journal, "number": 2}) == 2


async def test_a_trial_outlasts_a_redis_that_goes_away_and_comes_back(
    private_server: PrivateServer, tmp_path: Path
) -> None:
    settings = Settings.load(redis_url=private_server.url, **FAST)
    with LauncherProcess(settings, tmp_path, "--probation", "3") as launcher:
        await launcher.said("joined with")
        name = launcher.stage("1.0", YES)
        await launcher.said("joined with", times=2)
        private_server.kill()
        await launcher.said_in_time("heartbeat missed")
        private_server.restart()
        await launcher.rests(Phase.IDLE, name)
        assert launcher.state.known_bad == ()


async def test_a_release_that_starts_while_redis_is_away_waits_for_it(
    private_server: PrivateServer, tmp_path: Path
) -> None:
    settings = Settings.load(redis_url=private_server.url, **FAST)
    with LauncherProcess(settings, tmp_path) as launcher:
        await launcher.said("joined with")
        private_server.kill()
        name = launcher.stage("1.0", YES)
        await launcher.said_in_time("on trial, so it is waited for")
        private_server.restart()
        await launcher.rests(Phase.IDLE, name)


async def test_after_an_outage_that_lasts_too_long_a_node_finds_its_way_back_from_safe_mode(
    private_server: PrivateServer, tmp_path: Path
) -> None:
    """Neither release could prove itself without Redis; when safe mode can, the old one gets another chance."""
    settings = Settings.load(redis_url=private_server.url, **FAST)
    with LauncherProcess(settings, tmp_path, "--ready", "3", "--patience", "1", "--retry", "1") as launcher:
        await launcher.said("joined with")
        launcher.stage("1.0", YES)
        await launcher.said("(on trial)")
        private_server.kill()
        await launcher.said_in_time("safe mode: no skills are run")
        private_server.restart()
        await launcher.rests(Phase.IDLE, BASE)
        assert "tried again" in launcher.text


def test_while_the_disk_takes_nothing_no_look_that_is_due_keeps_the_loop_busy(tmp_path: Path) -> None:
    supervisor = Supervisor(Layout(tmp_path), Options((), {}, sys.executable, (), Terms(1.0)), lambda: 100.0)
    supervisor._looks.next_s = 99.0
    supervisor._start_s = 150.0
    assert supervisor._next_s() == 99.0
    supervisor._disk_s = 130.0
    assert supervisor._next_s() == 130.0


def test_a_verdict_that_was_written_already_is_not_written_twice(tmp_path: Path) -> None:
    """The disk refused in the middle of a commit, and a recovery has finished it: the way back must stay known."""
    supervisor = Supervisor(Layout(tmp_path), Options((), {}, sys.executable, (), Terms(0.0)), lambda: 100.0)
    supervisor._machine.state = State(Phase.IDLE, current="2-b", previous="1-a")
    gate = Gate(Terms(0.0), 99.0)
    gate.ready(99.0)
    gate.beat(100.0)
    for what in ("self-test", "check"):
        gate.tested(what, ok=True)
    ear, mouth = os.pipe()
    life = Life("2-b", Mode.ON_TRIAL, NOBODY, Link(ear), 99.0, gate)
    supervisor._judge(life)
    assert life.gate is None
    assert supervisor._machine.state == State(Phase.IDLE, current="2-b", previous="1-a")
    life.link.close()
    os.close(mouth)


async def test_a_disk_that_takes_nothing_at_the_first_start_is_said(fast: Settings, tmp_path: Path) -> None:
    home = tmp_path / "n1-home"
    home.write_text("a file, where a folder should be")
    with LauncherProcess(fast, tmp_path) as launcher:
        await until(lambda: launcher.process.poll() is not None)
        assert launcher.process.returncode == 1
        assert launcher.text.startswith("venom-launcher: ")
        assert launcher.text.count("\n") == 1
