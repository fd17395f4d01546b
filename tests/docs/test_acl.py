"""The ACL user of the security page can do all that a hive needs, and nothing beside it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import redis

from tests.docs.markdown import text_of
from tests.hives import FAST, ended
from tests.processes import nexus, spore
from tests.servers import PrivateServer
from venom_core.config import Settings
from venom_core.execution.skills.parallel_skill import ParallelSkill
from venom_core.infrastructure.message_broker import MessageBroker

WORD = "A-LONG-RANDOM-PASSWORD"


def rules() -> list[str]:
    """The user's rules as the page gives them."""
    found = re.search(r"^user hive (.+)$", text_of("docs/security.md"), re.MULTILINE)
    assert found
    assert f">{WORD}" in found[1]
    return found[1].split()


@pytest.fixture
def settings(private_server: PrivateServer) -> Settings:
    """A hive whose processes log in as that user."""
    admin = private_server.client()
    admin.execute_command("ACL", "SETUSER", "hive", *rules())  # type: ignore[no-untyped-call]  # redis-py says no type
    admin.close()
    url = private_server.url.replace("unix://", f"unix://hive:{WORD}@", 1)
    return Settings.load(redis_url=url, **FAST)


async def test_a_hive_works_as_that_user(private_server: PrivateServer, settings: Settings, tmp_path: Path) -> None:
    with (
        nexus("watcher", settings, tmp_path) as watcher,
        spore("spore", settings, tmp_path, "--tags", "cellar") as node,
    ):
        await watcher.said("leads")
        await node.said("joined")
        async with MessageBroker(settings) as broker:
            placed = await broker.enqueue_task("pause", {"seconds": 0}, requirements={"tags": ["cellar"]})
            assert (await ended(broker, placed, 60)).status == "completed"
            subtasks = [{"skill": "pause", "payload": {"seconds": 0}}] * 2
            answer = json.loads(await ParallelSkill(broker).parallel_execute("x", subtasks, wait_timeout=60))
            assert answer["summary"]["completed"] == 2
            running = await broker.enqueue_task("pause", {"seconds": 60})
            assert await broker.cancel_task(running)
            assert (await ended(broker, running, 60)).status == "cancelled"
            assert await broker.broadcast_control("HELLO", {}) >= 1
    admin = private_server.client()
    assert [entry["object"] for entry in admin.acl_log()] == []
    admin.close()


@pytest.mark.parametrize(
    "command", ["FLUSHALL", "CONFIG GET *", "KEYS *", "SET other 1", "PUBLISH other 1", "SHUTDOWN"]
)
def test_that_user_may_not_do_more(private_server: PrivateServer, settings: Settings, command: str) -> None:
    client = redis.Redis(
        unix_socket_path=private_server.url.partition("://")[2].partition("?")[0], username="hive", password=WORD
    )
    with pytest.raises(redis.exceptions.NoPermissionError):
        client.execute_command(*command.split())  # type: ignore[no-untyped-call]  # redis-py says no type
    client.close()
