"""What a launcher starts: the command and the environment of a worker, and of an updater. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from venom_spore.launcher.layout import Layout
from venom_spore.launcher.phases import Mode
from venom_spore.launcher.releases import BASE

MISUSED_EXIT = 2
"""With this a worker ends whose options or settings are wrong."""
_NOT_OF_A_RELEASE = frozenset({"PYTHONPATH", "PYTHONHOME"})


def worker_command(python: str, release: str, mode: Mode, arguments: Sequence[str]) -> list[str]:
    """A release runs in isolation: neither this folder nor PYTHONPATH may stand in for its modules.

    Nor may this folder stand in for those of the base: skills may write to it, or to what lies in it.
    """
    isolated = ["-P"] if release == BASE else ["-I"]
    safe = ["--safe-mode"] if mode is Mode.SAFE else []
    return [python, *isolated, "-m", "venom_spore.main", *arguments, *safe]


def worker_environment(
    layout: Layout, given: Mapping[str, str], release: str, mode: Mode, mouth: int
) -> dict[str, str]:
    """`mouth`: the descriptor on which it talks to the launcher."""
    kept = {"HIVE_AUDIT_FILE": str(layout.audit), **given}
    return release_environment(kept, layout.release(release)) | {
        "VENOM_RELEASE_LINK": str(mouth),
        "VENOM_RELEASE_TRIAL": "" if mode is Mode.PLAIN else "1",
    }


def release_environment(given: Mapping[str, str], folder: Path) -> dict[str, str]:
    """What anything that runs the code of a release is given: the base alone may find modules by PYTHONPATH."""
    dropped = frozenset() if folder.name == BASE else _NOT_OF_A_RELEASE
    return {name: value for name, value in given.items() if name not in dropped} | {
        "PYTHONSAFEPATH": "1",  # for its child processes
        "VENOM_RELEASE": folder.name,
        "VENOM_RELEASE_FOLDER": str(folder),
    }


def updater_command(updater: Sequence[str], layout: Layout, ready_s: float, arguments: Sequence[str]) -> list[str]:
    """One look for a worker with these arguments, which may take `ready_s` seconds to start."""
    return [*updater, "--home", str(layout.home), "--ready", f"{ready_s:g}", "--", *arguments]


def updater_environment(layout: Layout, given: Mapping[str, str]) -> dict[str, str]:
    """As given, with the node's own audit unless another one was."""
    return {"HIVE_AUDIT_FILE": str(layout.audit), **given}
