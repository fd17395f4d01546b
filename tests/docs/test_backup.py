"""A hive moved to a new server from a backup, by the steps of docs/operations.md: what had not ended goes on."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.docs.markdown import blocks
from tests.hives import FAST, until_running
from tests.processes import spore
from tests.servers import PrivateServer
from venom_core.config import Settings
from venom_core.infrastructure.message_broker import MessageBroker

PAGE = "docs/operations.md"
TOKEN = "the same token on the new machine"


def steps(name: str) -> str:
    """The commands of the page's example of this name."""
    return "".join(block.text for block in blocks(PAGE) if block.example == name and block.language == "bash")


def follow(commands: str, folder: Path, **changes: str) -> None:
    """Run the page's own lines in a folder; `changes` put in this machine's address for the page's."""
    for old, new in changes.items():
        assert old in commands
        commands = commands.replace(old, new)
    done = subprocess.run(
        ["sh", "-euc", commands], cwd=folder, capture_output=True, text=True, check=False, timeout=60
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def server_in(folder: Path) -> Iterator[PrivateServer]:
    running = PrivateServer(folder, loopback=True)
    try:
        yield running
    finally:
        running.kill()


def settings_of(server: PrivateServer) -> Settings:
    return Settings.load(redis_url=server.url, **FAST)


async def test_tasks_resume_on_a_new_server(
    debian_redis: str, short_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEXUS_SHARED_TOKEN", TOKEN)
    assert debian_redis
    assert shutil.which("redis-cli"), "redis-cli comes with the server"
    journal = tmp_path / "journal"
    with server_in(short_dir / "old") as old:
        async with filled(old, journal, tmp_path):
            there = urlsplit(old.url)
            address = {"=PASSWORD": f"={there.password}", "-h 10.0.0.5": f"-h 127.0.0.1 -p {there.port}"}
            follow(steps("backup"), tmp_path, **address)
        # What happens after the backup is not in it.
        async with MessageBroker(settings_of(old)) as broker:
            await broker.enqueue_task("work", {"journal": str(journal)}, task_id="too-late")
    (short_dir / "new").mkdir()
    shutil.copy(tmp_path / "backup.rdb", short_dir / "new")
    follow(steps("restore"), short_dir / "new")
    with server_in(short_dir / "new") as new:
        await resume(new, tmp_path)
    begun = {int(line.split()[1]) for line in journal.read_text(encoding="utf-8").splitlines() if "begin" in line}
    assert begun == {0, 1, 7, 8, *range(100, 120)}


@asynccontextmanager
async def filled(server: PrivateServer, journal: Path, folder: Path) -> AsyncIterator[None]:
    """A hive at work: a result, a dead letter, and tasks that are delayed, waiting and running meanwhile."""
    settings = settings_of(server)
    async with MessageBroker(settings) as broker:
        with spore("old", settings, folder, "--concurrency", "1"):
            await broker.enqueue_task("work", {"journal": str(journal), "number": 7}, task_id="done-before")
            await broker.enqueue_task("work", {}, task_id="dead-before")
            assert (await broker.wait_for("dead-before", 30)) is not None
            assert (await broker.wait_for("done-before", 30)) is not None
            await broker.enqueue_task("hold_first", {"journal": str(journal)}, task_id="at-work")
            await until_running(broker, "at-work")
            numbers = [{"journal": str(journal), "number": number} for number in range(100, 120)]
            await broker.enqueue_many("work", numbers, task_ids=[f"waiting-{number}" for number in range(20)])
            await broker.enqueue_task("work", {"journal": str(journal), "number": 8}, task_id="delayed", delay=3)
            yield


async def resume(server: PrivateServer, folder: Path) -> None:
    """On the new server everything that had not ended ends, and what had is as it was."""
    settings = settings_of(server)
    async with MessageBroker(settings) as broker:
        before = await broker.get_task_status("done-before")
        assert before is not None
        assert (before.status, before.result) == ("completed", 7)
        assert [letter.task_id for letter in await broker.dead_letters.list()] == ["dead-before"]
        assert await broker.get_task_status("too-late") is None
        with spore("new", settings, folder):
            held = await broker.wait_for("at-work", 60)
            assert held is not None
            assert (held.status, held.result, held.crashes) == ("completed", "new", 1)
            for number in range(20):
                task = await broker.wait_for(f"waiting-{number}", 60)
                assert task is not None
                assert (task.status, task.result) == ("completed", 100 + number)
            delayed = await broker.wait_for("delayed", 60)
            assert delayed is not None
            assert delayed.result == 8
        stats = await broker.get_queue_stats()
        assert (stats["tasks_pending"], stats["tasks_running"]) == (0, 0)
        assert (stats["tasks_completed"], stats["tasks_failed"]) == (23, 1)


@pytest.mark.parametrize("name", ["backup", "restore"])
def test_the_page_has_steps(name: str) -> None:
    assert steps(name)
