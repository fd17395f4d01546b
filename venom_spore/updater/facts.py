"""What this node knows of itself, for judging whether a release is for it. Nothing of it comes from a message."""

from __future__ import annotations

import platform
import socket
from collections.abc import Mapping
from dataclasses import dataclass

from packaging.tags import platform_tags

from venom_core.ota.suitability import NodeFacts
from venom_core.ota.verifying import PACKAGES
from venom_spore.launcher.releases import BASE, Releases
from venom_spore.launcher.state import State
from venom_spore.updater.skills_import import NO_SKILLS, WorkerSkills


@dataclass(frozen=True, slots=True)
class Node:
    """Who is updated: the name and tags that its worker joins the hive with, and the skills that it imports."""

    name: str = ""
    tags: tuple[str, ...] = ()
    skills: WorkerSkills = NO_SKILLS

    @property
    def known_as(self) -> str:
        """Its name, which is the host's unless given, as with `venom-spore`."""
        return self.name or socket.gethostname() or "spore"


def current_version(state: State, releases: Releases) -> str:
    """The version that runs, or "" for what was installed by hand."""
    found = releases.complete(state.current) if state.current != BASE else None
    return found.version if found is not None else ""


def facts_of(
    node: Node,
    app: str,
    spore: str,
    state: State,
    releases: Releases,
    floor: str,
    seen: Mapping[str, str],
    interval_s: float,
) -> NodeFacts:
    """The facts of one look. `spore`: version of the base. `floor`: least version of the app, "" for none.

    `seen`: hash by target path of what was ever signed.
    """
    start, end = f"{PACKAGES}{app}-", ".zip"
    return NodeFacts(
        node=node.known_as,
        app=app,
        tags=frozenset(node.tags),
        platforms=frozenset(platform_tags()),
        python=platform.python_version(),
        spore=spore,
        current=current_version(state, releases),
        floor=floor,
        seen={name[len(start) : -len(end)]: sha256 for name, sha256 in seen.items() if name.startswith(start)},
        known_bad=frozenset(state.known_bad),
        accepted_at_ms=tuple(round(at_s * 1000) for at_s in state.accepted_at),
        interval_s=interval_s,
    )
