"""May this node take this release? Decided from signed facts and the node's own, without a disk or a network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Generic, Protocol, TypeVar

from packaging.version import Version

from venom_core.ota.manifest import Listing
from venom_core.ota.refusal import Code, UpdateRefused
from venom_core.ota.versions import check_manifest, parse_version, release_name, specifier_of

ANY_NODE = "*"
ANY_PLATFORM = "any"


class Offer(Protocol):
    """A signed target, as `trust.Signed` gives it."""

    @property
    def name(self) -> str:
        """Path of the target."""
        ...

    @property
    def sha256(self) -> str:
        """SHA-256 of the package, 64 hexadecimal digits."""
        ...

    @property
    def listing(self) -> Listing | None:
        """What was signed beside it; none for a wheel."""
        ...


T = TypeVar("T", bound=Offer)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFacts:
    """What a node knows of itself.

    `app` is what it follows. `platforms`: the platform tags its Python installs (`packaging.tags.platform_tags()`).
    `python` and `spore`: versions that run here; `spore` is the launcher's, which no release can change. `current` and
    `floor`: version that runs, highest version ever kept; empty if there is none. `seen`: SHA-256 of each version that
    was ever staged here. `known_bad`: versions, or release names `<version>-<hash12>`, that were rolled back.
    `accepted_at_ms`: when updates were accepted, milliseconds since the epoch. `interval_s`: least seconds between two.
    """

    node: str
    app: str
    tags: frozenset[str] = frozenset()
    platforms: frozenset[str] = frozenset()
    python: str
    spore: str
    current: str = ""
    floor: str = ""
    seen: Mapping[str, str] = field(default_factory=dict)
    known_bad: frozenset[str] = frozenset()
    accepted_at_ms: tuple[int, ...] = ()
    interval_s: float = 3600.0


@dataclass(frozen=True, slots=True)
class Choice(Generic[T]):
    """What to do: install `take`, or go back to the release before, or nothing; and what was refused (name, why)."""

    take: T | None = None
    go_back: bool = False
    refused: tuple[tuple[str, UpdateRefused], ...] = ()


def judge(listing: Listing, facts: NodeFacts, now_ms: int, sha256: str = "") -> None:
    """Raises `UpdateRefused` if this node may not take the release; `now_ms`: milliseconds since the epoch.

    NOT_FOR_THIS_NODE, WRONG_PLATFORM, WRONG_PYTHON, SPORE_TOO_OLD, ROLLBACK, VERSION_REUSED, KNOWN_BAD, TOO_SOON, and
    BAD_METADATA for a listing that no release may have. TOO_SOON is judged last: all else is for good, it passes.
    """
    check_manifest(listing.manifest)
    _check_target(listing, facts)
    _check_machine(listing, facts)
    _check_version(listing, facts, sha256)
    _check_interval(facts, now_ms)


def choose(offers: Iterable[T], facts: NodeFacts, now_ms: int) -> Choice[T]:
    """The highest release of this node's app that it may take, if it is not the one that runs.

    What lies below what this node has had is left alone unless it was signed for going down; that is told (ROLLBACK)
    only if what the node has had is not offered any more. If the release that runs was withdrawn, a higher one is taken
    at once, without waiting out the interval; failing that, the node is to go back.
    """
    ranked, refused = _ranked(offers, facts.app)
    withdrawn = any(_is_current(offer, facts) and _listing(offer).withdrawn for offer in ranked)
    old: list[T] = []
    for offer in ranked:
        if _listing(offer).withdrawn:
            continue
        if _is_current(offer, facts):
            return Choice(None, False, tuple(refused))
        if _held_above(_listing(offer), facts):
            old.append(offer)
            continue
        try:
            judge(_listing(offer), _without_interval(facts) if withdrawn else facts, now_ms, offer.sha256)
        except UpdateRefused as fault:
            refused.append((offer.name, fault))
            if fault.code is Code.TOO_SOON:
                break
            continue
        return Choice(offer, False, tuple(refused))
    known = {_version(offer) for offer in ranked}
    if old and not known & {facts.current, facts.floor}:
        refused.append((old[0].name, _rollback(_listing(old[0]), facts)))
    return Choice(None, withdrawn, tuple(refused))


def _ranked(offers: Iterable[T], app: str) -> tuple[list[T], list[tuple[str, UpdateRefused]]]:
    ranked: list[tuple[Version, str, T]] = []
    refused: list[tuple[str, UpdateRefused]] = []
    for offer in offers:
        if offer.listing is None or offer.listing.manifest.app != app:
            continue
        try:
            ranked.append((parse_version(offer.listing.manifest.version), offer.name, offer))
        except UpdateRefused as fault:
            refused.append((offer.name, fault))
    ranked.sort(key=lambda rank: rank[:2], reverse=True)
    return [offer for _, _, offer in ranked], refused


def _listing(offer: Offer) -> Listing:
    assert offer.listing is not None
    return offer.listing


def _version(offer: Offer) -> str:
    return _listing(offer).manifest.version


def _is_current(offer: Offer, facts: NodeFacts) -> bool:
    version = _version(offer)
    return version == facts.current and facts.seen.get(version, offer.sha256) == offer.sha256


def _held_above(listing: Listing, facts: NodeFacts) -> set[str]:
    """The versions that this node has had, above the one that is offered, and from which it may not go down to it."""
    offered = Version(listing.manifest.version)
    held = {version for version in (facts.current, facts.floor) if version} - set(listing.downgrade_from)
    return {version for version in held if Version(version) > offered}


def _rollback(listing: Listing, facts: NodeFacts) -> UpdateRefused:
    highest = max(_held_above(listing, facts), key=Version)
    said = f"this node has had {highest}; name that in downgrade_from if going down is meant"
    return _refused(Code.ROLLBACK, listing, said)


def _without_interval(facts: NodeFacts) -> NodeFacts:
    return replace(facts, interval_s=0)


def _check_target(listing: Listing, facts: NodeFacts) -> None:
    missing = sorted(set(listing.tags) - facts.tags)
    if listing.manifest.app != facts.app:
        said = f"it is the app {listing.manifest.app}, this node follows {facts.app}"
    elif ANY_NODE not in listing.nodes and facts.node not in listing.nodes:
        said = f"it is not for the node {facts.node}"
    elif missing:
        said = f"it asks for the tags {', '.join(missing)}, which this node has not"
    else:
        return
    raise _refused(Code.NOT_FOR_THIS_NODE, listing, said)


def _check_machine(listing: Listing, facts: NodeFacts) -> None:
    manifest = listing.manifest
    if ANY_PLATFORM not in manifest.platforms and not facts.platforms & set(manifest.platforms):
        raise _refused(Code.WRONG_PLATFORM, listing, f"it is for {', '.join(manifest.platforms)}")
    if not specifier_of(manifest.python).contains(facts.python, prereleases=True):
        raise _refused(Code.WRONG_PYTHON, listing, f"it needs Python {manifest.python}, here runs {facts.python}")
    if Version(facts.spore) < Version(manifest.min_spore):
        said = f"it needs venom-hive {manifest.min_spore}, here is {facts.spore}: install that by hand"
        raise _refused(Code.SPORE_TOO_OLD, listing, said)


def _check_version(listing: Listing, facts: NodeFacts, sha256: str) -> None:
    version = listing.manifest.version
    if _held_above(listing, facts):
        raise _rollback(listing, facts)
    if sha256 and facts.seen.get(version, sha256) != sha256:
        raise _refused(Code.VERSION_REUSED, listing, "its version was other content before; give it a new version")
    if facts.known_bad & {version, release_name(version, sha256)}:
        raise _refused(Code.KNOWN_BAD, listing, "it failed on this node before; release a new version")


def _check_interval(facts: NodeFacts, now_ms: int) -> None:
    """A stamp further ahead than the interval is of a clock that was wrong, and says nothing."""
    interval_ms = facts.interval_s * 1000
    waits = [accepted + interval_ms - now_ms for accepted in facts.accepted_at_ms]
    wait_ms = max((wait for wait in waits if 0 < wait <= 2 * interval_ms), default=0)
    if wait_ms:
        said = f"this node takes one update in {facts.interval_s:g} s (HIVE_OTA_INTERVAL there)"
        raise UpdateRefused(Code.TOO_SOON, f"{said}; the next in {wait_ms / 1000:.0f} s")


def _refused(code: Code, listing: Listing, said: str) -> UpdateRefused:
    return UpdateRefused(code, f"{listing.manifest.app} {listing.manifest.version} is not taken: {said}")
