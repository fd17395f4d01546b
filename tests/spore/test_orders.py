"""Orders to a Spore: cordon, uncordon, drain, and what it refuses."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.hives import altered, audit_lines, done, ended, running, until, until_running, until_so
from venom_core.agents.crew import Crew
from venom_core.clock import to_utc
from venom_core.config import Settings
from venom_core.domain.node import NodeState
from venom_core.domain.node_order import CORDON, DRAIN, DRAIN_NOW, UNCORDON, aimed_at
from venom_core.domain.order import Order, write_order
from venom_core.event_loop import end_tasks
from venom_core.infrastructure.message_broker import MessageBroker
from venom_spore.context import TaskContext
from venom_spore.skills import SkillSet

TOKEN = "a token of at least thirty-two characters"

skills = SkillSet()


@skills.skill
async def where(ctx: TaskContext) -> str:
    return ctx.node_id


@skills.skill
async def linger() -> None:
    await asyncio.Event().wait()


async def node(broker: MessageBroker, name: str = "a") -> NodeState | None:
    return next((node for node in await broker.hive.nodes.all() if node.profile.name == name), None)


async def give(broker: MessageBroker, command: str, name: str = "a") -> None:
    """Give an order once the Spore listens."""

    async def heard() -> bool:
        return await broker.broadcast_control(command, aimed_at(broker.settings.hive_namespace, name)) > 0

    await until_so(heard)


async def until_cordoned(broker: MessageBroker, on: bool, name: str = "a") -> None:
    async def said() -> bool:
        state = await node(broker, name)
        return state is not None and state.load.cordoned is on

    await until_so(said)


async def test_a_cordoned_spore_takes_nothing_new_until_it_is_opened_again(
    fast: Settings, broker: MessageBroker
) -> None:
    async with running(skills, fast, "a", slots=2):
        lingers = await broker.enqueue_task("linger")
        await until_running(broker, lingers)
        await give(broker, CORDON)
        await until_cordoned(broker, on=True)
        waits = await broker.enqueue_task("where")
        why = await broker.explain(waits)
        assert why.reason == "cordoned"
        assert "cordoned: a; venom node uncordon NAME" in why.sentence
        assert (await broker.explain(lingers)).reason == "running"
        async with running(skills, fast, "b"):
            assert (await ended(broker, waits)).result == "b"
        await give(broker, UNCORDON)
        assert await done(broker, "where") == "a"
        await until_cordoned(broker, on=False)


async def test_what_was_given_to_a_cordoned_spore_is_given_to_another(fast: Settings, broker: MessageBroker) -> None:
    crew = Crew(broker.hive, "crew", 600)
    work = asyncio.create_task(crew.run())
    async with running(skills, fast, "a", slots=1), running(skills, fast, "b", slots=1):
        # Both are full, so that what comes is given to one of them and waits there.
        full = [await broker.enqueue_task("linger", requirements={"node": name}) for name in ("a", "b")]
        for task_id in full:
            await until_running(broker, task_id)
        await give(broker, CORDON)
        await until_cordoned(broker, on=True)
        for_anybody = await broker.enqueue_task("where", requirements={"tags": ["here"]})
        for_a = await broker.enqueue_task("where", requirements={"node": "a"})
        await broker.cancel_task(full[1])
        assert (await ended(broker, for_anybody)).result == "b"
        assert "a: it is cordoned" in (await broker.explain(for_a)).sentence
        await broker.cancel_task(full[0])
        await give(broker, UNCORDON)
        assert (await ended(broker, for_a)).result == "a"
    await end_tasks(work)


async def test_a_cordon_holds_when_the_lease_was_lost(fast: Settings, broker: MessageBroker) -> None:
    async with running(skills, fast, "a") as spore:
        await give(broker, CORDON)
        await until_cordoned(broker, on=True)
        epoch = spore.worker._keeper.epoch
        await broker.hive.link.command("ZREM", broker.hive.tasks.keyspace.key(0, "lease"), epoch)
        await until(lambda: spore.worker._keeper.epoch > epoch)
        await until_cordoned(broker, on=True)
        waits = await broker.enqueue_task("where")
        assert (await broker.explain(waits)).reason == "cordoned"
        await give(broker, UNCORDON)
        assert (await ended(broker, waits)).result == "a"


@pytest.mark.parametrize(("command", "drain_s"), [(DRAIN, 0.1), (DRAIN_NOW, 3600)])
async def test_a_drained_spore_hands_back_and_leaves(
    fast: Settings, broker: MessageBroker, command: str, drain_s: float
) -> None:
    async with running(skills, altered(fast, hive_drain_timeout=drain_s), "a") as spore:
        lingers = await broker.enqueue_task("linger")
        await until_running(broker, lingers)
        await give(broker, command)
        await asyncio.wait_for(asyncio.shield(spore.work), 20)
        assert await node(broker) is None
        task = await broker.get_task_status(lingers)
        assert task is not None
        assert (task.status, task.attempt, task.crashes) == ("pending", 0, 0)


async def refusals(broker: MessageBroker) -> list[str]:
    return [line["why"] for line in await audit_lines(broker) if line["what"] == "refused_order"]


async def publish(broker: MessageBroker, settings: Settings, message: bytes) -> None:
    async def heard() -> bool:
        return bool(await broker.hive.link.command("PUBLISH", settings.hive_broadcast_channel, message))

    await until_so(heard)


@pytest.mark.parametrize(
    ("stamp", "token", "words"),
    [
        ("2020-01-01T00:00:00+00:00", TOKEN, "is older than 60 s"),
        (None, "another token of at least thirty-two characters", "was altered or signed by somebody else"),
        (None, None, "is not in a format"),
    ],
)
async def test_an_old_or_foreign_order_is_refused_and_written_down(
    fast: Settings, stamp: str | None, token: str | None, words: str
) -> None:
    mine: dict[str, Any] = {"nexus_shared_token": TOKEN, "hive_broadcast_channel": f"{fast.hive_namespace}:orders"}
    settings = altered(fast, **mine)
    theirs = altered(fast, **(mine | {"nexus_shared_token": token}))
    brokers = MessageBroker(settings), MessageBroker(theirs)
    async with brokers[0] as broker, brokers[1] as foreign, running(skills, settings, "a") as spore:
        aim = aimed_at(settings.hive_namespace, "a")
        text = stamp or to_utc(foreign.hive.now_ms()).isoformat()
        await publish(broker, settings, write_order(foreign.hive.seal, Order(DRAIN, aim, text)))

        async def written() -> bool:
            return any(words in line for line in await refusals(broker))

        await until_so(written)
        await publish(broker, settings, b"no order at all")
        assert not spore.work.done()
        await give(broker, DRAIN)
        await asyncio.wait_for(asyncio.shield(spore.work), 20)


async def test_orders_are_heard_again_after_the_channel_was_lost(fast: Settings, broker: MessageBroker) -> None:
    async with running(skills, fast, "a"):
        await give(broker, CORDON)
        await until_cordoned(broker, on=True)
        await broker.hive.link.command("CLIENT", "KILL", "TYPE", "pubsub")
        await give(broker, UNCORDON)
        await until_cordoned(broker, on=False)
        assert await done(broker, "where") == "a"
