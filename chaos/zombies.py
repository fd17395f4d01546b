"""Bodies that came to their end after their task had been taken from their node, and those of them that need not have.

A task is lost at the latest when the reaper's call that took it was answered. Its node can know it from two moments on:
when it goes on after it stood still (SIGSTOP) and the task was taken meanwhile, or when a heartbeat of its own is
answered with "lost". A node that is cut off cannot know; its bodies are counted and not held against it.

From then on no step of an `async` body may begin, and no `process` body may come to its end; a thread cannot be
stopped, nor can a loop written by hand. What is allowed: the one step that was under way when the event loop was
stopped (its first line may come after it goes on), and `TOLD_US` for word to get around.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from chaos.lives import TAKEN, Body, History, Hold, Life, Still
from chaos.skills import skills

RULE = "zombie_ran_on"
# How long after the word "lost" was heard a step may still begin, and how late a child may be held, on a busy machine.
TOLD_US, HELD_US = 1_000_000, 500_000
IN_A_STEP, BY_HAND = "zombies in a step", "by hand"
KINDS: dict[str, str] = {skill.name: skill.mode for skill in skills}


def kind_of(life: Life) -> str:
    """async, thread or process; "by hand" for what no skill does."""
    return KINDS.get(life.lane, BY_HAND)


def zombies(history: History) -> Iterator[tuple[str, Life, Body, int]]:
    """Task id and task, a body that came to its end after the task was lost, and when that was (µs)."""
    for task_id, life in history.lives.items():
        if not any(free.mark == TAKEN and free.sure for hold in life.holds.values() for free in hold.frees):
            continue
        for body in life.bodies:
            lost = _lost(_hold_of(history, life, body)) if body.ended else 0
            if lost and lost < body.ended:
                yield task_id, life, body, lost


def _lost(hold: Hold | None) -> int:
    """When the task was surely taken from whoever had it; 0 if it was not."""
    taken = [] if hold is None else [free.until for free in hold.frees if free.mark == TAKEN and free.sure]
    return min(taken, default=0)


def _hold_of(history: History, life: Life, body: Body) -> Hold | None:
    """A child process does not know its fence: it is that of the last claim of its node before it began."""
    if body.fence:
        return life.holds.get(body.fence)
    claimed = [
        hold
        for hold in life.holds.values()
        if 0 < hold.until <= body.began and history.node(hold.epoch).name == body.node
    ]
    return max(claimed, key=lambda hold: hold.until, default=None)


def figures(history: History) -> dict[str, int]:
    """How many of each kind; those whose last step had begun before the task was lost are counted apart."""
    counted: Counter[str] = Counter()
    for _, life, body, lost in zombies(history):
        kind = kind_of(life)
        counted[IN_A_STEP if kind == "async" and _stepped(body) <= lost else f"{kind} zombies"] += 1
    named = {f"{kind} zombies": counted[f"{kind} zombies"] for kind in ("async", "thread", "process", BY_HAND)}
    return {"zombie bodies": counted.total(), **named, IN_A_STEP: counted[IN_A_STEP]}


def of_zombies(history: History) -> Iterator[tuple[str, str]]:
    """The rule, with sentences."""
    under_way: set[tuple[str, int]] = set()
    for task_id, life, body, lost in sorted(zombies(history), key=lambda found: _stepped(found[2])):
        hold, kind = _hold_of(history, life, body), kind_of(life)
        if hold is None or kind not in ("async", "process"):
            continue
        node = history.node(hold.epoch)
        still = _stood(history.stills.get(node.name, []), lost, node.lease_ms * 1000)
        known = still.until if still is not None else 0
        if kind == "async":
            late = bool(known) and _stepped(body) > known
            if late and (node.name, known) not in under_way:
                under_way.add((node.name, known))
                late = False
            late = late or _heard_long_ago(history, hold.epoch, _stepped(body), TOLD_US)
        else:
            late = bool(known) and body.ended > lost + HELD_US
            late = late or _heard_long_ago(history, hold.epoch, body.ended, TOLD_US)
        if late:
            yield (
                RULE,
                f"{task_id} ran on as {kind} on {node.name} for {(body.ended - lost) / 1e6:.2f} s after it was lost",
            )


def _stepped(body: Body) -> int:
    """When its last step began, as far as it said so."""
    return body.stepped or body.began


def _stood(stills: list[Still], lost: int, lease_us: int) -> Still | None:
    """While the node stood still for longer than its lease, it lost the task."""
    for still in stills:
        if still.since < lost <= still.until and still.until - still.since > lease_us:
            return still
    return None


def _heard_long_ago(history: History, epoch: int, at: int, told: int) -> bool:
    """Whether the node had heard that it is lost, and did not stand still since."""
    node = history.node(epoch)
    stood = any(node.lost < still.until and still.since < at for still in history.stills.get(node.name, []))
    return bool(node.lost) and at > node.lost + told and not stood
