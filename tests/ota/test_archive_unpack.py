"""What a package must be beside a sound archive, what a broken disk does, and what random damage does."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import zipfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.ota.folders import snapshot
from tests.ota.hand_zips import Hand, central_record, end_record, hand_zip, local_record
from venom_core.ota.archive import Archive, Limits, audit, unpack
from venom_core.ota.canonical_zip import write_zip
from venom_core.ota.durable import local_faults, sync_tree
from venom_core.ota.lock import Lock, write_lock
from venom_core.ota.manifest import MANIFEST, Listing, Manifest, write_manifest
from venom_core.ota.refusal import Code, UpdateRefused
from venom_core.ota.zip_reader import CHUNK_BYTES

PLAIN = Manifest(app="tasks", version="1.4.0")
EMPTY_LOCK = write_lock(Lock())


def packed(files: dict[str, bytes], manifest: Manifest = PLAIN) -> dict[str, bytes]:
    """The files of a package."""
    return {MANIFEST: write_manifest(manifest), **files}


def listing_of(files: dict[str, bytes], manifest: Manifest = PLAIN) -> Listing:
    return Listing(manifest=manifest, files=len(files), unpacked_bytes=sum(map(len, files.values())))


def refused_code(files: dict[str, bytes], listing: Listing, folder: Path) -> Code:
    with pytest.raises(UpdateRefused) as refused:
        unpack(write_zip(files), folder / "new", listing)
    assert snapshot(folder) == {".": "folder 0700"}
    return refused.value.code


GOOD = packed({"app/mod": b"x = 1\n" * 20, "app/other": b""})


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"files": 2}, Code.ZIP_BOMB),
        ({"files": 4}, Code.ZIP_LIES),
        ({"unpacked_bytes": 100}, Code.ZIP_BOMB),
        ({"unpacked_bytes": 100_000}, Code.ZIP_LIES),
        ({"manifest": Manifest(app="tasks", version="1.4.1")}, Code.BAD_METADATA),
    ],
)
def test_a_package_holds_what_was_signed_and_no_more(tmp_path: Path, change: dict[str, object], code: Code) -> None:
    assert refused_code(GOOD, msgspec.structs.replace(listing_of(GOOD), **change), tmp_path) is code


@pytest.mark.parametrize(
    ("files", "code"),
    [
        ({"app/mod": b"x"}, Code.BAD_METADATA),
        (packed({"app": b"x"}), Code.ZIP_PATH),
        (packed({"setup.py": b"x"}), Code.ZIP_PATH),
        (packed({"venv/bin/python": b"x"}), Code.ZIP_PATH),
        (packed({"wheels/a.tar.gz": b"x"}), Code.ZIP_PATH),
        (packed({"wheels/a/b.whl": b"x"}), Code.ZIP_PATH),
        (packed({"wheels/a-1-py3-none-any.whl": b"x"}), Code.LOCK_BAD),
        (packed({"lock.json": EMPTY_LOCK}), Code.LOCK_BAD),
        ({MANIFEST: b"[" * 60_000}, Code.BAD_METADATA),
        ({MANIFEST: b"x" * 70_000}, Code.TOO_BIG),
    ],
)
def test_a_package_holds_a_manifest_an_app_and_what_its_lock_names(
    tmp_path: Path, files: dict[str, bytes], code: Code
) -> None:
    assert refused_code(files, listing_of(files), tmp_path) is code


def test_a_manifest_may_not_name_a_lock_that_is_not_there(tmp_path: Path) -> None:
    manifest = msgspec.structs.replace(PLAIN, lock="0" * 64)
    files = packed({}, manifest)
    assert refused_code(files, listing_of(files, manifest), tmp_path) is Code.LOCK_BAD


def test_a_lock_in_another_form_is_refused(tmp_path: Path) -> None:
    text = EMPTY_LOCK.replace(b" ", b"")
    manifest = msgspec.structs.replace(PLAIN, lock=hashlib.sha256(text).hexdigest())
    files = packed({"lock.json": text}, manifest)
    assert refused_code(files, listing_of(files, manifest), tmp_path) is Code.LOCK_BAD


def test_a_package_is_unpacked_beside_what_is_there(tmp_path: Path) -> None:
    manifest = msgspec.structs.replace(PLAIN, lock=hashlib.sha256(EMPTY_LOCK).hexdigest())
    files = packed({"lock.json": EMPTY_LOCK, "app/a": b"1"}, manifest)
    unpack(write_zip(files), tmp_path / "new", listing_of(files, manifest))
    assert {name: (tmp_path / "new" / name).read_bytes() for name in files} == files
    sync_tree(tmp_path / "new")
    before = snapshot(tmp_path)
    with pytest.raises(UpdateRefused, match="LOCAL_FAULT: unpacking failed: File exists"):
        unpack(write_zip(files), tmp_path / "new", listing_of(files, manifest))
    assert snapshot(tmp_path) == before


def test_a_file_that_cannot_be_read_is_a_local_fault(tmp_path: Path) -> None:
    with pytest.raises(UpdateRefused, match="LOCAL_FAULT: reading the archive failed: No such file") as refused:
        audit(tmp_path / "none.zip")
    assert refused.value.code is Code.LOCAL_FAULT


def test_a_file_that_shrinks_while_it_is_read_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "package.zip"
    path.write_bytes(write_zip({"a": bytes(range(256)) * 1000}))
    with path.open("r+b", buffering=0) as file:
        archive = Archive(file, Limits())
        file.truncate(100_000)
        with pytest.raises(UpdateRefused, match="ZIP_CORRUPT: 'a' is cut off"):
            archive.check()


def test_what_comes_out_behind_the_last_packed_byte_is_counted_too() -> None:
    """A run of zeros may end in the middle of a piece when all packed bytes are taken in."""
    loose = Limits(ratio=1100)
    for size in range(CHUNK_BYTES - 2, CHUNK_BYTES + 300):
        assert audit(hand_zip([Hand(b"a", bytes(size), method=8)]), loose).unpacked_bytes == size
        with pytest.raises(UpdateRefused, match="ZIP_LIES"):
            audit(hand_zip([Hand(b"a", bytes(size), method=8).both(size=size - 1)]), loose)


def test_a_full_disk_is_said_as_such() -> None:
    with pytest.raises(UpdateRefused, match="NO_SPACE: writing failed: No space left"), local_faults("writing"):
        Path("/dev/full").write_bytes(b"x" * 100_000)


LIMITED = """
import resource, sys
from pathlib import Path
from tests.ota.test_archive_unpack import listing_of, packed
from venom_core.ota.archive import unpack
from venom_core.ota.canonical_zip import write_zip
from venom_core.ota.refusal import UpdateRefused
files = packed({"app/a": b"1", "app/b": bytes(range(256)) * 100, "app/c": b"2"})
before = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
try:
    unpack(write_zip(files), Path(sys.argv[1]), listing_of(files))
except UpdateRefused as refused:
    print(refused)
resource.setrlimit(resource.RLIMIT_FSIZE, before)
"""


def test_what_was_half_unpacked_is_removed_when_the_disk_takes_no_more(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, tmp_path / "new"], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("NO_SPACE: unpacking failed: File too large"), done
    assert snapshot(tmp_path) == {".": "folder 0700"}


SOUND = write_zip(packed({"app/a": b"x = 1\n" * 40, "app/b": bytes(range(256)), "app/c": b""}))


def _harmless(damaged: bytes) -> bool:
    """Whether it is refused in one line, or read as if nothing had happened."""
    try:
        return audit(damaged) == audit(SOUND)
    except UpdateRefused as refused:
        return str(refused).isprintable()


@settings(max_examples=400, deadline=None)
@given(place=st.integers(0, len(SOUND) - 1), change=st.integers(1, 255))
def test_a_changed_byte_is_refused_or_changes_nothing(place: int, change: int) -> None:
    """The mode of a file may become the other allowed one; all else is held twice or by a checksum."""
    assert _harmless(SOUND[:place] + bytes([SOUND[place] ^ change]) + SOUND[place + 1 :])


@settings(max_examples=200, deadline=None)
@given(first=st.integers(0, len(SOUND)), second=st.integers(0, len(SOUND)), middle=st.binary(max_size=60))
def test_bytes_cut_out_or_put_in_are_refused(first: int, second: int, middle: bytes) -> None:
    start, end = sorted((first, second))
    assert _harmless(SOUND[:start] + middle + SOUND[end:])


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400))
def test_noise_is_refused_by_code(noise: bytes) -> None:
    for text in (noise, noise + SOUND[-22:], SOUND[:-22] + noise[-22:].ljust(22, b"\0")):
        with pytest.raises(UpdateRefused):
            audit(text, Limits(files=10))


def test_wheels_of_others_may_have_folders_dates_and_times(tmp_path: Path) -> None:
    path = tmp_path / "other.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        made.mkdir("pkg")
        made.writestr("pkg/z.py", "x = 1\n" * 9)
        made.writestr(zipfile.ZipInfo("a.py", (2026, 11, 21, 10, 0, 0)), "y")
    contents = audit(path, canonical=False)
    assert contents.files == ("pkg/z.py", "a.py")
    with pytest.raises(UpdateRefused):
        audit(path)


FOLDER = 0o040755 << 16 | 0x10


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (hand_zip([Hand(b"a", attributes=FOLDER)]), Code.ZIP_TYPE),
        (hand_zip([Hand(b"a/", b"")]), Code.ZIP_TYPE),
        (hand_zip([Hand(b"a", attributes=0x08)]), Code.ZIP_TYPE),
        (hand_zip([Hand(b"a", made=20, attributes=0o120777 << 16)]), Code.ZIP_TYPE),
        (hand_zip([Hand(b"a"), Hand(b"a/", b"", attributes=FOLDER)]), Code.ZIP_DUPLICATE),
        (hand_zip([Hand(b"A"), Hand(b"a/b/", b"", attributes=FOLDER)]), Code.ZIP_DUPLICATE),
        (hand_zip([Hand(b"../", b"", attributes=FOLDER)]), Code.ZIP_PATH),
        (hand_zip([Hand("é".encode()).both(flags=0)]), Code.ZIP_PATH),
        (hand_zip([Hand(b"\xff").both(flags=0x800)]), Code.ZIP_PATH),
        (hand_zip([Hand(b"a", extra=b"\x55\x54\x09\0x")]), Code.ZIP_CORRUPT),
        (hand_zip([Hand(b"a", extra=b"\x01\0\0\0")]), Code.ZIP_UNSUPPORTED),
        (hand_zip([Hand(b"a", extra=b"\x55\x54\x01\0x\x75\x70\0\0")]), Code.ZIP_UNSUPPORTED),
    ],
)
def test_wheels_of_others_may_not_lead_astray_either(data: bytes, code: Code) -> None:
    with pytest.raises(UpdateRefused) as refused:
        audit(data, canonical=False)
    assert refused.value.code is code


def _entry_at_the_very_end() -> bytes:
    """The mark of a local record in the last four bytes before the end record, too late for a whole one."""
    entry = Hand(b"a", central={"extra": b"\x55\x54\4\0PK\3\4"})
    body = local_record(entry) + entry.packed
    length = len(central_record(entry, 0))
    central = central_record(entry, len(body) + length - 4)
    return body + central + end_record(1, length, len(body))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (hand_zip([Hand(b"a").both(flags=1)]), "ZIP_UNSUPPORTED: an entry is encrypted"),
        (hand_zip([Hand(b"a").both(flags=8)]), "ZIP_UNSUPPORTED: an entry tells its size behind its content"),
        (hand_zip([Hand(b"a").both(flags=0x20)]), "ZIP_UNSUPPORTED: an entry has flags .* know .0x20"),
        (hand_zip([Hand(b"a", b"x" * 99).both(size=9)]), "ZIP_LIES: a stored entry tells of 99 packed and 9 unpacked"),
        (hand_zip([Hand(b"a", attributes=0x10)]), "ZIP_TYPE"),
        (hand_zip([Hand(b"a", attributes=0o104755 << 16)]), "ZIP_TYPE"),
        (hand_zip([Hand(b"a", extra=b"\x55\x54\x88\x13" + bytes(5000))]), "ZIP_BOMB"),
        (_entry_at_the_very_end(), "ZIP_CORRUPT: there is no entry"),
    ],
)
def test_wheels_of_others_may_not_be_read_in_two_ways_either(data: bytes, said: str) -> None:
    with pytest.raises(UpdateRefused, match=said):
        audit(data, Limits(files=1), canonical=False)


def test_wheels_of_others_may_be_recorded_in_another_order() -> None:
    first, second = Hand(b"b"), Hand(b"a")
    body = local_record(first) + first.packed
    central = central_record(second, len(body)) + central_record(first, 0)
    body += local_record(second) + second.packed
    whole = body + central + end_record(2, len(central), len(body))
    assert audit(whole, canonical=False).files == ("a", "b")


def test_packed_bytes_behind_an_end_on_the_border_of_a_piece_are_found() -> None:
    """One stored block of deflate, exactly as long as the pieces that are read."""
    content = bytes(range(256)) * 255 + bytes(251)
    block = b"\1" + len(content).to_bytes(2, "little") + (0xFFFF - len(content)).to_bytes(2, "little") + content
    assert len(block) == CHUNK_BYTES
    assert audit(hand_zip([Hand(b"a", content, method=8, data=block)])).unpacked_bytes == len(content)
    with pytest.raises(UpdateRefused, match="ZIP_LIES"):
        audit(hand_zip([Hand(b"a", content, method=8, data=block + b"hidden")]))


def test_no_more_comes_out_than_was_said_and_what_was_said_may_be_read() -> None:
    hidden = hand_zip([Hand(b"a", bytes(10_000_000), method=8).both(size=100_000), Hand(b"b", b"12345")])
    archive = Archive(io.BytesIO(hidden), Limits())
    told: list[int] = []
    with pytest.raises(UpdateRefused, match="ZIP_LIES"):
        told.extend(len(piece) for piece in archive.chunks("a"))
    assert sum(told) <= 100_000
    assert archive.read("b", 5) == b"12345"
    with pytest.raises(UpdateRefused, match="TOO_BIG"):
        archive.read("b", 4)


def test_wheels_of_others_may_carry_harmless_extra_fields_and_folders_twice() -> None:
    timed = hand_zip([Hand(b"b", extra=b"\x55\x54\x01\0x").both(flags=2), Hand(b"a", made=20, attributes=0x20)])
    assert audit(timed, canonical=False).files == ("b", "a")
    folders = hand_zip([Hand(b"a/", b"", attributes=FOLDER), Hand(b"a/b"), Hand(b"a/", b"", attributes=0x10)])
    assert audit(folders, canonical=False).files == ("a/b",)
