"""What one run enqueues: for each item its task type and payload. Pure, so that a repeated call plans the same."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from msgspec import structs

from venom_core.domain.payload import Encoded, encode_payload
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
    """The task of one item, its payload encoded; an `offered` one may hold more than the skill names."""

    index: int
    task_type: str
    offered: bool
    payload: Encoded


@dataclass(frozen=True, slots=True)
class Plan:
    """The tasks of a run in the order of its items, its record, and the options that all of them share."""

    record: RunRecord
    tasks: list[Planned]
    options: dict[str, Any]

    def batches(self, start: int, stop: int) -> list[list[Planned]]:
        """The tasks of items `start` to `stop` (not included), those of one type together."""
        found: dict[tuple[str, bool], list[Planned]] = {}
        for task in self.tasks[start:stop]:
            found.setdefault((task.task_type, task.offered), []).append(task)
        return list(found.values())


def make_plan(record: RunRecord, items: list[Any], options: dict[str, Any], payload_bytes_max: int) -> Plan:
    """The plan of a run, with its payloads' digest in the record; `InvalidTask` names the first item that cannot be."""
    name, total, digest = ITEM_NAMES[record.kind], 0, blake2b(digest_size=16)
    tasks = []
    for index, item in enumerate(items):
        task_type, offered, payload = _task(record, item, index)
        raw = encode_payload(payload, payload_bytes_max, f"the payload of {name}[{index}]")
        total += len(raw)
        if total > RUN_BYTES_MAX:
            raise InvalidTask(
                f"the payloads up to {name}[{index}] are {total:,} bytes together, the limit of one run is "
                f"{RUN_BYTES_MAX:,}; start several runs, or store the data elsewhere and send its address"
            )
        digest.update(b"%b %d %b" % (task_type.encode(), len(raw), raw))
        tasks.append(Planned(index, task_type, offered, Encoded(raw)))
    return Plan(structs.replace(record, digest=digest.hexdigest()), tasks, {**options, "priority": record.priority})


def read_call(
    kind: RunKind,
    description: Any,
    given: Any,
    priority: Priority,
    *,
    skill: str | None,
    options: dict[str, Any],
    reduce: str | None = None,
    skip_failed: bool = False,
) -> tuple[RunRecord, list[Any]]:
    """Record and items of one call; `InvalidTask` names what is wrong with it."""
    items = read_items(ITEM_NAMES[kind], given)
    if not isinstance(description, str):
        raise InvalidTask(f"task_description is a text, not {description!r:.60}")
    if "offered" in options:
        raise InvalidTask("a run decides by itself what is offered; leave that option out")
    # A model gives empty text for what it leaves out.
    record = RunRecord(
        kind,
        len(items),
        check_type(skill or TASK_TYPES[kind]),
        description,
        # A model writes numbers as text where text is allowed too.
        parse_priority(int(priority) if isinstance(priority, str) and priority.isdecimal() else priority),
        check_type(reduce) if reduce else None,
        bool(skip_failed),
        options.get("timeout"),
        options.get("max_retries"),
    )
    return record, items


def _task(record: RunRecord, item: Any, index: int) -> tuple[str, bool, dict[str, Any]]:
    """Type, whether it is offered, and payload."""
    if record.kind == "map":
        return record.skill, True, map_payload(record, item, index)
    if type(item) is dict and item.keys() == _DIRECTIVE:
        return _directed(item, index)
    return record.skill, True, parallel_payload(record, item, index)


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


def _directed(item: dict[str, Any], index: int) -> tuple[str, bool, dict[str, Any]]:
    skill, payload = item["skill"], item["payload"]
    if not isinstance(skill, str) or not isinstance(payload, dict):
        raise InvalidTask(f"subtasks[{index}] is to be {{'skill': text, 'payload': object}}, not {item!r:.80}")
    return check_type(skill), False, payload
