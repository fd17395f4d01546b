from __future__ import annotations

import asyncio
import json

from tests.cli.conftest import Venom, told
from tests.hives import running
from venom_core.config import Settings
from venom_core.domain.order import read_order
from venom_core.infrastructure.message_broker import MessageBroker
from venom_spore.skills import SkillSet

skills = SkillSet()


@skills.skill
async def nothing() -> None: ...


async def test_the_counters_of_the_hive_are_shown(venom: Venom, settings: Settings) -> None:
    async with running(skills, settings, "here", slots=3):
        assert (await asyncio.to_thread(venom, "submit", "nothing", "--wait", "20")).exit_code == 0
        status = told(await asyncio.to_thread(venom, "status", "--json"))
        lines = (await asyncio.to_thread(venom, "status")).stdout.splitlines()
    assert (status["tasks_completed"], status["total_queued"], status["nodes_online"]) == (1, 0, 1)
    assert any(line.split() == ["tasks", "completed", "1"] for line in lines)


async def test_queues_say_what_waits_for_how_long_and_who_takes_it(venom: Venom, settings: Settings) -> None:
    for arguments in (("a",), ("a",), ("a", "--delay", "60"), ("nothing", "--delay", "60"), ("b", "--tag", "nowhere")):
        await asyncio.to_thread(venom, "submit", *arguments)
    async with running(skills, settings, "here"):
        found = told(await asyncio.to_thread(venom, "queues", "--json"))
        table = (await asyncio.to_thread(venom, "queues")).stdout.splitlines()
    lanes = {lane["queue"]: (lane["ready"], lane["delayed"], lane["spores"]) for lane in found}
    assert lanes == {"(to be placed)": (1, 0, 0), "a": (2, 1, 0), "nothing": (0, 1, 1)}
    assert all((lane["oldest_s"] is None) == (lane["ready"] == 0) for lane in found)
    assert table[0].split()[:4] == ["queue", "ready", "delayed", "first"]
    assert len(table) == 4


def test_an_empty_hive_has_no_queues(venom: Venom) -> None:
    assert venom("queues").stderr == "Nothing waits.\n"
    assert told(venom("queues", "--json")) == []


async def test_a_broadcast_reaches_who_listens(venom: Venom, settings: Settings, broker: MessageBroker) -> None:
    async with await broker.subscribe_broadcast() as channel:
        for data in (("version=1.2", "force=true"), ("--data", '{"version": 1.2, "force": true}')):
            said = await asyncio.to_thread(venom, "broadcast", "UPDATE_SYSTEM", *data)
            assert said.stdout.startswith("UPDATE_SYSTEM was heard by ")
            while (message := await channel.get_message(timeout=20)) and message["type"] != "message":
                pass
            assert message is not None
            order = read_order(broker.hive.seal, message["data"])
            assert (order.command, order.data) == ("UPDATE_SYSTEM", {"version": 1.2, "force": True})
    heard = told(await asyncio.to_thread(venom, "broadcast", "UPDATE_SYSTEM", "--json"))
    assert heard["command"] == "UPDATE_SYSTEM"


def test_a_broadcast_that_is_none_is_refused(venom: Venom) -> None:
    assert "a command is 1 to 64 capital letters" in venom("broadcast", "update").stderr
    assert venom("broadcast", "UPDATE", "a=1", "--data", "{}").exit_code == 2
    assert json.loads(venom("status", "--json").stdout)["connected"] is True
