"""What a message says of an update, held against what was joined and what is signed. It can only ever be refused."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from venom_core.ota.addresses import TARGETS_PATH, parse_base
from venom_core.ota.refusal import Code, UpdateRefused
from venom_core.ota.verifying import Signed

URL_CHARS_MAX = 1_000
_PATH = re.compile(re.escape(TARGETS_PATH) + r"(packages/[0-9a-f]{64}\.[A-Za-z0-9][A-Za-z0-9._+!-]{0,180})", re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Hint:
    """An address and a checksum that are well formed; nothing more is known of them."""

    path: str
    checksum: str

    @classmethod
    def read(cls, package_url: object, checksum: object, joined_url: str, allowed: Sequence[str]) -> Hint:
        """The hint in a message. `allowed`: hosts that it may name besides that of `joined_url`.

        Nothing is ever asked of the host that it names. Raises `UpdateRefused` BAD_HINT, BAD_URL or HOST_NOT_ALLOWED.
        """
        if not isinstance(package_url, str) or len(package_url) > URL_CHARS_MAX:
            raise UpdateRefused(Code.BAD_HINT, "the address of the package is no text that an address could be")
        if not isinstance(checksum, str) or not _SHA256.fullmatch(checksum):
            raise UpdateRefused(Code.BAD_HINT, f"the checksum is 64 hexadecimal digits, not {checksum!r:.80}")
        base, _, rest = package_url.partition(TARGETS_PATH)
        found = _PATH.fullmatch(f"{TARGETS_PATH}{rest}")
        if base:
            _check_host(base, joined_url, allowed)
        if found is None:
            raise UpdateRefused(
                Code.BAD_HINT,
                f"{package_url!r:.120} is not the address of a package, which is {TARGETS_PATH}packages/…",
            )
        return cls(found[1], checksum)

    def check(self, signed: Sequence[Signed]) -> None:
        """Raise `UpdateRefused` NOT_SIGNED or WRONG_HASH unless this very package is signed."""
        named = next((each for each in signed if each.listing is not None and each.served_as == self.path), None)
        if named is None:
            raise UpdateRefused(
                Code.NOT_SIGNED, f"{self.path:.200} is not signed by whom this node follows; sign and publish it first"
            )
        if named.sha256 != self.checksum:
            raise UpdateRefused(
                Code.WRONG_HASH, f"{named.name} is signed with the checksum {named.sha256}, not {self.checksum}"
            )


def _check_host(base: str, joined_url: str, allowed: Sequence[str]) -> None:
    named, joined = parse_base(base, insecure=True), parse_base(joined_url, insecure=True)
    if str(named) != str(joined) and named.host not in allowed:
        raise UpdateRefused(
            Code.HOST_NOT_ALLOWED,
            f"{named} is not {joined}, which was joined here; name its host in HIVE_OTA_ALLOWED_HOSTS if it may be",
        )


def hosts(text: str) -> tuple[str, ...]:
    """The names in HIVE_OTA_ALLOWED_HOSTS."""
    return tuple(name.strip().lower() for name in text.split(",") if name.strip())
