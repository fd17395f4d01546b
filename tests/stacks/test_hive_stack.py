"""The repository's Dockerfile and docker-compose.yml as they stand, built and started by a real compose and engine.

The base images are stand-ins made of this machine's Python and Valkey: see tests/base_images.py.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

import pytest

from tests.base_images import make_python_image
from tests.containers import HIVE_IMAGE, build_image, health_checks, why_no_engine
from tests.docs.markdown import blocks
from tests.hives import until
from tests.tidy.source import ROOT

pytestmark = [pytest.mark.skipif(bool(why_no_engine()), reason=why_no_engine()), pytest.mark.timeout(400)]

PASSWORD = "it is $HOME & 100%!"
TOKEN = "t" * 40
SKILLS = """
import os
from pathlib import Path
from venom_spore.skills import SkillSet

skills = SkillSet()

@skills.skill
def who() -> list[str]:
    Path("/workspace/seen").write_text("here")
    return [str(os.getuid()), os.environ["HIVE_RESULT_TTL"]]
"""
# The one of docs/containers.md: skills of one's own, mounted.
OVERRIDE = next(block.text for block in blocks("docs/containers.md") if "tasks:skills" in block.text)
ASK = """
import asyncio
from venom_core.infrastructure.message_broker import MessageBroker

async def main():
    async with MessageBroker() as broker:
        task = await broker.wait_for(await broker.enqueue_task("who", {}, task_id="asked"), 60)
        print(task.status, task.result)

asyncio.run(main())
"""

LOOK_AROUND = """
id -u
venom-spore --version
command -v pip gcc cc make git uv
python -c "import venom_core.nexus, venom_spore.builtin.skill_set"
for module in pip setuptools hatchling ensurepip pathspec; do python -m $module 2>&1; done
"""


@dataclass
class Stack:
    """A folder with the compose file in it, and the commands of a person who stands there."""

    folder: Path
    environment: dict[str, str]

    def docker(self, *words: str, code: int | None = 0) -> str:
        """Run docker; what it printed on both channels."""
        done = subprocess.run(
            ["docker", *words], cwd=self.folder, env=self.environment, check=False, timeout=120,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        assert code is None or done.returncode == code, f"{words} ended with {done.returncode}: {done.stdout}"
        return done.stdout

    def inside(self, container: str, *words: str) -> str:
        """What a command prints in a container."""
        return self.docker("exec", container, *words)

    def look(self, container: str, *path: str) -> Any:
        """What the engine says of a container at that path."""
        found = json.loads(self.docker("inspect", container))[0]
        return reduce(getitem, path, found)

    def health(self, container: str) -> str:
        return str(self.look(container, "State", "Health", "Status"))


@pytest.fixture(scope="module")
def image(engine: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The engine, once the image is built."""
    environment = os.environ | engine
    make_python_image(tmp_path_factory.mktemp("base") / "python", environment)
    build_image(environment)
    return engine


@contextmanager
def started(stack: Stack, *options: str) -> Iterator[None]:
    """`docker compose up`, until all are healthy; ended with everything that was left."""
    try:
        with health_checks(stack.environment):
            stack.docker("compose", "up", "--detach", "--no-build", "--wait", *options)
            yield
    finally:
        stack.docker("compose", "--profile", "*", "down", "--timeout=5", code=None)


@pytest.fixture(scope="module")
def hive(image: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A hive of two Spores with a skill of their own, started as the documents say."""
    stack = Stack(tmp_path_factory.mktemp("hive"), os.environ | image)
    (stack.folder / "docker-compose.yml").write_bytes((ROOT / "docker-compose.yml").read_bytes())
    (stack.folder / "docker-compose.override.yml").write_text(OVERRIDE)
    (stack.folder / "tasks.py").write_text(SKILLS)
    (stack.folder / ".env").write_text(
        f"REDIS_PASSWORD='{PASSWORD}'\nNEXUS_SHARED_TOKEN={TOKEN}\nHIVE_RESULT_TTL=86400\nREDIS_HOST=elsewhere\n"
    )
    try:
        with started(stack, "--scale", "spore=2"):
            yield stack
    finally:
        stack.docker("compose", "--profile", "*", "down", "--volumes", "--timeout=1", code=None)


def test_the_image_is_of_nobody_and_holds_nothing_to_build_with(hive: Stack) -> None:
    said = hive.docker("run", "--rm", "--read-only", "--network=none", HIVE_IMAGE, "sh", "-c", LOOK_AROUND, code=None)
    user, version, *lacking = said.splitlines()
    assert user == "10001"
    assert version.startswith("venom-spore ")
    assert [line.rpartition(" ")[2] for line in lacking] == ["pip", "setuptools", "hatchling", "ensurepip", "pathspec"]
    assert all("No module named" in line for line in lacking)


def test_a_hive_of_containers_does_a_task_with_a_skill_of_ones_own(hive: Stack) -> None:
    assert hive.inside("venom-nexus-1", "python", "-c", ASK).strip() == "completed ['10001', '86400']"
    assert "joined with 16 slots and 1 skills" in hive.docker("logs", "venom-spore-1")
    assert "joined with 16 slots and 1 skills" in hive.docker("logs", "venom-spore-2")
    assert "leads (epoch" in hive.docker("logs", "venom-nexus-1")
    assert "redis" in hive.docker("ps", "--format", "{{.Names}}")
    assert hive.inside("venom-spore-2", "cat", "/workspace/seen") == "here"


def test_the_store_is_published_nowhere_and_only_spores_reach_the_outside(hive: Stack) -> None:
    for container, routes in (("venom-redis-1", False), ("venom-nexus-1", False), ("venom-spore-1", True)):
        assert not hive.look(container, "HostConfig", "PortBindings")
        lines = [line.split() for line in hive.inside(container, "cat", "/proc/net/route").splitlines()]
        assert any(line[1] == "00000000" for line in lines) == routes, (container, lines)


@pytest.mark.parametrize("container", ["venom-redis-1", "venom-nexus-1", "venom-spore-1"])
def test_a_container_may_nothing_that_it_need_not(hive: Stack, container: str) -> None:
    assert "Read-only file system" in hive.docker("exec", container, "touch", "/mark", code=1)
    status = dict(line.split(":\t", 1) for line in hive.inside(container, "cat", "/proc/1/status").splitlines())
    assert status["Uid"].split()[0] in {"999", "10001"}
    assert (status["CapEff"], status["CapBnd"], status["NoNewPrivs"]) == ("0" * 16, "0" * 16, "1")
    assert PASSWORD not in hive.inside(container, "cat", "/proc/1/cmdline")


async def test_health_is_that_of_the_node_in_this_container(hive: Stack) -> None:
    assert hive.inside("venom-spore-1", "python", "-m", "venom_core.health", "spore") == ""
    assert "no nexus of host" in hive.docker(
        "exec", "venom-spore-1", "python", "-m", "venom_core.health", "nexus", code=1
    )
    for container in ("venom-redis-1", "venom-nexus-1", "venom-spore-1", "venom-spore-2"):
        await until(lambda container=container: hive.health(container) == "healthy", 60)  # type: ignore[misc]  # a default binds it now


def test_the_store_is_saved_as_the_documents_say(hive: Stack) -> None:
    steps = "".join(block.text for block in blocks("docs/operations.md") if block.example == "backup of containers")
    subprocess.run(["sh", "-euc", steps], cwd=hive.folder, env=hive.environment, check=True, timeout=120)
    assert (hive.folder / "backup.rdb").read_bytes().startswith((b"REDIS", b"VALKEY"))


def test_a_stopped_spore_drains_and_data_outlive_the_containers(hive: Stack) -> None:
    hive.docker("compose", "stop", "spore")
    assert hive.look("venom-spore-1", "State", "ExitCode") == 0
    hive.docker("compose", "down", "--timeout=5")
    hive.docker("compose", "up", "--detach", "--no-build", "--wait", "--scale", "spore=3")
    assert "completed" in hive.inside("venom-nexus-1", "python", "-c", ASK)
    assert "venom-spore-3" in hive.docker("ps", "--format", "{{.Names}}")


def test_without_a_password_nothing_starts(hive: Stack, tmp_path: Path) -> None:
    (tmp_path / "docker-compose.yml").write_bytes((ROOT / "docker-compose.yml").read_bytes())
    bare = Stack(tmp_path, {name: value for name, value in hive.environment.items() if name != "REDIS_PASSWORD"})
    assert "set REDIS_PASSWORD in .env" in bare.docker("compose", "up", "--detach", code=None)
    assert "set REDIS_PASSWORD in .env" in bare.docker("compose", "config", code=None)
