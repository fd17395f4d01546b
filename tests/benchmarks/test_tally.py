"""A number that several processes raise at once loses nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.sides import ROOT, environment
from benchmarks.tally import Tally

TIMES = 20_000
ADDS = f"from benchmarks.tally import tally_of_worker as made; tally = made(); [tally.add() for _ in range({TIMES})]"


def test_each_of_several_writers_has_a_cell_of_its_own_and_the_value_is_their_sum(tmp_path: Path) -> None:
    tally = Tally(tmp_path / "tally")
    command = [sys.executable, "-c", ADDS]
    writers = [subprocess.Popen(command, cwd=ROOT, env=environment(tally.path, number)) for number in range(3)]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    assert tally.value == 3 * TIMES
    tally.reset()
    assert tally.value == 0
