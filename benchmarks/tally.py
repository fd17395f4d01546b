"""A counter that tasks raise and the runner reads, without a word to Redis. Runs in the environments of all sides."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

TALLY_VARIABLE = "BENCH_TALLY"
CELL_VARIABLE = "BENCH_CELL"
# How slow a node is, and where its tasks write down when they ran: for the skills of the measure of balance.
FACTOR_VARIABLE, RECORD_VARIABLE = "BENCH_FACTOR", "BENCH_RECORD"
CELLS = 16
_BYTES = 8 * CELLS


class Tally:
    """64-bit numbers in a file that processes share, one cell for each of at most 16 writers."""

    def __init__(self, path: Path, cell: int = 0) -> None:
        self.path = path
        self.cell = cell
        if not path.exists() or path.stat().st_size < _BYTES:
            path.write_bytes(bytes(_BYTES))
        with path.open("r+b") as file:
            self._cells = memoryview(mmap.mmap(file.fileno(), _BYTES)).cast("Q")

    def add(self) -> None:
        """One more; a cell has a single writer."""
        self._cells[self.cell] += 1

    @property
    def value(self) -> int:
        """The sum of all cells now."""
        return sum(self._cells)

    @property
    def writers(self) -> int:
        """How many cells are above 0 now."""
        return sum(cell > 0 for cell in self._cells)

    def reset(self) -> None:
        """Start at 0 again."""
        for cell in range(CELLS):
            self._cells[cell] = 0


def tally_of_worker() -> Tally:
    """The tally of the benchmark that started this worker, and the cell it was given."""
    return Tally(Path(os.environ[TALLY_VARIABLE]), int(os.environ.get(CELL_VARIABLE, "0")))
