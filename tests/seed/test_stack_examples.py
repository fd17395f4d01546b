"""The documents' examples of StackManager, its compose files and its `.env`, as they stand there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.containers import COMPOSE_PLUGIN, ScriptedDocker
from tests.seed.documents import example
from tests.tidy.source import ROOT
from venom_core.config import Settings

DEPLOYMENT = example("en", 6)

ONE_LINER = (
    "from venom_core.infrastructure.stack_manager import StackManager; StackManager().deploy_default_hive_stack()"
)

ENV_FILE = """
# THE_HIVE Configuration
ENABLE_HIVE=true
REDIS_HOST=localhost
REDIS_PORT=6379
REDIS_DB=0
REDIS_PASSWORD=

# Queues
HIVE_HIGH_PRIORITY_QUEUE=venom:tasks:high
HIVE_BACKGROUND_QUEUE=venom:tasks:background
HIVE_BROADCAST_CHANNEL=venom:broadcast

# Timeouts
HIVE_TASK_TIMEOUT=300
HIVE_MAX_RETRIES=3
HIVE_ZOMBIE_TASK_TIMEOUT=600
"""

SECURED = """
version: '3.8'

services:
  redis:
    image: redis:alpine
    container_name: venom-hive-redis
    # DO NOT expose port to host in production!
    # ports:
    #   - "6379:6379"
    environment:
      # CRITICAL: Set strong password!
      REDIS_PASSWORD: ${REDIS_PASSWORD:-changeme}
    volumes:
      - redis_data:/data
    command: >
      redis-server
      --requirepass ${REDIS_PASSWORD:-changeme}
      --appendonly yes
      --bind 0.0.0.0
    restart: unless-stopped
    networks:
      - venom-internal  # Internal network only!

networks:
  venom-internal:
    driver: bridge
    internal: true  # No external access

volumes:
  redis_data:
"""

MINIMAL = """
version: '3.8'

services:
  redis:
    image: redis:alpine
    container_name: venom-hive-redis
    ports:
      - "127.0.0.1:6379:6379"  # Bind to localhost only!
    volumes:
      - redis_data:/data
    command: redis-server --appendonly yes
    restart: unless-stopped

volumes:
  redis_data:
"""


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ScriptedDocker:
    """A user's home and machine, whose docker does what it is asked."""
    (tmp_path / "bin").mkdir()
    scripted = ScriptedDocker(tmp_path / "bin")
    scripted.behave("exit 0")
    monkeypatch.setenv("PATH", scripted.path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return scripted


def run_example(text: str) -> tuple[bool, str]:
    names: dict[str, object] = {}
    exec(compile(text, "example", "exec"), names)
    success, message = names["success"], names["msg"]
    assert isinstance(success, bool)
    assert isinstance(message, str)
    return success, message


def test_the_stack_deployment(docker: ScriptedDocker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_PASSWORD", "very_strong_password_here_min_32_chars")
    success, message = run_example(DEPLOYMENT)
    assert success
    assert message.startswith("Stack venom-hive is deployed")
    assert docker.calls[-1].endswith("--project-name venom-hive up --detach --remove-orphans redis-dev")


def test_without_a_password_the_deployment_says_which_to_set(docker: ScriptedDocker) -> None:
    success, message = run_example(DEPLOYMENT)
    assert not success
    assert message.endswith("set REDIS_PASSWORD in the environment or in .env")


def test_the_deployment_as_one_line_of_a_shell(docker: ScriptedDocker, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("REDIS_PASSWORD=very_strong_password_here_min_32_chars\n")
    done = subprocess.run(
        [sys.executable, "-c", ONE_LINER],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert docker.password == "very_strong_password_here_min_32_chars"
    assert docker.calls[-1].endswith("up --detach --remove-orphans redis-dev")


def test_the_env_file_is_accepted_and_says_the_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = Settings.load()
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text(ENV_FILE)
    assert Settings.load() == bare


def test_the_compose_file_stands_where_the_documents_look_for_it() -> None:
    assert (ROOT / "venom_core" / "infrastructure" / "docker-compose.yml").is_file()


@pytest.mark.skipif(not COMPOSE_PLUGIN.exists(), reason="no compose plugin here; .ci/run installs it")
@pytest.mark.parametrize("text", [SECURED, MINIMAL], ids=["secured", "minimal"])
def test_the_documents_compose_files_are_accepted_by_a_real_compose(tmp_path: Path, text: str) -> None:
    (tmp_path / "docker-compose.yml").write_text(text)
    done = subprocess.run(
        [COMPOSE_PLUGIN, "config", "--quiet"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
