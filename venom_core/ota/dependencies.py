"""Is a set of wheels whole? Nothing is resolved on a node: what a wheel needs is in the lock, or in the base."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.tags import Tag
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from venom_core.ota.lock import Lock, LockedWheel, choose_wheels
from venom_core.ota.refusal import Code, UpdateRefused
from venom_core.ota.wheels import Wheel, check_wheel


def checked_wheels(
    lock: Lock, tags: Sequence[Tag], find: Callable[[LockedWheel], Path], base_site: Path | None
) -> tuple[Wheel, ...]:
    """The wheels of a lock that this node installs, each found, checked to its last byte, and none missing.

    `tags`: `packaging.tags.sys_tags()`. `find`: where the file of an entry lies, whatever its name there. `base_site`:
    what is installed there may be needed too. Raises `UpdateRefused`.
    """
    wheels = tuple(check_wheel(find(locked), locked) for locked in choose_wheels(lock, tags))
    check_closed(wheels, installed_in(base_site) if base_site is not None else {})
    return wheels


def installed_in(site: Path) -> dict[str, Version]:
    """Normal name -> version of what is installed in a site-packages."""
    found: dict[str, Version] = {}
    for installed in metadata.distributions(path=[str(site)]):
        try:
            found.setdefault(canonicalize_name(installed.name), Version(installed.version))
        except (InvalidVersion, TypeError):
            continue
    return found


def check_closed(
    wheels: Sequence[Wheel], provided: Mapping[str, Version], extras: Mapping[str, frozenset[str]] | None = None
) -> None:
    """Each need of each wheel that applies here is met by another of them, or by what is `provided` (name -> version).

    A wheel of the lock counts before what is provided, as it comes first on the path. `extras`: what is wanted of a
    wheel besides its plain self. Raises `UpdateRefused` LOCK_INCOMPLETE, WRONG_PYTHON.
    """
    locked = {wheel.locked.name: wheel for wheel in wheels}
    waiting = [(name, extra) for name in locked for extra in ("", *sorted((extras or {}).get(name, ())))]
    seen = set(waiting)
    while waiting:
        name, extra = waiting.pop()
        for need in _needs(locked[name], extra):
            wanted = canonicalize_name(need.name)
            have = Version(locked[wanted].locked.version) if wanted in locked else provided.get(wanted)
            _check_met(locked[name], need, have)
            more = {(wanted, part) for part in need.extras if wanted in locked} - seen
            seen |= more
            waiting += more
    for wheel in wheels:
        _check_python(wheel)


def _needs(wheel: Wheel, extra: str) -> list[Requirement]:
    try:
        return [need for need in wheel.requires if need.marker is None or need.marker.evaluate({"extra": extra})]
    except (ValueError, LookupError, RecursionError) as fault:
        raise UpdateRefused(
            Code.BAD_WHEEL, f"{wheel.locked.file} has a condition that means nothing: {fault}"
        ) from None


def _check_met(wheel: Wheel, need: Requirement, have: Version | None) -> None:
    if have is None:
        said = f"{wheel.locked.file} needs {need.name}, which is not in the lock; add it"
    elif not need.specifier.contains(have, prereleases=True):
        said = f"{wheel.locked.file} needs {need.name}{need.specifier}, but gets {have}; lock another version"
    else:
        return
    raise UpdateRefused(Code.LOCK_INCOMPLETE, said)


def _check_python(wheel: Wheel) -> None:
    here = platform.python_version()
    if not SpecifierSet(wheel.requires_python).contains(here, prereleases=True):
        said = f"{wheel.locked.file} needs Python {wheel.requires_python}, here runs {here}; lock another version"
        raise UpdateRefused(Code.WRONG_PYTHON, said)
