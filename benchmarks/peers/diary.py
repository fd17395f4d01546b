"""What bodies of tasks did and when: a line an event in one file that all workers of a trial append to."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

DIARY_VARIABLE = "BENCH_DIARY"
NAME_VARIABLE = "BENCH_WORKER"
BEGUN, ENDED, CUT = "begun", "ended", "cut"


@dataclass(frozen=True, slots=True)
class Entry:
    """At `at` (seconds, system clock) the body of task `key` began, ended or was cut off on a worker."""

    at: float
    what: str
    key: str
    worker: str


def note(what: str, key: str) -> None:
    """Append an entry of this worker, in one write."""
    line = f"{time.time():.6f} {what} {key} {os.environ[NAME_VARIABLE]}\n".encode()
    file = os.open(os.environ[DIARY_VARIABLE], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(file, line)
    finally:
        os.close(file)


def entries(path: Path) -> list[Entry]:
    """What stands in a diary so far."""
    lines = path.read_text().splitlines() if path.exists() else []
    split = (line.split(" ") for line in lines)
    return [Entry(float(at), what, key, worker) for at, what, key, worker in split]


@contextmanager
def told(key: str, first_s: float, again_s: float) -> Iterator[float]:
    """Around a body: notes its begin and end, and gives the seconds to last, which are others when it begins again."""
    before = [entry for entry in entries(Path(os.environ[DIARY_VARIABLE])) if (entry.what, entry.key) == (BEGUN, key)]
    note(BEGUN, key)
    try:
        yield again_s if before else first_s
    except BaseException:
        note(CUT, key)
        raise
    note(ENDED, key)
