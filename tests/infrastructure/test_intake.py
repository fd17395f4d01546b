"""From a caller's wish to the queue: everything is checked before anything is sent."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from tests.hives import altered
from venom_core.clock import Clock
from venom_core.config import Settings
from venom_core.domain.task import open_task, priority_of
from venom_core.errors import InvalidTask, QueueFull, TaskExists
from venom_core.infrastructure import intake as module
from venom_core.infrastructure.hive import Hive
from venom_core.infrastructure.intake import Intake


@pytest.fixture
async def hive(settings: Settings) -> AsyncIterator[Hive]:
    opened = await Hive.connect(settings, Clock())
    yield opened
    await opened.close()


@pytest.fixture
def intake(hive: Hive, settings: Settings) -> Intake:
    return Intake(hive, settings)


async def queued(hive: Hive) -> int:
    return sum((await hive.tasks.stats())[:2])


async def test_one_task_is_stored_as_it_was_asked_for(hive: Hive, intake: Intake) -> None:
    task_id = await intake.one("scan", {"a": "é"}, None, {"priority": 8, "timeout": 5, "key": "k", "max_retries": 0})
    envelope = (await hive.tasks.look([task_id]))[task_id].envelope
    assert envelope is not None
    body = open_task(hive.seal, task_id, envelope)
    assert (body.task_type, body.timeout_ms, body.max_retries, body.extra) == ("scan", 5_000, 0, {"key": "k"})
    assert msgspec.msgpack.decode(body.payload) == {"a": "é"}
    assert priority_of(envelope) == 8
    assert abs(body.created_ms - hive.now_ms()) < 60_000


@pytest.mark.parametrize(
    ("task_type", "payload", "task_id", "options"),
    [
        ("a b", {}, None, {}),
        ("scan", {"x": b""}, None, {}),
        ("scan", {}, "two words", {}),
        ("scan", {}, None, {"priority": 11}),
        ("scan", {}, None, {"colour": 1}),
        ("scan", {"x": "y" * 2_000_000}, None, {}),
    ],
)
async def test_one_bad_wish_is_refused_and_nothing_is_sent(
    hive: Hive, intake: Intake, task_type: str, payload: Any, task_id: str | None, options: dict[str, Any]
) -> None:
    with pytest.raises(InvalidTask):
        await intake.one(task_type, payload, task_id, options)
    assert await queued(hive) == 0


@pytest.mark.parametrize(
    ("payloads", "ids"),
    [
        ([{}] * 600 + [{"x": float("nan")}], None),
        ([{}, {}], ["a", "a"]),
        ([{}, {}], ["a"]),
        ([{}], ["a", "b"]),
        ([{}, {}], ["a", "b c"]),
    ],
)
async def test_nothing_is_sent_when_one_of_many_is_bad(
    hive: Hive, intake: Intake, payloads: list[dict[str, Any]], ids: list[str] | None
) -> None:
    with pytest.raises(InvalidTask):
        await intake.many("scan", payloads, ids, {})
    assert await queued(hive) == 0


async def test_many_are_cut_into_calls_and_their_ids_come_back_in_order(hive: Hive, intake: Intake) -> None:
    ids = await intake.many("scan", ({"at": at} for at in range(1_234)), None, {"priority": 9})
    assert ids == sorted(set(ids))
    assert (await hive.tasks.stats())[0] == 1_234
    assert await intake.many("scan", [], None, {}) == []


async def test_many_large_payloads_are_cut_by_their_size(
    hive: Hive, intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CALL_BYTES_MAX", 250)
    bodies = {str(at): intake._body("scan", b"\x81\xa1x\xc4\x50" + b"y" * 80, intake._terms({})) for at in range(5)}
    chunks = intake._chunks(intake._terms({}), bodies)
    assert [chunk.ids for chunk in chunks] == [["0", "1"], ["2", "3"], ["4"]]


async def test_the_same_again_is_the_same_task_and_anything_else_is_refused(hive: Hive, intake: Intake) -> None:
    for _ in range(2):
        assert await intake.one("scan", {"a": 1}, "id", {"priority": 3}) == "id"
        assert await intake.many("scan", [{"a": 1}, {}], ["id", "id2"], {"priority": 3}) == ["id", "id2"]
    assert await queued(hive) == 2
    others: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
        ("mail", {"a": 1}, {"priority": 3}), ("scan", {"a": 2}, {"priority": 3}), ("scan", {"a": 1}, {"priority": 4}),
        ("scan", {"a": 1}, {"priority": 3, "timeout": 9}), ("scan", {"a": 1}, {"priority": 3, "key": "k"}),
    ]  # fmt: skip
    for task_type, payload, options in others:
        with pytest.raises(TaskExists, match="task id exists with other content; choose another id or cancel that one"):
            await intake.one(task_type, payload, "id", options)
        with pytest.raises(TaskExists):
            await intake.many(task_type, [payload], ["id"], options)
    assert await queued(hive) == 2


async def test_a_call_that_is_refused_says_how_much_was_stored_before(hive: Hive, settings: Settings) -> None:
    intake = Intake(hive, altered(settings, hive_queued_max=700))
    with pytest.raises(QueueFull) as caught:
        await intake.many("scan", [{}] * 1_200, None, {})
    (note,) = caught.value.__notes__
    assert note.endswith("of 1,200 tasks were stored before this")
    assert await queued(hive) <= 700


async def test_options_that_come_back_are_judged_once_and_never_taken_for_others(intake: Intake) -> None:
    for options, timeout_ms in (({"timeout": 1}, 1_000), ({"timeout": 1.5}, 1_500), ({"timeout": 1.0}, 1_000)):
        assert intake._terms(options).timeout_ms == timeout_ms
        assert intake._terms(dict(options)) is intake._terms(options)
    wrong: list[dict[str, Any]] = [
        {"timeout": True},
        {"max_retries": 1.0},
        {"timeout": [1]},
        {"timeout": 1, "colour": 1},
    ]
    for bad in wrong:
        with pytest.raises(InvalidTask):
            intake._terms(bad)
    assert intake._terms({"timeout": 1, "max_retries": 3}) != intake._terms({"timeout": 3, "max_retries": 1})
    assert intake._terms({"key": "k"}) is not intake._terms({"key": "k"})
    for number in range(2 * module.TERMS_MAX):
        assert intake._terms({"delay": number}).when == f"+{number * 1000}"
        assert len(intake._settled) <= module.TERMS_MAX


async def test_two_intakes_make_ids_of_their_own(hive: Hive, settings: Settings) -> None:
    first, second = Intake(hive, settings), Intake(hive, settings)
    a, b = await first.one("scan", {}, None, {}), await second.one("scan", {}, None, {})
    assert a[16:] != b[16:]


async def test_closing_waits_for_what_was_submitted(intake: Intake) -> None:
    await intake.one("scan", None, "id", {})
    await intake.close()
