"""No key and no folder of ours enters a package, under whatever name it is met."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.ota.folders import snapshot
from tests.ota.households import CHEAP, PASSPHRASE
from venom_core.core.ota_shelf import Shelf
from venom_core.ota.canonical_zip import write_zip
from venom_core.ota.manifest import MANIFEST, Manifest, write_manifest
from venom_core.ota.package import build_package, inspect_package
from venom_core.ota.refusal import Code, UpdateRefused
from venom_core.ota.repository import Repository

PLAIN = Manifest(app="tasks", version="1.0.0")
ALL = ("app/project/tasks.py", "manifest.json")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "tasks.py").write_text("VERSION = 1\n")
    return folder


def private_key(form: PrivateFormat = PrivateFormat.PKCS8) -> bytes:
    return Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, form, NoEncryption())


def private(source: Path, home: Path | None = None) -> str:
    with pytest.raises(UpdateRefused) as refused:
        build_package(PLAIN, [source], home=home)
    assert refused.value.code is Code.PRIVATE, str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize("name", [".venom/ota", "keys-of-ours"])
def test_the_home_of_the_keys_is_left_out_and_the_same_sources_stay_the_same_bytes(name: str, project: Path) -> None:
    home = project / name
    Repository(home, PASSPHRASE, cost=CHEAP).init()
    shelf = Shelf(home, "")
    first = shelf.build(PLAIN, [project])
    assert inspect_package(first.path).contents.files == ALL
    assert shelf.build(PLAIN, [project]) == first
    # Also for who has set HIVE_OTA_HOME to another folder since.
    assert build_package(PLAIN, [project]).package.sha256 == first.checksum


def test_a_home_without_keys_yet_is_left_out_by_whatever_name(project: Path, tmp_path: Path) -> None:
    home = project / "shelf"
    built = Shelf(home, "").build(PLAIN, [project])
    assert inspect_package(built.path).contents.files == ALL
    (tmp_path / "way").symlink_to(home)
    assert Shelf(tmp_path / "way", "").build(PLAIN, [project]) == built_at(built.path, tmp_path / "way")
    shutil.move(home, tmp_path / "away")
    home.symlink_to(tmp_path / "away")
    assert build_package(PLAIN, [project], home=tmp_path / "away").package.contents.files == ALL
    assert build_package(PLAIN, [project], home=home).package.contents.files == ALL


def built_at(path: Path, home: Path) -> object:
    return next(each for each in Shelf(home, "").all() if each.path.name == path.name)


@pytest.mark.parametrize("mark", ["trust/joined.json", "launcher.lock", "releases/0-base/COMPLETE"])
def test_the_home_of_a_launcher_is_left_out(mark: str, project: Path) -> None:
    spore = project / "spore"
    (spore / mark).parent.mkdir(parents=True)
    (spore / mark).write_text("")
    (spore / "audit.jsonl").write_text("{}")
    assert build_package(PLAIN, [project]).package.contents.files == ALL
    assert f"lies in {spore}, where keys or a node" in private(spore / "audit.jsonl")


def test_a_source_in_a_folder_of_ours_is_refused(project: Path, tmp_path: Path) -> None:
    home = tmp_path / "ota"
    (home / "packages").mkdir(parents=True)
    (home / "packages" / "tasks.py").write_text("")
    for source in (home, home / "packages", home / "packages" / "tasks.py"):
        assert str(home) in private(source, home)
    (tmp_path / "way").symlink_to(home / "packages")
    assert str(home) in private(tmp_path / "way", home)
    (project / ".venom" / "more").mkdir(parents=True)
    assert ".venom" in private(project / ".venom" / "more")


@pytest.mark.parametrize(
    "content",
    [
        private_key(),
        private_key(PrivateFormat.OpenSSH),
        b"# ours\r\n-----BEGIN RSA PRIVATE KEY-----\r\nProc-Type: 4,ENCRYPTED\r\n",
        b"-----BEGIN ENCRYPTED PRIVATE KEY-----",
        b"-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nlQ",
        b'{"private_key": "-----BEGIN PRIVATE KEY-----\\nMIIE"}',
        b'KEY = """-----BEGIN EC PRIVATE KEY-----\nMIIE"""',
    ],
)
def test_a_private_key_is_refused_by_its_name(content: bytes, project: Path) -> None:
    (project / "deep").mkdir()
    (project / "deep" / "server.txt").write_bytes(content)
    said = private(project)
    assert said.startswith(f"PRIVATE: {project / 'deep' / 'server.txt'} holds a private key")
    assert "PRIVATE KEY" not in said


@pytest.mark.parametrize(
    "content",
    [
        b'MARK = "-----BEGIN PRIVATE KEY-----"\n',
        b'START = b"-----BEGIN PRIVATE KEY-----\\n"\n',
        b"-----BEGIN PUBLIC KEY-----\nMCow\n-----END PUBLIC KEY-----\n",
        b"-----BEGIN CERTIFICATE-----\nMIIB\n",
    ],
)
def test_what_only_names_keys_is_a_source_like_others(content: bytes, project: Path) -> None:
    (project / "tasks.py").write_bytes(content)
    assert build_package(PLAIN, [project]).package.contents.files == ALL


def test_a_package_of_others_that_holds_a_key_is_not_signed(repository: Repository, tmp_path: Path) -> None:
    """Such as one that lies on the shelf since a release of Venom Hive that packed all it found."""
    path = tmp_path / "tasks-2.0.0.zip"
    manifest = Manifest(app="tasks", version="2.0.0")
    path.write_bytes(write_zip({"app/p/root.pem": private_key(), MANIFEST: write_manifest(manifest)}, set()))
    before = snapshot(repository.home)
    with pytest.raises(UpdateRefused, match=r"PRIVATE: app/p/root\.pem in .*tasks-2\.0\.0\.zip holds a private key"):
        repository.add_package(path)
    assert snapshot(repository.home) == before
