"""The repository that a Nexus serves: what is signed, by whose keys, and for how long.

Everything is a file in one folder. Release and root keys are needed to change what nodes may install, the open keys of
snapshot and timestamp to say again what is the newest. Each change stands in the hash-chained `audit.jsonl` of the
folder. A step that was cut off is finished by the next `publish`:
whatever no longer fits the newest root is signed anew, and a Spore that looks meanwhile takes nothing.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import msgspec

from venom_core.audit_chain import AuditChain
from venom_core.clock import Clock
from venom_core.errors import AuditBroken, InputError
from venom_core.ota.checking import check_served
from venom_core.ota.durable import sync
from venom_core.ota.joining import fingerprint_of
from venom_core.ota.key_files import KeyFile
from venom_core.ota.key_store import KeyStore, Passphrase
from venom_core.ota.manifest import Listing, custom_of
from venom_core.ota.metadata_files import MetadataFiles
from venom_core.ota.package import check_no_key, inspect_package
from venom_core.ota.publishing import Published, Publisher
from venom_core.ota.refusal import Code, UpdateRefused
from venom_core.ota.roles import KEYS_MAX, Lifetimes, role_of, shown
from venom_core.ota.signing import sign
from venom_core.ota.stretching import COST
from venom_core.ota.tuf_names import Root, TargetFile, Targets
from venom_core.ota.verifying import WHEELS, Signed, package_name, read_targets
from venom_core.ota.versions import check_spelling
from venom_core.ota.whole_files import PUBLIC, only_one

log = logging.getLogger("venom.ota")

REPOSITORY, PACKAGES, AUDIT = "repository", "packages", "audit.jsonl"


class Repository:
    """A repository in the folder `home` (HIVE_OTA_HOME)."""

    def __init__(
        self,
        home: Path,
        passphrase: Passphrase = None,
        *,
        keys: Iterable[Path] = (),
        lifetimes: Lifetimes | None = None,
        clock: Clock | None = None,
        cost: int = COST,
    ) -> None:
        """`passphrase` opens the offline keys; `keys`: further folders in which keys lie, such as a stick's.

        `cost` is what one guess at the passphrase of a new key costs (scrypt's n).
        """
        self.home = home
        self.keys = KeyStore(home, passphrase, keys, cost)
        self._clock = clock or Clock()
        self._lifetimes = lifetimes or Lifetimes()
        self.files = MetadataFiles(home / REPOSITORY / "metadata", self._clock, self._lifetimes)
        self.targets_folder = home / REPOSITORY / "targets"

    @property
    def exists(self) -> bool:
        """Whether there is a repository."""
        return (self.files.folder / "1.root.json").exists()

    def init(self, root_keys: int = 1, threshold: int = 1) -> str:
        """Make keys, sign an empty repository, and publish it; gives the fingerprint that Spores join with.

        `root_keys` keys of root are made, of which `threshold` must sign. Raises InputError if there is one already, or
        for numbers that make no sense.
        """
        if not 1 <= threshold <= root_keys <= KEYS_MAX:
            raise InputError(
                f"{threshold} of {root_keys} root keys makes no sense; give 1 to {KEYS_MAX} keys, and no more to sign"
            )
        if self.exists:
            raise InputError(f"{self.home} holds a repository already; see it with: venom ota key")
        for folder in (
            self.files.folder,
            self.targets_folder / PACKAGES,
            self.targets_folder / WHEELS,
            self.home / PACKAGES,
        ):
            folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        with self._alone():
            now_ms = self._clock.now_ms()
            root = Root(consistent_snapshot=True)
            for role, count in (("root", root_keys), ("targets", 1), ("snapshot", 1), ("timestamp", 1)):
                for _ in range(count):
                    root.add_key(self.keys.make(role_of(role), now_ms).key, role)
            root.roles["root"].threshold = threshold
            self.files.write(sign(self.files.dated(Targets()), self.keys, root))
            self.files.write(sign(self.files.dated(root), self.keys, root))
            self._publish()
        fingerprint = self.fingerprint()
        self._note("repository_made", fingerprint, f"{threshold} of {root_keys} root keys")
        return fingerprint

    def fingerprint(self) -> str:
        """What a Spore joins with: SHA-256 of the first root, 64 hex digits; InputError without a repository."""
        return fingerprint_of(self.files.first_root())

    def signed(self) -> tuple[Signed, ...]:
        """What the newest targets name, published or not; `verify` judges it as a Spore does."""
        return read_targets(self.files.read(Targets).signed)

    def root(self) -> Root:
        """The newest root."""
        return self.files.read(Root).signed

    def add_package(
        self,
        path: Path,
        nodes: Sequence[str] = ("*",),
        tags: Sequence[str] = (),
        downgrade_from: Sequence[str] = (),
    ) -> Signed:
        """Sign a package for some nodes; it reaches them with the next `publish`.

        Raises:
            UpdateRefused: the package is none, it holds a private key (PRIVATE), or its version is taken, also as 1.6
                by 1.6.0 (VERSION_REUSED).
            InputError: a key or its passphrase is missing.
        """
        package = inspect_package(path)
        check_no_key(path)
        listing = package.listing(nodes, tags, downgrade_from)
        name = package_name(listing)
        before = self.files.read(Targets).signed.targets.get(name)
        if before is not None and before.hashes.get("sha256") != package.sha256:
            sentence = f"{name} is signed already with other content; build it under a new version"
            raise UpdateRefused(Code.VERSION_REUSED, sentence)
        manifest = listing.manifest
        releases = [each.listing.manifest for each in self.signed() if each.listing is not None]
        check_spelling(manifest.version, [each.version for each in releases if each.app == manifest.app], "signed")
        return self._add(name, path, listing)

    def add_wheel(self, path: Path) -> Signed:
        """Sign a wheel that packages name in their locks."""
        return self._add(f"{WHEELS}{path.name}", path, None)

    def withdraw(self, version: str, app: str = "tasks") -> Signed:
        """Say that a release is not to run: who runs it goes back; InputError if it was never signed.

        Done again, it changes nothing.
        """
        with self._alone():
            wanted, listing = self._release(version, app)
            if listing.withdrawn:
                return wanted
            listing = msgspec.structs.replace(listing, withdrawn=True)
            targets = self.files.read(Targets).signed
            targets.targets[wanted.name].unrecognized_fields["custom"] = custom_of(listing)
            self._write_targets(targets)
            self._note("withdrawn", wanted.name, wanted.sha256)
            return replace(wanted, listing=listing)

    def is_withdrawn(self, version: str, app: str = "tasks") -> bool:
        """Whether a release was withdrawn; InputError if it was never signed."""
        return self._release(version, app)[1].withdrawn

    def _release(self, version: str, app: str) -> tuple[Signed, Listing]:
        for each in self.signed():
            manifest = each.listing.manifest if each.listing else None
            if each.listing and manifest and (manifest.app, manifest.version) == (app, version):
                return each, each.listing
        raise InputError(f"{app} {version} is not signed here; see what is with: venom ota verify")

    def publish(self, *, due_only: bool = False) -> Published:
        """Say what is the newest: snapshot where it changed or is half through its life, and timestamp.

        With `due_only` the timestamp too is signed only when it is due: what a Nexus does every hour, without any
        offline key. Raises InputError if a key is missing; without `due_only` also `UpdateRefused` if a file that is
        served is damaged or gone. Renewal goes on then, so that no one file makes everything expire.
        """
        with self._alone():
            if not due_only:
                check_served(self.targets_folder, self.signed())
            done = self._publish(due_only=due_only)
            if done.renewed:
                self._note("published", ", ".join(done.renewed))
            return done

    def renew(self, role: str) -> None:
        """Sign root or release anew, unchanged, before they expire; `publish` makes it known."""
        with self._alone():
            if role_of(role) == "root":
                self._write_root(self.root(), self.root())
            elif role_of(role) == "targets":
                self._write_targets(self.files.read(Targets).signed)
            else:
                raise InputError(f"{role} is renewed by: venom ota publish")
            self._note("renewed", role)

    def add_key(self, role: str) -> str:
        """Let one more key sign for a role; gives its id. The threshold stays."""
        return self.rotate(role, instead=False)

    def rotate(self, role: str, keyid: str | None = None, *, instead: bool = True) -> str:
        """Put a new key in the place of one of a role (the oldest, or that of the given id); gives the new id.

        The root says so from its next version on, and what the role signs is signed by the new key and published.
        Raises InputError if it is not one of its keys, or too few of the old root keys are here.
        """
        which = role_of(role)
        with self._alone():
            old, new = self.root(), self.root()
            before = list(new.roles[which].keyids)
            if keyid is not None and keyid not in before:
                raise InputError(f"{keyid:.80} is no key of {shown(which)}; see them with: venom ota key")
            if len(before) >= KEYS_MAX and not instead:
                raise InputError(f"{shown(which)} has {KEYS_MAX} keys, and takes no more; rotate one instead")
            made = self.keys.make(which, self._clock.now_ms())
            new.add_key(made.key, which)
            if instead:
                new.revoke_key(keyid or _oldest(self.keys.files(), before), which)
            try:
                self._write_root(old, new)
            except BaseException:
                self.keys.forget(made)
                raise
            self._publish()
            retired = set(before) - set(new.roles[which].keyids)
            self.keys.retire(retired)
            self._note(
                "key_made", made.half.keyid, f"of {shown(which)}, in the place of {', '.join(retired) or 'none'}"
            )
            return made.half.keyid

    def set_threshold(self, role: str, threshold: int) -> None:
        """How many keys of a role must sign; InputError if it has fewer."""
        which = role_of(role)
        with self._alone():
            old, new = self.root(), self.root()
            count = len(new.roles[which].keyids)
            if not 1 <= threshold <= count:
                raise InputError(
                    f"{shown(which)} has {count} keys, so {threshold} cannot be asked of it; add keys first"
                )
            new.roles[which].threshold = threshold
            self._write_root(old, new)
            self._publish()
            self._note("threshold_set", shown(which), f"{threshold} of {count}")

    def _add(self, name: str, path: Path, listing: Listing | None) -> Signed:
        with self._alone():
            target = TargetFile.from_file(name, str(path), ["sha256"])
            if listing is not None:
                target.unrecognized_fields["custom"] = custom_of(listing)
            signed = Signed(name, target.length, target.hashes["sha256"], listing)
            _place(path, self.targets_folder / signed.served_as, signed.sha256)
            targets = self.files.read(Targets).signed
            targets.targets[name] = target
            if signed not in self.signed():
                self._write_targets(targets)
                self._note("signed", name, signed.sha256)
            return signed

    def _write_targets(self, targets: Targets) -> None:
        self.files.write(sign(self.files.renewed(targets), self.keys, self.root()))

    def _write_root(self, old: Root, new: Root) -> None:
        """The next root, signed so that who believes the old one believes it."""
        self.files.write(sign(self.files.renewed(new), self.keys, old, new))

    def _note(self, event: str, about: str, detail: str = "") -> None:
        """Write down what was done; a disk that takes no line of it undoes nothing."""
        try:
            AuditChain(self.home / AUDIT, socket.gethostname(), self._clock).append(f"ota_{event}", about, detail)
        except (OSError, AuditBroken) as fault:
            log.error("the audit of %s was not written: %s", self.home, fault)

    def _publish(self, *, due_only: bool = False) -> Published:
        return Publisher(self.files, self.keys, self._lifetimes, self._clock).publish(due_only=due_only)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """InputError while another process changes the repository."""
        if not self.home.is_dir():
            self.files.first_root()
        with only_one(self.home) as alone:
            if not alone:
                raise InputError(f"another process is changing {self.home}; try again when it is done")
            yield


def _place(path: Path, into: Path, sha256: str) -> None:
    """Copy a file to where it is served; the bytes that arrive are those that were signed, or InputError."""
    if into.exists() and _digest(into) == sha256:
        return
    into.parent.mkdir(parents=True, exist_ok=True)
    copy = into.with_name(f".new-{into.name}")
    try:
        shutil.copyfile(path, copy)
        copy.chmod(PUBLIC)
        if _digest(copy) != sha256:
            raise InputError(f"{path} changed while it was signed; sign it again")
        sync(copy)
        copy.replace(into)
    finally:
        copy.unlink(missing_ok=True)
    sync(into.parent)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _oldest(files: list[KeyFile], keyids: list[str]) -> str:
    """The id of the key that was made first; one whose age is not known here counts as the oldest."""
    made = {file.half.keyid: file.half.made_ms for file in files}
    return min(keyids, key=lambda keyid: made.get(keyid, 0))
