"""Several storms at once, each in a process of its own: most of a storm is waiting, so a short run gets shorter."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent
POLL_S = 0.05
LEAVES_WITHIN_S = 30.0


def run_together(names: Sequence[str], arguments: Sequence[str], together: int) -> list[str]:
    """Let these storms happen, so many at a time; what they print, as they end. Answers the names of those that failed.

    `arguments` are those of `chaos.__main__` that every storm gets. Whatever ends this ends the storms first.
    """
    waiting, failed = list(reversed(names)), list[str]()
    running: dict[str, subprocess.Popen[str]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < together:
                name = waiting.pop()
                running[name] = _start(name, arguments)
            time.sleep(POLL_S)
            for name in [name for name, process in running.items() if process.poll() is not None]:
                process = running.pop(name)
                print(process.communicate()[0], end="", flush=True)
                if process.returncode:
                    failed.append(name)
    finally:
        _end(running.values())
    return failed


def _start(name: str, arguments: Sequence[str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "chaos", "--only", name, *arguments]
    # A session of its own: Ctrl-C is for us, and we tell the storms.
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def _end(processes: Iterable[subprocess.Popen[str]]) -> None:
    """SIGTERM, upon which a storm ends all its processes; SIGKILL for one that does not listen."""
    for process in (told := list(processes)):
        process.terminate()
    for process in told:
        try:
            process.communicate(timeout=LEAVES_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
