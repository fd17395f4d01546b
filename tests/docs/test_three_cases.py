"""The three cases that the troubleshooting page begins with, made to happen and mended by what the page says."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.docs.markdown import blocks, text_of
from tests.docs.stage import Stage
from tests.hives import FAST, altered, ended, until, until_so
from tests.processes import nexus, spore
from tests.servers import PrivateServer
from venom_core.agents.foreman import ForemanAgent
from venom_core.config import Settings
from venom_core.infrastructure.message_broker import MessageBroker

PAGE = "docs/troubleshooting.md"


def test_the_page_begins_with_the_documents_three_cases() -> None:
    headings = re.findall(r"^## (.+)$", text_of(PAGE), re.MULTILINE)
    assert headings[:4] == ["First look", "Redis connection failed", "Zombie tasks", "Node offline"]


async def test_redis_connection_failed(
    private_server: PrivateServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings.load(redis_url=private_server.url, **FAST)
    with spore("patient", settings, tmp_path) as patient:
        await patient.said("joined")
        private_server.kill()
        broker = MessageBroker(settings)
        assert await broker.connect() is False
        assert "cannot be reached; check that it runs and that the address is right" in caplog.text
        with spore("late", settings, tmp_path) as late:
            assert await late.ended() == 1
            assert "cannot be reached; check that it runs and that the address is right" in late.text
        private_server.restart()
        async with MessageBroker(settings) as again:
            task = await ended(again, await again.enqueue_task("pause", {"seconds": 0}), 60)
        assert (task.status, task.assigned_node) == ("completed", "patient")
        assert patient.process.poll() is None


async def test_zombie_tasks(settings: Settings, tmp_path: Path) -> None:
    """A Nexus takes the zombie back and it is done elsewhere; with the limit raised nobody touches it."""
    journal, gate = tmp_path / "journal", tmp_path / "gate"
    journal.touch()
    hasty = altered(settings, hive_zombie_task_timeout=1, **FAST)
    raised = altered(hasty, hive_zombie_task_timeout=1200)
    silent = {"journal": str(journal), "gate": str(gate)}
    os.mkfifo(gate)
    async with MessageBroker(hasty) as broker, MessageBroker(raised) as calm:
        with spore("blocked", hasty, tmp_path, "--concurrency", "1"):
            task_id = await broker.enqueue_task("deaf_first", silent)
            await until(lambda: "begin" in journal.read_text())

            async def seen() -> bool:
                return [zombie.task_id for zombie in await broker.detect_zombie_tasks()] == [task_id]

            await until_so(seen)
            assert await calm.detect_zombie_tasks() == []
            with spore("helper", hasty, tmp_path), nexus("watcher", hasty, tmp_path):
                task = await ended(broker, task_id, 60)
            assert (task.status, task.result, task.crashes) == ("completed", "helper", 1)
            gate.write_bytes(b"go")


async def test_node_offline(fast: Settings, tmp_path: Path) -> None:
    """The page's own lines show it; started again under its name, it is back."""
    stage = Stage(tmp_path, {}, broker=MessageBroker(fast), set_variable=os.putenv)
    snippet = next(block for block in blocks(PAGE) if block.example == "offline" and block.language == "python")
    async with stage.broker as broker:
        foreman = ForemanAgent(None, broker)
        with spore("cellar", fast, tmp_path) as node:
            await node.said("joined")
            node.kill()
            await foreman.start()
            await until_so(lambda: _is(foreman, online=False))
            status = foreman.get_cluster_status()
            assert (status["online_nodes"], status["offline_nodes"]) == (0, 1)
            await stage.play(snippet)
            assert stage.said.startswith("cellar offline, last heard ")
            node.start_again()
            await until_so(lambda: _is(foreman, online=True))
            await foreman.stop()


async def _is(foreman: ForemanAgent, *, online: bool) -> bool:
    await foreman.node_manager.refresh()
    return [node["is_online"] for node in foreman.get_cluster_status()["nodes"] if node["kind"] == "spore"] == [online]
