"""Keys as files: read by their owner only, locked by a passphrase, and never another than they seem."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from tests.ota.households import CHEAP, PASSPHRASE
from venom_core.errors import InputError
from venom_core.ota.key_files import KeyFile, key_files, make_key, signer_of
from venom_core.ota.stretching import COST, COST_MAX, new_line, stretched


@pytest.fixture
def locked(tmp_path: Path) -> KeyFile:
    return make_key(tmp_path / "root-1.pem", "root", 1_000, PASSPHRASE, CHEAP)


@pytest.fixture
def bare(tmp_path: Path) -> KeyFile:
    return make_key(tmp_path / "timestamp-1.pem", "timestamp", 2_000, None)


def test_a_key_is_its_owners_and_signs(locked: KeyFile, bare: KeyFile, tmp_path: Path) -> None:
    for path in tmp_path.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for file, passphrase in ((locked, PASSPHRASE), (bare, None)):
        signature = signer_of(file, passphrase).sign(b"text")
        file.key.verify_signature(signature, b"text")
    assert PASSPHRASE.encode() not in locked.path.read_bytes()
    assert [file.half for file in key_files(tmp_path)] == [locked.half, bare.half]
    assert locked.is_here


def test_a_key_is_never_written_over(locked: KeyFile) -> None:
    before = locked.path.read_bytes()
    with pytest.raises(InputError, match="not overwritten"):
        make_key(locked.path, "root", 0, PASSPHRASE, CHEAP)
    assert locked.path.read_bytes() == before


@pytest.mark.parametrize("passphrase", ["wrong horse battery staple", PASSPHRASE + " ", "x"])
def test_a_passphrase_that_does_not_fit_is_one_sentence(passphrase: str, locked: KeyFile) -> None:
    with pytest.raises(InputError, match="the passphrase does not fit; check HIVE_OTA_PASSPHRASE") as caught:
        signer_of(locked, passphrase)
    assert passphrase not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_locked_key_needs_a_passphrase_and_an_open_one_is_none_of_the_offline(locked: KeyFile, bare: KeyFile) -> None:
    with pytest.raises(InputError, match="is encrypted; give its passphrase"):
        signer_of(locked, None)
    with pytest.raises(InputError, match="should be encrypted and is not; rotate it"):
        signer_of(bare, PASSPHRASE)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666, 0o644, 0o610])
def test_a_key_that_others_reach_is_not_used(mode: int, locked: KeyFile) -> None:
    locked.path.chmod(mode)
    with pytest.raises(InputError, match="chmod 600"):
        signer_of(locked, PASSPHRASE)


def test_a_key_is_a_file_and_no_link(locked: KeyFile, tmp_path: Path) -> None:
    moved = tmp_path / "moved.pem"
    locked.path.rename(moved)
    with pytest.raises(InputError, match="bring the key to this machine"):
        signer_of(locked, PASSPHRASE)
    locked.path.symlink_to(moved)
    with pytest.raises(InputError, match="cannot be read"):
        signer_of(locked, PASSPHRASE)
    locked.path.unlink()
    locked.path.mkdir(mode=0o700)
    with pytest.raises(InputError, match="not yours alone"):
        signer_of(locked, PASSPHRASE)
    locked.path.rmdir()
    os.mkfifo(locked.path, 0o600)
    with pytest.raises(InputError, match="not yours alone"):
        signer_of(locked, PASSPHRASE)


def test_another_key_under_its_name_is_noticed(locked: KeyFile, bare: KeyFile) -> None:
    bare.path.write_bytes(b"")
    with pytest.raises(InputError, match="it is no PEM key"):
        signer_of(bare, None)
    other = generate_private_key(SECP256R1())
    bare.path.write_bytes(other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(InputError, match="no Ed25519 key"):
        signer_of(bare, None)
    third = make_key(bare.path.with_name("third.pem"), "timestamp", 0, None)
    bare.path.write_bytes(third.path.read_bytes())
    with pytest.raises(InputError, match="put the right one back"):
        signer_of(bare, None)


def test_a_public_half_that_is_none_is_said(bare: KeyFile, tmp_path: Path) -> None:
    path = tmp_path / "timestamp-1.public.json"
    other = msgspec.structs.replace(bare.half, keyid="0" * 64)
    for data in (
        b"",
        b"{}",
        b"[" * 50_000,
        msgspec.json.encode(other),
        path.read_bytes().replace(b"PUBLIC", b"PUBLIK"),
    ):
        path.write_bytes(data)
        with pytest.raises(InputError, match="restore it from a copy"):
            key_files(tmp_path)


def test_a_passphrase_is_dear_to_guess(tmp_path: Path) -> None:
    file = make_key(tmp_path / "root.pem", "root", 0, PASSPHRASE)
    line, _, pem = file.path.read_bytes().partition(b"\n")
    assert line.startswith(f"scrypt n={COST} salt=".encode())
    with pytest.raises(ValueError, match="password"):
        load_pem_private_key(pem, PASSPHRASE.encode())
    load_pem_private_key(pem, stretched(PASSPHRASE, line))
    assert new_line(COST) != new_line(COST)


@pytest.mark.parametrize("cost", [0, 1, 3, 1000, 2 * COST_MAX, 9_999_999])
def test_a_cost_that_would_take_all_memory_is_not_paid(cost: int, locked: KeyFile) -> None:
    _, _, pem = locked.path.read_bytes().partition(b"\n")
    locked.path.write_bytes(b"\n".join((new_line(cost), pem)))
    with pytest.raises(InputError, match="restore its file"):
        signer_of(locked, PASSPHRASE)
