"""What one run enqueues: for each item its task type and payload. Pure, so that a repeated call plans the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from msgspec import structs

from venom_core.domain.payload import encode_payload
from venom_core.domain.priority import Priority, parse_priority
from venom_core.domain.run import RunKind, RunRecord
from venom_core.domain.task_id import check_type
from venom_core.errors import InvalidTask
from venom_core.execution.items import read_items

RUN_BYTES_MAX = 256 * 1024 * 1024
TASK_TYPES: dict[RunKind, str] = {"map": "map_task", "parallel": "parallel_task"}
ITEM_NAMES: dict[RunKind, str] = {"map": "items", "parallel": "subtasks"}
# A subtask of exactly these keys names its own skill and payload; every other object is data.
_DIRECTIVE = {"skill", "payload"}


@dataclass(frozen=True, slots=True)
class Planned:
    """The task of one item; an `offered` payload may hold more than the skill names."""

    index: int
    task_type: str
    offered: bool
    payload: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """The items of a run, its record, and the options that all its tasks share."""

    record: RunRecord
    items: list[Any]
    options: dict[str, Any]

    def tasks(self, start: int, stop: int) -> Iterator[Planned]:
        """The tasks of items `start` to `stop` (not included)."""
        for index in range(start, min(stop, len(self.items))):
            yield self._task(index)

    def batches(self, start: int, stop: int) -> list[list[Planned]]:
        """The same tasks, those of one type together."""
        found: dict[tuple[str, bool], list[Planned]] = {}
        for task in self.tasks(start, stop):
            found.setdefault((task.task_type, task.offered), []).append(task)
        return list(found.values())

    def checked(self, payload_bytes_max: int) -> Plan:
        """This plan with the digest of its payloads.

        `InvalidTask` for the first item that cannot be sent, or when all together are too much.
        """
        name, total, digest = ITEM_NAMES[self.record.kind], 0, blake2b(digest_size=16)
        for task in self.tasks(0, len(self.items)):
            what = f"the payload of {name}[{task.index}]"
            check_type(task.task_type)
            raw = encode_payload(task.payload, payload_bytes_max, what)
            total += len(raw)
            digest.update(b"%b %d %b" % (task.task_type.encode(), len(raw), raw))
            if total > RUN_BYTES_MAX:
                raise InvalidTask(
                    f"the payloads up to {name}[{task.index}] are {total:,} bytes together, the limit of one run is "
                    f"{RUN_BYTES_MAX:,}; start several runs, or store the data elsewhere and send its address"
                )
        return Plan(structs.replace(self.record, digest=digest.hexdigest()), self.items, self.options)

    def _task(self, index: int) -> Planned:
        record, item = self.record, self.items[index]
        if record.kind == "map":
            return Planned(index, record.skill, True, map_payload(record, item, index))
        if type(item) is dict and item.keys() == _DIRECTIVE:
            return _directed(item, index)
        return Planned(index, record.skill, True, parallel_payload(record, item, index))


def make_plan(
    kind: RunKind,
    description: Any,
    given: Any,
    priority: Priority,
    *,
    skill: str | None,
    options: dict[str, Any],
    reduce: str | None = None,
    skip_failed: bool = False,
) -> Plan:
    """The plan of one call; `InvalidTask` names what is wrong with it."""
    items = read_items(ITEM_NAMES[kind], given)
    if not isinstance(description, str):
        raise InvalidTask(f"task_description is a text, not {description!r:.60}")
    if "offered" in options:
        raise InvalidTask("a run decides by itself what is offered; leave that option out")
    record = RunRecord(
        kind,
        len(items),
        check_type(skill or TASK_TYPES[kind]),
        description,
        parse_priority(priority),
        None if reduce is None else check_type(reduce),
        bool(skip_failed),
        options.get("timeout"),
        options.get("max_retries"),
    )
    return Plan(record, items, {**options, "priority": record.priority})


def map_payload(record: RunRecord, item: Any, index: int) -> dict[str, Any]:
    """The documents' payload of a `map_task`."""
    return {
        "task_description": record.description,
        "item": item,
        "item_index": index,
        "total_items": record.total,
    }


def parallel_payload(record: RunRecord, subtask: Any, index: int) -> dict[str, Any]:
    """The documents' payload of a `parallel_task`."""
    return {
        "main_task": record.description,
        "subtask": subtask,
        "subtask_index": index,
        "total_subtasks": record.total,
    }


def _directed(item: dict[str, Any], index: int) -> Planned:
    skill, payload = item["skill"], item["payload"]
    if not isinstance(skill, str) or not isinstance(payload, dict):
        raise InvalidTask(f"subtasks[{index}] is to be {{'skill': text, 'payload': object}}, not {item!r:.80}")
    return Planned(index, skill, False, payload)
