"""Runs the measures and writes the report: ./benchmarks/run [--quick] [--only NAME]"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from benchmarks import (
    ablations,
    anatomy,
    backlog,
    balance,
    broadcast,
    drain,
    enqueue,
    foreman,
    ideal,
    idle,
    kinds,
    limit,
    many_types,
    map_reduce,
    memory,
    nodes,
    ota,
    peers_drain,
    recovery,
    round_trip,
    soak,
    two_spores,
    urgent,
)
from benchmarks.copies import COPIES, copied
from benchmarks.lab import Lab, tally_in
from benchmarks.pictures import write_pictures
from benchmarks.report import render, render_section
from benchmarks.section import Section, middle
from benchmarks.server import server_in
from benchmarks.sides import CACHE, ROOT, TOKEN, arq_side, hive_side, versions_of

MEASURES: dict[str, Callable[[Lab], Section]] = {
    "drain": drain.measure,
    "anatomy": anatomy.measure,
    "ablations": ablations.measure,
    "enqueue": enqueue.measure,
    "round_trip": round_trip.measure,
    "urgent": urgent.measure,
    "two_spores": two_spores.measure,
    "limit": limit.measure,
    "ideal": ideal.measure,
    "balance": balance.measure,
    "backlog": backlog.measure,
    "memory": memory.measure,
    "idle": idle.measure,
    "kinds": kinds.measure,
    "many_types": many_types.measure,
    "map_reduce": map_reduce.measure,
    "nodes": nodes.measure,
    "broadcast": broadcast.measure,
    "foreman": foreman.measure,
    "ota": ota.measure,
    "soak": soak.measure,
    "peers": peers_drain.measure,
    "recovery": recovery.measure,
}
# Minutes each, and two have ten environments to make: measured only when asked for by name.
LONG = ("soak", "peers", "recovery")
ONLY = f"one measure, the others keep their last numbers; measured only so: {', '.join(LONG)}"
ROUNDS = 3


def main() -> int:
    chosen = _parse()
    names = [chosen.only] if chosen.only else [name for name in MEASURES if name not in LONG]
    CACHE.mkdir(exist_ok=True)
    (CACHE / ".gitignore").write_text("*\n")
    results = (CACHE if chosen.quick else ROOT / "benchmarks") / "results.json"
    page = CACHE / "benchmarks.md" if chosen.quick else ROOT / "docs" / "benchmarks.md"
    measured: dict[str, Any] = {}
    begin, load = time.time(), os.getloadavg()
    with tempfile.TemporaryDirectory() as scratch, server_in(Path(scratch)) as server:
        rounds = 1 if chosen.quick else ROUNDS
        lab = Lab(server, hive_side(), arq_side(), tally_in(Path(scratch)), rounds, chosen.quick)
        for name in names:
            print(f"measuring {name} ...", file=sys.stderr)
            section = MEASURES[name](lab)
            section.when = f"{time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime())} at commit {_commit()}"
            print(render_section(section), flush=True)
            measured[name] = section.to_dict()
        machine = _machine(lab, load, time.time() - begin)
    # Read only now: another measure may have been written meanwhile.
    kept = json.loads(results.read_text())["sections"] if results.exists() else {}
    kept |= measured
    sections = [Section.from_dict(kept[name]) for name in MEASURES if name in kept]
    results.write_text(json.dumps({"machine": machine, "sections": kept}, indent=1) + "\n")
    page.write_text(render(machine, sections))
    write_pictures(page.parent, sections)
    for section in (section for section in sections if section.name in COPIES and not chosen.quick):
        document = ROOT / COPIES[section.name]
        document.write_text(copied(document.read_text(), section))
    for promise in (promise for section in sections for promise in section.promises):
        print(f"{'met    ' if promise.met else 'NOT MET'} {promise.text}: {promise.measured:.3g} {promise.unit}")
    print(f"written: {page.relative_to(ROOT)} and {results.relative_to(ROOT)}")
    return 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks/run", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few tasks, one round; writes into .bench/ only")
    parser.add_argument("--only", choices=MEASURES, help=ONLY)
    return parser.parse_args()


def _machine(lab: Lab, load: tuple[float, float, float], seconds: float) -> dict[str, str]:
    foreign = lab.foreign
    return {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "machine": f"{os.cpu_count()} cores ({_processor()}), {psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "server": f"Redis {lab.server.version}, TCP on loopback, no persistence",
        "hive": ", ".join(f"{name} {version}" for name, version in versions_of(lab.hive).items()),
        "arq": ", ".join(f"{name} {version}" for name, version in versions_of(lab.arq).items()),
        "switched on": "shared token, stored results, uvloop, concurrency 100; see Method",
        "rounds": f"{lab.rounds}, in {seconds / 60:.0f} minutes",
        "load average at the start / end": f"{load[0]:.2f} / {os.getloadavg()[0]:.2f}",
        "cores used by others while draining": f"median {middle(foreign):.0%}, most {max(foreign):.0%}"
        if foreign
        else "–",
    }


def _commit() -> str:
    asked = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return asked.stdout.strip() or "unknown"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []:
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


logging.disable(logging.CRITICAL)  # a server without persistence is warned about at every connect
os.environ["NEXUS_SHARED_TOKEN"] = TOKEN
sys.exit(main())
