"""What a manifest may say: names that are safe in a path, and versions that can be compared."""

from __future__ import annotations

import re
from collections.abc import Iterable

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from venom_core.ota.manifest import Manifest
from venom_core.ota.refusal import Code, UpdateRefused

VERSION_CHARACTERS_MAX = 64
SPECIFIER_CHARACTERS_MAX = 200
DESCRIPTION_CHARACTERS_MAX = 10_000
_APP = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_PLATFORM = re.compile(r"[a-z0-9_]{1,100}")
_KNOWN_PLATFORM = re.compile(
    r"any"
    r"|(?:linux|(?:manylinux(?:1|2010|2014)|(?:many|musl)linux_\d{1,2}_\d{1,3}))"
    r"_(?:x86_64|i686|aarch64|armv[678]l|ppc64|ppc64le|s390x|riscv64|loongarch64)"
    r"|macosx_\d{1,2}_\d{1,2}_(?:x86_64|arm64|universal2?|intel)"
    r"|win32|win_amd64|win_arm64",
    re.ASCII,
)
PLATFORMS = (
    "linux_ARCH, manylinux2014_ARCH, manylinux_2_28_ARCH, musllinux_1_2_ARCH (ARCH such as x86_64 or aarch64), "
    "macosx_11_0_arm64, macosx_11_0_x86_64 or win_amd64"
)
_CHECK = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}")


def check_manifest(manifest: Manifest) -> None:
    """Raises `UpdateRefused` BAD_METADATA for a field that no update may have."""
    parse_version(manifest.version)
    least = Version(manifest.min_spore) if _is_version(manifest.min_spore) else None
    specifier_of(manifest.python)
    rules = {
        "app": (_APP.fullmatch(manifest.app), "1 to 64 small letters, digits, - and _"),
        "min_spore": (least, "a version such as 0.3.0"),
        "platforms": (
            manifest.platforms and all(_PLATFORM.fullmatch(tag) for tag in manifest.platforms),
            "one or more platform tags of wheels such as linux_x86_64, or any",
        ),
        "check": (not manifest.check or _CHECK.fullmatch(manifest.check), "module:function, or empty"),
        "lock": (not manifest.lock or _SHA256.fullmatch(manifest.lock), "64 hexadecimal digits, or empty"),
        "description": (
            len(manifest.description) <= DESCRIPTION_CHARACTERS_MAX,
            f"at most {DESCRIPTION_CHARACTERS_MAX} characters",
        ),
    }
    for field, (holds, wanted) in rules.items():
        if not holds:
            raise UpdateRefused(Code.BAD_METADATA, f"{field} of the manifest must be {wanted}")


def parse_version(text: str) -> Version:
    """A version in its one normal form, so that it can name files; `UpdateRefused` BAD_METADATA."""
    if not _is_version(text) or str(Version(text)) != text:
        given = text[:VERSION_CHARACTERS_MAX]
        raise UpdateRefused(Code.BAD_METADATA, f"{given!a} is not a version in normal form such as 1.4.0 or 2.0rc1")
    return Version(text)


def check_spelling(version: str, others: Iterable[str], done: str) -> None:
    """Raises `UpdateRefused` VERSION_REUSED if one of the others is the same written another way, as 1.6 is 1.6.0.

    Nodes would take either for the other. `done`: what was done with the others, such as signed.
    """
    for other in others:
        if other != version and _is_version(other) and Version(other) == Version(version):
            said = f"{version} is the same version as {other}, which is {done} already"
            raise UpdateRefused(Code.VERSION_REUSED, f"{said}; give it a new version")


def check_platforms(manifest: Manifest) -> None:
    """Raises `UpdateRefused` BAD_METADATA for a platform that no node can report (`packaging.tags.platform_tags()`)."""
    for tag in manifest.platforms:
        if not _KNOWN_PLATFORM.fullmatch(tag):
            raise UpdateRefused(Code.BAD_METADATA, f"no node is of the platform {tag:.100}; give any, {PLATFORMS}")


def specifier_of(text: str) -> SpecifierSet:
    """Which versions of Python are meant; `UpdateRefused` BAD_METADATA."""
    try:
        if len(text) > SPECIFIER_CHARACTERS_MAX:
            raise InvalidSpecifier(text)
        return SpecifierSet(text)
    except InvalidSpecifier:
        given = text[:SPECIFIER_CHARACTERS_MAX]
        raise UpdateRefused(Code.BAD_METADATA, f"python {given!a} is not a specifier such as >=3.11,<3.15") from None


def release_name(version: str, sha256: str) -> str:
    """What a release is called on a node: `<version>-<first 12 digits of the package's hash>`."""
    return f"{version}-{sha256[:12]}"


def _is_version(text: str) -> bool:
    try:
        return len(text) <= VERSION_CHARACTERS_MAX and bool(Version(text))
    except InvalidVersion:
        return False
