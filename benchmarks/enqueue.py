"""Enqueue: one caller process, three ways of calling."""

from __future__ import annotations

from typing import Any

from benchmarks.lab import Lab
from benchmarks.section import Promise, Section, middle, span, whole

BULK, HUNDRED, ONE, ARQ = 100_000, 30_000, 3_000, 10_000
RATIO, AWAITED = 16.0, 2.3
WAYS = {"bulk": "in bulk", "hundred": "100 coroutines, one task a call", "one": "one awaited after another"}


def measure(lab: Lab) -> Section:
    runs: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for side in lab.turns():
        for way, count in (("bulk", BULK), ("hundred", HUNDRED), ("one", ONE)):
            if (side.name, way) == ("arq", "bulk"):
                continue
            lab.server.empty()
            wanted = lab.count(count if side is lab.hive or way == "one" else ARQ)
            runs.setdefault((side.name, way), []).append(lab.ask(side, way, wanted, "noop", {"n": 1}))
    section = Section(
        "enqueue",
        "Enqueue",
        ["", "", "tasks/s", "least–most", "× arq", "caller CPU µs/task", "Redis CPU µs/task"],
        notes=["arq has no bulk call; its 100 coroutines, its fastest way in, stand against ours."],
    )
    rates = {key: [run["count"] / run["seconds"] for run in done] for key, done in runs.items()}
    for (name, way), done in sorted(runs.items()):
        peer = rates["arq", "one" if way == "one" else "hundred"]
        ratio = middle(rates[name, way]) / middle(peer)
        caller, redis = ([run[part] / run["count"] * 1e6 for run in done] for part in ("cpu_s", "redis_cpu_s"))
        section.rows.append([
            name, WAYS[way], whole(middle(rates[name, way])), span(rates[name, way]), f"{ratio:.1f}",
            f"{middle(caller):.1f}", f"{middle(redis):.1f}",
        ])  # fmt: skip
        section.numbers[f"{name} {way}"] = {
            "per_second": rates[name, way], "caller_us": middle(caller), "redis_us": middle(redis),
        }  # fmt: skip
    ratio = middle(rates["hive", "bulk"]) / middle(rates["arq", "hundred"])
    section.promises.append(Promise("bulk enqueue against arq's 100 coroutines", RATIO, ratio, "×", at_least=True))
    ratio = middle(rates["hive", "one"]) / middle(rates["arq", "one"])
    section.promises.append(Promise("awaited enqueue, one after another", AWAITED, ratio, "×", at_least=True))
    return section
