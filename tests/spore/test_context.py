"""What a task may know and say."""

from __future__ import annotations

import logging
from typing import Any

import msgspec
import pytest

from venom_core.errors import InvalidTask, TaskCancelled
from venom_spore.context import TaskContext


@pytest.fixture
def said() -> list[tuple[str, object]]:
    return []


@pytest.fixture
def context(said: list[tuple[str, object]]) -> TaskContext:
    return TaskContext(
        "t1", "resize", attempt=2, crashes=1, node_id="n1", report=lambda kind, what: said.append((kind, what))
    )


def test_a_task_knows_who_it_is(context: TaskContext) -> None:
    assert (context.task_id, context.task_type, context.attempt, context.crashes, context.node_id) == (
        "t1",
        "resize",
        2,
        1,
        "n1",
    )


def test_progress_is_reported_as_a_fraction_and_a_note(context: TaskContext, said: list[tuple[str, object]]) -> None:
    context.progress(0)
    context.progress(0.25, "a quarter")
    context.progress(sum([0.1] * 10) + 1e-12, "rounding is forgiven")
    assert said == [
        ("progress", (0.0, "")),
        ("progress", (0.25, "a quarter")),
        ("progress", (1.0, "rounding is forgiven")),
    ]


def test_a_note_is_cut_and_made_readable(context: TaskContext, said: list[tuple[str, object]]) -> None:
    context.progress(1, "ä" * 300)
    context.progress(1, "\ud800")
    assert said == [("progress", (1.0, "ä" * 200)), ("progress", (1.0, "?"))]


@pytest.mark.parametrize("fraction", [-0.1, 1.1, 50, float("nan"), float("inf"), "0.5", None])
def test_anything_but_a_fraction_is_refused(
    context: TaskContext, said: list[tuple[str, object]], fraction: Any
) -> None:
    with pytest.raises(InvalidTask, match="from 0 to 1"):
        context.progress(fraction)
    assert said == []


def test_a_partial_result_is_encoded_when_it_is_handed_out(
    context: TaskContext, said: list[tuple[str, object]]
) -> None:
    partial = {"found": [1]}
    context.emit(partial)
    partial["found"].append(2)
    context.relay(b"\x01")
    assert said == [("emit", msgspec.msgpack.encode({"found": [1]})), ("emit", b"\x01")]


@pytest.mark.parametrize(
    ("partial", "message"),
    [(object(), "partial result is of type object"), ("x" * 1_048_577, "the limit is 1,048,576")],
)
def test_a_partial_result_that_cannot_be_carried_is_refused(context: TaskContext, partial: Any, message: str) -> None:
    with pytest.raises(InvalidTask, match=message):
        context.emit(partial)


def test_a_task_can_see_that_it_is_to_stop(context: TaskContext) -> None:
    context.raise_if_cancelled()
    seen = [context.cancelled]
    context.cancel()
    assert [*seen, context.cancelled] == [False, True]
    with pytest.raises(TaskCancelled, match="task t1 was told to stop"):
        context.raise_if_cancelled()


def test_a_log_line_carries_the_task_beside_its_own_fields(
    context: TaskContext, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    context.logger.info("half-way", extra={"page": 7})
    (record,) = caplog.records
    assert record.name == "venom.skills"
    fields = {name: getattr(record, name) for name in ("task_id", "task_type", "attempt", "node_id", "page")}
    assert fields == {"task_id": "t1", "task_type": "resize", "attempt": 2, "node_id": "n1", "page": 7}
    assert context.logger is context.logger
