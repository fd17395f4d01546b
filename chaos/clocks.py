"""Clocks that are wrong: libfaketime gives a process another wall clock, which can be set while it runs.

The monotonic clock stays as it is, and out of it the process writes its history: `CHAOS_CLOCK` tells it how far true
time is ahead of that (`chaos.events`).
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from chaos.events import CLOCK

HOUR_S = 3600
# libfaketime looks at its file again after so many seconds.
NOTICED_AFTER_S = 1
FOLDERS = ("/usr/lib/*/faketime", "/usr/lib*/faketime", "/usr/local/lib/faketime")
LIBRARY = "libfaketimeMT.so.1"
PROBE_WITHIN_S = 20.0
_PROBE = "import threading, time; threading.Event().wait(0.01); print(time.time_ns(), time.monotonic_ns())"


class Clocks:
    """The clocks of the processes of one storm, by their names; files in `folder` say what they show.

    Each begins an hour wrong, one way or the other.
    """

    def __init__(self, folder: Path, seed: str) -> None:
        """Raises `FileNotFoundError` if there is no libfaketime; `missing` says so before."""
        self._folder, self._library, self._rng = folder, _library(), random.Random(seed)

    def set(self, name: str, seconds: int) -> None:
        """From now on, or within a second if it runs, a process' clock is so far ahead of true time, or behind."""
        new = self._folder / f"{name}.clock.new"
        new.write_text(f"{seconds:+d}\n")
        new.replace(self._file(name))

    def environment(self, name: str) -> dict[str, str]:
        """What a process must find in its environment to have the clock of this name."""
        if not self._file(name).exists():
            self.set(name, self._rng.choice((-HOUR_S, HOUR_S)))
        return {
            "LD_PRELOAD": str(self._library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file(name)),
            "FAKETIME_CACHE_DURATION": str(NOTICED_AFTER_S),
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
            CLOCK: str(time.time_ns() - time.monotonic_ns()),
        }

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.clock"


def missing() -> str:
    """Why no clock can be set wrong here, or nothing."""
    with tempfile.TemporaryDirectory(prefix="vc") as folder:
        try:
            clocks = Clocks(Path(folder), "")
        except FileNotFoundError as fault:
            return f"{fault}; install libfaketime"
        clocks.set("probe", HOUR_S)
        command, environment = [sys.executable, "-c", _PROBE], os.environ | clocks.environment("probe")
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=PROBE_WITHIN_S, check=False
        )
    try:
        wall_ns, monotonic_ns = (int(word) for word in done.stdout.split())
    except ValueError:
        last = (done.stderr.splitlines() or [""])[-1]
        return f"a process with libfaketime ends with {done.returncode}: {last[:200]}"
    wrong_s, late_s = (wall_ns - time.time_ns()) / 1e9 - HOUR_S, (time.monotonic_ns() - monotonic_ns) / 1e9
    if abs(wrong_s) > PROBE_WITHIN_S or not 0 <= late_s <= PROBE_WITHIN_S:
        return f"libfaketime sets the clock of a process {wrong_s:+.0f} s wrong, and the monotonic one {-late_s:+.0f} s"
    return ""


def _library() -> Path:
    found = next((path for folder in FOLDERS for path in Path("/").glob(f"{folder[1:]}/{LIBRARY}")), None)
    if found is None:
        raise FileNotFoundError(f"there is no {LIBRARY}")
    return found
