"""Several storms at once, each in a process of its own."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from chaos import mutants, together
from chaos.together import run_together
from tests.hives import until

PATIENCE_S = 60.0
ONE = ["--seed", "7", "--short", "--tasks", "60"]


def test_storms_at_once_print_their_lines_and_the_broken_ones_are_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv(mutants.MUTANT, "end_uncounted")
    names = ["fair", "scripts_flushed"]
    assert sorted(run_together(names, [*ONE, "--within", str(tmp_path)], 2)) == names
    said = capsys.readouterr().out
    assert [said.count(f"BROKEN {name} ") for name in names] == [1, 1]
    assert "counters: " in said
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_who_is_told_to_end_ends_all_storms_first(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "chaos", *ONE, "--only", "fair", "--only", "reset", "--together", "2"]
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, cwd=together.ROOT, env=environment, stdout=subprocess.DEVNULL) as process:
        above = psutil.Process(process.pid)
        asyncio.run(until(lambda: len(above.children(recursive=True)) > 10, PATIENCE_S))
        below = above.children(recursive=True)
        process.terminate()
        assert process.wait(PATIENCE_S) == 143
    assert psutil.wait_procs(below, PATIENCE_S)[1] == []
