"""The one form in which packages are written: same files, same bytes; and nothing a reader could see in two ways.

Names sorted, one fixed time, mode 0644 (0755 for programs), stored or deflated, whichever is smaller; no entries for
folders, no comment, no extra fields, no data descriptors, no zip64. `archive.audit` refuses any other form in a
package. The bytes depend on the release of zlib besides the files: what is signed is their hash, not how to make them.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Collection, Mapping

from venom_core.ota.refusal import Code, UpdateRefused

LOCAL = struct.Struct("<4s5H3I2H")
CENTRAL = struct.Struct("<4s6H3I5H2I")
END = struct.Struct("<4s4H2IH")
LOCAL_SIGN, CENTRAL_SIGN, END_SIGN = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"

MADE_BY = 3 << 8 | 20
"""Unix, version 2.0 of the format: what the central records of a package say."""
NEEDS = 20
UTF8 = 0x800
TIME, DATE = 0, 0x21
"""Midnight of 1 January 1980, the first moment that the format knows."""
STORED, DEFLATED = 0, 8
FILE, PROGRAM = 0o100644 << 16, 0o100755 << 16
"""External attributes of the two kinds of file."""
RATIO_MAX = 100
"""Bytes that one packed byte may become; what packs better is stored, so that a reader can refuse bombs."""

FILES_MAX = 65_534
BYTES_MAX = 0xFFFFFFFE
"""What fits into the format without zip64."""


def write_zip(files: Mapping[str, bytes], programs: Collection[str] = ()) -> bytes:
    """The archive of these files (name with `/` -> content); those in `programs` get mode 0755.

    Raises `UpdateRefused` TOO_BIG above 65,534 files or 4 GiB. Names are judged by whoever reads.
    """
    if len(files) > FILES_MAX:
        raise _too_big(f"{len(files)} files", f"{FILES_MAX} files")
    parts: list[bytes] = []
    central: list[bytes] = []
    offset = 0
    for name in sorted(files, key=_encoded):
        method, packed = _packed(files[name])
        raw = _encoded(name)
        common = _common(raw, files[name], method, len(packed))
        attributes = PROGRAM if name in programs else FILE
        central.append(CENTRAL.pack(CENTRAL_SIGN, MADE_BY, *common, len(raw), 0, 0, 0, 0, attributes, offset) + raw)
        parts += [LOCAL.pack(LOCAL_SIGN, *common, len(raw), 0) + raw, packed]
        offset += LOCAL.size + len(raw) + len(packed)
        if offset > BYTES_MAX:
            raise _too_big(f"more than {BYTES_MAX} bytes", "4 GiB")
    records = b"".join(central)
    return b"".join([*parts, records, END.pack(END_SIGN, 0, 0, len(files), len(files), len(records), offset, 0)])


def _encoded(name: str) -> bytes:
    return name.encode()


def flags_of(raw: bytes) -> int:
    """The only flag of this form: the name is UTF-8, said exactly where it must be."""
    return 0 if raw.isascii() else UTF8


def _common(raw: bytes, content: bytes, method: int, packed: int) -> tuple[int, ...]:
    return NEEDS, flags_of(raw), method, TIME, DATE, zlib.crc32(content), packed, len(content)


def _packed(content: bytes) -> tuple[int, bytes]:
    squeezer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = squeezer.compress(content) + squeezer.flush()
    if len(packed) >= len(content) or len(content) > RATIO_MAX * len(packed):
        return STORED, content
    return DEFLATED, packed


def _too_big(what: str, limit: str) -> UpdateRefused:
    return UpdateRefused(Code.TOO_BIG, f"a package of {what} is above {limit}; split it")
