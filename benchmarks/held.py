"""A process that may run for a share of the time only, so that few cores are divided as more would be.

python -m benchmarks.held PID SHARE holds it until its standard input ends.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.sides import ROOT

PERIOD_S = 0.002


@contextmanager
def held(pid: int, share: float) -> Iterator[None]:
    """Stops the process and lets it go on, five hundred times a second, for the length of a block."""
    command = [sys.executable, "-m", "benchmarks.held", str(pid), str(share)]
    holder = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        holder.stdout.readline()  # it has begun
        yield
    finally:
        holder.communicate()
        if holder.returncode:
            raise SystemExit(f"process {pid} could not be held: {' '.join(command)}")


def main() -> None:
    pid, share = int(sys.argv[1]), float(sys.argv[2])
    begin, stopped_s = time.perf_counter(), 0.0
    print("held", flush=True)
    try:
        while not _ended(PERIOD_S * share):
            # What one stop was too long or too short, the next makes up for.
            due_s = (1 - share) * (time.perf_counter() - begin + PERIOD_S * (1 - share)) - stopped_s
            os.kill(pid, signal.SIGSTOP)
            stop = time.perf_counter()
            ended = _ended(max(due_s, 0.0))
            os.kill(pid, signal.SIGCONT)
            stopped_s += time.perf_counter() - stop
            if ended:
                return
    finally:
        os.kill(pid, signal.SIGCONT)


def _ended(seconds: float) -> bool:
    return bool(select.select([sys.stdin], [], [], seconds)[0])


if __name__ == "__main__":
    main()
