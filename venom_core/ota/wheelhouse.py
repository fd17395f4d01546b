"""The wheels behind a requirements file, in a folder of whoever builds; the one place that may ask an index."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.tags import sys_tags
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from venom_core.ota.dependencies import check_closed
from venom_core.ota.durable import local_faults
from venom_core.ota.lock import Lock, LockedWheel, choose_wheels
from venom_core.ota.refusal import Code, UpdateRefused
from venom_core.ota.requirements import Pin, read_requirements
from venom_core.ota.wheels import Wheel, check_wheel, lock_wheel

PROJECT = "venom-hive"
FETCH_LIMIT_S = 900.0
FILES_MAX = 10_000


def wheels_for(requirements: Path, wheelhouse: Path | None) -> tuple[Wheel, ...]:
    """The wheels that a requirements file means, all that lie in the folder, each checked; sorted by file name.

    What they need must be among them, or come with every Spore. Raises `UpdateRefused` LOCK_*, WRONG_HASH, BAD_WHEEL,
    ZIP_*, LOCAL_FAULT.
    """
    pins = read_requirements(requirements)
    if wheelhouse is None and pins:
        raise UpdateRefused(Code.LOCK_INCOMPLETE, "no folder of wheels was given; name one as wheelhouse")
    with local_faults("reading the folder of wheels"):
        files = sorted(wheelhouse.iterdir()) if wheelhouse is not None else []
    if len(files) > FILES_MAX:
        raise UpdateRefused(Code.TOO_BIG, f"{wheelhouse} holds more than {FILES_MAX} files; take a folder of its own")
    known = [(path, lock_wheel(path)) for path in files if path.suffix == ".whl"]
    found = [(path, locked) for pin in pins for path, locked in _matching(pin, known)]
    wheels = tuple(check_wheel(path, locked) for path, locked in found)
    fitting = {wheel.file for wheel in choose_wheels(Lock(wheels=tuple(locked for _, locked in found)), [*sys_tags()])}
    extras = {pin.name: pin.extras for pin in pins}
    check_closed([wheel for wheel in wheels if wheel.locked.file in fitting], everywhere(), extras)
    return wheels


def fetch_wheels(requirements: Path, wheelhouse: Path, *, limit_s: float = FETCH_LIMIT_S) -> None:
    """Asks the package index that pip is set up for, for the wheels of this platform; the folder is made.

    pip reads a file that was written here from accepted pins, never the user's own. Raises `UpdateRefused` LOCK_*,
    UNREACHABLE, LOCAL_FAULT.
    """
    pins = read_requirements(requirements)
    if importlib.util.find_spec("pip") is None:
        said = "there is no pip here to fetch wheels with; install it, or put the wheels into the folder yourself"
        raise UpdateRefused(Code.LOCAL_FAULT, said)
    with local_faults("fetching wheels"), tempfile.TemporaryDirectory() as scratch:
        wheelhouse.mkdir(parents=True, exist_ok=True)
        list_file = Path(scratch, "pins.txt")
        list_file.write_text("".join(f"{pin.line}\n" for pin in pins), encoding="ascii")
        try:
            done = subprocess.run(  # noqa: S603 - our own interpreter's pip, and a list that was written here
                _pip_download(list_file, wheelhouse), capture_output=True, text=True, timeout=limit_s, check=False
            )
        except subprocess.TimeoutExpired:
            raise UpdateRefused(Code.UNREACHABLE, f"fetching the wheels took more than {limit_s:g} s") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["it said nothing"]
        raise UpdateRefused(Code.UNREACHABLE, f"pip could not fetch the wheels: {lines[-1][:300]}")


def everywhere() -> dict[str, Version]:
    """What every Spore that takes updates has: this project with its extra `ota`, and all they need, as here."""
    found: dict[str, Version] = {}
    waiting = [(PROJECT, ""), (PROJECT, "ota")]
    seen = set(waiting)
    while waiting:
        name, extra = waiting.pop()
        try:
            installed = metadata.distribution(name)
            found[name] = Version(installed.version)
        except (metadata.PackageNotFoundError, InvalidVersion):
            continue
        more = {pair for line in installed.requires or () for pair in _wanted(Requirement(line), extra)} - seen
        seen |= more
        waiting += more
    return found


def _wanted(need: Requirement, extra: str) -> list[tuple[str, str]]:
    """Normal name and extra of what a requirement brings here; its plain self has the extra ``."""
    if need.marker is not None and not need.marker.evaluate({"extra": extra}):
        return []
    return [(canonicalize_name(need.name), part) for part in ("", *need.extras)]


def _matching(pin: Pin, known: Sequence[tuple[Path, LockedWheel]]) -> list[tuple[Path, LockedWheel]]:
    named = [(path, wheel) for path, wheel in known if (wheel.name, wheel.version) == (pin.name, pin.version)]
    found = [(path, wheel) for path, wheel in named if wheel.sha256 in pin.hashes]
    if found:
        return found
    if named:
        raise UpdateRefused(Code.WRONG_HASH, f"{named[0][1].file} in the wheelhouse is not the file that was pinned")
    said = f"no wheel of {pin.name} {pin.version} is in the wheelhouse; only wheels are installed, fetch or build one"
    raise UpdateRefused(Code.LOCK_INCOMPLETE, said)


def _pip_download(list_file: Path, wheelhouse: Path) -> list[str]:
    switches = ["--only-binary", ":all:", "--no-deps", "--require-hashes", "--no-input", "--disable-pip-version-check"]
    return [
        *(sys.executable, "-I", "-m", "pip", "download", *switches),
        *("--dest", str(wheelhouse), "--requirement", str(list_file)),
    ]
