"""Joining a repository: from then on a Spore believes its first root, by a fingerprint that a person brought along.

The folder `trust` is all that a Spore knows of whom it believes: the address, the first root, the authority of its
certificate, what was verified so far (`metadata`), and the floor.
"""

from __future__ import annotations

import hashlib
import re
import ssl
from pathlib import Path
from urllib.parse import quote

import msgspec

from venom_core.clock import Clock
from venom_core.errors import InputError
from venom_core.ota.addresses import METADATA_PATH, TARGETS_PATH, parse_base
from venom_core.ota.fetcher import LATER, Fetcher, Patience, trusted_roots
from venom_core.ota.floors import Floor, read_floor, write_floor
from venom_core.ota.refusal import Code, UpdateRefused
from venom_core.ota.tuf_names import DownloadHTTPError
from venom_core.ota.verifying import Signed, SizeLimits, root_of
from venom_core.ota.whole_files import write_whole

JOINED, ROOT, FLOOR, METADATA = "joined.json", "root.json", "floor.json", "metadata"
FILE_BYTES_MAX = 1_048_576
_FINGERPRINT = re.compile(r"(?:sha256:)?([0-9a-f]{64})")
_APP = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


class Joined(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was joined. `ca`: the one authority whose certificates count, as PEM, or empty for those of the machine."""

    url: str
    fingerprint: str
    app: str
    ca: str = ""
    insecure: bool = False

    @property
    def metadata_url(self) -> str:
        """Where the metadata is served."""
        return self.url + METADATA_PATH

    def target_url(self, signed: Signed) -> str:
        """Where the bytes of a signed file are served."""
        return self.url + TARGETS_PATH + quote(signed.served_as)

    def trusted(self) -> ssl.SSLContext:
        """Whose certificates are believed; nobody's where none is asked for. InputError if `ca` holds none."""
        if self.url.startswith("http:"):
            return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            return trusted_roots(self.ca or None)
        except ssl.SSLError as fault:
            raise InputError(f"the certificate authority is no PEM certificate ({fault}); give its .pem file") from None


def join(
    folder: Path,
    url: str,
    fingerprint: str,
    app: str = "tasks",
    *,
    ca: str = "",
    insecure: bool = False,
    patience: Patience | None = None,
    clock: Clock | None = None,
) -> None:
    """Fetch the first root of a repository, compare it with its fingerprint, and write the folder `trust`.

    `url`: base address such as https://nexus.example:8443. `fingerprint`: what `venom ota init` and `venom ota key`
    print, 64 hex digits. `ca`: a PEM text, the only authority that is believed then. `insecure` allows http:// to other
    machines. Joining again under the same fingerprint changes the address and keeps the floor.

    Raises:
        UpdateRefused: BAD_URL, INSECURE_URL, BAD_SIGNATURE (another fingerprint), or what the network answers.
        InputError: the fingerprint or the name of the app cannot be one, or another repository was joined before.
    """
    wanted = _FINGERPRINT.fullmatch(fingerprint.strip().lower())
    if wanted is None:
        raise InputError("a fingerprint is 64 hex digits, as `venom ota key` prints it where updates are signed")
    if not _APP.fullmatch(app):
        raise InputError(f"{app!r:.80} is no name of an app; give small letters, digits, - and _, such as tasks")
    base = parse_base(url, insecure=insecure)
    joined = Joined(url=str(base), fingerprint=wanted[1], app=app, ca=ca, insecure=insecure)
    before = _before(folder, joined)
    root = _first_root(joined, patience)
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)  # the mode is of the last one alone
    folder.mkdir(mode=0o700, exist_ok=True)
    (folder / METADATA).mkdir(mode=0o700, exist_ok=True)
    write_whole(folder / ROOT, root)
    if before is None:
        write_floor(folder / FLOOR, Floor(clock_ms=(clock or Clock()).now_ms()))
    write_whole(folder / JOINED, msgspec.json.format(msgspec.json.encode(joined)) + b"\n")


def fingerprint_of(root: bytes) -> str:
    """The fingerprint of a first root: SHA-256 of its file, as 64 hex digits."""
    return hashlib.sha256(root).hexdigest()


def read_joined(folder: Path) -> Joined:
    """What was joined; `UpdateRefused` NOT_JOINED or LOCAL_FAULT."""
    try:
        with (folder / JOINED).open("rb") as file:
            return msgspec.json.decode(file.read(FILE_BYTES_MAX + 1), type=Joined)
    except FileNotFoundError:
        sentence = f"{folder} follows no repository; join one with: venom ota join URL FINGERPRINT"
        raise UpdateRefused(Code.NOT_JOINED, sentence) from None
    except (OSError, msgspec.MsgspecError, RecursionError, ValueError) as fault:
        sentence = f"{folder / JOINED} cannot be read ({fault}); remove it and join again"
        raise UpdateRefused(Code.LOCAL_FAULT, sentence) from None


def _before(folder: Path, joined: Joined) -> Floor | None:
    """The floor of an earlier join of the same repository; an error if it was another, or a safer one."""
    if not (folder / JOINED).exists():
        return None
    earlier = read_joined(folder)
    if (earlier.fingerprint, earlier.app) != (joined.fingerprint, joined.app):
        raise InputError(_other(folder, earlier, joined))
    if earlier.url.startswith("https:") and not joined.url.startswith("https:"):
        sentence = f"{earlier.url} was joined by https; {joined.url} is not encrypted, remove {folder} if that is meant"
        raise UpdateRefused(Code.INSECURE_URL, sentence)
    return read_floor(folder / FLOOR)


def _other(folder: Path, earlier: Joined, joined: Joined) -> str:
    """First what may be a slip of the hand: the folder holds the floors that keep this node from going back."""
    if earlier.fingerprint != joined.fingerprint:
        said = f"the fingerprint {earlier.fingerprint}, and {joined.fingerprint} was given"
        slip = "compare both with what `venom ota key` prints"
    else:
        said, slip = f"the app {earlier.app}, and {joined.app} was given", "check --app"
    return f"{folder} follows {said}; {slip}. Only to leave the first for good, remove {folder} and join again"


def _first_root(joined: Joined, patience: Patience | None) -> bytes:
    url = f"{joined.metadata_url}1.root.json"
    with Fetcher(joined.trusted(), patience) as fetcher:
        try:
            root = fetcher.download_bytes(url, SizeLimits().root)
        except DownloadHTTPError as fault:
            sentence = f"{fault}; is this the address of a Nexus with a published repository?"
            raise UpdateRefused(Code.BAD_ANSWER, sentence) from None
        except UpdateRefused as fault:
            raise _not_later(fault) from None
    found = fingerprint_of(root)
    if found != joined.fingerprint:
        raise UpdateRefused(
            Code.BAD_SIGNATURE,
            f"{url} has the fingerprint {found}, not the one you gave; compare both with who signs the updates",
        )
    root_of(root)
    return root


def _not_later(fault: UpdateRefused) -> UpdateRefused:
    """Who joins is a person: nothing tries again when the command has ended."""
    said = str(fault).removeprefix(f"{fault.code}: ")
    if not said.endswith(LATER):
        return fault
    fix = "check the address, and that a Nexus serves there (HIVE_API_PORT)"
    return UpdateRefused(fault.code, f"{said.removesuffix(LATER)}{fix}")
