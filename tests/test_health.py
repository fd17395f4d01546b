"""The command behind the health checks of containers: is the node of this host online?"""

from __future__ import annotations

import asyncio
import socket

import pytest

from tests.hives import running
from tests.servers import free_port
from venom_core import health
from venom_core.config import Settings
from venom_core.domain.node import NodeLoad, NodeProfile, NodeState
from venom_spore.skills import SkillSet


def state(name: str, *, kind: str = "spore", host: str = "here", left_ms: int = 5000) -> NodeState:
    return NodeState(NodeProfile(name, kind, host=host), NodeLoad(), 1, left_ms)


@pytest.mark.parametrize(
    ("nodes", "fault"),
    [
        ([], "no spore of host 'here' has joined the hive"),
        ([state("a", host="there"), state("b", kind="nexus")], "no spore of host 'here' has joined the hive"),
        ([state("a", left_ms=0)], "a is offline: its lease has ended"),
        ([state("a", left_ms=0), state("b")], ""),
    ],
    ids=["nobody", "others", "offline", "another one here"],
)
def test_a_host_is_well_while_a_node_of_its_kind_holds_its_lease(nodes: list[NodeState], fault: str) -> None:
    assert health.judge(nodes, "spore", "here") == fault


async def ask(kind: str) -> int:
    """The command as a health check runs it, beside what this event loop does."""
    return await asyncio.to_thread(health.main, [kind])


async def test_the_command_judges_a_real_spore(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REDIS_URL", settings.store_url())
    monkeypatch.setenv("HIVE_NAMESPACE", settings.hive_namespace)
    assert await ask("spore") == 1
    async with running(SkillSet(), settings):
        assert await ask("spore") == 0
        assert await ask("nexus") == 1
    sentence = f"no {{}} of host {socket.gethostname()!r} has joined the hive\n"
    assert capsys.readouterr().err == sentence.format("spore") + sentence.format("nexus")


async def test_a_store_that_is_away_or_silent_is_no_health(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REDIS_URL", f"redis://127.0.0.1:{free_port()}")
    assert await ask("spore") == 1
    assert "cannot be reached" in capsys.readouterr().err
    monkeypatch.setattr(health, "PATIENCE_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("REDIS_URL", f"redis://127.0.0.1:{silent.getsockname()[1]}")
        assert await ask("spore") == 1
    assert capsys.readouterr().err == "the store did not answer within 0.05 s\n"
