"""Signatures of a repository: made with whatever keys are at hand, and counted as a Spore counts them."""

from __future__ import annotations

from venom_core.errors import InputError
from venom_core.ota.key_store import KeyStore
from venom_core.ota.metadata_files import Kind
from venom_core.ota.roles import shown
from venom_core.ota.tuf_names import Metadata, Root, UnsignedMetadataError


def sign(metadata: Metadata[Kind], keys: KeyStore, *roots: Root) -> Metadata[Kind]:
    """Sign with every key at hand that these roots know for the role.

    Raises InputError if that is fewer than one of the roots asks for, or a key cannot be opened.
    """
    role = metadata.signed.type
    for signer in keys.signers([keyid for root in roots for keyid in root.roles[role].keyids]):
        metadata.sign(signer, append=True)
    for root in roots:
        if not counts(metadata, root):
            raise InputError(_too_few(root.roles[role].threshold, shown(role)))
    return metadata


def _too_few(threshold: int, role: str) -> str:
    if threshold == 1:
        return f"a key of {role} must sign, and none is here; bring it with --keys FOLDER"
    return f"{threshold} keys of {role} must sign, and fewer are here; bring the others with --keys FOLDER"


def counts(metadata: Metadata[Kind], root: Root) -> bool:
    """Whether enough of the keys that a root knows for the role have signed."""
    try:
        root.verify_delegate(metadata.signed.type, metadata.signed_bytes, metadata.signatures)
    except UnsignedMetadataError:
        return False
    return True
