from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.domain.test_payload import JSON
from venom_core.clock import Clock, to_naive_local
from venom_core.domain.lifecycle import TERMINAL, TaskStatus
from venom_core.domain.task_message import TaskMessage
from venom_core.errors import InvalidTask

TEXT = st.text(max_size=20)
TIMES = st.none() | st.datetimes(to_naive_local(946_684_800_000), to_naive_local(4_102_444_800_000))
IDS = st.from_regex(r"[!-~]{1,20}", fullmatch=True)
MESSAGES = st.builds(
    TaskMessage,
    task_id=IDS,
    task_type=st.from_regex(r"[A-Za-z0-9_.:-]{1,20}", fullmatch=True),
    payload=st.dictionaries(st.text(max_size=5), JSON, max_size=3),
    priority=st.integers(0, 10),
    created_at=TIMES,
    timeout=st.none() | st.floats(0.001, 1e5),
    max_retries=st.none() | st.integers(0, 100),
    status=st.sampled_from(TaskStatus),
    attempt=st.integers(0, 9),
    crashes=st.integers(0, 3),
    assigned_node=st.none() | TEXT,
    started_at=TIMES,
    completed_at=TIMES,
    result=JSON,
    error=st.none() | TEXT,
    progress=st.none() | st.dictionaries(TEXT, st.integers(0, 9), max_size=2),
    metadata=st.none() | st.dictionaries(TEXT, JSON, max_size=2),
    parent_id=st.none() | IDS,
    root_id=st.none() | IDS,
    correlation_id=st.none() | IDS,
    key=st.none() | TEXT,
)


@given(MESSAGES)
def test_a_message_survives_its_dict(message: TaskMessage) -> None:
    assert TaskMessage.from_dict(message.to_dict()) == message


@given(MESSAGES)
def test_the_dict_is_a_json_object(message: TaskMessage) -> None:
    assert TaskMessage.from_dict(json.loads(json.dumps(message.to_dict()))) == message


@given(MESSAGES)
def test_optional_fields_are_absent_when_empty_and_the_others_always_there(message: TaskMessage) -> None:
    optional = {"metadata", "parent_id", "root_id", "correlation_id", "key", "progress"}
    written = message.to_dict()
    assert {name for name in optional if name in written} == {
        name for name in optional if getattr(message, name) is not None
    }
    assert set(written) - optional == {
        "task_id", "task_type", "payload", "priority", "created_at", "timeout", "max_retries", "status", "attempt",
        "crashes", "assigned_node", "started_at", "completed_at", "result", "error",
    }  # fmt: skip
    assert type(written["status"]) is str


def test_times_subtract_from_now_as_in_the_documents() -> None:
    started = to_naive_local(Clock().now_ms() - 2_000)
    message = TaskMessage("id", "scan", started_at=started)
    assert timedelta(seconds=1) < datetime.now() - started < timedelta(minutes=1)  # noqa: DTZ005 - the documents do so
    assert TaskMessage.from_dict(message.to_dict()).started_at == started


def test_an_aware_time_is_read_as_naive_local() -> None:
    read = TaskMessage.from_dict({"task_id": "i", "task_type": "t", "created_at": "2030-01-02T03:04:05+00:00"})
    assert read.created_at == to_naive_local(1_893_553_445_000)


def test_the_words_of_the_documents_are_understood() -> None:
    message = TaskMessage("id", "scan", priority="high_priority", status="running")  # type: ignore[arg-type]  # a plain word
    assert message.priority == 8
    assert message.status is TaskStatus.RUNNING
    assert message.id == "id"


@pytest.mark.parametrize("status", TaskStatus)
def test_finished_means_a_terminal_status(status: TaskStatus) -> None:
    assert TaskMessage("id", "scan", status=status).finished == (status in TERMINAL)


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        ({"task_type": "t"}, "this is not a task message: .*task_id"),
        ({"task_id": "i", "task_type": "t", "colour": 1}, "a task message has no field 'colour'"),
        ({"task_id": "i", "task_type": "t", 7: 1, "b": 2}, "a task message has no field"),
        ({"task_id": "a b", "task_type": "t"}, "a task id is 1 to 128"),
        ({"task_id": "i", "task_type": ""}, "a task type is 1 to 128"),
        ({"task_id": "i", "task_type": "t", "priority": 11}, "priority must be 0 to 10"),
        ({"task_id": "i", "task_type": "t", "status": "lost"}, "'lost' is not a valid TaskStatus"),
        ({"task_id": "i", "task_type": "t", "created_at": "soon"}, "this is not a task message"),
        ({"task_id": "i", "task_type": "t", "created_at": 5}, "this is not a task message"),
    ],
)
def test_what_is_no_task_message_is_refused_by_name(data: dict[Any, Any], fault: str) -> None:
    with pytest.raises(InvalidTask, match=fault):
        TaskMessage.from_dict(data)
