"""Why a task is where it is, in one sentence: `broker.explain(task_id)`."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from venom_core.clock import to_naive_local
from venom_core.domain.lifecycle import TaskStatus
from venom_core.domain.node import NodeState
from venom_core.domain.placement import Requirements
from venom_core.domain.task import TaskBody
from venom_core.domain.task_message import TaskMessage
from venom_core.errors import InvalidTask
from venom_core.infrastructure.placement_store import Assignment
from venom_core.infrastructure.task_records import Seen

NAMES_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Explanation:
    """A task's status, the reason as one word, and a sentence for people."""

    task_id: str
    status: TaskStatus
    reason: str
    sentence: str

    def __str__(self) -> str:
        return self.sentence


@dataclass(frozen=True, slots=True)
class Place:
    """Where a pending task stands; -1 = not there; times in ms of Redis' clock; `led`: whether anybody places tasks."""

    now_ms: int
    rank: int
    due_ms: int
    queue_length: int
    led: bool = True


def explain_ended(task: TaskMessage) -> Explanation:
    """Of a task with an outcome or on a node."""
    node = f" on {task.assigned_node}" if task.assigned_node else ""
    if task.status is TaskStatus.RUNNING:
        note = f", {task.progress['fraction']:.0%} done" if task.progress else ""
        sentence = f"running{node} since {task.started_at:%H:%M:%S}, attempt {task.attempt}{note}"
        return Explanation(task.task_id, task.status, "running", sentence)
    ending = f": {task.error.splitlines()[0][:300]}" if task.error else ""
    sentence = f"{task.status}{node} at {task.completed_at:%H:%M:%S}{_tried(task)}{ending}"
    return Explanation(task.task_id, task.status, str(task.status), sentence)


def _tried(task: TaskMessage) -> str:
    """What led to the end: crashes are no attempts, and they alone quarantine a task."""
    if task.status is TaskStatus.QUARANTINED:
        return f" after {task.crashes} crash{'' if task.crashes == 1 else 'es'}"
    return f" after attempt {task.attempt}" if task.attempt else ""


def explain_pending(task_id: str, body: TaskBody, place: Place, seen: Seen, nodes: Sequence[NodeState]) -> Explanation:
    """Of a task in line: the first reason that holds, the hardest first."""
    reason, sentence = _reason(body, place, seen, nodes)
    if seen.crashes:
        sentence += f"; {seen.crashes} of its nodes died under it so far"
    return Explanation(task_id, TaskStatus.PENDING, reason, sentence)


def _reason(body: TaskBody, place: Place, seen: Seen, nodes: Sequence[NodeState]) -> tuple[str, str]:
    spores = [node for node in nodes if node.profile.kind == "spore"]
    online = [node for node in spores if node.online]
    taking = [node for node in online if node.takes_tasks]
    able = [node for node in taking if body.task_type in node.profile.skills]
    if body.deadline_ms and body.deadline_ms < place.now_ms:
        return "late", f"its deadline {to_naive_local(body.deadline_ms):%H:%M:%S} has passed; it fails when claimed"
    if nobody := nobody_has(body.task_type, nodes):
        return nobody
    if not able and (aside := [node for node in online if body.task_type in node.profile.skills]):
        names = ", ".join(node.profile.name for node in aside[:NAMES_SHOWN])
        return "cordoned", f"every Spore that has its skill is cordoned: {names}; venom node uncordon NAME opens it"
    if place.due_ms > place.now_ms:
        wait = f"{(place.due_ms - place.now_ms) / 1000:.1f} s"
        if seen.failures:
            return "retrying", f"attempt {seen.failures} failed; the next starts in {wait}"
        return "scheduled", f"scheduled, starts in {wait}"
    if body.requirements or seen.assigned:
        return _placement(body, place, seen, spores)
    slots = sum(node.profile.concurrency for node in able)
    ahead = max(place.rank, 0)
    return (
        "queued",
        f"{ahead} of {place.queue_length} tasks of its type are ahead; {len(able)} Spores with {slots} slots take it",
    )


def nobody_has(skill: str, nodes: Sequence[NodeState]) -> tuple[str, str] | None:
    """The reason and the sentence if no Spore online has the skill, cordoned or not."""
    online = [node for node in nodes if node.online and node.profile.kind == "spore"]
    if not online:
        return "no_nodes", "no Spore is online; start one with: venom-spore --skills module:skills"
    if any(skill in node.profile.skills for node in online):
        return None
    return "no_skill", _missing_skill(skill, online)


def _placement(body: TaskBody, place: Place, seen: Seen, spores: Sequence[NodeState]) -> tuple[str, str]:
    """Which requirement fails on which node; or whom it was given to."""
    assignment = Assignment.unpack(seen.assigned)
    if any(node.profile.name == assignment.node and node.online for node in spores):
        return "assigned", f"it was given to {assignment.node}, which starts it when a slot is free"
    try:
        needs = Requirements.parse(body.requirements).merged(assignment.needs)
    except InvalidTask as fault:
        return "no_fit", f"{fault}; it was enqueued by another version, and waits for a Nexus that understands it"
    failing = {node.profile.name: needs.shortfalls(node, body.task_type) for node in spores}
    if fitting := [name for name, missing in failing.items() if not missing]:
        gone = f"it was given to {assignment.node}, which is gone; " if assignment.node else ""
        who = ", ".join(fitting[:NAMES_SHOWN])
        if not place.led:
            return "no_nexus", f"{gone}nobody places tasks now; start a venom-nexus, which can give it to one of: {who}"
        return "placing", f"{gone}a dispatcher (venom-nexus) will give it to one of: {who}"
    reasons = [f"{name}: {' and '.join(missing)}" for name, missing in failing.items()]
    more = f"; and {len(reasons) - NAMES_SHOWN} more" if len(reasons) > NAMES_SHOWN else ""
    return "no_fit", f"no Spore meets its requirements; {'; '.join(reasons[:NAMES_SHOWN])}{more}"


def _missing_skill(task_type: str, online: Sequence[NodeState]) -> str:
    known = sorted({skill for node in online for skill in node.profile.skills})
    names = ", ".join(known[:NAMES_SHOWN]) + (", …" if len(known) > NAMES_SHOWN else "")
    who = ", ".join(node.profile.name for node in online[:NAMES_SHOWN])
    by_lower = {name.lower(): name for name in known}
    meant = difflib.get_close_matches(task_type.lower(), by_lower, n=1)
    near = f" (did you mean {by_lower[meant[0]]!r}?)" if meant else ""
    return f"no Spore online has the skill {task_type!r}{near}; {who} know: {names or 'nothing'}"
