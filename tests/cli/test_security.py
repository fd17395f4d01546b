"""The ten points of the checklist: each passed, failed and not to be known, and the whole on real servers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Venom
from tests.servers import PrivateServer, bare_server, free_port
from venom_core.commands import security
from venom_core.config import Settings
from venom_core.infrastructure.audit import audit_lines
from venom_core.infrastructure.message_broker import MessageBroker
from venom_core.infrastructure.redis_address import parse_address
from venom_core.infrastructure.server_health import ServerHealth
from venom_core.ota.repository import Repository

TOKEN = "kP3xVq8nZr5tYw2uHs6dJf9gLb4cMe7a"
STRONG = "s" * 40


def settings_with(**given: Any) -> Settings:
    return Settings.load(**given)


@pytest.mark.parametrize(
    ("url", "strangers", "state"),
    [
        ("unix:///run/r.sock", True, "pass"),
        (f"redis://:{STRONG}@10.0.0.5", False, "pass"),
        (f"redis://:{STRONG}@10.0.0.5", True, "fail"),
        (f"redis://:{STRONG}@10.0.0.5", None, "cannot know"),
        ("redis://:short@10.0.0.5", False, "fail"),
        ("redis://10.0.0.5", True, "fail"),
        ("redis://10.0.0.5", None, "cannot know"),
    ],
)
def test_password(url: str, strangers: bool | None, state: str) -> None:
    assert security.password(parse_address(url), strangers).state == state


@pytest.mark.parametrize(
    ("url", "config", "state"),
    [
        ("redis://10.0.0.5", {"bind": "127.0.0.1 10.0.0.5", "port": "6379"}, "pass"),
        ("unix:///run/r.sock", {"bind": "* -::*", "port": "0"}, "pass"),
        ("redis://10.0.0.5", {"bind": "* -::*", "port": "0", "tls-port": "6380"}, "cannot know"),
        ("redis://10.0.0.5", {"bind": "0.0.0.0", "port": "6379"}, "cannot know"),
        ("redis://10.0.0.5", {"bind": "", "port": "6379"}, "cannot know"),
        ("redis://10.0.0.5", {"bind": "8.8.8.8", "port": "6379"}, "fail"),
        ("redis://8.8.8.8", {"bind": "10.0.0.5"}, "fail"),
        ("redis://redis.internal", {}, "cannot know"),
        ("unix:///run/r.sock", {}, "cannot know"),
    ],
)
def test_binding(url: str, config: dict[str, str], state: str) -> None:
    assert security.binding(parse_address(url), ServerHealth(config=config)).state == state


def test_token_and_the_source_of_updates() -> None:
    assert security.token(settings_with()).state == "fail"
    assert security.token(settings_with(nexus_shared_token=TOKEN)).state == "pass"
    assert security.token(settings_with(nexus_shared_token="ab" * 20)).state == "fail"
    assert security.token(settings_with(nexus_shared_token=TOKEN, redis_password=TOKEN)).state == "fail"
    assert security.update_source(settings_with()).state == "fail"
    assert security.update_source(settings_with(nexus_shared_token=TOKEN)).state == "pass"


def test_a_repository_that_spores_would_refuse_is_found(tmp_path: Path) -> None:
    told = settings_with(nexus_shared_token=TOKEN, hive_ota_home=str(tmp_path / "ota"))
    assert security.update_source(told).state == "pass"
    Repository(tmp_path / "ota", "a long enough passphrase").init()
    assert security.update_source(told).state == "pass"
    timestamp = tmp_path / "ota/repository/metadata/timestamp.json"
    timestamp.write_text(
        timestamp.read_text().replace('"version": 1', '"version": 7').replace('"version":1', '"version":7')
    )
    found = security.update_source(told)
    assert (found.state, found.fix) == ("fail", "venom ota verify")
    assert "would be refused: BAD_SIGNATURE" in found.found


def test_where_packages_may_come_from() -> None:
    assert security.update_hosts(settings_with()).state == "pass"
    assert "nexus.internal" in security.update_hosts(settings_with(hive_ota_allowed_hosts="nexus.internal")).found
    assert security.update_hosts(settings_with(hive_ota_allowed_hosts="a, *")).state == "fail"


@pytest.mark.parametrize(("refusals", "state"), [(0, "cannot know"), (3, "fail")])
def test_monitoring(refusals: int, state: str) -> None:
    point = security.monitoring(refusals)
    assert point.state == state
    assert point.found.startswith("the hive's audit in the store holds ")


def test_monitoring_names_the_audit_that_it_did_not_look_at() -> None:
    """A node refuses updates into an audit of its own, which nobody sees from here."""
    assert "venom audit show FILE" in security.monitoring(0).fix
    assert "audit.jsonl" in security.monitoring(0).fix


@pytest.mark.parametrize(
    ("health", "state"),
    [
        (ServerHealth({"aof_enabled": "0"}, {"save": ""}), "fail"),
        (ServerHealth({"aof_enabled": "0"}, {"save": "3600 1"}), "cannot know"),
        (ServerHealth({"aof_enabled": "1"}, {"dir": "data"}), "cannot know"),
        (ServerHealth(), "cannot know"),
    ],
)
def test_backup(health: ServerHealth, state: str) -> None:
    assert security.backup(health).state == state


@pytest.mark.parametrize(
    ("url", "clients", "state"),
    [
        ("redis://10.0.0.5", ("10.0.0.7", "127.0.0.1", "run/r.sock"), "pass"),
        ("redis://10.0.0.5", ("10.0.0.7", "8.8.8.8"), "fail"),
        ("rediss://10.0.0.5", ("8.8.8.8",), "cannot know"),
        ("redis://10.0.0.5", None, "cannot know"),
    ],
)
def test_closed_network(url: str, clients: tuple[str, ...] | None, state: str) -> None:
    assert security.closed_network(parse_address(url), ServerHealth(clients=clients)).state == state


def test_what_only_people_know_is_said_to_be_so() -> None:
    assert security.logs(settings_with(hive_log_format="json")).state == "cannot know"
    assert security.logs(settings_with()).state == "cannot know"
    assert "venom-hive 0" in security.updates("Valkey", "9.1").found
    assert security._version("no-such-package-at-all") == "of a source tree"


def points(venom: Venom, *arguments: str) -> tuple[list[dict[str, str]], int]:
    result = venom("doctor", "--security", "--json", *arguments)
    return json.loads(result.stdout), result.exit_code


def test_ten_points_each_with_what_to_do(venom: Venom) -> None:
    found, code = points(venom)
    assert [point["check"].partition(".")[0] for point in found] == [str(number) for number in range(1, 11)]
    assert all(point["fix"] for point in found if point["state"] != "pass")
    assert code == 1, "there is no token"


def test_a_strong_server_and_a_weak_one(
    venom: Venom, private_server: PrivateServer, debian_redis: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEXUS_SHARED_TOKEN", TOKEN)
    found, code = points(venom, "--redis-url", private_server.url)
    assert code == 0
    assert [point["state"] for point in found[:5]] == ["pass"] * 5
    port = free_port()
    url = f"redis://127.0.0.1:{port}"
    with bare_server(debian_redis, url, "--port", str(port), "--save", "", "--bind", "127.0.0.1"):
        found, code = points(venom, "--redis-url", url)
    assert code == 1
    assert found[0]["state"] == "fail"
    assert found[6]["state"] == "fail"


async def test_the_audit_is_read(broker: MessageBroker) -> None:
    await broker.hive.tasks.audit("refused_order", "a", "not signed", "a")
    await broker.hive.tasks.audit("rescued", "x", "", "watchdog")
    lines = await audit_lines(broker.hive)
    assert [(line.what, line.subject) for line in lines] == [("refused_order", "a"), ("rescued", "x")]
    assert [line.what for line in await audit_lines(broker.hive, "x")] == ["rescued"]
