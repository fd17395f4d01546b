"""Who is in the hive: one look renewed with the heartbeats, and nodes that cannot beat by themselves."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.hives import FAST, altered, until, until_so
from tests.servers import PrivateServer
from tests.stores import Stores
from venom_core.clock import Clock
from venom_core.config import Settings
from venom_core.core.node_manager import PROFILE_BYTES_MAX, NodeManager
from venom_core.domain.node import NAME_CHARS_MAX, NodeLoad, NodeProfile
from venom_core.domain.placement import Requirements
from venom_core.errors import InvalidSetting, InvalidTask, StoreUnavailable, UnknownNode
from venom_core.infrastructure.message_broker import MessageBroker


class HeldClock(Clock):
    """Monotonic time that passes when the test says so."""

    def __init__(self) -> None:
        self.passed_s = 0.0

    def monotonic_s(self) -> float:
        return self.passed_s


@pytest.fixture
def clock() -> HeldClock:
    return HeldClock()


@pytest.fixture
async def still(settings: Settings, clock: HeldClock) -> AsyncIterator[MessageBroker]:
    """A broker for which no time passes by itself."""
    async with MessageBroker(settings, clock=clock) as connected:
        yield connected


@pytest.fixture
def nodes(still: MessageBroker) -> NodeManager:
    return NodeManager(still)


def stores_of(broker: MessageBroker) -> Stores:
    return Stores(broker.hive.link, broker.hive.tasks.keyspace)


def names(found: list[Any]) -> list[str]:
    return [node.profile.name for node in found]


async def spore(broker: MessageBroker, name: str, lease_ms: int = 60_000, cpu: float = 0.0, **profile: Any) -> int:
    """A Spore with one slot that has beaten once; its epoch."""
    hive = broker.hive
    joined = await hive.nodes.join(NodeProfile(name=name, concurrency=1, **profile), lease_ms)
    assert await hive.nodes.renew(joined.epoch, name, lease_ms, NodeLoad(cpu_percent=cpu))
    return joined.epoch


# ------------------------------------------------------------------------------------------------- questions


async def test_nobody_is_known_before_the_first_look(nodes: NodeManager) -> None:
    assert nodes.list_nodes() == []
    assert nodes.get_node("a") is None
    assert nodes.select_best_node() is None


async def test_nodes_are_found_by_name_skill_and_tag(still: MessageBroker, nodes: NodeManager) -> None:
    await spore(still, "b", skills=("scan",), tags=("gpu",))
    await spore(still, "a", skills=("scan", "mail"))
    await nodes.refresh()
    assert names(nodes.list_nodes()) == ["a", "b"]
    assert names(nodes.find_nodes_by_skill("scan")) == ["a", "b"]
    assert names(nodes.find_nodes_by_skill("mail")) == ["a"]
    assert names(nodes.find_nodes_by_tag("gpu")) == ["b"]
    assert nodes.find_nodes_by_skill("paint") == nodes.find_nodes_by_tag("paint") == []
    found = nodes.get_node("b")
    assert found is not None
    assert found.online


async def test_who_takes_no_tasks_is_not_listed(still: MessageBroker, nodes: NodeManager) -> None:
    for kind in ("nexus", "consumer"):
        await still.hive.nodes.join(NodeProfile(name=kind, kind=kind), 60_000)
    await nodes.refresh()
    assert nodes.list_nodes() == []
    assert nodes.get_node("nexus") is None


async def test_a_node_counts_as_online_until_its_lease_would_have_ended(
    still: MessageBroker, nodes: NodeManager, clock: HeldClock
) -> None:
    await spore(still, "long", 60_000, skills=("scan",), tags=("t",))
    await spore(still, "short", 20_000, skills=("scan",), tags=("t",))
    await nodes.refresh()
    clock.passed_s = 21
    assert names(nodes.list_nodes(online_only=True)) == ["long"]
    assert names(nodes.list_nodes()) == ["long", "short"]
    assert names(nodes.find_nodes_by_skill("scan")) == names(nodes.find_nodes_by_tag("t")) == ["long"]
    clock.passed_s = 61
    assert nodes.list_nodes(online_only=True) == []
    assert nodes.select_best_node() is None
    await nodes.refresh()
    assert names(nodes.list_nodes(online_only=True)) == ["long", "short"]


async def test_the_best_node_has_the_skill_meets_the_requirements_and_the_least_load(
    still: MessageBroker, nodes: NodeManager
) -> None:
    await spore(still, "busy", cpu=80, skills=("scan",), capabilities={"ocr": 0.9})
    await spore(still, "idle", cpu=5, skills=("scan",), capabilities={"ocr": 0.4})
    await spore(still, "other", skills=("mail",))
    await spore(still, "strange", cpu=math.nan, skills=("scan",))
    await nodes.refresh()

    def best(skill: str | None = None, wanted: dict[str, Any] | None = None) -> str | None:
        found = nodes.select_best_node(skill, wanted)
        return None if found is None else found.profile.name

    assert best() == "other"
    assert best("scan") == "idle"
    assert best("scan", {"capabilities": {"ocr": 0.5}}) == "busy"
    assert best("scan", {"gpu": True}) is None
    assert best("scan", {"memory_mb": 1}) is None
    assert best("paint") is None
    with pytest.raises(InvalidTask, match="there is no requirement 'gpus'"):
        nodes.select_best_node("scan", {"gpus": 1})


async def test_the_best_node_is_not_one_whose_lease_ran_out_since_the_look(
    still: MessageBroker, nodes: NodeManager, clock: HeldClock
) -> None:
    for name, lease_ms, cpu in (("a", 100_000, 1.0), ("b", 600_000, 9.0), ("c", 300_000, 5.0)):
        await spore(still, name, lease_ms, cpu)
    await nodes.refresh()
    needs, chosen = Requirements(), []
    for clock.passed_s in (50, 101, 301, 601):
        found = nodes.choose(needs, None)
        chosen.append(found and (found.profile.name, found.lease_left_ms <= 300_000))
    assert chosen == [("a", True), ("c", True), ("b", True), None]
    await nodes.refresh()
    found = nodes.choose(needs, None)
    assert found is not None
    assert found.profile.name == "a"


async def test_what_nodes_were_given_meanwhile_counts_for_one_question(
    still: MessageBroker, nodes: NodeManager
) -> None:
    await spore(still, "a", cpu=1.0)
    await spore(still, "b", cpu=5.0)
    await nodes.refresh()

    def best(given: dict[str, int]) -> str | None:
        found = nodes.choose(Requirements(), None, given)
        return None if found is None else found.profile.name

    assert [best({}), best({"a": 1}), best({"a": 1, "b": 3}), best({"gone": 2}), best({"a": -1})] == list("abaaa")


async def test_it_looks_again_with_every_heartbeat_until_it_stops(fast: Settings) -> None:
    async with MessageBroker(fast) as broker:
        manager = NodeManager(broker)
        await manager.start()
        await manager.start()
        await spore(broker, "late", 600_000)
        await until(lambda: manager.get_node("late") is not None)
        await manager.stop()
        await manager.stop()
        await spore(broker, "later", 600_000)
        assert manager.get_node("later") is None
        await manager.start()
        assert manager.get_node("later") is not None
        await manager.stop()


async def test_while_the_server_is_away_leases_run_out_and_one_line_says_so(
    private_server: PrivateServer, caplog: pytest.LogCaptureFixture
) -> None:
    clock = HeldClock()
    settings = Settings.load(redis_url=private_server.url, **FAST)
    async with MessageBroker(settings, clock=clock) as broker:
        manager = NodeManager(broker)
        await spore(broker, "a", 60_000)
        await manager.start()
        private_server.kill()
        with caplog.at_level(logging.WARNING, "venom.nodes"):
            await until(lambda: "cannot look at the nodes" in caplog.text)
            clock.passed_s = 61
            assert manager.list_nodes(online_only=True) == []
            with pytest.raises(StoreUnavailable):
                await manager.refresh()
        assert caplog.text.count("cannot look at the nodes") == 1
        private_server.restart()
        await until(lambda: manager._looked_s == 61)
        await manager.stop()


@pytest.mark.parametrize("seconds", [0, -1, math.nan, math.inf, 90_000])
async def test_a_timeout_that_is_none_is_refused(still: MessageBroker, seconds: float) -> None:
    with pytest.raises(InvalidSetting, match="heartbeat_timeout"):
        NodeManager(still, seconds)


# ------------------------------------------------------------------------------------------------- registration


async def test_a_registered_node_lives_as_long_as_somebody_beats_for_it(still: MessageBroker) -> None:
    manager = NodeManager(still, 60)
    node = await manager.register_node(
        "printer",
        kind="device",
        endpoint="http://printer/",
        skills=["print"],
        tags={"cellar"},
        capabilities={"ink": 0.5},
        hardware={"gpus": 1},
    )
    assert (node.online, node.profile.kind, node.profile.skills) == (True, "device", ("print",))
    assert names(manager.find_nodes_by_skill("print")) == names(manager.find_nodes_by_tag("cellar")) == ["printer"]
    assert await manager.update_heartbeat("printer", NodeLoad(cpu_percent=50))
    await manager.refresh()
    found = manager.get_node("printer")
    assert found is not None
    assert found.load.cpu_percent == 50
    # What cannot claim is never chosen for a task.
    assert manager.select_best_node() is manager.select_best_node("print") is None
    await stores_of(still).expire_lease(node.epoch, 0)
    assert not await manager.update_heartbeat("printer")
    with pytest.raises(UnknownNode):
        await manager.update_heartbeat("printer")
    assert (await manager.register_node("printer")).online


async def test_an_unregistered_node_is_gone(still: MessageBroker, nodes: NodeManager) -> None:
    await nodes.register_node("a")
    await nodes.unregister_node("a")
    assert nodes.get_node("a") is None
    await nodes.refresh()
    assert nodes.get_node("a") is None
    content = await stores_of(still).dump()
    assert not {"0:lease", "0:names", "0:profile", "0:load"} & set(content)
    for change in (nodes.unregister_node, nodes.update_heartbeat):
        with pytest.raises(UnknownNode, match="was registered here"):
            await change("a")


async def test_to_unregister_can_be_tried_again_if_the_server_is_away(private_server: PrivateServer) -> None:
    async with MessageBroker(Settings.load(redis_url=private_server.url)) as broker:
        manager = NodeManager(broker)
        await manager.register_node("a")
        private_server.kill()
        with pytest.raises(StoreUnavailable):
            await manager.unregister_node("a")
        private_server.restart()

        async def gone() -> bool:
            try:
                await manager.unregister_node("a")
            except StoreUnavailable:
                return False
            return True

        await until_so(gone)


@pytest.mark.parametrize("partitions", [1, 4])
async def test_registered_again_it_says_something_new_and_leaves_no_lease_behind(
    settings: Settings, partitions: int
) -> None:
    async with MessageBroker(altered(settings, hive_partitions=partitions)) as broker:
        manager = NodeManager(broker)
        await manager.register_node("a", tags=["old"])
        node = await manager.register_node("a", tags=["new"])
        assert node.profile.tags == ("new",)
        for partition in range(partitions):
            assert await broker.hive.nodes.leased(partition) == {node.epoch}
        # The program starts again: its node is its own, although the lease of its earlier life has not ended.
        heir = NodeManager(broker)
        node = await heir.register_node("a", tags=["newest"])
        assert not await manager.update_heartbeat("a")
        assert await heir.update_heartbeat("a")
        assert await broker.hive.nodes.leased(partitions - 1) == {node.epoch}


async def test_the_name_of_a_dead_spore_is_free_and_what_it_held_is_not_forgotten(
    still: MessageBroker, nodes: NodeManager
) -> None:
    dead = await spore(still, "a")
    await stores_of(still).expire_lease(dead)
    node = await nodes.register_node("a")
    assert await still.hive.nodes.leased(0) == {dead, node.epoch}


@pytest.mark.parametrize("kind", ["spore", "nexus", "consumer"])
async def test_what_beats_by_itself_is_not_fenced(still: MessageBroker, nodes: NodeManager, kind: str) -> None:
    joined = await still.hive.nodes.join(NodeProfile(name="a", kind=kind), 60_000)
    with pytest.raises(InvalidSetting, match=f"a node of kind '{kind}' named 'a' is online; choose another name"):
        await nodes.register_node("a")
    assert await still.hive.nodes.renew(joined.epoch, "a", 60_000, NodeLoad())
    with pytest.raises(InvalidSetting, match=f"of kind '{kind}' joins by itself"):
        await nodes.register_node("b", kind=kind)


async def test_one_skill_or_tag_is_a_name_and_not_its_letters(nodes: NodeManager) -> None:
    node = await nodes.register_node("a", skills="print", tags="cellar", capabilities={"ink": 1})
    assert (node.profile.skills, node.profile.tags) == (("print",), ("cellar",))


@pytest.mark.parametrize(
    "bad",
    [
        {"node_id": ""}, {"node_id": "a b"}, {"node_id": "x" * (NAME_CHARS_MAX + 1)}, {"node_id": None},
        {"node_id": "@a"}, {"kind": "a b"}, {"kind": 3}, {"tags": ["a b"]}, {"tags": [3]}, {"skills": ["?"]},
        {"capabilities": {"a": 2}}, {"capabilities": {"a": math.nan}}, {"capabilities": "ocr"},
        {"hardware": {"gpus": object()}}, {"hardware": {"list": ["x" * PROFILE_BYTES_MAX]}},
        {"endpoint": "x" * PROFILE_BYTES_MAX}, {"skills": [f"skill{at}" for at in range(20_000)]},
    ],
    ids=lambda bad: next(iter(bad)),
)  # fmt: skip
async def test_what_cannot_be_registered_is_refused_and_nothing_is_stored(
    still: MessageBroker, nodes: NodeManager, bad: dict[str, Any]
) -> None:
    with pytest.raises(InvalidSetting):
        await nodes.register_node(**{"node_id": "a", **bad})
    assert "0:profile" not in await stores_of(still).dump()


async def test_what_ends_the_watch_is_told_to_who_asks(broker: MessageBroker) -> None:
    manager = NodeManager(broker)
    await manager.start()
    assert manager._watching is not None
    manager._watching.cancel()
    await asyncio.wait([manager._watching])

    async def breaks() -> None:
        raise ZeroDivisionError

    manager._watching = asyncio.create_task(breaks())
    await asyncio.wait([manager._watching])
    with pytest.raises(ZeroDivisionError):
        manager.list_nodes()
