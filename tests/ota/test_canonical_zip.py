from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.ota.folders import snapshot
from venom_core.ota import canonical_zip
from venom_core.ota.archive import audit, unpack
from venom_core.ota.canonical_zip import write_zip
from venom_core.ota.manifest import MANIFEST, Listing, Manifest, write_manifest
from venom_core.ota.refusal import Code, UpdateRefused

LETTERS = st.text(st.sampled_from("abcxyz019_-+ é中ñ"), min_size=1, max_size=8)
PART = LETTERS.map(str.strip).filter(bool).filter(lambda part: part not in {"aux", "con"})
NAMES = st.lists(PART, min_size=1, max_size=4).map("/".join)
CONTENT = st.one_of(st.binary(max_size=300), st.integers(0, 200_000).map(lambda size: b"\0" * size))
MANY = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def _apart(names: list[str]) -> bool:
    """No name is also the folder of another."""
    taken = set(names)
    above = {"/".join(name.split("/")[:depth]) for name in names for depth in range(1, name.count("/") + 1)}
    return not taken & above


FILES = st.dictionaries(NAMES, CONTENT, max_size=8).filter(lambda files: _apart(list(files)))


@MANY
@given(FILES)
def test_what_is_written_is_always_read_and_is_the_same_in_any_order(files: dict[str, bytes]) -> None:
    written = write_zip(files)
    assert written == write_zip(dict(reversed(files.items())))
    contents = audit(written)
    assert set(contents.files) == set(files)
    assert contents.unpacked_bytes == sum(map(len, files.values()))


@MANY
@given(FILES)
def test_others_read_the_same_files(files: dict[str, bytes]) -> None:
    with zipfile.ZipFile(io.BytesIO(write_zip(files))) as read:
        assert read.testzip() is None
        assert {name: read.read(name) for name in read.namelist()} == files


def _listing(manifest: Manifest, files: dict[str, bytes]) -> Listing:
    return Listing(manifest=manifest, files=len(files), unpacked_bytes=sum(map(len, files.values())))


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_what_is_unpacked_is_what_was_packed_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    manifest = Manifest(app="tasks", version="1.0")
    text = write_manifest(manifest)
    files = {MANIFEST: text, "app/run.sh": b"#!/bin/sh\n", "app/pkg/mod.py": b"x = 1\n" * 50_000, "app/empty": b""}
    data = write_zip(files, programs={"app/run.sh"})
    before = os.umask(umask)
    try:
        unpack(data, tmp_path / "new", _listing(manifest, files))
    finally:
        os.umask(before)
    assert {name: (tmp_path / "new" / name).read_bytes() for name in files} == files
    told = snapshot(tmp_path / "new")
    kinds = {path: said.split()[:2] for path, said in told.items()}
    assert kinds == {
        ".": ["folder", "0755"],
        "app": ["folder", "0755"],
        "app/empty": ["file", "0644"],
        "app/pkg": ["folder", "0755"],
        "app/pkg/mod.py": ["file", "0644"],
        "app/run.sh": ["file", "0755"],
        "manifest.json": ["file", "0644"],
    }


def test_what_packs_as_well_as_a_bomb_is_stored() -> None:
    zeros = write_zip({"a": b"\0" * 1_000_000})
    assert len(zeros) > 1_000_000
    audit(zeros)


def test_the_form_does_not_change() -> None:
    """Stored entries do not depend on zlib: these bytes are the format, whoever builds and whenever."""
    assert write_zip({"b/é": b"1", "a": b""}).hex() == (
        "504b03041400000000000000210000000000000000000000000001000000"
        "61"
        "504b030414000008000000002100b7efdc830100000001000000" + "04000000"
        "622fc3a9"
        "31"
        "504b01021403140000000000000021000000000000000000000000000100000000000000000000" + "00a48100000000"
        "61"
        "504b0102140314000008000000002100b7efdc83010000000100000004000000000000000000" + "0000a4811f000000"
        "622fc3a9"
        "504b05060000000002000200610000004200000000" + "00"
    )


def test_too_many_files_and_too_many_bytes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UpdateRefused, match="65534 files") as refused:
        write_zip({str(number): b"" for number in range(65_535)})
    assert refused.value.code is Code.TOO_BIG
    monkeypatch.setattr(canonical_zip, "BYTES_MAX", 1000)
    with pytest.raises(UpdateRefused) as refused:
        write_zip({"a": os.urandom(2000)})
    assert refused.value.code is Code.TOO_BIG
