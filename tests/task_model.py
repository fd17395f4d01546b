"""What a hive should hold, as plain Python: the yardstick of the state-machine test."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from venom_core.domain.lane import claimed_by_type, home_lane, node_of
from venom_core.domain.lifecycle import DEAD_LETTERS, TERMINAL, TaskEvent, TaskStatus, after
from venom_core.infrastructure.placement_store import Assignment
from venom_core.infrastructure.task_records import Lease

RETURNS = frozenset({TaskEvent.RELEASE, TaskEvent.RETRY, TaskEvent.CRASH})


@dataclass
class ModelTask:
    """One task; `arrival` is its place within its level, `due` its place among the delayed (0 = not delayed).

    `lane` is where it stands or was claimed from, `entered` where it was enqueued; `note` the node it was given to, ""
    once it was taken from that node, None if it was never placed.
    """

    task_id: str
    lane: str
    level: int
    partition: int
    status: TaskStatus = TaskStatus.PENDING
    arrival: int = 0
    due: int = 0
    failures: int = 0
    crashes: int = 0
    wish: bool = False
    lease: Lease | None = None
    epoch: int = 0
    entered: str = ""
    note: str | None = None

    @property
    def place(self) -> tuple[int, int]:
        return 10 - self.level, self.arrival


@dataclass
class Model:
    """All tasks of a hive and its cumulative counters."""

    tasks: dict[str, ModelTask] = field(default_factory=dict)
    ended: dict[TaskStatus, int] = field(default_factory=lambda: dict.fromkeys(TERMINAL, 0))
    # Of each open run, how many of its tasks have ended in each partition.
    runs: dict[str, dict[int, int]] = field(default_factory=dict)
    arrivals: int = 0
    dues: int = 0

    def step(self, task: ModelTask, event: TaskEvent) -> None:
        """The one way a status changes: by a row of the lifecycle table."""
        task.status = after(task.status, event)
        if task.status is not TaskStatus.RUNNING:
            task.lease, task.epoch = None, 0
        if event in RETURNS and node_of(task.lane) is not None:
            task.lane, task.note = home_lane(task.lane), ""
        if task.status in TERMINAL:
            task.note = None
            self.ended[task.status] += 1
            task.wish, task.due = False, 0
            task.failures = task.crashes = 0
            self.count_end(task, 1)
        if event is TaskEvent.REQUEUE:
            self.count_end(task, -1)

    def count_end(self, task: ModelTask, by: int) -> None:
        """The task "<run>.<number>" belongs to its run, if that is open."""
        ends = self.runs.get(task.task_id.rpartition(".")[0])
        if ends is not None:
            ends[task.partition] += by

    def line_up(self, task: ModelTask) -> None:
        self.arrivals += 1
        task.arrival, task.due = self.arrivals, 0

    def delay(self, task: ModelTask) -> None:
        self.dues += 1
        task.due = self.dues

    def crash(self, task: ModelTask, crashes_max: int) -> None:
        task.crashes += 1
        if task.crashes >= crashes_max:
            self.step(task, TaskEvent.QUARANTINE)
        else:
            self.step(task, TaskEvent.CRASH)

    def among(self, status: TaskStatus) -> list[ModelTask]:
        return [task for task in self.tasks.values() if task.status is status]

    def line(self, partition: int, lanes: Iterable[str]) -> list[ModelTask]:
        """What is ready, in the order in which it is to be claimed."""
        wanted = set(lanes)
        ready = [
            task
            for task in self.among(TaskStatus.PENDING)
            if task.partition == partition and not task.due and task.lane in wanted
        ]
        return sorted(ready, key=lambda task: task.place)

    def delayed(self, partition: int, lane: str) -> list[ModelTask]:
        found = [
            task for task in self.tasks.values()
            if task.due and task.partition == partition and task.lane == lane
        ]  # fmt: skip
        return sorted(found, key=lambda task: task.due)

    def stats(self) -> list[int]:
        pending = self.among(TaskStatus.PENDING)
        high = sum(task.level >= 6 for task in pending)
        dead = sum(task.status in DEAD_LETTERS for task in self.tasks.values())
        order = (TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.CANCELLED, TaskStatus.QUARANTINED)
        running = len(self.among(TaskStatus.RUNNING))
        return [high, len(pending) - high, running, dead, *(self.ended[status] for status in order)]


def names(tasks: Sequence[ModelTask]) -> list[str]:
    return [task.task_id for task in tasks]


def disagreements(model: Model, content: dict[str, Any], partition: int, lanes: Sequence[str]) -> list[str]:
    """Where the store's content and the model differ, in words; one partition."""
    mine = [task for task in model.tasks.values() if task.partition == partition]

    def held(name: str) -> dict[bytes, Any]:
        found = content.get(f"{partition}:{name}", {})
        assert isinstance(found, dict)
        return found

    def ids(name: str) -> set[str]:
        return {key.decode() for key in held(name)}

    def those(*statuses: TaskStatus) -> set[str]:
        return {task.task_id for task in mine if task.status in statuses}

    expiry = [task_id for entry in held("expiry") if entry[0] != 1 for task_id in entry.decode().split()]
    counted = {run.decode(): int(ends) for run, ends in held("join").items()}
    tries = {task_id.decode(): text.decode() for task_id, text in held("tries").items()}
    should: dict[str, tuple[Any, Any]] = {
        "task": (ids("task"), {task.task_id for task in mine}),
        "run": (ids("run"), those(TaskStatus.RUNNING)),
        "outcome": (ids("outcome"), those(*TERMINAL)),
        "expiry": (sorted(expiry), sorted(those(*TERMINAL))),
        "join": (counted, {run: ends[partition] for run, ends in model.runs.items()}),
        "runs to forget": ({entry[1:].decode() for entry in held("expiry") if entry[0] == 1}, set(counted)),
        "dead": (ids("dead"), those(*DEAD_LETTERS)),
        "cancel": (ids("cancel"), {task.task_id for task in mine if task.wish}),
        "assigned": (
            {key.decode(): Assignment.unpack(text).node for key, text in held("assigned").items()},
            {task.task_id: task.note for task in mine if task.note is not None},
        ),
        "tries": (tries, {t.task_id: f"{t.failures}.{t.crashes}" for t in mine if t.failures or t.crashes}),
    }
    heads: dict[bytes, float] = {}
    placed: dict[bytes, float] = {}
    dues: dict[bytes, float] = {}
    for lane in lanes:
        queue, later = held(f"queue:{lane}"), held(f"later:{lane}")
        line = names(model.line(partition, [lane]))
        should[f"queue:{lane}"] = ([key.decode() for key in queue], line)
        should[f"later:{lane}"] = ([key.decode() for key in later], names(model.delayed(partition, lane)))
        tokens = len(content.get(f"{partition}:wake:{lane}", []))
        should[f"wake:{lane}"] = (tokens >= bool(line), tokens <= 1)
        if queue:
            (heads if claimed_by_type(lane) else placed)[lane.encode()] = min(queue.values())
        if later:
            dues[lane.encode()] = min(later.values())
    should["watch"] = (set(held("watch")) <= set(dues), True)
    should["ready"], should["placed"], should["due"] = (
        (held("ready"), heads),
        (held("placed"), placed),
        (held("due"), dues),
    )
    any_tokens = len(content.get(f"{partition}:wake", []))
    should["wake"] = (any_tokens >= bool(heads), any_tokens <= 1)
    should["dispatch"] = (len(content.get(f"{partition}:dispatch", [])) <= 1, True)
    return [
        f"{partition}:{name} holds {found}, not {wanted}" for name, (found, wanted) in should.items() if found != wanted
    ]
