"""What a waiting task wants is read once, shared with its like, and read again when it is not the same any more."""

from __future__ import annotations

from typing import Any

import pytest

from venom_core.agents import wants as room
from venom_core.agents.wants import Wants
from venom_core.domain.lane import WAITING
from venom_core.domain.placement import Requirements
from venom_core.domain.seal import Seal
from venom_core.domain.task import NOTHING, TaskBody, seal_task
from venom_core.infrastructure.placement_store import NOBODY, Assignment, Unplaced

SEAL = Seal("hive", "a token that has thirty-two letters", None)


def task(
    task_id: str = "t",
    wanted: dict[str, Any] | None = None,
    *,
    kind: str = "scan",
    beyond: Assignment = NOBODY,
    seal: Seal = SEAL,
) -> Unplaced:
    """A task that waits to be placed."""
    body = TaskBody(kind, NOTHING, 1_000, 0, 1, requirements={"tags": ["x"]} if wanted is None else wanted)
    return Unplaced(task_id, seal_task(seal, task_id, 2, body), beyond, WAITING)


@pytest.fixture
def wants() -> Wants:
    return Wants(SEAL)


def test_tasks_that_want_the_same_share_one_want(wants: Wants) -> None:
    first = wants.of(task("a"))
    assert first is not None
    assert (first.needs, first.task_type) == (Requirements(tags=("x",)), "scan")
    assert wants.of(task("a")) is wants.of(task("b")) is first
    assert wants.of(task("c", {"tags": ["y"]})) is not first
    assert wants.of(task("d", kind="mail")) is not first


def test_another_envelope_or_more_that_is_asked_besides_is_read_again(wants: Wants) -> None:
    before = wants.of(task())
    again = wants.of(task(wanted={"tags": ["y"]}))
    beyond = wants.of(task(beyond=Assignment("", Requirements(gpu=1))))
    assert before is not None
    assert again is not None
    assert beyond is not None
    assert again.needs == Requirements(tags=("y",))
    assert beyond.needs == Requirements(tags=("x",), gpu=1)
    assert wants.of(task()) is before


def test_what_no_seal_vouches_for_asks_nothing_and_has_no_type(wants: Wants) -> None:
    foreign = wants.of(task(seal=Seal("hive", "another token of thirty-two letters", None)))
    assert foreign is not None
    assert (foreign.needs, foreign.task_type) == (Requirements(), None)


def test_what_nobody_understands_is_said_once_a_task_and_for_so_many_at_most(
    wants: Wants, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "WARNED_MAX", 2)
    monkeypatch.setattr(room, "REMEMBERED_MAX", 1)  # so that each is read again and again
    for task_id in "abcabcabc":
        assert wants.of(task(task_id, {"cpus": 3})) is None
    assert [record.message[:40] for record in caplog.records] == [
        "a waits for a Nexus that understands it:",
        "b waits for a Nexus that understands it:",
    ]


def test_no_more_than_two_generations_are_remembered(wants: Wants, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "REMEMBERED_MAX", 10)
    every = [task(f"t{number}", {"tags": [f"x{number}"]}) for number in range(95)]
    for one in every:
        assert wants.of(one) is wants.of(one)
    assert max(len(wants._young), len(wants._old), len(wants._shared)) <= 10
    recent = wants._young | wants._old
    assert {one.task_id for one in every[-10:]} <= recent.keys()
    for number in range(50):  # One task that is asked for more and more.
        wants.of(task(beyond=Assignment("", Requirements(gpu=number))))
    assert len(wants._shared) <= 10
