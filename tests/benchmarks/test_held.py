"""A process is stopped and goes on in turns, and goes on for good afterwards."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest

from benchmarks.held import held
from tests.hives import until


@pytest.fixture
def busy() -> Iterator[psutil.Process]:
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as started:
        yield psutil.Process(started.pid)
        started.kill()


async def test_a_process_is_held_in_turns_and_let_go(busy: psutil.Process) -> None:
    with held(busy.pid, 0.5):
        for _ in range(3):
            await until(lambda: busy.status() == psutil.STATUS_STOPPED)
            await until(lambda: busy.status() == psutil.STATUS_RUNNING)
    await until(lambda: busy.status() == psutil.STATUS_RUNNING)
    before_s = busy.cpu_times().user
    await until(lambda: busy.cpu_times().user > before_s)


def test_what_is_gone_cannot_be_held() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    with pytest.raises(SystemExit, match=f"process {gone.pid} could not be held"), held(gone.pid, 0.5):
        pass
