from __future__ import annotations

import msgspec
import pytest
from msgspec import Raw

from venom_core.domain.lifecycle import TERMINAL, TaskStatus
from venom_core.domain.seal import Seal
from venom_core.domain.task import (
    ERROR_CHARS_MAX,
    MARK_STATUSES,
    NOTHING,
    STATUS_MARKS,
    Outcome,
    TaskBody,
    clip_error,
    open_outcome,
    open_task,
    priority_of,
    seal_outcome,
    seal_task,
)
from venom_core.errors import SecurityError

SEALS = [Seal("hive"), Seal("hive", "t" * 32)]
BODY = TaskBody("scan", Raw(msgspec.msgpack.encode({"a": "é"})), 5_000, 3, 1, 2, {"tags": ["x"]}, {"key": "k"})
OUTCOME = Outcome("node", 2, 1, 10, 20, Raw(msgspec.msgpack.encode([1, "é"])), "oh")


@pytest.mark.parametrize("seal", SEALS, ids=["open", "signed"])
@pytest.mark.parametrize("priority", range(11))
def test_a_task_travels_whole_and_its_level_can_be_read_without_a_key(seal: Seal, priority: int) -> None:
    envelope = seal_task(seal, "id", priority, BODY)
    assert open_task(seal, "id", envelope) == BODY
    assert priority_of(envelope) == priority


@pytest.mark.parametrize("seal", SEALS, ids=["open", "signed"])
@pytest.mark.parametrize("status", sorted(TERMINAL))
def test_an_end_travels_whole_and_scripts_can_read_how_it_ended(seal: Seal, status: TaskStatus) -> None:
    record = seal_outcome(seal, "id", status, OUTCOME)
    assert open_outcome(seal, "id", record) == (status, OUTCOME)
    assert chr(record[3]) in "cfxq"


def test_every_end_has_its_own_mark() -> None:
    assert set(STATUS_MARKS) == TERMINAL
    assert {chr(mark): str(status) for mark, status in MARK_STATUSES.items()} == {
        "c": "completed", "f": "failed", "x": "cancelled", "q": "quarantined",
    }  # fmt: skip


def test_a_small_task_takes_few_bytes() -> None:
    assert len(seal_task(SEALS[1], "id", 2, TaskBody("noop", Raw(b"\x80"), 300_000, 3, 1_800_000_000_000))) <= 60


@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x80", msgspec.msgpack.encode(["only a type"]), b"\x91\x01"])
def test_a_record_of_nonsense_is_a_security_error_that_names_the_task(body: bytes) -> None:
    seal = SEALS[0]
    with pytest.raises(SecurityError, match="the task record of id cannot be read"):
        open_task(seal, "id", seal.close("task", "id", 2, body))
    with pytest.raises(SecurityError, match="the outcome record of id cannot be read"):
        open_outcome(seal, "id", seal.close("outcome", "id", ord("c"), body))


def test_an_outcome_with_an_unknown_mark_is_a_security_error() -> None:
    body = msgspec.msgpack.encode(OUTCOME)
    with pytest.raises(SecurityError, match="the outcome record of id cannot be read"):
        open_outcome(SEALS[0], "id", SEALS[0].close("outcome", "id", ord("z"), body))


def test_a_task_record_is_no_outcome_record() -> None:
    with pytest.raises(SecurityError):
        open_outcome(SEALS[1], "id", seal_task(SEALS[1], "id", ord("c"), BODY))


def test_nothing_is_null() -> None:
    assert msgspec.msgpack.decode(NOTHING) is None


def test_a_long_error_loses_its_middle_only() -> None:
    short = "x" * ERROR_CHARS_MAX
    assert clip_error(short) is short
    clipped = clip_error("begin" + "x" * 20_000 + "end")
    assert clipped.startswith("begin")
    assert clipped.endswith("end")
    assert "… 12008 characters cut …" in clipped
    assert len(clipped) < ERROR_CHARS_MAX + 50
