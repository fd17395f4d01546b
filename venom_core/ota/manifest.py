"""What a release says of itself, and what its signer adds: both are part of the signed metadata."""

from __future__ import annotations

from typing import Any

import msgspec

from venom_core.ota.refusal import Code, UpdateRefused

SCHEMA = 1
MANIFEST = "manifest.json"
"""Name of the manifest inside a package."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the builder of a package writes into it as `manifest.json`.

    `app`: what is released, such as `tasks`; one Spore follows one app. `version`: PEP 440. `platforms`: wheel
    platform tags such as `linux_x86_64`, or `any`. `python`: a PEP 440 specifier. `min_spore`: least release of the
    Spore that may install it. `check`: `module:function` that must return true before the release is kept, or empty.
    `lock`: SHA-256 of `lock.json` in the package, or empty if it brings no dependencies.
    """

    schema: int = SCHEMA
    app: str
    version: str
    description: str = ""
    platforms: tuple[str, ...] = ("any",)
    python: str = ">=3.11"
    min_spore: str = "0"
    check: str = ""
    lock: str = ""


class Listing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is signed beside a package's name, length and hash: the `custom` field of its TUF target.

    `nodes` and `tags`: whom it is for; a node takes it if it is named (or `*` is) and has every tag. `files` and
    `unpacked_bytes`: exactly what the archive holds. `downgrade_from`: versions from which going down to this one is
    allowed. `withdrawn`: who runs it goes back to the release before.
    """

    manifest: Manifest
    nodes: tuple[str, ...] = ("*",)
    tags: tuple[str, ...] = ()
    files: int
    unpacked_bytes: int
    downgrade_from: tuple[str, ...] = ()
    withdrawn: bool = False


def read_manifest(text: bytes) -> Manifest:
    """The manifest in a package; `UpdateRefused` BAD_METADATA."""
    try:
        return _known(msgspec.json.decode(text, type=Manifest, strict=True))
    except (msgspec.MsgspecError, RecursionError, ValueError) as fault:
        raise UpdateRefused(Code.BAD_METADATA, f"{MANIFEST} is not a manifest: {fault}; build it anew") from None


def read_listing(custom: Any) -> Listing:
    """The signed `custom` of a package; `UpdateRefused` BAD_METADATA."""
    try:
        listing = msgspec.convert(custom, type=Listing, strict=True)
        _known(listing.manifest)
    except (msgspec.MsgspecError, RecursionError, ValueError) as fault:
        raise UpdateRefused(Code.BAD_METADATA, f"the signed entry of a package is malformed: {fault}") from None
    return listing


def _known(manifest: Manifest) -> Manifest:
    if manifest.schema != SCHEMA:
        raise ValueError(f"schema {manifest.schema} is not one this release knows (it knows {SCHEMA})")
    return manifest


def write_manifest(manifest: Manifest) -> bytes:
    """The manifest as bytes: the same for the same content."""
    return msgspec.json.format(msgspec.json.encode(manifest, order="sorted"), indent=2) + b"\n"


def custom_of(listing: Listing) -> dict[str, Any]:
    """What goes into the `custom` field of a TUF target."""
    plain: dict[str, Any] = msgspec.to_builtins(listing)
    return plain
