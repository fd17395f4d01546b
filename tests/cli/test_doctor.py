"""The doctor: each thing that can be wrong is made wrong once, on a real hive."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.cli.conftest import Venom
from tests.hives import FAST, ShiftedClock, altered, running, until_so
from tests.processes import spore
from tests.servers import PrivateServer, free_port
from venom_core import __version__, setting_names
from venom_core.commands import doctor as module
from venom_core.commands.findings import Finding
from venom_core.config import Settings
from venom_core.domain.node import NodeLoad, NodeProfile, NodeState
from venom_core.infrastructure.message_broker import MessageBroker
from venom_core.infrastructure.server_health import ServerHealth
from venom_spore.skills import SkillSet

skills = SkillSet()


@skills.skill
async def nothing() -> None: ...


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def found(venom: Venom, *arguments: str) -> tuple[dict[str, Any], int]:
    result = venom("doctor", "--json", *arguments)
    listed = json.loads(result.stdout)
    return {finding["check"]: finding for finding in listed}, result.exit_code


@pytest.fixture(autouse=True)
def _no_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))


async def test_a_healthy_hive_has_nothing_that_failed(venom: Venom, settings: Settings) -> None:
    async with running(skills, settings, "a"):
        findings, code = await asyncio.to_thread(found, venom)
    assert code == 0
    assert findings["settings"]["state"] == "ok"
    assert findings["server"]["found"].startswith("Valkey ") or findings["server"]["found"].startswith("Redis ")
    assert findings["Spores"]["found"].startswith("1 online with ")
    assert findings["clock"]["state"] == "ok"
    assert findings["skills"]["state"] == "ok"
    # The common server of the tests keeps nothing on disk, and no Nexus runs.
    assert findings["persistence"]["state"] == "warn"
    assert "set appendonly yes" in findings["persistence"]["fix"]
    assert findings["Nexus"]["fix"] == "start one with: venom-nexus"


def test_a_server_that_is_away_is_a_failure_with_a_next_step(venom: Venom) -> None:
    findings, code = found(venom, "--redis-url", f"redis://127.0.0.1:{free_port()}")
    assert code == 1
    assert findings["server"]["state"] == "fail"
    assert "venom up" in findings["server"]["fix"]


def test_a_setting_that_is_wrong_is_the_only_finding(venom: Venom, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HIVE_TASK_TIMEUT", "7")
    findings, code = found(venom)
    assert (list(findings), code) == (["settings"], 1)


def test_a_near_miss_is_found_here_and_said_by_every_command(venom: Venom, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_PASWORD", "x")
    setting_names._warn_of_near_miss.cache_clear()
    findings, _ = found(venom)
    assert "call it REDIS_PASSWORD" in findings["settings"]["found"]


async def test_work_that_nobody_can_do_is_a_failure(venom: Venom, settings: Settings, broker: MessageBroker) -> None:
    await broker.enqueue_task("scan", delay=60)
    findings, code = await asyncio.to_thread(found, venom)
    assert code == 1
    assert findings["Spores"]["state"] == "fail"
    async with running(skills, settings, "a"):
        findings, code = await asyncio.to_thread(found, venom)
    assert code == 1
    assert "scan (1 tasks)" in findings["skills"]["found"]


async def test_dead_letters_and_nodes_that_are_gone_are_warned_of(
    venom: Venom, fast: Settings, broker: MessageBroker, tmp_path: Path
) -> None:
    with spore("gone", fast, tmp_path) as process:
        await process.said("joined")
        process.kill()
    await broker.enqueue_task("nothing", task_id="x")
    assert await broker.next_task(timeout=20) is not None
    await broker.update_task_status("x", "failed", error="why not")

    async def offline() -> bool:
        return not any(node.online for node in await broker.hive.nodes.all() if node.profile.name == "gone")

    await until_so(offline)
    async with running(skills, altered(fast, **FAST), "here"):
        findings, _ = await asyncio.to_thread(found, venom)
    assert findings["dead letters"]["fix"] == "venom dlq list"
    assert "offline: gone" in findings["Spores"]["found"]


def test_a_server_that_throws_away_is_a_failure(venom: Venom, private_server: PrivateServer) -> None:
    client = private_server.client()
    client.config_set("maxmemory-policy", "allkeys-lru")
    client.close()
    findings, code = found(venom, "--redis-url", private_server.url)
    assert code == 1
    assert "allkeys-lru" in findings["memory"]["found"]
    assert findings["persistence"]["state"] == "ok"


def test_a_table_says_what_to_do_below_each_finding(venom: Venom) -> None:
    lines = venom("doctor").stdout.splitlines()
    at = next(number for number, line in enumerate(lines) if "none is online" in line)
    assert lines[at].startswith("fail")
    assert lines[at + 1].strip().startswith("-> venom up")


@pytest.mark.parametrize(
    ("info", "asked", "state"),
    [
        ({}, {}, "warn"),
        ({"aof_enabled": "1"}, {}, "ok"),
        ({"aof_enabled": "1", "aof_last_write_status": "err"}, {}, "fail"),
        ({"aof_enabled": "0"}, {}, "warn"),
    ],
)
def test_persistence(info: dict[str, str], asked: dict[str, str], state: str) -> None:
    assert module._persistence(ServerHealth(info, asked)).state == state


@pytest.mark.parametrize(
    ("info", "state"),
    [
        ({"used_memory": "95", "maxmemory": "100"}, "warn"),
        ({"used_memory": "5", "maxmemory": "100"}, "ok"),
        ({"used_memory": "5", "maxmemory_policy": "volatile-ttl"}, "fail"),
        ({}, "ok"),
    ],
)
def test_memory(info: dict[str, str], state: str) -> None:
    assert module._memory(ServerHealth(info)).state == state


def test_a_clock_that_is_wrong_is_a_warning() -> None:
    assert module._clock(-500).state == "ok"
    assert "10.0s behind" in module._clock(10_000).found
    assert "1h 0m ahead of" in module._clock(-3_600_000).found
    assert ShiftedClock(5).now_ms() > 0


def test_a_full_disk_is_a_warning(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "default_data", lambda: tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(100, 97, 3))
    [finding] = module._disk()
    assert finding.state == "warn"
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(100, 7, 93))
    [finding] = module._disk()
    assert finding.state == "ok"


def test_machines_in_trouble_are_named() -> None:
    def node(name: str, release: str = __version__, **load: Any) -> NodeState:
        return NodeState(NodeProfile(name, release=release), NodeLoad(**load), 1, 1000)

    nodes = [
        node("a", cordoned=True),
        node("b", disk_percent=97.0),
        node("c", loop_silent_ms=60_000),
        node("d", release="0.0.1"),
    ]
    findings: dict[str, Finding] = {finding.check: finding for finding in module._machines(nodes)}
    assert "a" in findings["cordoned"].found
    assert "b 97 %" in findings["disks"].found
    assert "c" in findings["event loops"].found
    assert "0.0.1" in findings["releases"].found
    assert list(module._machines([node("e")])) == []
    assert module._names(str(number) for number in range(10)).endswith("7 and 2 more")
