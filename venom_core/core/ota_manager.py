"""`OTAManager`: makes packages and tells nodes of them; on a node, looks for what it was told of.

What it broadcasts is a hint: any node that hears it looks at what is signed, and installs that or nothing. So whoever
can write to Redis can make a node look, and no more.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from venom_core.config import Settings, child_environment
from venom_core.core.allowance import Allowance
from venom_core.core.ota_hint import Hint, hosts
from venom_core.core.ota_shelf import REQUIREMENTS, WHEELHOUSE, Dependencies, Package, Shelf
from venom_core.domain.order import UPDATE
from venom_core.errors import InputError, InvalidSetting
from venom_core.infrastructure.message_broker import MessageBroker
from venom_core.ota.joining import read_joined
from venom_core.ota.manifest import Manifest
from venom_core.ota.refusal import Code, UpdateRefused
from venom_core.ota.repository import Repository
from venom_spore.launcher.layout import Layout
from venom_spore.release_link import ReleaseLink, home_of
from venom_spore.updater.auditing import audit_into
from venom_spore.updater.facts import Node
from venom_spore.updater.run import Audit, Exit, Look, Outcome

__all__ = ["OTAManager", "Outcome", "Package"]

log = logging.getLogger("venom.ota")

SPORE_HOME = "./.venom/spore"
LINK, RELEASE_FOLDER = "VENOM_RELEASE_LINK", "VENOM_RELEASE_FOLDER"
ASKED_MAX, ASKED_S = 30, 60.0
"""Looks, and seconds: whoever can publish on Redis can have a node asked as often as he likes."""


class OTAManager:
    """Over-the-air updates of one hive.

    `home`: the folder of whoever releases (default: HIVE_OTA_HOME), or of the Spore that updates itself (default: that
    of `venom-launcher`). `node`: who that Spore is, for releases that are for some nodes only.
    """

    def __init__(
        self,
        message_broker: MessageBroker,
        *,
        home: Path | str | None = None,
        settings: Settings | None = None,
        node: Node | None = None,
    ) -> None:
        self._broker = message_broker
        self.settings = settings or message_broker.settings
        self._home = Path(home or self.settings.hive_ota_home)
        self._spore_home = Path(home) if home else _home_of_launcher()
        self._node = node or Node()
        self._asked = Allowance(ASKED_MAX, ASKED_S)
        self._shelf = Shelf(self._home, _address(self.settings))

    # ------------------------------------------------------------------------------------------------- who releases

    async def create_package(
        self,
        version: str,
        description: str = "",
        source_paths: Sequence[Path | str] = (),
        include_dependencies: bool = False,
        *,
        requirements: Path | str | None = None,
        wheelhouse: Path | str | None = None,
        embed_wheels: bool = False,
        **manifest: Any,
    ) -> Package:
        """Build a package of files and folders, and keep it in `<home>/packages`; no key is needed yet.

        With `include_dependencies` it brings the wheels that `requirements` pins by hash (default: requirements.txt
        beside the first source), found in `wheelhouse` (default: that folder beside it) or fetched with pip; inside the
        package if `embed_wheels`. `manifest`: app, platforms, python, min_spore, check.

        Raises `UpdateRefused` or InputError.
        """
        sources = [Path(path) for path in source_paths]
        if not sources:
            raise InputError("a package needs at least one file or folder in source_paths")
        told = _manifest(version, description, manifest)
        needs = None
        if include_dependencies or requirements is not None:
            needs = await asyncio.to_thread(_dependencies, sources[0], requirements, wheelhouse, embed_wheels)
        return await asyncio.to_thread(self._shelf.build, told, sources, needs)

    async def broadcast_update(self, package: Package, target_nodes: Sequence[str] | None = None) -> int:
        """Sign and publish the package if it is not, then tell nodes to look; the number that heard it.

        `target_nodes` may install it (default: all). Nodes that hear nothing find it with their next look. Raises
        InputError without keys or passphrase, `UpdateRefused` if its version is signed with other content, StoreError.
        """
        nodes = list(target_nodes) if target_nodes is not None else None
        await asyncio.to_thread(self._publish, package, nodes)
        data = {
            "package_url": package.package_url,
            "checksum": package.checksum,
            "target_nodes": nodes,
            "version": package.version,
        }
        return await self._broker.broadcast_control(UPDATE, data)

    async def list_packages(self) -> list[Package]:
        """The packages that were built and lie here, of each app the newest first."""
        return await asyncio.to_thread(self._shelf.all)

    async def cleanup_old_packages(self, keep: int = 3) -> list[Package]:
        """Remove those built here but the `keep` newest of each app; what is published stays. Those removed."""
        if keep < 0:
            raise InputError(f"keep is a number from 0 on, not {keep!r:.40}")
        return await asyncio.to_thread(self._shelf.clear, keep)

    def _publish(self, package: Package, nodes: list[str] | None) -> None:
        given = self.settings.hive_ota_passphrase
        repository = Repository(self._home, given)
        if not repository.exists:
            raise InputError(f"{self._home} holds no keys to sign the package with; make them with: venom ota init")
        name = f"packages/{package.app}-{package.version}.zip"
        signed = {each.name: each for each in repository.signed()}
        for wheel in self._shelf.unsigned_wheels(package.path, [*signed.values()]):
            repository.add_wheel(wheel)
        before = signed[name].listing if name in signed else None
        wanted = set(nodes if nodes is not None else ["*"])
        if before is None:
            repository.add_package(package.path, nodes=sorted(wanted))
        elif signed[name].sha256 != package.checksum or not ({"*"} & set(before.nodes) or wanted <= set(before.nodes)):
            further = ["*"] if "*" in wanted else sorted(wanted | set(before.nodes))
            repository.add_package(package.path, further, before.tags, before.downgrade_from)
        repository.publish()

    # ---------------------------------------------------------------------------------------------------- on a node

    async def apply_update(self, package_url: str, expected_checksum: str, restart_after: bool = True) -> Outcome:
        """Look at what is signed, and stage what is there for this node; true if something was staged.

        Both arguments come from a message and are believed in nothing: they can only be refused. What is downloaded
        comes from the address that was joined. `restart_after`: have the launcher of this process switch to it now
        instead of when it next starts. A refusal is an `Outcome` with its `code` and words, in the log and the audit.
        """
        audit = audit_into(self.settings.hive_audit_file, self._node.known_as)
        if not self._asked.take():
            return await self._too_often(audit)
        try:
            joined = await asyncio.to_thread(read_joined, Layout(self._spore_home).trust)
            allowed = hosts(self.settings.hive_ota_allowed_hosts)
            hint = Hint.read(package_url, expected_checksum, joined.url, allowed)
        except UpdateRefused as fault:
            await asyncio.to_thread(audit, "update_refused", {"code": str(fault.code), "why": str(fault)})
            log.warning("refused an update: %s", fault)
            return Outcome(Exit.REFUSED, str(fault), fault.code)
        look = Look(self._spore_home, self._node, self.settings, audit)
        outcome = await asyncio.to_thread(look.run, hint.check)
        log.log(logging.WARNING if outcome.exit is Exit.REFUSED else logging.INFO, "%s", outcome.words)
        if outcome and restart_after:
            _tell_launcher()
        return outcome

    async def _too_often(self, audit: Audit) -> Outcome:
        words = f"{Code.TOO_SOON}: asked to look more than {ASKED_MAX} times in {ASKED_S:g} s; look again later"
        if self._asked.first_refusal():
            await asyncio.to_thread(audit, "update_refused", {"code": str(Code.TOO_SOON), "why": words})
            log.warning("refused an update: %s", words)
        return Outcome(Exit.REFUSED, words, Code.TOO_SOON)


def _home_of_launcher() -> Path:
    """The home of the launcher that runs this process; else where `venom-launcher` keeps it unless told."""
    release = child_environment().get(RELEASE_FOLDER)
    return home_of(Path(release)) if release else Path(SPORE_HOME)


def _address(settings: Settings) -> str:
    """Under which Spores reach the Nexus; empty if nobody said so."""
    if settings.hive_ota_url or not settings.hive_api_port:
        return settings.hive_ota_url
    host = f"[{settings.hive_api_host}]" if ":" in settings.hive_api_host else settings.hive_api_host
    return f"http://{host}:{settings.hive_api_port}"


def _manifest(version: str, description: str, more: dict[str, Any]) -> Manifest:
    unknown = more.keys() - {"app", "platforms", "python", "min_spore", "check"}
    if unknown:
        raise InputError(f"a package has no {min(unknown)!r:.60}; it has app, platforms, python, min_spore and check")
    return Manifest(**{"app": "tasks", **more}, version=version, description=description)


def _dependencies(
    first: Path, requirements: Path | str | None, wheelhouse: Path | str | None, embed_wheels: bool
) -> Dependencies:
    pins = Path(requirements) if requirements is not None else first.absolute().parent / REQUIREMENTS
    if not pins.is_file():
        raise InputError(f"{pins} is not there; pin what the package needs in it, with hashes, or name another file")
    beside = Path(wheelhouse) if wheelhouse is not None else pins.parent / WHEELHOUSE
    return Dependencies(pins, beside if wheelhouse is not None or beside.is_dir() else None, embed_wheels)


def _tell_launcher() -> None:
    """Say on the link to this process's launcher, if it has one, that something is staged."""
    environment = child_environment()
    if environment.get(LINK):
        try:
            ReleaseLink.from_environment(environment).say("staged")
        except InvalidSetting as fault:
            log.warning("the launcher was not told: %s", fault)
