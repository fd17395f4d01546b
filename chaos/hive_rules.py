"""What must hold of a hive as a whole: leases, counters, and what it holds in memory when it is idle again."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

from chaos.lives import CRASHED, TAKEN, History, Life, Node, Take, Weight, all_frees

Fault = tuple[str, str]
GROWTH = GROWN_SERVER, GROWN_PROCESS = "KiB more in the idle server", "KiB more in a process"
MIB = 1024 * 1024
# Between the moment that Redis names and the one in which a process knows of it.
STAMP_SLACK_MS = 5_000
# What may differ between two idle hives: names and numbers are longer, reply lists of a last settle.
KEY_BYTES_MORE = 8_192
# Buffers and tables of the server that grow with use and stay; measured: see docs/reliability.md.
SERVER_BYTES_MORE = 1 * MIB
# What an allocator keeps of the busiest moment.
PROCESS_BYTES_MORE = 32 * MIB


def of_nodes(history: History) -> Iterator[Fault]:
    """Leases: nobody is reaped alive, nobody claims after that, no epoch is given twice."""
    for epoch, node in history.nodes.items():
        for moments in node.renewed.values():
            moments.sort()
        if node.joins > 1:
            yield "epoch_twice", f"epoch {epoch} was given {node.joins} times"
    reaped: dict[tuple[int, int], int] = {}
    for take in history.takes:
        if take.forced or not take.sure:
            continue
        # Each partition has a lease of its own, which a node that dies in the middle of a heartbeat renewed or not.
        lease = (take.epoch, take.partition)
        reaped[lease] = min(take.until, reaped.get(lease, take.until))
        known = history.nodes.get(take.epoch)
        if known is not None and (alive_ms := _alive_until(history, known, take)) * 1000 > take.until:
            late = alive_ms - take.until // 1000
            yield "reaped_alive", f"epoch {take.epoch} was reaped {late} ms before its lease ended"
    for claim in history.claims:
        dead = reaped.get((claim.epoch, claim.partition))
        if dead is not None and claim.now * 1000 > dead and not history.windows:
            yield "claimed_dead", f"epoch {claim.epoch} claimed {len(claim.ids)} tasks after it was reaped"


def _alive_until(history: History, node: Node, take: Take) -> int:
    """The ms until which a lease surely ran, as seen when it was taken; 0 if somebody may have ended it."""
    at, moments = take.since, node.renewed.get(take.partition, [])
    if not node.lease_ms or (node.fenced and node.fenced <= at):
        return 0
    place = bisect_right(moments, at // 1000 - 1)
    last = moments[place - 1] if place else node.joined
    return last + node.lease_ms if history.sure(last * 1000, at) else 0


def of_leaders(history: History) -> Iterator[Fault]:
    """One leads at a time: the next one only after the lease of the last has run out, or it resigned."""
    won = sorted(history.led, key=lambda led: (led.epoch, led.since))
    for before, after in pairwise(won):
        if before.name == after.name:
            continue
        if before.epoch == after.epoch:
            yield "two_leaders", f"leader epoch {after.epoch} was given to {before.name} and to {after.name}"
            continue
        resigned = any(name == before.name and at <= after.until for name, at in history.resigned)
        early_ms = before.since // 1000 + before.lease_ms - after.until // 1000
        if early_ms > 0 and not resigned and history.sure(before.since, after.until):
            yield "two_leaders", f"{after.name} led {early_ms} ms before the lease of {before.name} had run out"


def of_stamps(history: History) -> Iterator[Fault]:
    """What is said to have begun and ended did so while it stormed, whatever any clock was set to."""
    for task_id, earliest, latest, seen in history.stamped:
        for stamp in (earliest, latest):
            if not history.begun // 1000 - STAMP_SLACK_MS <= stamp <= seen // 1000 + STAMP_SLACK_MS:
                off_s = (stamp - history.begun // 1000) / 1000
                yield "stamps", f"a task among those from {task_id} on is stamped {off_s:+,.0f} s from the first event"


def of_counters(history: History) -> Iterator[Fault]:
    """The counters in Redis say what is in Redis."""
    if not history.counts:
        yield "counters", "were not looked at"
        return
    high, background, running, _dead, *ended = history.counts
    if (high, background, running) != (0, 0, 0):
        yield "counters", f"say {high}+{background} pending and {running} running when all has ended"
    least: Counter[str] = Counter()
    most: Counter[str] = Counter()
    for life in history.lives.values():
        if life.agains:
            _count_ends(life, least, most)
        else:
            least[life.mark] += 1
            most[life.mark] += 1
    for mark, count in zip("cfxq", ended, strict=True):
        if not least[mark] <= count <= most[mark]:
            yield "counters", f"say {count} ends of kind {mark}, there were {least[mark]} to {most[mark]}"


def _count_ends(life: Life, least: Counter[str], most: Counter[str]) -> None:
    """How often a task that was put back in line has surely ended, and may have, by kind."""
    sure: Counter[str] = Counter({life.mark: 1})
    maybe: Counter[str] = Counter({life.mark: 1})
    frees = list(all_frees(life))
    for mark in "cfxq":
        sure[mark] = max(sure[mark], sum(free.sure and free.mark == mark for free in frees))
        maybe[mark] = max(maybe[mark], sum(free.mark == mark for free in frees))
    for mark in "xq":
        maybe[mark] += sum(free.mark in (TAKEN, CRASHED) for free in frees)
    least.update(sure)
    most.update(maybe)


def of_memory(history: History) -> Iterator[Fault]:
    """When all is forgotten, hive and server hold what they held before the storm, and so does who lived through it."""
    if "before" not in history.weights:
        return
    if "after" not in history.weights:
        yield "memory", "was not looked at after the storm"
        return
    before, after = history.weights["before"], history.weights["after"]
    if other := sorted(before.keys.keys() ^ after.keys.keys()):
        yield "memory", f"keys that were there only before the storm, or only after it: {', '.join(other[:5])}"
    for key, size in after.keys.items():
        if size - before.keys.get(key, size) > KEY_BYTES_MORE:
            yield "memory", f"{key} has grown from {before.keys[key]:,} to {size:,} bytes"
    if after.server - before.server > SERVER_BYTES_MORE:
        yield "memory", f"the idle server held {before.server:,} bytes, and {after.server:,} after the storm"
    for name, more in _grown(before, after):
        if more > PROCESS_BYTES_MORE:
            yield "memory", f"{name} has grown by {more:,} bytes"


def _grown(before: Weight, after: Weight) -> Iterator[tuple[str, int]]:
    """By how many bytes each process has grown that was there both times."""
    for name, size in after.processes.items():
        if name in before.processes:
            yield name, size - before.processes[name]


def growth(history: History) -> dict[str, int]:
    """Figures: KiB more in the server, and in the process that grew most; nothing for a process if none lived on."""
    if len(history.weights) < 2:
        return {}
    before, after = history.weights["before"], history.weights["after"]
    found = {GROWN_SERVER: (after.server - before.server) // 1024}
    if processes := [more for _, more in _grown(before, after)]:
        found[GROWN_PROCESS] = max(processes) // 1024
    return found
