"""Five million tasks through one Spore: what Redis and the Spore hold meanwhile, and whether both give it back."""

from __future__ import annotations

import time
from dataclasses import dataclass

import psutil

from benchmarks.lab import Lab
from benchmarks.section import Promise, Section
from benchmarks.spores import standing, with_settings

TASKS, WAVES, SAMPLES = 5_000_000, 100, 25
WARM_UP, TTL_S = 10_000, 5
STALL_S, FORGET_S, POLL_S = 60.0, 240.0, 0.01
REDIS_MB, RSS_PERCENT = 1.0, 10.0
NOTE = f"""One Spore at default settings but for `HIVE_RESULT_TTL={TTL_S}`, so that every result is forgotten within
the run. Waves of no-ops are enqueued by one process after another; a sample is taken when a wave has ended. The first
row stands after {WARM_UP:,} tasks that were run and forgotten, so that scripts and code are loaded. The last stands
when the last result is forgotten: what is left then are counters and the Spore's own entries. Dataset:
`used_memory_dataset` of `INFO memory`, Redis' memory without buffers and tables of its own."""


@dataclass(frozen=True, slots=True)
class Sample:
    """After so many tasks and seconds: memory in MB (10^6), and results that Redis keeps."""

    tasks: int
    seconds: float
    redis_mb: float
    dataset_mb: float
    spore_mb: float
    results: int


def measure(lab: Lab) -> Section:
    waves, each = (10, 10_000) if lab.quick else (WAVES, TASKS // WAVES)
    samples = []
    with standing(lab, [with_settings(lab.hive, HIVE_RESULT_TTL=TTL_S)]) as (spore,):
        _wave(lab, WARM_UP)
        _await_forgotten(lab)
        begin = time.perf_counter()
        samples.append(_sample(lab, spore, 0, begin))
        for wave in range(1, waves + 1):
            _wave(lab, each)
            if wave % max(waves // SAMPLES, 1) == 0:
                samples.append(_sample(lab, spore, wave * each, begin))
        _await_forgotten(lab)
        samples.append(_sample(lab, spore, waves * each, begin))
    return section_of(samples)


def section_of(samples: list[Sample]) -> Section:
    """The curve as a table; the last sample is judged by the first."""
    first, last = samples[0], samples[-1]
    head = ["tasks", "s", "Redis MB", "dataset MB", "Spore RSS MB", "results kept"]
    section = Section("soak", f"Memory over {last.tasks:,} tasks", head, notes=[NOTE])
    for sample in samples:
        section.rows.append([
            f"{sample.tasks:,}", f"{sample.seconds:.0f}", f"{sample.redis_mb:.2f}", f"{sample.dataset_mb:.2f}",
            f"{sample.spore_mb:.1f}", f"{sample.results:,}",
        ])  # fmt: skip
    for part in ("tasks", "seconds", "redis_mb", "dataset_mb", "spore_mb", "results"):
        section.numbers[part] = [getattr(sample, part) for sample in samples]
    text = f"after {last.tasks:,} tasks and their results:"
    grown_mb, grown = last.dataset_mb - first.dataset_mb, (last.spore_mb / first.spore_mb - 1) * 100
    section.promises += [
        Promise(f"{text} Redis' dataset above the start", REDIS_MB, grown_mb, "MB"),
        Promise(f"{text} resident memory of the Spore above the start", RSS_PERCENT, grown, "%"),
    ]
    return section


def _wave(lab: Lab, count: int) -> None:
    """Enqueue, and wait until all ran; raises when nothing moves any more."""
    wanted = lab.tally.value + count
    lab.ask(lab.hive, "bulk", count, "noop", {"n": 1})
    seen, moved = lab.tally.value, time.monotonic()
    while lab.tally.value < wanted or lab.hive.unfinished(lab.server.client):
        if (value := lab.tally.value) != seen:
            seen, moved = value, time.monotonic()
        elif time.monotonic() - moved > STALL_S:
            raise SystemExit(f"the hive stalled {wanted - value:,} tasks before the end of a wave")
        time.sleep(POLL_S)


def _await_forgotten(lab: Lab) -> None:
    """An idle Spore forgets once a minute."""
    deadline = time.monotonic() + FORGET_S
    while left := _results(lab):
        if time.monotonic() > deadline:
            raise SystemExit(f"{left:,} results are still there {FORGET_S:g} s after the last task")
        time.sleep(0.1)


def _results(lab: Lab) -> int:
    return int(str(lab.server.client.hlen("{venom:0}:outcome")))


def _sample(lab: Lab, spore: psutil.Process, tasks: int, begin: float) -> Sample:
    memory = lab.server.info("memory")
    held = sum(one.memory_info().rss for one in (spore, *spore.children(recursive=True)))
    redis_mb, dataset_mb = (int(memory[name]) / 1e6 for name in ("used_memory", "used_memory_dataset"))
    return Sample(tasks, time.perf_counter() - begin, redis_mb, dataset_mb, held / 1e6, _results(lab))
