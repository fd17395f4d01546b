"""The regression gate: python -m benchmarks.gate [--record]

Compares ratios with those in benchmarks/gate.json and fails if one is worse by more than the noise of a record, naming
the commits since. What looks slow is measured again before it is called so.
"""

from __future__ import annotations

import argparse
import logging
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from benchmarks.gate_measures import ratios, repetition, whole
from benchmarks.gate_record import Record, Verdict, judge, recorded_of
from benchmarks.lab import Lab, tally_in
from benchmarks.section import middle
from benchmarks.server import server_in
from benchmarks.sides import ROOT, TOKEN, hive_side

RECORD = ROOT / "benchmarks" / "gate.json"
REPEATS, RUNS, TASKS = 7, 5, 50_000
PACKAGES = ("venom_core", "venom_spore")


def main() -> int:
    chosen = _parse()
    logging.disable(logging.CRITICAL)  # a server without persistence is warned about at every connect
    os.environ["NEXUS_SHARED_TOKEN"] = TOKEN
    with tempfile.TemporaryDirectory() as scratch, server_in(Path(scratch)) as server:
        side = hive_side()
        lab = Lab(server, side, side, tally_in(Path(scratch)), chosen.repeats, quick=False)
        return record(lab, chosen) if chosen.record else check(lab, chosen)


def record(lab: Lab, chosen: argparse.Namespace) -> int:
    """Several runs one after another become the record."""
    runs = [ratios(_measured(lab, chosen)) for _ in range(chosen.runs)]
    made = Record(_commit(), time.strftime("%Y-%m-%d", time.gmtime()), _machine(), recorded_of(runs))
    made.write(chosen.file)
    for name, one in made.measures.items():
        print(f"{name}: {one.ratio:.2f}, runs ± {one.spread:.1%}")
    return 0


def check(lab: Lab, chosen: argparse.Namespace) -> int:
    """0 if nothing is slower than recorded, else 1."""
    recorded = Record.read(chosen.file)
    repetitions = _measured(lab, chosen)
    verdicts = judge(recorded, ratios(repetitions), middle(lab.foreign))
    if not all(verdict.passed for verdict in verdicts):
        print("something looks slow; measuring again")
        repetitions += _measured(lab, chosen)
        verdicts = judge(recorded, ratios(repetitions), middle(lab.foreign))
    print(f"cores used by others while draining: {middle(lab.foreign):.0%}")
    for verdict in verdicts:
        print(verdict.line())
    slow = [verdict for verdict in verdicts if not verdict.passed]
    if slow:
        print(_blame(slow, recorded.commit), file=sys.stderr)
    return 1 if slow else 0


def _measured(lab: Lab, chosen: argparse.Namespace) -> list[Mapping[str, float]]:
    return [whole(lambda: repetition(lab, chosen.tasks, chosen.skills)) for _ in range(lab.rounds)]


def _blame(slow: list[Verdict], commit: str) -> str:
    names = "; ".join(verdict.name for verdict in slow)
    log = _git("log", "--oneline", f"{commit}..HEAD", "--", *PACKAGES)
    since = log or "none that git knows of; what is not committed, or the machine"
    return (
        f"slower than at {commit}: {names}\ncommits since:\n{since}\n"
        "If it is meant, record it: python -m benchmarks.gate --record"
    )


def _commit() -> str:
    return _git("rev-parse", "--short=10", "HEAD") or "unknown"


def _git(*arguments: str) -> str:
    asked = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return asked.stdout.strip()


def _machine() -> str:
    return f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gate", description=__doc__)
    parser.add_argument("--record", action="store_true", help="measure several times, and make that the record")
    parser.add_argument("--repeats", type=int, default=REPEATS, help="repetitions of which the least costs count")
    parser.add_argument("--runs", type=int, default=RUNS, help="runs that a record is made of")
    parser.add_argument("--tasks", type=int, default=TASKS, help="no-ops a repetition")
    parser.add_argument("--skills", default="benchmarks.skills", help="module of the no-op; for the gate's own test")
    parser.add_argument("--file", type=Path, default=RECORD, help="where the record is kept")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
