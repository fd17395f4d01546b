"""A docker that is missing, unfit, broken, stuck or flooding is one sentence, in bounded time, and leaves nothing."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.containers import ScriptedDocker
from tests.stacks.shop import FILE, PASSWORD, file_of
from venom_core.clock import Clock
from venom_core.config import Settings
from venom_core.infrastructure.stack_manager import StackManager


def test_a_machine_without_docker_is_one_sentence_everywhere(
    shop: StackManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    fresh = StackManager(shop.workspace_root, settings=Settings.load(redis_password=PASSWORD))
    sentence = "docker is not installed (no docker on PATH); install Docker and its compose plugin"
    assert fresh.deploy_stack(FILE, "other") == (False, sentence)
    assert fresh.deploy_default_hive_stack() == (False, sentence)
    assert fresh.destroy_stack("shop") == (False, sentence)
    assert fresh.get_service_logs("shop", "web") == (False, sentence)
    assert fresh.get_stack_status("shop") == (False, {"error": sentence})
    assert fresh.get_running_stacks() == []
    assert not file_of(fresh, "other").parent.exists()


@pytest.mark.parametrize(
    ("version", "sentence"),
    [
        ("echo \"docker: 'compose' is not a docker command.\" >&2; exit 1", "docker has no compose plugin; install"),
        ("echo 'unknown shorthand flag: s' >&2; exit 125", "docker has no compose plugin; install"),
        ("echo 'segfault' >&2; exit 139", "docker has no compose plugin; install the package docker-compose-plugin or"),
        ("echo 1.29.2", "docker compose is version 1.29.2, but it must be 2.0 or newer"),
        ("printf '\\033[31mlorem\\007 ipsum'", "docker compose says no version but 'lorem ipsum'; is it really"),
        ("exit 0", "docker compose says no version but ''; is it really Docker?"),
    ],
    ids=["no plugin", "old client", "broken", "version 1", "nonsense", "silence"],
)
def test_a_docker_without_a_fit_compose_is_one_sentence(
    manager: StackManager, docker: ScriptedDocker, version: str, sentence: str
) -> None:
    docker.behave("exit 0", version=version)
    done, said = manager.deploy_stack(FILE, "shop")
    assert not done
    assert said.startswith(sentence)
    assert "\n" not in said
    assert "\033" not in said


def test_a_compose_of_its_own_serves_where_docker_has_none(manager: StackManager, docker: ScriptedDocker) -> None:
    docker.behave("exit 0", version="exit 1")
    docker.behave("exit 0", name="docker-compose")
    assert manager.deploy_stack(FILE, "shop")[0]
    assert docker.calls[-1].startswith("--file ")


def test_a_docker_that_cannot_be_started_is_a_sentence(manager: StackManager, docker: ScriptedDocker) -> None:
    docker.behave("exit 0")
    (Path(docker.path.partition(":")[0]) / "docker").write_bytes(b"\x7fELF\x01not a program")
    assert manager.deploy_stack(FILE, "shop") == (False, "docker cannot be started: Exec format error")


def test_why_compose_failed_is_what_it_said_last(manager: StackManager, docker: ScriptedDocker) -> None:
    docker.behave(
        "echo ' Network shop_default  Created' >&2; echo ' Container shop-web-1  Starting' >&2; "
        "echo 'Error response from daemon: port is already allocated' >&2; exit 1"
    )
    done, said = manager.deploy_stack(FILE, "shop")
    assert (done, said) == (
        False,
        "docker compose ended with 1 and said: Error response from daemon: port is already allocated",
    )
    docker.behave("exit 4")
    assert manager.deploy_stack(FILE, "shop")[1] == "docker compose ended with 4 and said: nothing that says why"


@pytest.mark.parametrize(
    "printed",
    ["echo hello", "echo '[1,2]'", "echo '{'", "echo 7", "printf '\\377\\376'", "printf '%01000d' 7 | tr 0 '['"],
)
def test_a_docker_that_prints_nonsense_is_a_sentence(shop: StackManager, docker: ScriptedDocker, printed: str) -> None:
    docker.behave(printed)
    known, status = shop.get_stack_status("shop")
    assert not known
    assert status["error"].startswith("docker compose answered with something that is no list of objects: ")
    assert shop.get_running_stacks() == []


@pytest.mark.parametrize("way", ["sleep 600", "exec >&- 2>&-; sleep 600", "trap '' TERM; sleep 600 & wait; sleep 600"])
def test_a_docker_that_hangs_is_ended_with_all_it_started(
    shop: StackManager, docker: ScriptedDocker, tmp_path: Path, way: str
) -> None:
    group = tmp_path / "group"
    docker.behave(f"echo $$ >{group}; {way}")
    hasty = StackManager(shop.workspace_root, settings=Settings.load(), timeout_s=0.5)
    known, status = hasty.get_stack_status("shop")
    assert (known, status) == (False, {"error": "docker took longer than 0.5 s and was ended"})
    assert_group_ended(int(group.read_text()))


def test_a_docker_that_floods_is_ended(shop: StackManager, docker: ScriptedDocker, tmp_path: Path) -> None:
    group = tmp_path / "group"
    docker.behave(f"echo $$ >{group}; exec cat /dev/zero")
    done, said = shop.get_service_logs("shop", "web")
    assert (done, said) == (False, "docker printed more than 32 MiB and was ended")
    assert_group_ended(int(group.read_text()))


def assert_group_ended(group: int) -> None:
    """Nobody of it lives; who was orphaned may wait a moment for the init process to bury him."""
    deadline_s = Clock().monotonic_s() + 20
    while True:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        if all(_is_dead(int(entry.name)) for entry in Path("/proc").iterdir() if _in_group(entry, group)):
            return
        assert Clock().monotonic_s() < deadline_s, f"group {group} lives on"


def _in_group(entry: Path, group: int) -> bool:
    try:
        return entry.name.isdigit() and os.getpgid(int(entry.name)) == group
    except ProcessLookupError:
        return False


def _is_dead(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_of_long_output_the_end_is_kept(shop: StackManager, docker: ScriptedDocker) -> None:
    docker.behave("head -c 3000000 /dev/zero | tr '\\0' x; echo the end")
    done, said = shop.get_service_logs("shop", "web")
    assert done
    assert len(said) == 1_048_576
    assert said.endswith("xthe end\n")


def test_a_docker_that_leaves_a_child_with_its_output_is_not_waited_for(
    shop: StackManager, docker: ScriptedDocker, tmp_path: Path
) -> None:
    left = tmp_path / "left"
    docker.behave(f"sleep 600 & echo $! >{left}; echo told")
    assert shop.get_service_logs("shop", "web") == (True, "told\n")
    os.kill(int(left.read_text()), signal.SIGKILL)
