"""Runs the storms: ./chaos/run [--seed N] [--short] [--only NAME] [--tasks N] [--together N] [--figures ROUNDS]"""

from __future__ import annotations

import argparse
import logging
import os
import secrets
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from chaos import figures, totals
from chaos.checker import Verdict
from chaos.scenarios import SCENARIOS
from chaos.storm import Scale, Scenario, storm
from chaos.together import run_together

SHORT_TASKS, SHORT_S = 1_200, 3.0
# A million tasks in all storms together.
LONG_TASKS, LONG_S = 40_000, 30.0
PATIENCE_LONG = 12.0
# Two cores are enough for two storms, which wait most of the time.
TOGETHER = 2
# About as many tasks of the usual mix as the slots of three Spores do in a second, in good weather.
TASKS_PER_S = 400


def main() -> int:
    """The command; 1 if a rule was broken."""
    chosen = _parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that no process of a storm is left behind
    if chosen.figures:
        figures.show(chosen.figures)
        return 0
    seed = chosen.seed or str(secrets.randbelow(10**9))
    tasks = chosen.tasks or (SHORT_TASKS if chosen.short else LONG_TASKS)
    seconds = max(SHORT_S if chosen.short else LONG_S, tasks / TASKS_PER_S)
    scale = Scale(seed, tasks, seconds, 1.0 if chosen.short else PATIENCE_LONG)
    names = chosen.only or list(SCENARIOS)
    if chosen.within:
        return 0 if all(_happen(SCENARIOS[name], scale, chosen.within) for name in names) else 1
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    print(f"seed {seed}, {tasks:,} tasks and {seconds:g} s of bad weather a storm", flush=True)
    begun = time.monotonic()
    together = min(chosen.together or TOGETHER, len(names))
    if together > 1:
        length = ["--short"] if chosen.short else []
        given = ["--seed", seed, "--tasks", str(tasks), "--within", str(folder), *length]
        broken = run_together(names, given, together)
    else:
        broken = [name for name in names if not _happen(SCENARIOS[name], scale, folder)]
    if len(names) > 1:
        print(f"{totals.line(folder)}  {_took(begun)}", flush=True)
    if broken:
        print(f"broken: {', '.join(broken)}; the histories are in {folder}")
        print(f"again: ./chaos/run --seed {seed}{' --short' if chosen.short else ''} --only {broken[0]}")
        return 1
    if not chosen.keep:
        shutil.rmtree(folder)
    return 0


def _happen(scenario: Scenario, scale: Scale, folder: Path) -> bool:
    """One line about one storm, and the first sentences against it."""
    if lacks := scenario.lacks():
        print(f"NOT RUN {scenario.name}: {lacks}", flush=True)
        return not must_run()
    begun = time.monotonic()
    verdict = storm(scenario, scale, folder / scenario.name)
    totals.leave(folder / scenario.name, verdict)
    print(
        f"{'clean ' if verdict.clean else 'BROKEN'} {scenario.name:24}{_figures(verdict)}  {_took(begun)}", flush=True
    )
    for sentence in verdict.sentences:
        print(f"       {sentence}", flush=True)
    return verdict.clean


def must_run() -> bool:
    """Whether nothing may be lacking: root in CI can install all of it."""
    return os.environ.get("CI") == "true" and hasattr(os, "geteuid") and os.geteuid() == 0


def _figures(verdict: Verdict) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in verdict.figures.items() if count)


def _took(begun: float) -> str:
    return f"({time.monotonic() - begun:.1f} s)"


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="chaos/run", description="Breaks a hive in every way and judges it.")
    parser.add_argument("--seed", default="", help="repeat the blows of an earlier run")
    parser.add_argument("--short", action="store_true", help="a few seconds of each storm")
    parser.add_argument(
        "--only", action="append", choices=SCENARIOS, metavar="NAME", help="this storm; may be repeated"
    )
    parser.add_argument("--tasks", type=int, default=0, metavar="N", help="tasks a storm")
    parser.add_argument(
        "--together", type=int, default=0, metavar="N", help=f"so many storms at once ({TOGETHER} if not said)"
    )
    parser.add_argument("--within", type=Path, help=argparse.SUPPRESS)  # a storm of several: its line, and no more
    parser.add_argument("--figures", type=int, default=0, metavar="ROUNDS", help="measure instead")
    parser.add_argument("--keep", action="store_true", help="keep the histories of clean storms too")
    return parser.parse_args()


if __name__ == "__main__":
    logging.getLogger("venom").setLevel(logging.ERROR)  # the nodes log for themselves; this process only looks on
    sys.exit(main())
