"""Docker for tests: a scripted one that misbehaves as told, and a real engine (podman) behind the real client."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

from tests.base_images import make_store_image
from tests.hives import PATIENCE_S
from venom_core.clock import Clock

ROOT = Path(__file__).parent.parent
HIVE_IMAGE = "docker.io/library/venom-hive:latest"
BUILD_S, HEALTH_EVERY_S = 300, 1.0
COMPOSE_PLUGIN = ROOT / ".venv-ci" / "docker" / "cli-plugins" / "docker-compose"

SCRIPT = """#!/bin/sh
printf '%s\\n' "$*" >>{folder}/calls
printf '%s' "$REDIS_PASSWORD" >{folder}/password
case "$*" in
*"version --short"*) {version} ;;
*"config --quiet"*) {config} ;;
*) {body} ;;
esac
"""


class ScriptedDocker:
    """A `docker` alone on PATH, made of a few lines of shell; what it was told stands in `calls`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.path = f"{folder}:/usr/bin:/bin"

    def behave(self, body: str, *, version: str = "echo 2.40.3", config: str = "exit 0", name: str = "docker") -> None:
        """From now on `docker compose` runs these lines of shell."""
        script = self._folder / name
        script.write_text(SCRIPT.format(folder=self._folder, version=version, config=config, body=body))
        script.chmod(0o755)

    @property
    def calls(self) -> list[str]:
        """The arguments of every call, oldest first."""
        log = self._folder / "calls"
        return log.read_text().splitlines() if log.exists() else []

    @property
    def password(self) -> str:
        """REDIS_PASSWORD as the last call saw it."""
        return (self._folder / "password").read_text()


def why_no_engine() -> str:
    """What is missing here for real containers; empty if nothing is. `.ci/run` installs it all."""
    missing = [name for name in _PROGRAMS if shutil.which(name, path=_ROOTS_PATH) is None]
    missing += [name for name in ("netavark", "aardvark-dns") if not Path("/usr/lib/podman", name).exists()]
    if not COMPOSE_PLUGIN.exists():
        missing.append(f"the compose plugin in {COMPOSE_PLUGIN.parent}")
    if sys.platform != "linux" or os.geteuid() != 0:
        missing.append("root on Linux")
    return f"no real containers here: missing {', '.join(missing)}" if missing else ""


_PROGRAMS = ("docker", "podman", "runc", "busybox", "catatonit", "redis-cli")
_ROOTS_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


@contextmanager
def real_engine(folder: Path) -> Iterator[dict[str, str]]:
    """A podman of its own behind a socket, with one local image; yields the variables by which `docker` finds it."""
    settings = _settings(folder)
    environment = os.environ | settings
    make_store_image(folder / "image", environment)
    socket = folder / "docker.sock"
    command = ["podman", "system", "service", "--time=0", f"unix://{socket}"]
    with (folder / "podman.log").open("wb") as log:
        service = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        deadline_s = Clock().monotonic_s() + PATIENCE_S
        while not socket.exists():
            assert service.poll() is None, (folder / "podman.log").read_text()
            assert Clock().monotonic_s() < deadline_s
        yield settings | {"DOCKER_HOST": f"unix://{socket}", "DOCKER_CONFIG": str(COMPOSE_PLUGIN.parent.parent)}
    finally:
        service.terminate()
        service.wait()
        for rest in (
            ["rm", "--all", "--force", "--time=0"],
            ["volume", "rm", "--all", "--force"],
            ["network", "prune", "--force"],
            ["rmi", "--all"],
        ):
            subprocess.run(["podman", *rest], env=environment, check=False, capture_output=True, timeout=60)
        # The storage driver may leave its own mount on the folder.
        subprocess.run(["umount", str(folder / "graph" / "overlay")], check=False, capture_output=True)


def _settings(folder: Path) -> dict[str, str]:
    """Files that let podman run here: without systemd, and where crun or raised limits are not permitted."""
    runc = shutil.which("runc", path=_ROOTS_PATH)
    containers, storage = folder / "containers.conf", folder / "storage.conf"
    containers.write_text(
        '[containers]\ndefault_ulimits=["nofile=1024:1024","nproc=1024:1024"]\n'
        '[engine]\nruntime="runc"\ncgroup_manager="cgroupfs"\nevents_logger="file"\n'
        f'[engine.runtimes]\nrunc=["{runc}"]\n'
        # Containers find each other by name only with this one; what it writes down goes away with the folder.
        f'[network]\nnetwork_backend="netavark"\nnetwork_config_dir="{folder}/networks"\n'
    )
    storage.write_text(f'[storage]\ndriver="overlay"\ngraphroot="{folder}/graph"\nrunroot="{folder}/run"\n')
    return {"CONTAINERS_CONF": str(containers), "CONTAINERS_STORAGE_CONF": str(storage)}


def build_image(environment: Mapping[str, str]) -> None:
    """The image of the repository's Dockerfile; only pip's files come over a network, checked by their hashes.

    What this machine's pip needs for reaching an index is lent to the build, and is not in the image.
    """
    lent = [place for place in ("/etc/pip.conf", "/etc/ssl/certs") if Path(place).exists()]
    command = ["podman", "build", "--isolation=chroot", "--network=host", "--pull-never", "--format=docker"]
    command += [f"--volume={place}:{place}:ro" for place in lent]
    done = subprocess.run(
        [*command, "--tag", HIVE_IMAGE, str(ROOT)],
        env=os.environ | environment, capture_output=True, text=True, check=False, timeout=BUILD_S,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-2000:]}"


@contextmanager
def health_checks(environment: Mapping[str, str]) -> Iterator[None]:
    """What systemd's timers do for podman elsewhere: every container is asked for its health, again and again."""
    over = Event()
    beat = Thread(target=_ask_for_health, args=(os.environ | environment, over))
    beat.start()
    try:
        yield
    finally:
        over.set()
        beat.join()


def _ask_for_health(environment: Mapping[str, str], over: Event) -> None:
    while not over.wait(HEALTH_EVERY_S):
        listed = _podman(environment, "ps", "--quiet")
        for container in listed.split():
            _podman(environment, "healthcheck", "run", container)


def _podman(environment: Mapping[str, str], *arguments: str) -> str:
    """What it prints; a container that has gone meanwhile is no fault."""
    command = ["podman", *arguments]
    return subprocess.run(
        command, env=dict(environment), capture_output=True, text=True, check=False, timeout=60
    ).stdout
