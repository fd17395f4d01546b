from __future__ import annotations

import asyncio
import json

from tests.cli.conftest import Venom
from tests.hives import running
from venom_core.config import Settings
from venom_spore.skills import SkillSet

skills = SkillSet()


@skills.skill
async def nothing() -> None: ...


async def test_the_hive_and_its_nodes_are_shown(venom: Venom, settings: Settings) -> None:
    async with running(skills, settings, "here", slots=3):
        assert (await asyncio.to_thread(venom, "enqueue", "nothing", "--wait", "20")).exit_code == 0
        table = (await asyncio.to_thread(venom, "nodes")).stdout
        nodes = json.loads((await asyncio.to_thread(venom, "nodes", "--json")).stdout)
        status = json.loads((await asyncio.to_thread(venom, "status", "--json")).stdout)
        lines = (await asyncio.to_thread(venom, "status")).stdout.splitlines()
    assert [(node["name"], node["online"], node["concurrency"]) for node in nodes] == [("here", True, 3)]
    assert nodes[0]["skills"] == ["nothing"]
    assert table.split()[:4] == ["name", "kind", "online", "running"]
    assert "here" in table
    assert (status["tasks_completed"], status["total_queued"], status["nodes_online"]) == (1, 0, 1)
    assert any(line.split() == ["tasks", "completed", "1"] for line in lines)


def test_a_hive_without_nodes_is_an_empty_list(venom: Venom) -> None:
    assert json.loads(venom("nodes", "--json").stdout) == []
