"""A passphrase made dear to guess: what encrypts a key is its scrypt, not the passphrase itself.

PEM files are encrypted with 2,048 rounds of PBKDF2, which a graphics card tries by the million a second. The line
before the PEM says how it was stretched, so that the cost can rise later; whoever changes it only locks the key.
"""

from __future__ import annotations

import hashlib
import re
import secrets

from venom_core.errors import InputError

COST = 2**15
"""scrypt's n for new keys: a tenth of a second and 32 MiB a guess."""
COST_MAX = 2**20
_BLOCK, _SALT_BYTES, _KEY_BYTES = 8, 16, 32
_LINE = re.compile(rb"scrypt n=([0-9]{1,7}) salt=([0-9a-f]{32})")


def new_line(cost: int) -> bytes:
    """How the passphrase of a new key is stretched."""
    return f"scrypt n={cost} salt={secrets.token_hex(_SALT_BYTES)}".encode()


def stretched(passphrase: str, line: bytes) -> bytes:
    """What encrypts the PEM under this line; a PEM without one is encrypted with the passphrase as it is."""
    found = _LINE.fullmatch(line)
    if found is None:
        return passphrase.encode()
    cost = int(found[1])
    if not 2 <= cost <= COST_MAX or cost & (cost - 1):
        raise InputError(f"a key says it was stretched {cost} times, which this release does not do; restore its file")
    salt = bytes.fromhex(found[2].decode())
    memory = 128 * cost * _BLOCK + 2**20
    made = hashlib.scrypt(passphrase.encode(), salt=salt, n=cost, r=_BLOCK, p=1, maxmem=memory, dklen=_KEY_BYTES)
    return made.hex().encode()
