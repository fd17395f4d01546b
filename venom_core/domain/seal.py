"""Seals: who may have written a record, and that nobody changed it since.

Layout of every sealed record, so that any reader can tell the parts without a key:

    byte 0    format version (1)
    byte 1    algorithm: 0 unsigned, 1 keyed BLAKE2b-128 (RFC 7693); others are reserved for per-node keys
    byte 2    key id: tells the present token from the previous one during a rotation
    byte 3    mark: for a task its priority, for an outcome its status letter
    16 bytes  the code, if the algorithm has one
    rest      the body

The code covers kind, hive, id and everything but itself, so a record moved to another id, queue or hive
is refused like an altered one. Anyone who holds the shared token can forge: that is what shared means.
"""

from __future__ import annotations

import hmac
from hashlib import blake2b
from typing import Literal, get_args

from venom_core.errors import InvalidSetting, SecurityError

VERSION = 1
UNSIGNED, KEYED_BLAKE2B = 0, 1
HEADER_BYTES, CODE_BYTES = 4, 16
TOKEN_CHARS_MIN = 32

Kind = Literal["task", "outcome", "order", "run"]

# Of the ids in use, written once; formatting them costs a twentieth of a seal.
_LENGTHS = tuple(b"%d:" % length for length in range(129))


class Seal:
    """Seals and opens records of one hive; without a token it marks them unsigned and asks no code of others."""

    def __init__(self, namespace: str, token: str | None = None, previous: str | None = None) -> None:
        for candidate in (token, previous):
            if candidate is not None and len(candidate) < TOKEN_CHARS_MIN:
                raise InvalidSetting(f"NEXUS_SHARED_TOKEN must have at least {TOKEN_CHARS_MIN} characters")
        self.required = token is not None
        self._namespace = namespace.encode()
        self._keys = [_Key(secret.encode(), self._namespace) for secret in (token, previous) if secret is not None]

    def close(self, kind: Kind, record_id: str, mark: int, body: bytes) -> bytes:
        """The sealed record; `mark` is one byte of meaning that scripts may read."""
        if not self._keys:
            return bytes((VERSION, UNSIGNED, 0, mark)) + body
        key = self._keys[0]
        header = key.headers[mark]
        return header + key.code(kind, record_id, header, body) + body

    def open(self, kind: Kind, record_id: str, record: bytes) -> bytes:
        """The body; `SecurityError` if the record is malformed, unsigned while a token is set, altered or foreign."""
        if len(record) < HEADER_BYTES or record[0] != VERSION:
            raise SecurityError(f"the {kind} record of {record_id} is not in a format this release knows")
        if not self._keys:
            if record[1] != UNSIGNED:
                raise SecurityError(f"the {kind} record of {record_id} is signed; set NEXUS_SHARED_TOKEN to read it")
            return record[HEADER_BYTES:]
        if record[1] != KEYED_BLAKE2B:
            raise SecurityError(f"the {kind} record of {record_id} is not signed with this hive's token")
        header, body = record[:HEADER_BYTES], record[HEADER_BYTES + CODE_BYTES :]
        code = record[HEADER_BYTES : HEADER_BYTES + CODE_BYTES]
        for key in self._keys:
            if key.id == record[2] and hmac.compare_digest(code, key.code(kind, record_id, header, body)):
                return body
        raise SecurityError(f"the {kind} record of {record_id} was altered or signed by somebody else")


class _Key:
    """One token's derived key, with a primed hash per kind because priming costs more than hashing."""

    def __init__(self, secret: bytes, namespace: bytes) -> None:
        key = blake2b(secret, digest_size=32, person=b"venom-hive-key").digest()
        self.id = blake2b(secret, digest_size=1, person=b"venom-key-id").digest()[0]
        self.headers = [bytes((VERSION, KEYED_BLAKE2B, self.id, mark)) for mark in range(256)]
        self._primed = {kind: self._prime(key, kind, namespace) for kind in get_args(Kind)}

    @staticmethod
    def _prime(key: bytes, kind: str, namespace: bytes) -> blake2b:
        primed = blake2b(key=key, digest_size=CODE_BYTES, person=kind.encode())
        primed.update(len(namespace).to_bytes(2) + namespace)
        return primed

    def code(self, kind: Kind, record_id: str, header: bytes, body: bytes) -> bytes:
        digest = self._primed[kind].copy()
        identity = record_id.encode()
        length = len(identity)
        digest.update(header + (_LENGTHS[length] if length < len(_LENGTHS) else b"%d:" % length) + identity + body)
        return digest.digest()
