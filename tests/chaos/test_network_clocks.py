"""Processes whose clock is wrong, and the true time that they write all the same."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from chaos import clocks, events
from chaos.clocks import HOUR_S, Clocks
from chaos.events import read

ROOT = Path(__file__).parents[2]
PATIENCE_S = 20.0


@pytest.mark.usefixtures("wrong_clocks")
@pytest.mark.parametrize("seconds", [-HOUR_S, HOUR_S])
def test_a_process_whose_clock_is_wrong_writes_true_time(tmp_path: Path, seconds: int) -> None:
    made = Clocks(tmp_path, "")
    made.set("spore", seconds)
    program = "import time; from chaos.events import here; here().write('blow', text=str(time.time()))"
    environment = os.environ | made.environment("spore") | {events.HISTORY: str(tmp_path)}
    before_us = events.wall_us()
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT, env=environment)
    after_us = events.wall_us()
    (path,) = tmp_path.glob("*.jsonl")
    (event,) = read(path)
    assert before_us <= event.at <= after_us
    assert before_us / 1e6 <= float(event.text) - seconds <= after_us / 1e6


@pytest.mark.usefixtures("wrong_clocks")
def test_a_clock_can_be_set_while_its_process_runs_and_waits_are_not_touched(tmp_path: Path) -> None:
    made = Clocks(tmp_path, "")
    made.set("spore", HOUR_S)
    program = (
        "import sys, threading, time\nfor _ in sys.stdin: threading.Event().wait(0.01); print(time.time(), flush=True)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        env=os.environ | made.environment("spore"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def ahead_s() -> float:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("\n")
        process.stdin.flush()
        return float(process.stdout.readline()) - time.time()

    assert abs(ahead_s() - HOUR_S) < PATIENCE_S
    made.set("spore", -HOUR_S)
    end_s = time.monotonic() + PATIENCE_S
    while abs(ahead_s() + HOUR_S) > PATIENCE_S:
        assert time.monotonic() < end_s
    process.communicate()
    assert process.returncode == 0


@pytest.mark.usefixtures("wrong_clocks")
def test_every_clock_begins_an_hour_wrong_and_with_the_same_seed_the_same_way(tmp_path: Path) -> None:
    def shown(seed: str) -> list[str]:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        made = Clocks(folder, seed)
        for name in "abcdef":
            made.environment(name)
        return [(folder / f"{name}.clock").read_text() for name in "abcdef"]

    first = shown("1")
    assert set(first) == {"-3600\n", "+3600\n"}
    assert shown("1") == first


def test_where_there_is_no_library_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clocks, "FOLDERS", ())
    assert clocks.missing() == "there is no libfaketimeMT.so.1; install libfaketime"


@pytest.mark.skipif(sys.platform != "linux", reason="libfaketime is preloaded on Linux only")
def test_a_library_that_changes_nothing_is_no_good(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / clocks.LIBRARY).write_bytes(b"")
    monkeypatch.setattr(clocks, "FOLDERS", (str(tmp_path),))
    assert "libfaketime sets the clock of a process -3600 s wrong" in clocks.missing()


@pytest.mark.skipif(sys.platform != "linux", reason="libfaketime is preloaded on Linux only")
def test_a_process_that_dies_of_the_library_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / clocks.LIBRARY).write_bytes(b"")
    monkeypatch.setattr(clocks, "FOLDERS", (str(tmp_path),))
    monkeypatch.setattr(clocks, "_PROBE", "raise SystemExit('it does not start')")
    assert clocks.missing().endswith("ends with 1: it does not start")
