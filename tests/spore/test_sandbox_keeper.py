"""The keeper and what it ends a process tree with, each in an interpreter of its own: they reap what they find."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from venom_core.clock import Clock
from venom_spore.process_tree import descendants, end_descendants, has_children, send
from venom_spore.sandbox_keeper import HELD_EXIT

ROOT = Path(__file__).parents[2]
SLEEPER = (sys.executable, "-c", "import time; time.sleep(3600)")
Script = Callable[[str], str]

START = """
import os, signal, socket, subprocess, sys, threading, time
import psutil
from venom_core.clock import Clock
from venom_spore import sandbox_keeper
from venom_spore.lease_board import LeaseBoard
from venom_spore.process_tree import *
from venom_spore.sandbox_keeper import Keeper, end_like

SLEEPER = (sys.executable, "-c", "import time; time.sleep(3600)")

def keep(runner, grace_s=60.0, meanwhile=lambda ours: None, board=None):
    ours, theirs = socket.socketpair()
    adopt_orphans()
    keeper = Keeper(theirs.fileno(), grace_s, Clock(), board)
    keeper.listen()
    ready, say = os.pipe()
    pid = os.fork()
    if pid == 0:
        keeper.leave()
        ours.close()
        try:
            runner(lambda: os.write(say, b"."))
        finally:
            os._exit(70)
    os.read(ready, 1)
    meanwhile(ours)
    status = keeper.keep(pid)
    theirs.close()
    print(status, has_children())

def ignore(ready):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    subprocess.Popen(SLEEPER)
    ready()
    time.sleep(3600)

def obey(ready):
    ready()
    time.sleep(3600)

def exit_with(code):
    def run(ready):
        subprocess.Popen(SLEEPER)
        ready()
        os._exit(code)
    return run

def twice(ours):
    for _ in range(2):
        os.kill(os.getpid(), signal.SIGTERM)

board, now_s = LeaseBoard(0.6), Clock().lasting_s

def lose_lease(ready):
    subprocess.Popen(SLEEPER)
    board.renew(now_s())
    board.doubt(now_s())
    ready()
    while board.in_doubt(now_s()):
        pass
    os._exit(7)

def once_held(act):
    def look():
        while [process.status() for process in descendants()] != ["stopped"] * 2:
            time.sleep(0.01)
        act()
    return lambda ours: threading.Thread(target=look).start()

def renew():
    board.pulse(now_s())
    board.renew(now_s())

"""


@pytest.fixture
def script() -> Script:
    """Run a piece of code after START in a new interpreter; gives what it printed."""

    def run(code: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", START + code], cwd=ROOT, stdout=subprocess.PIPE, timeout=60, check=True
        )
        return done.stdout.decode().strip()

    return run


def test_a_runner_that_exits_ends_the_tree_and_its_code_is_known(script: Script) -> None:
    assert script("keep(exit_with(7))") == f"{7 << 8} False"


def test_being_told_ends_an_obedient_runner_within_the_grace(script: Script) -> None:
    told = "keep(obey, meanwhile=lambda ours: os.kill(os.getpid(), signal.SIGTERM))"
    assert script(told) == f"{int(signal.SIGTERM)} False"


def test_a_spore_that_hangs_up_is_as_good_as_being_told(script: Script) -> None:
    assert script("keep(obey, meanwhile=lambda ours: ours.close())") == f"{int(signal.SIGTERM)} False"


def test_a_runner_that_ignores_it_is_killed_after_the_grace(script: Script) -> None:
    assert script("keep(ignore, 0.1, lambda ours: ours.close())") == f"{int(signal.SIGKILL)} False"


def test_being_told_twice_cuts_the_grace_short(script: Script) -> None:
    assert script("keep(ignore, 3600.0, lambda ours: ours.close() or twice(ours))") == f"{int(signal.SIGKILL)} False"


def test_a_tree_is_held_while_the_lease_is_in_doubt_and_goes_on_when_it_is_renewed(script: Script) -> None:
    assert script("keep(lose_lease, meanwhile=once_held(renew), board=board)") == f"{7 << 8} False"


def test_who_is_told_to_end_while_held_is_killed_where_it_stands(script: Script) -> None:
    told = "once_held(lambda: os.kill(os.getpid(), signal.SIGTERM))"
    assert script(f"keep(lose_lease, 3600.0, {told}, board)") == f"{int(signal.SIGKILL)} False"


def test_a_grace_ends_with_the_lease(script: Script) -> None:
    code = """
def die_later(ours):
    board.renew(now_s())
    ours.close()

keep(ignore, 3600.0, die_later, board)
print(board.in_doubt(now_s()))
"""
    assert script(code) == f"{int(signal.SIGKILL)} False\nTrue"


def test_a_spore_that_stands_still_for_too_long_loses_its_children_and_their_end_says_why(script: Script) -> None:
    assert script("sandbox_keeper.HELD_MAX_S = 0.2\nkeep(lose_lease, 3600.0, board=board)") == f"{HELD_EXIT << 8} False"


def test_without_a_doubt_nothing_is_held(script: Script) -> None:
    code = """
board.renew(now_s())
looks = []
look_in_s = board.look_in_s
board.look_in_s = lambda now_s: looks.append([process.status() for process in descendants()]) or look_in_s(now_s)

def close(ours):
    while len(looks) < 3:
        time.sleep(0.01)
    ours.close()

keep(obey, meanwhile=lambda ours: threading.Thread(target=close, args=[ours]).start(), board=board)
print("stopped" in sum(looks, []))
"""
    assert script(code) == f"{int(signal.SIGTERM)} False\nFalse"


def test_what_a_task_had_stopped_itself_is_not_let_go(script: Script) -> None:
    code = """
running, stopped = subprocess.Popen(SLEEPER), subprocess.Popen(SLEEPER)
stopped.send_signal(signal.SIGSTOP)
while psutil.Process(stopped.pid).status() != "stopped":
    pass
held = [process.pid == running.pid for process in hold()]
while psutil.Process(running.pid).status() != "stopped":
    pass
print(held, hold(), end_descendants((), 20.0, Clock()))
"""
    assert script(code) == "[True] [] True"


def test_the_keeper_ends_like_its_runner() -> None:
    for call, code in (
        ("end_like(7 << 8)", 7),
        ("end_like(signal.SIGKILL)", -signal.SIGKILL),
        ("end_like(signal.SIGTERM)", -signal.SIGTERM),
        ("end_like(signal.SIGCHLD)", 0),  # a signal that ends nothing
    ):
        assert subprocess.run([sys.executable, "-c", START + call], cwd=ROOT, check=False).returncode == code


def test_a_process_whose_parent_is_another_gets_the_signal_at_once(script: Script) -> None:
    code = """
signal.signal(signal.SIGUSR1, lambda *_: print("told"))
die_with_parent(os.getppid(), signal.SIGUSR1)
die_with_parent(-1, signal.SIGUSR1)
be_first_out_of_memory()
"""
    assert script(code) == "told"


def test_a_process_without_children_knows_it(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    assert script("print(has_children(), end_descendants((), 1.0, Clock()))") == "False True"
    child = subprocess.Popen(SLEEPER)
    monkeypatch.delattr(os, "waitid")
    assert has_children()
    child.kill()
    child.wait()


def test_the_spared_are_spared_and_the_others_are_gone() -> None:
    running = {process.pid for process in descendants()}
    spared, doomed = subprocess.Popen(SLEEPER), subprocess.Popen(SLEEPER)
    assert end_descendants({*running, spared.pid}, 20.0, Clock())
    assert not psutil.pid_exists(doomed.pid)
    assert spared.poll() is None
    doomed.wait()
    assert not end_descendants(running, -1.0, Clock())
    spared.kill()
    spared.wait()


def test_a_process_that_is_gone_has_no_descendants_and_takes_no_signal() -> None:
    child = subprocess.Popen(SLEEPER)
    process = psutil.Process(child.pid)
    child.kill()
    child.wait()
    assert descendants(child.pid) == []
    send([process], signal.SIGKILL)


SPORE = """
import asyncio, sys, msgspec
from venom_spore.sandbox import Sandbox
from venom_spore.skills import load_skills

async def main():
    skill = load_skills("tests.spore.child_skills:skills").get("stubborn_family")
    await Sandbox(1, grace_s=0.1).run(skill, msgspec.msgpack.encode({"started": sys.argv[1]}), None)

asyncio.run(main())
"""


def test_nothing_outlives_a_spore_that_was_killed(tmp_path: Path) -> None:
    started = tmp_path / "started"
    spore = subprocess.Popen([sys.executable, "-c", SPORE, str(started)], cwd=ROOT)
    wait_until(started.exists)
    pids = [int(word) for word in started.read_text().split()]
    assert len(pids) == 3
    spore.kill()
    spore.wait()
    wait_until(lambda: not any(psutil.pid_exists(pid) for pid in pids))


def wait_until(holds: Callable[[], bool]) -> None:
    """Return once it holds; a failure after 20 s."""
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)
