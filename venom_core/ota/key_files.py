"""Ed25519 keys as files that only their owner reads; those that stay offline are encrypted with a passphrase.

The private half is PEM (PKCS 8), mode 0600. Beside it stands the public half with the day it was made, so that keys can
be listed without a passphrase, and while the private half lies in a safe.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from venom_core.errors import InputError
from venom_core.ota.stretching import COST, new_line, stretched
from venom_core.ota.tuf_names import CryptoSigner, SSlibKey
from venom_core.ota.whole_files import write_new

PASSPHRASE_CHARACTERS_MIN = 12
KEY_FILE_BYTES_MAX = 8_192


class PublicHalf(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is known of a key without its private half. `made_ms`: milliseconds since the epoch, UTC."""

    role: str
    keyid: str
    made_ms: int
    public: str


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A key on this machine: where its private half is or was, and its public half."""

    path: Path
    half: PublicHalf

    @property
    def is_here(self) -> bool:
        """Whether the private half lies beside the public one."""
        return self.path.exists()

    @property
    def key(self) -> SSlibKey:
        """The public key, as it stands in root.json."""
        public = load_pem_public_key(self.half.public.encode())
        assert isinstance(public, Ed25519PublicKey)
        return SSlibKey.from_crypto(public)


def check_passphrase(passphrase: str) -> str:
    """The passphrase, if it is long enough to protect a key; `InputError`."""
    if len(passphrase) < PASSPHRASE_CHARACTERS_MIN:
        raise InputError(
            f"the passphrase has {len(passphrase)} characters; a key needs one of at least {PASSPHRASE_CHARACTERS_MIN}"
        )
    return passphrase


def make_key(path: Path, role: str, now_ms: int, passphrase: str | None, cost: int = COST) -> KeyFile:
    """A new key of a role at `path`; encrypted if a passphrase is given, which is made dear to guess by `cost`.

    Raises `InputError` if there is a file already.
    """
    private = Ed25519PrivateKey.generate()
    locked: KeySerializationEncryption = NoEncryption()
    line = b""
    if passphrase is not None:
        line = new_line(cost)
        locked = BestAvailableEncryption(stretched(check_passphrase(passphrase), line))
    public = private.public_key()
    text = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    half = PublicHalf(role=role, keyid=SSlibKey.from_crypto(public).keyid, made_ms=now_ms, public=text)
    try:
        pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked)
        write_new(path, b"\n".join((line, pem)) if line else pem)
        write_new(_half_of(path), msgspec.json.format(msgspec.json.encode(half)) + b"\n")
    except FileExistsError as fault:
        raise InputError(f"{fault.filename} exists already; it is not overwritten, move it away first") from None
    return KeyFile(path, half)


def key_files(folder: Path) -> list[KeyFile]:
    """The keys of which a public half lies in a folder, by file name; `InputError` if one is none."""
    return [_read_half(path) for path in sorted(folder.glob("*.public.json"))]


def signer_of(file: KeyFile, passphrase: str | None) -> CryptoSigner:
    """What signs with a key.

    Raises:
        InputError: the file is absent, can be read by others, is no key, is another key than its public half says, or
            the passphrase does not fit.
    """
    text = _owners_only(file.path)
    line, _, _ = text.partition(b"\n")
    secret = None if passphrase is None else stretched(passphrase, line)
    try:
        private = load_pem_private_key(text, secret)
    except TypeError:
        said = (
            "is encrypted; give its passphrase" if passphrase is None else "should be encrypted and is not; rotate it"
        )
        raise InputError(f"{file.path} {said}") from None
    except ValueError:
        said = "it is no PEM key" if passphrase is None else "the passphrase does not fit"
        raise InputError(f"{file.path} cannot be opened: {said}; check HIVE_OTA_PASSPHRASE and the file") from None
    if not isinstance(private, Ed25519PrivateKey):
        raise InputError(f"{file.path} is no Ed25519 key; make one with: venom ota key --new ROLE")
    signer = CryptoSigner(private)
    if signer.public_key.keyid != file.half.keyid:
        raise InputError(f"{file.path} is not the key that {_half_of(file.path).name} names; put the right one back")
    return signer


def _owners_only(path: Path) -> bytes:
    """The bytes of a private key; `InputError` unless it is a small regular file of ours that nobody else reads."""
    try:
        # Without waiting, as a pipe would have us wait for whoever writes into it.
        opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as fault:
        raise InputError(f"{path} cannot be read ({fault.strerror}); bring the key to this machine first") from None
    try:
        found = os.fstat(opened)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
            raise InputError(f"{path} is not yours alone; run: chmod 600 {path}, and rotate the key if others read it")
        return os.read(opened, KEY_FILE_BYTES_MAX)
    finally:
        os.close(opened)


def _half_of(path: Path) -> Path:
    return path.with_suffix(".public.json")


def _read_half(path: Path) -> KeyFile:
    try:
        half = msgspec.json.decode(path.read_bytes()[:KEY_FILE_BYTES_MAX], type=PublicHalf)
        file = KeyFile(path.with_name(path.name.replace(".public.json", ".pem")), half)
        if file.key.keyid != half.keyid:
            raise ValueError("its id is not that of its key")
    except (msgspec.MsgspecError, ValueError, AssertionError) as fault:
        raise InputError(f"{path} is no public half of a key: {fault}; restore it from a copy") from None
    return file
