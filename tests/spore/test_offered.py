"""Offered payloads: a skill gets those keys that it names, and the others are no mistake."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.hives import done, ended, running
from venom_core.config import Settings
from venom_core.errors import InvalidTask, TaskExists
from venom_core.infrastructure.message_broker import MessageBroker
from venom_spore.arguments import bind
from venom_spore.context import TaskContext
from venom_spore.skills import SkillSet

skills = SkillSet()


@skills.skill
async def one(a: int) -> int:
    return a


@skills.skill
def threaded(a: int, b: int = 7) -> int:
    return a + b


@skills.skill(process=True)
def apart(a: int) -> int:
    return a


@skills.skill
async def none() -> str:
    return "none"


@skills.skill
async def every(ctx: TaskContext, a: int, **rest: Any) -> dict[str, Any]:
    return {"a": a, **rest}


@skills.skill
async def strict(a: int, needed: str) -> str:
    return needed


OFFER = {"a": 1, "c": [2, {"d": None}], "é": "ż"}


@pytest.mark.parametrize(
    ("name", "result"),
    [("one", 1), ("threaded", 8), ("apart", 1), ("none", "none"), ("every", OFFER)],
)
async def test_a_skill_gets_of_an_offer_what_it_names(
    settings: Settings, broker: MessageBroker, name: str, result: Any
) -> None:
    async with running(skills, settings):
        assert await done(broker, name, OFFER, offered=True) == result


async def test_what_a_skill_needs_and_nobody_offers_is_named_and_not_tried_again(
    settings: Settings, broker: MessageBroker
) -> None:
    async with running(skills, settings):
        task = await ended(broker, await broker.enqueue_task("strict", OFFER, offered=True))
    assert (task.status, task.attempt) == ("failed", 1)
    assert task.error == "InvalidTask: payload of 'strict': missing key 'needed', expected str"


async def test_without_an_offer_a_key_too_many_is_refused_as_ever(settings: Settings, broker: MessageBroker) -> None:
    async with running(skills, settings):
        task = await ended(broker, await broker.enqueue_task("one", OFFER))
    assert "unexpected key" in str(task.error)


async def test_whether_a_payload_is_offered_is_part_of_the_task(broker: MessageBroker) -> None:
    await broker.enqueue_task("one", OFFER, task_id="same", offered=True)
    await broker.enqueue_task("one", OFFER, task_id="same", offered=True)
    with pytest.raises(TaskExists):
        await broker.enqueue_task("one", OFFER, task_id="same")
    task = await broker.get_task_status("same")
    assert task is not None
    assert (task.payload, task.to_dict()["offered"]) == (OFFER, True)


def test_what_is_no_payload_is_left_for_the_decoder_to_refuse() -> None:
    binder = bind("one", one)
    for raw in (b"\xc1", msgspec.msgpack.encode([1]), b""):
        assert binder.choose(raw) == raw
        with pytest.raises(InvalidTask, match="payload of 'one'"):
            binder.decode(binder.choose(raw))


def test_an_offer_that_fits_is_passed_on_as_it_is() -> None:
    raw = msgspec.msgpack.encode({"a": 1})
    assert bind("one", one).choose(raw) is raw
