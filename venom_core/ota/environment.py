"""The environment of one release: an interpreter of its own, its wheels, and behind them what was installed by hand.

It is built where it stays: the programs in an environment carry its path, it cannot be moved. What comes first on the
release's path: its wheels, its `app/`, then the base environment. So a release may bring a few files or everything.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from venom_core.ota.children import Ended, run
from venom_core.ota.durable import local_faults, sync_tree
from venom_core.ota.refusal import Code, UpdateRefused
from venom_core.ota.wheels import Wheel

VENV = "venv"
APP = "app"
SCRATCH = ".building-"
PATHS_FILE = "venom_release.pth"
VENV_LIMIT_S = 120.0
INSTALL_LIMIT_S = 600.0
UV_ANSWERS_S = 20.0
PIP_RUNNER = "__pip-runner__.py"
SMOKE_LIMIT_S = 60.0
WORKER = "venom_spore.main"
IMPORTED = "imported"
_SMOKE = """
import importlib, sys
for place in sys.argv[1:]:
    module, _, name = place.partition(":")
    found = importlib.import_module(module)
    if name and not callable(getattr(found, name, None)):
        sys.exit(f"{place} is not a function")
print("", "imported", sep="\\n", flush=True)
"""


def build(release: Path, wheels: Sequence[Wheel], base_site: Path | None, *, limit_s: float = INSTALL_LIMIT_S) -> Path:
    """Makes `<release>/venv` with these checked wheels installed, offline; gives the path of its interpreter.

    `release` is the release's final folder, with its `app/`. `base_site`: site-packages that all releases share, read
    as Python reads its own, so that editable installs work; none for a release that stands alone. `limit_s`: seconds
    for the installer. All of `release` is on the disk when this returns.
    Raises `UpdateRefused` LOCAL_FAULT, NO_SPACE, WRONG_HASH, DOES_NOT_START; what was made is then removed.
    """
    venv = release / VENV
    with local_faults("building the environment"):
        venv.mkdir(mode=0o755)
        try:
            with _scratch(release) as scratch:
                _make_venv(venv, scratch)
                if wheels:
                    _install(venv, _staged(wheels, scratch), scratch, limit_s)
            _write_paths(venv, release / APP, base_site)
        except BaseException:
            shutil.rmtree(venv, ignore_errors=True)
            raise
        sync_tree(release)
    return interpreter(release)


def interpreter(release: Path) -> Path:
    """The Python of a release."""
    return release / VENV / "bin" / "python"


def base_site_packages() -> Path:
    """Where this very process's packages are: what a launcher hands to `build` as its base."""
    return Path(sysconfig.get_path("purelib"))


def smoke(
    release: Path, check: str = "", *, modules: Sequence[str] = (WORKER,), limit_s: float = SMOKE_LIMIT_S
) -> None:
    """Imports the worker, and the module of `check` (`module:function`), with the release's own interpreter.

    In a child without any of our variables, so that code that fails on import is found before it runs anything.
    Raises `UpdateRefused` DOES_NOT_START, LOCAL_FAULT, NO_SPACE.
    """
    places = [*modules, *([check] if check else [])]
    command: list[str | Path] = [interpreter(release), "-I", "-B", "-c", _SMOKE, *places]
    with local_faults("trying the release"), _scratch(release) as scratch:
        ended = run(command, scratch=scratch, limit_s=limit_s)
    _judge(ended, "importing it", Code.DOES_NOT_START, limit_s)
    if IMPORTED not in ended.said.splitlines():
        raise UpdateRefused(Code.DOES_NOT_START, "importing it ended the process; a release's modules may not exit")


@contextmanager
def _scratch(release: Path) -> Iterator[Path]:
    """A folder beside the environment, on the same disk, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix=SCRATCH, dir=release, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def _make_venv(venv: Path, scratch: Path) -> None:
    ended = run([sys.executable, "-I", "-m", "venv", "--without-pip", venv], scratch=scratch, limit_s=VENV_LIMIT_S)
    _judge(ended, "making its environment (python -m venv)", Code.LOCAL_FAULT, VENV_LIMIT_S)


def _staged(wheels: Sequence[Wheel], scratch: Path) -> list[Path]:
    """Copies under their real names, hashed once more: what the installer opens is what was checked."""
    staged = []
    for wheel in wheels:
        copy = scratch / wheel.locked.file
        shutil.copyfile(wheel.path, copy)
        with copy.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != wheel.locked.sha256:
            raise UpdateRefused(Code.WRONG_HASH, f"{copy.name} has changed since it was checked; fetch it anew")
        staged.append(copy)
    return staged


def _install(venv: Path, files: Sequence[Path], scratch: Path, limit_s: float) -> None:
    command = _installer(venv / "bin" / "python", scratch)
    ended = run([*command, *files], scratch=scratch, limit_s=limit_s)
    _judge(ended, "installing its wheels", Code.LOCAL_FAULT, limit_s)


def _installer(python: Path, scratch: Path) -> list[str | Path]:
    """The words before the files: uv if there is one that runs, else the pip of this environment."""
    uv = shutil.which("uv") or shutil.which("uv", path=sysconfig.get_path("scripts"))
    if uv is not None and run([uv, "--version"], scratch=scratch, limit_s=UV_ANSWERS_S).code == 0:
        return uv_command(uv, python)
    pip = importlib.util.find_spec("pip")
    runner = Path(next(iter(pip.submodule_search_locations or ())), PIP_RUNNER) if pip is not None else None
    if runner is not None and runner.is_file():
        return pip_command(runner, python)
    said = "there is neither uv nor pip 22.3 to install the release's wheels; install one of them beside venom-hive"
    raise UpdateRefused(Code.LOCAL_FAULT, said)


def uv_command(uv: str, python: Path) -> list[str | Path]:
    """Words for uv, held to the files it is given: no configuration, no network, no cache, nothing built."""
    switches = ("--no-config", "--offline", "--no-cache", "--no-deps", "--no-index", "--no-build", "--link-mode=copy")
    return [uv, "pip", "install", *switches, "--python", python]


def pip_command(runner: Path, python: Path) -> list[str | Path]:
    """Words for this environment's pip, held likewise; the other's interpreter runs it, as with `--python`."""
    switches = ("--no-deps", "--no-index", "--no-cache-dir", "--no-input", "--no-compile")
    return [python, "-I", "-B", runner, "--isolated", "install", *switches]


def _write_paths(venv: Path, app: Path, base_site: Path | None) -> None:
    site = Path(sysconfig.get_path("purelib", scheme="venv", vars={"base": str(venv)}))
    # Relative to the file's own folder, as Python reads it: no sign in the path can be taken for something else.
    lines = [os.path.relpath(app, site)]
    if base_site is not None:
        lines.append(f"import site; site.addsitedir({str(base_site.absolute())!a})")
    (site / PATHS_FILE).write_text("\n".join([*lines, ""]), encoding="ascii")


def _judge(ended: Ended, doing: str, code: Code, limit_s: float) -> None:
    if ended.code == 0:
        return
    if ended.code is None:
        raise UpdateRefused(code, f"{doing} took more than {limit_s:g} s; the release is not taken")
    if "No space left on device" in ended.said or "os error 28" in ended.said:
        raise UpdateRefused(Code.NO_SPACE, f"{doing} found no room on the disk; make room")
    raise UpdateRefused(code, f"{doing} failed: {ended.last_line}")
