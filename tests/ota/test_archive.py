"""The catalogue of bad archives: each is refused with its code and one sentence, and no folder is touched."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from tests.ota.folders import snapshot
from tests.ota.hand_zips import Hand, central_record, deflated, end_record, hand_zip, local_record
from venom_core.ota.archive import Limits, audit, unpack
from venom_core.ota.canonical_zip import write_zip
from venom_core.ota.manifest import Listing, Manifest
from venom_core.ota.refusal import Code, UpdateRefused

MANIFEST_OF = Manifest(app="tasks", version="1.4.0")
GENEROUS = Listing(manifest=MANIFEST_OF, files=10_000, unpacked_bytes=1 << 30)
SMALL = Limits(files=1000, unpacked_bytes=4_000_000, file_bytes=2_000_000)
ZEROS = b"\0" * 1_500_000


def _mode(mode: int) -> int:
    return mode << 16


def _named(*names: str | bytes) -> bytes:
    raw = [name if isinstance(name, bytes) else name.encode() for name in names]
    return hand_zip([Hand(name) for name in sorted(raw)])


def _overlap() -> bytes:
    """200 names, all on one entry."""
    one = Hand(b"a000")
    central = b"".join(central_record(Hand(b"a%03d" % number), 0) for number in range(200))
    body = local_record(one) + one.packed
    return body + central + end_record(200, len(central), len(body))


def _inside() -> bytes:
    """The second entry lies within the packed bytes of the first."""
    inner = Hand(b"b", b"inner")
    outer = Hand(b"a", local_record(inner) + inner.packed)
    body = local_record(outer) + outer.packed
    central = central_record(outer, 0) + central_record(inner, len(local_record(outer)))
    return body + central + end_record(2, len(central), len(body))


def _into_records() -> bytes:
    """The packed bytes of the last entry reach into the central record."""
    entry = Hand(b"a", b"12345678").both(packed=20, size=20)
    body = local_record(entry) + entry.packed
    central = central_record(entry, 0)
    return body + central + end_record(1, len(central), len(body))


def _two_ends() -> bytes:
    first, second = hand_zip([Hand(b"first")]), hand_zip([Hand(b"second")])
    return first + second


def _two_ends_with_true_offsets() -> bytes:
    first = hand_zip([Hand(b"first")])
    return hand_zip([Hand(b"second")], before=first)


def _comment() -> bytes:
    plain = hand_zip([Hand(b"a")])
    return plain[:-2] + b"\x05\x00hello"


def _lost_end() -> bytes:
    entry = Hand(b"a")
    body, central = local_record(entry) + entry.packed, central_record(entry, 0)
    return body + central + end_record(1, len(central), len(body), here=2)


def _zip64() -> bytes:
    """A locator and a wide end record in front of the end record."""
    entry = Hand(b"a")
    body, central = local_record(entry) + entry.packed, central_record(entry, 0)
    wide = b"PK\x06\x06" + (44).to_bytes(8, "little") + bytes(44)
    locator = b"PK\x06\x07" + bytes(4) + len(body + central).to_bytes(8, "little") + bytes(4)
    return body + central + wide + locator + end_record(1, len(central), len(body))


def _patched(place: int) -> bytes:
    """An archive whose end record, which has 22 bytes, says 1 at this place."""
    plain = hand_zip([Hand(b"a")])
    return plain[:place] + b"\1" + plain[place + 1 :]


def _cut_record(end: int = -3) -> bytes:
    entry = Hand(b"abcdef")
    body, central = local_record(entry) + entry.packed, central_record(entry, 0)[:end]
    return body + central + end_record(1, len(central), len(body))


def _late_entry() -> bytes:
    entry = Hand(b"a").both()
    entry.central["offset"] = 10_000
    return hand_zip([entry])


def _other_order() -> bytes:
    entries = [Hand(b"b"), Hand(b"a")]
    body = b"".join(local_record(entry) + entry.packed for entry in entries)
    second = len(local_record(entries[0]) + entries[0].packed)
    central = central_record(entries[1], second) + central_record(entries[0], 0)
    return body + central + end_record(2, len(central), len(body))


NFD = unicodedata.normalize("NFD", "é.py")
PATHS: dict[str, str | bytes] = {
    "up": "../evil",
    "up from below": "a/../../evil",
    "absolute": "/abs",
    "drive": "C:/x",
    "backslash": "..\\x",
    "nul": "a\0b.py",
    "empty": "",
    "blank": " ",
    "dot": "a/./b",
    "double slash": "a//b",
    "leading space": "a/ b",
    "trailing dot": "a.",
    "trailing space": "a ",
    "folder with a trailing dot": "a./b",
    "device": "CON.py",
    "device without an end": "app/nul",
    "stream": "a.py:ads",
    "escape codes": "a\x1b[31m.py",
    "line": "a\nb",
    "right to left": "a\u202egnp.py",
    "question mark": "a?.py",
    "long": "a" * 201,
    "long in bytes": "中" * 100,
    "deep": "a/" * 32 + "a",
    "3,000 levels": "/".join("a" * 3000),
    "NFD": NFD,
    "latin 1": b"caf\xe9.py",
}
BAD: dict[str, tuple[bytes, Code]] = {f"path {told}": (_named(name), Code.ZIP_PATH) for told, name in PATHS.items()} | {
    "name that is not marked as UTF-8": (hand_zip([Hand("é".encode()).both(flags=0)]), Code.ZIP_UNSUPPORTED),
    "link": (hand_zip([Hand(b"a", b"/etc/passwd", attributes=_mode(0o120777))]), Code.ZIP_TYPE),
    "link and a file behind it": (
        hand_zip([Hand(b"a", b"/etc", attributes=_mode(0o120777)), Hand(b"a/b")]),
        Code.ZIP_TYPE,
    ),
    "character device": (hand_zip([Hand(b"a", attributes=_mode(0o020666))]), Code.ZIP_TYPE),
    "fifo": (hand_zip([Hand(b"a", attributes=_mode(0o010666))]), Code.ZIP_TYPE),
    "setuid": (hand_zip([Hand(b"a", attributes=_mode(0o104755))]), Code.ZIP_TYPE),
    "other mode": (hand_zip([Hand(b"a", attributes=_mode(0o100777))]), Code.ZIP_TYPE),
    "folder": (hand_zip([Hand(b"a/", b"", attributes=_mode(0o040755) | 0x10)]), Code.ZIP_TYPE),
    "name twice": (_named("a", "a"), Code.ZIP_DUPLICATE),
    "letter case": (_named("A.py", "a.py"), Code.ZIP_DUPLICATE),
    "letter case of a folder": (_named("A", "a/b"), Code.ZIP_DUPLICATE),
    "sharp s": (_named("strasse", "straße"), Code.ZIP_DUPLICATE),
    "both forms of Unicode": (_named(NFD, unicodedata.normalize("NFC", NFD)), Code.ZIP_DUPLICATE),
    "file that is a folder": (_named("a", "a/b"), Code.ZIP_DUPLICATE),
    "file that is a folder further up": (_named("a/b", "a/b/c/d"), Code.ZIP_DUPLICATE),
    "cut off": (hand_zip([Hand(b"a")])[:-30], Code.ZIP_CORRUPT),
    "no zip": (b"hello " * 100, Code.ZIP_CORRUPT),
    "nothing": (b"", Code.ZIP_CORRUPT),
    "record cut off": (_cut_record(), Code.ZIP_CORRUPT),
    "wrong checksum": (hand_zip([Hand(b"a").both(crc=1)]), Code.ZIP_CORRUPT),
    "wrong checksum of packed bytes": (hand_zip([Hand(b"a", b"x" * 50, method=8).both(crc=1)]), Code.ZIP_CORRUPT),
    "packed bytes that are none": (hand_zip([Hand(b"a", b"12345", method=8, data=b"\xff" * 9)]), Code.ZIP_CORRUPT),
    "entry behind the end": (_late_entry(), Code.ZIP_CORRUPT),
    "no entry there": (hand_zip([Hand(b"a", b"x" * 99, central={"offset": 5})]), Code.ZIP_CORRUPT),
    "encrypted": (hand_zip([Hand(b"a").both(flags=1)]), Code.ZIP_UNSUPPORTED),
    "encrypted strongly": (hand_zip([Hand(b"a").both(flags=0x40)]), Code.ZIP_UNSUPPORTED),
    "encrypted records": (hand_zip([Hand(b"a").both(flags=0x2000)]), Code.ZIP_UNSUPPORTED),
    "unknown flag": (hand_zip([Hand(b"a").both(flags=0x20)]), Code.ZIP_UNSUPPORTED),
    "method 99": (hand_zip([Hand(b"a").both(method=99)]), Code.ZIP_UNSUPPORTED),
    "method bzip2": (hand_zip([Hand(b"a").both(method=12)]), Code.ZIP_UNSUPPORTED),
    "size behind the content": (hand_zip([Hand(b"a").both(flags=8)]), Code.ZIP_UNSUPPORTED),
    "zip64": (_zip64(), Code.ZIP_UNSUPPORTED),
    "zip64 size": (hand_zip([Hand(b"a").both(size=0xFFFFFFFF, extra=b"\1\0\0\0")]), Code.ZIP_UNSUPPORTED),
    "zip64 offset": (hand_zip([Hand(b"a", central={"offset": 0xFFFFFFFF})]), Code.ZIP_UNSUPPORTED),
    "second name": (hand_zip([Hand(b"a", extra=b"\x75\x70\x01\0x")]), Code.ZIP_UNSUPPORTED),
    "extra field": (hand_zip([Hand(b"a", extra=b"\x55\x54\x01\0x")]), Code.ZIP_UNSUPPORTED),
    "extra field of the other record": (
        hand_zip([Hand(b"a", central={"extra": b"\x55\x54\x01\0x"})]),
        Code.ZIP_UNSUPPORTED,
    ),
    "extra field of one record": (hand_zip([Hand(b"a", local={"extra": b"\x55\x54\x01\0x"})]), Code.ZIP_UNSUPPORTED),
    "other date": (hand_zip([Hand(b"a").both(date=0x5A21)]), Code.ZIP_UNSUPPORTED),
    "other date of one record": (hand_zip([Hand(b"a", local={"date": 0x5A21})]), Code.ZIP_UNSUPPORTED),
    "other writer": (hand_zip([Hand(b"a", made=20)]), Code.ZIP_UNSUPPORTED),
    "names that are not sorted": (hand_zip([Hand(b"b"), Hand(b"a")]), Code.ZIP_UNSUPPORTED),
    "entries in another order": (_other_order(), Code.ZIP_UNSUPPORTED),
    "bomb": (hand_zip([Hand(b"a", ZEROS, method=8)]), Code.ZIP_BOMB),
    "bomb that hides its size": (hand_zip([Hand(b"a", ZEROS, method=8).both(size=100)]), Code.ZIP_LIES),
    "one file too large": (hand_zip([Hand(b"a", b"x" * 2_000_001)]), Code.ZIP_BOMB),
    "10 MB in 10 KB": (hand_zip([Hand(b"a", bytes(10_000_000), method=8)]), Code.ZIP_BOMB),
    "too many files": (hand_zip([Hand(b"%04d" % number) for number in range(1001)]), Code.ZIP_BOMB),
    "too much in all": (
        hand_zip([Hand(b"%d" % number, b"0123456789" * 150_000) for number in range(3)]),
        Code.ZIP_BOMB,
    ),
    "size is smaller": (hand_zip([Hand(b"a", b"x" * 99, method=8).both(size=9)]), Code.ZIP_LIES),
    "size is larger": (hand_zip([Hand(b"a", b"x" * 99, method=8).both(size=100)]), Code.ZIP_LIES),
    "stored with two sizes": (hand_zip([Hand(b"a", b"x" * 99).both(size=9)]), Code.ZIP_LIES),
    "packed bytes that do not end": (
        hand_zip([Hand(b"a", b"x" * 99, method=8, data=deflated(b"x" * 99)[:-1])]),
        Code.ZIP_LIES,
    ),
    "packed bytes that end early": (
        hand_zip([Hand(b"a", b"x" * 99, method=8, data=deflated(b"x" * 99) + b"more")]),
        Code.ZIP_LIES,
    ),
    "packed bytes that end very early": (
        hand_zip([Hand(b"a", b"x" * 99, method=8, data=deflated(b"x" * 99) + bytes(200_000))]),
        Code.ZIP_LIES,
    ),
    "local name differs": (hand_zip([Hand(b"a", local={"name": b"b"})]), Code.ZIP_LIES),
    "local size differs": (hand_zip([Hand(b"a", b"x" * 99, method=8, local={"size": 98})]), Code.ZIP_LIES),
    "local method differs": (hand_zip([Hand(b"a", local={"method": 8})]), Code.ZIP_LIES),
    "local flags differ": (hand_zip([Hand(b"a", local={"flags": 8})]), Code.ZIP_LIES),
    "local checksum differs": (hand_zip([Hand(b"a", local={"crc": 7})]), Code.ZIP_LIES),
    "200 names on one entry": (_overlap(), Code.ZIP_OVERLAP),
    "entry within an entry": (_inside(), Code.ZIP_OVERLAP),
    "entry into the records": (_into_records(), Code.ZIP_OVERLAP),
    "bytes before": (b"#!/bin/sh\n" + hand_zip([Hand(b"a")]), Code.ZIP_AMBIGUOUS),
    "bytes before, with true offsets": (hand_zip([Hand(b"a")], before=b"#!/bin/sh\n"), Code.ZIP_AMBIGUOUS),
    "program in front": (hand_zip([Hand(b"a")], before=b"\x7fELF" + bytes(500)), Code.ZIP_AMBIGUOUS),
    "bytes between": (hand_zip([Hand(b"a")], gap=b"hidden"), Code.ZIP_AMBIGUOUS),
    "bytes behind": (hand_zip([Hand(b"a")]) + b"more", Code.ZIP_AMBIGUOUS),
    "two archives": (_two_ends(), Code.ZIP_AMBIGUOUS),
    "two archives with true offsets": (_two_ends_with_true_offsets(), Code.ZIP_AMBIGUOUS),
    "comment": (_comment(), Code.ZIP_AMBIGUOUS),
    "comment that is not there": (hand_zip([Hand(b"a")])[:-2] + b"\x05\x00", Code.ZIP_AMBIGUOUS),
    "end record of a second disk": (_patched(-18), Code.ZIP_AMBIGUOUS),
    "records on a second disk": (_patched(-16), Code.ZIP_AMBIGUOUS),
    "record of another kind": (hand_zip([Hand(b"a")]).replace(b"PK\1\2", b"PK\1\3"), Code.ZIP_AMBIGUOUS),
    "record cut off early": (_cut_record(20), Code.ZIP_AMBIGUOUS),
    "comment of an entry": (hand_zip([Hand(b"a", comment=b"hi")]), Code.ZIP_AMBIGUOUS),
    "end record of another part": (_lost_end(), Code.ZIP_AMBIGUOUS),
    "end record that counts none": (hand_zip([Hand(b"a")], count=0), Code.ZIP_AMBIGUOUS),
    "end record that counts more": (hand_zip([Hand(b"a")], count=2), Code.ZIP_AMBIGUOUS),
    "entry of another part": (hand_zip([Hand(b"a", central={"disk": 1})]), Code.ZIP_AMBIGUOUS),
    "entry that no record names": (
        hand_zip([Hand(b"b")], before=local_record(Hand(b"a")) + Hand(b"a").packed),
        Code.ZIP_AMBIGUOUS,
    ),
}


@pytest.mark.parametrize("told", BAD)
def test_a_bad_archive_is_refused_and_no_folder_is_touched(tmp_path: Path, told: str) -> None:
    data, code = BAD[told]
    (tmp_path / "current").mkdir()
    package = tmp_path / "package.zip"
    package.write_bytes(data)
    before = snapshot(tmp_path)
    with pytest.raises(UpdateRefused) as refused:
        unpack(package, tmp_path / "new", GENEROUS, SMALL)
    assert refused.value.code is code, refused.value
    assert str(refused.value).isprintable()
    assert str(refused.value).startswith(f"{code}: ")
    assert snapshot(tmp_path) == before
    with pytest.raises(UpdateRefused) as again:
        audit(data, SMALL)
    assert again.value.code is code


@pytest.mark.parametrize("name", ["a" * 200, "/".join("a" * 32), "中" * 85, "a/_ (b) [c] {d}, e=~f!#.+@-g.py"])
def test_names_up_to_the_limits_are_taken(name: str) -> None:
    assert audit(_named(name)).files == (name,)


def test_an_absolute_path_is_called_so() -> None:
    with pytest.raises(UpdateRefused, match="is an absolute path"):
        audit(_named("/abs"))


def test_a_good_one_made_by_the_same_hand_is_taken() -> None:
    made = hand_zip([Hand(b"a"), Hand(b"b", b"x" * 99, method=8), Hand("é".encode(), b"")])
    assert audit(made).files == ("a", "b", "é")
    assert made == write_zip({"a": Hand(b"").content, "b": b"x" * 99, "é": b""})
    assert audit(hand_zip([])).files == ()
