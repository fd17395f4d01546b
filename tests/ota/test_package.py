from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from packaging.tags import platform_tags

from tests.ota.folders import snapshot
from tests.ota.hand_wheels import make_wheel
from tests.ota.hand_zips import Hand, hand_zip
from venom_core.ota.archive import unpack
from venom_core.ota.lock import read_lock
from venom_core.ota.manifest import Listing, Manifest
from venom_core.ota.package import build_package, inspect_package
from venom_core.ota.refusal import Code, UpdateRefused
from venom_core.ota.sources import collect_sources
from venom_core.ota.wheels import lock_wheel
from venom_core.ota.zip_reader import Limits

PLAIN = Manifest(app="tasks", version="1.4.0", description="more tasks")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A small project with what does not belong into a release."""
    root = tmp_path / "project" / "skills"
    for name, content in {
        "__init__.py": "",
        "deep/er/mod.py": "x = 1\n",
        "data.bin": "\0\1",
        "run": "#!/bin/sh\n",
        ".git/config": "secret",
        "__pycache__/mod.cpython-311.pyc": "x",
        "deep/old.pyc": "x",
        ".env": "PASSWORD=x",
    }.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    (root / "run").chmod(0o700)
    (root / "empty").mkdir()
    return root


def _code(manifest: Manifest, *paths: Path, limits: Limits | None = None) -> Code:
    with pytest.raises(UpdateRefused) as refused:
        build_package(manifest, paths, limits=limits)
    return refused.value.code


def test_a_package_holds_the_sources_by_their_names_and_a_manifest(source: Path, tmp_path: Path) -> None:
    other = tmp_path / "tool.py"
    other.write_text("y = 2\n")
    built = build_package(PLAIN, [source, other])
    package = built.package
    assert package.contents.files == (
        "app/skills/__init__.py",
        "app/skills/data.bin",
        "app/skills/deep/er/mod.py",
        "app/skills/run",
        "app/tool.py",
        "manifest.json",
    )
    assert (package.name, package.manifest, package.wheels, package.lock) == ("tasks-1.4.0.zip", PLAIN, (), None)
    assert (package.sha256, package.length) == (hashlib.sha256(built.data).hexdigest(), len(built.data))
    unpack(built.data, tmp_path / "new", package.listing())
    assert (tmp_path / "new/app/skills/run").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "new/app/skills/data.bin").stat().st_mode & 0o777 == 0o644


def test_the_same_input_is_the_same_bytes(source: Path, tmp_path: Path) -> None:
    """Times, order, umask, the place of the sources and what is left out do not count."""
    other = tmp_path / "tool.py"
    other.write_text("y = 2\n")
    first = build_package(PLAIN, [source, other])
    copy = tmp_path / "elsewhere" / "skills"
    before = os.umask(0o077)
    try:
        shutil.copytree(source, copy, copy_function=shutil.copyfile)
    finally:
        os.umask(before)
    (copy / "run").chmod(0o755)
    (copy / "more.pyc").write_bytes(b"new")
    shutil.rmtree(copy / ".git")
    for path in copy.rglob("*"):
        os.utime(path, (1_000_000_000, 1_000_000_000))
    assert build_package(PLAIN, [other, copy]).data == first.data


def test_a_source_may_be_the_folder_that_one_is_in(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = build_package(PLAIN, [source])
    monkeypatch.chdir(source)
    assert build_package(PLAIN, [Path()]).data == named.data
    monkeypatch.chdir(source / "deep")
    assert build_package(PLAIN, [Path("..")]).data == named.data


def test_what_is_signed_beside_a_package(source: Path) -> None:
    package = build_package(PLAIN, [source]).package
    assert package.listing(["n1"], ["gpu"], ["1.5.0"]) == Listing(
        manifest=PLAIN,
        nodes=("n1",),
        tags=("gpu",),
        files=5,
        unpacked_bytes=package.contents.unpacked_bytes,
        downgrade_from=("1.5.0",),
    )


def test_links_and_devices_are_refused(source: Path, tmp_path: Path) -> None:
    (source / "link").symlink_to("/etc/passwd")
    assert _code(PLAIN, source) is Code.ZIP_TYPE
    (source / "link").unlink()
    (tmp_path / "way").symlink_to(source)
    assert _code(PLAIN, tmp_path / "way") is Code.ZIP_TYPE
    os.mkfifo(source / "pipe")
    assert _code(PLAIN, source) is Code.ZIP_TYPE


def test_a_release_of_nothing_is_refused(source: Path) -> None:
    assert _code(PLAIN) is Code.BAD_METADATA
    assert _code(PLAIN, source / "empty") is Code.BAD_METADATA


def test_names_that_would_clash_are_refused(source: Path, tmp_path: Path) -> None:
    twin = tmp_path / "skills"
    twin.mkdir()
    (twin / "data.bin").write_bytes(b"")
    assert _code(PLAIN, source, twin) is Code.ZIP_DUPLICATE
    (source / "a:b").write_bytes(b"")
    assert _code(PLAIN, source) is Code.ZIP_PATH


def test_a_source_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UpdateRefused) as refused:
        build_package(PLAIN, [tmp_path / "none.py"])
    assert str(refused.value) == f"LOCAL_FAULT: the source {tmp_path / 'none.py'} is not there; check the path"


def test_every_platform_of_this_python_is_known(source: Path) -> None:
    manifest = msgspec.structs.replace(PLAIN, platforms=tuple(platform_tags()))
    assert inspect_package(build_package(manifest, [source]).data).manifest == manifest
    with pytest.raises(
        UpdateRefused, match=r"no node is of the platform windoze; give any, linux_ARCH, manylinux2014_"
    ):
        build_package(msgspec.structs.replace(PLAIN, platforms=("windoze",)), [source])


@pytest.mark.parametrize(
    "limits", [Limits(files=4), Limits(unpacked_bytes=10), Limits(file_bytes=5), Limits(files=2, unpacked_bytes=10**6)]
)
def test_sources_are_bounded(source: Path, limits: Limits) -> None:
    assert _code(PLAIN, source, limits=limits) is Code.TOO_BIG


def test_sources_up_to_the_limits_are_taken_and_one_more_is_not(source: Path) -> None:
    exact = Limits(files=5, unpacked_bytes=18, file_bytes=10)
    assert collect_sources([source], exact).bytes == 18
    for field in ("files", "unpacked_bytes", "file_bytes"):
        with pytest.raises(UpdateRefused) as refused:
            collect_sources([source], replace(exact, **{field: getattr(exact, field) - 1}))
        assert refused.value.code is Code.TOO_BIG


@pytest.mark.parametrize(
    "change",
    [
        {"app": ""},
        {"app": "../x"},
        {"app": "Tasks"},
        {"app": "a" * 65},
        {"version": "1.0-final"},
        {"version": "v1.0"},
        {"version": "../1"},
        {"version": "1" * 65},
        {"min_spore": "x"},
        {"platforms": ()},
        {"platforms": ("linux-x86",)},
        {"platforms": ("windoze",)},
        {"platforms": ("any", "linux_x86-64")},
        {"platforms": ("linux_windoze",)},
        {"platforms": ("manylinux_2_17",)},
        {"python": "3.11"},
        {"python": ">=3.11," * 50},
        {"check": "module"},
        {"check": "module:a.b"},
        {"check": "a b:c"},
        {"check": "os:system('x')"},
        {"lock": "abc"},
        {"description": "x" * 10_001},
    ],
)
def test_a_manifest_that_no_node_would_take_is_refused(source: Path, change: dict[str, object]) -> None:
    assert _code(msgspec.structs.replace(PLAIN, **change), source) is Code.BAD_METADATA


@pytest.mark.parametrize(
    "change",
    [
        {"version": "1!2.0rc1.post2.dev3+local.4"},
        {"platforms": ("manylinux_2_17_x86_64", "any")},
        {"platforms": ("linux_armv7l", "manylinux2014_aarch64", "musllinux_1_2_x86_64", "win_amd64")},
        {"platforms": ("macosx_11_0_arm64", "macosx_10_13_universal2")},
        {"python": ">=3.11,<3.15"},
        {"check": "skills.deep.er:ready"},
        {"min_spore": "0.3.0"},
    ],
)
def test_a_manifest_may_say_whom_it_is_for(source: Path, change: dict[str, object]) -> None:
    manifest = msgspec.structs.replace(PLAIN, **change)
    assert inspect_package(build_package(manifest, [source]).data).manifest == manifest


def test_what_is_no_package_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(hand_zip([Hand(b"app/a")]))
    before = snapshot(tmp_path)
    with pytest.raises(UpdateRefused, match=r"BAD_METADATA: the package has no manifest\.json"):
        inspect_package(path)
    with pytest.raises(UpdateRefused, match="LOCAL_FAULT"):
        inspect_package(tmp_path / "none.zip")
    assert snapshot(tmp_path) == before


def _requirements(tmp_path: Path, *wheels: Path, more: str = "") -> Path:
    path = tmp_path / "requirements.txt"
    known = [lock_wheel(wheel) for wheel in wheels]
    path.write_text("".join(f"{lock.name}=={lock.version} --hash=sha256:{lock.sha256}\n" for lock in known) + more)
    return path


@pytest.mark.parametrize("embed", [False, True])
def test_dependencies_become_a_lock(source: Path, tmp_path: Path, embed: bool) -> None:
    house = tmp_path / "house"
    acme, idna = make_wheel(house, requires=["idna>=3"]), make_wheel(house, "idna", "3.7")
    make_wheel(house, "other", "1.0")
    (house / "notes.txt").write_text("not a wheel")
    pins = _requirements(tmp_path, idna, acme)
    built = build_package(PLAIN, [source], requirements=pins, wheelhouse=house, embed_wheels=embed)
    package = built.package
    assert package.lock is not None
    assert package.lock.wheels == (lock_wheel(acme), lock_wheel(idna))
    assert package.wheels == (() if embed else (acme, idna))
    unpack(built.data, tmp_path / "new", package.listing())
    text = (tmp_path / "new" / "lock.json").read_bytes()
    assert (read_lock(text), package.manifest.lock) == (package.lock, hashlib.sha256(text).hexdigest())
    inside = {f"wheels/{path.name}": path.read_bytes() for path in (acme, idna)} if embed else {}
    found = {name for name in package.contents.files if name.startswith("wheels/")}
    assert {name: (tmp_path / "new" / name).read_bytes() for name in found} == inside
    again = build_package(PLAIN, [source], requirements=pins, wheelhouse=house, embed_wheels=embed)
    assert again.data == built.data


def test_a_list_without_packages_is_an_empty_lock(source: Path, tmp_path: Path) -> None:
    built = build_package(PLAIN, [source], requirements=_requirements(tmp_path, more="# none\n"))
    assert built.package.lock is not None
    assert built.package.lock.wheels == ()


def test_an_embedded_wheel_is_the_locked_one(source: Path, tmp_path: Path) -> None:
    """A package whose lock names one wheel and that brings another, made by whoever can write zips."""
    house = tmp_path / "house"
    wheel = make_wheel(house)
    pins = _requirements(tmp_path, wheel)
    built = build_package(PLAIN, [source], requirements=pins, wheelhouse=house, embed_wheels=True)
    unpack(built.data, tmp_path / "new", built.package.listing())
    files = {name: (tmp_path / "new" / name).read_bytes() for name in built.package.contents.files}
    files[f"wheels/{wheel.name}"] += b"more"
    with pytest.raises(UpdateRefused, match=r"LOCK_BAD: 'wheels/acme-1.0-py3-none-any.whl' is not a wheel that"):
        inspect_package(hand_zip([Hand(name.encode(), files[name]) for name in sorted(files)]))


def test_a_lock_is_made_only_of_wheels_that_are_there_and_whole(source: Path, tmp_path: Path) -> None:
    house = tmp_path / "house"
    acme = make_wheel(house, requires=["bandit>=1"])

    def code(requirements: Path, wheelhouse: Path | None = house) -> Code:
        with pytest.raises(UpdateRefused) as refused:
            build_package(PLAIN, [source], requirements=requirements, wheelhouse=wheelhouse)
        return refused.value.code

    assert (
        code(_requirements(tmp_path, acme)) is Code.LOCK_INCOMPLETE
    )  # bandit may be installed here, not on every Spore
    assert code(_requirements(tmp_path, acme), None) is Code.LOCK_INCOMPLETE
    assert code(_requirements(tmp_path, acme), tmp_path / "none") is Code.LOCAL_FAULT
    more = f"idna==3.7 --hash=sha256:{'0' * 64}\n"
    assert code(_requirements(tmp_path, acme, more=more)) is Code.LOCK_INCOMPLETE
    make_wheel(house, "idna", "3.7")
    assert code(_requirements(tmp_path, acme, more=more)) is Code.WRONG_HASH
    assert code(_requirements(tmp_path, acme, more="--pre\n")) is Code.LOCK_OPTION
    bad = make_wheel(house, "bad", "1.0", change={"bad.pth": b"import os"})
    assert code(_requirements(tmp_path, bad)) is Code.BAD_WHEEL


def test_what_every_spore_has_need_not_be_brought(source: Path, tmp_path: Path) -> None:
    house = tmp_path / "house"
    wheel = make_wheel(house, requires=["msgspec>=0.19", "anyio", "venom-hive"])
    built = build_package(PLAIN, [source], requirements=_requirements(tmp_path, wheel), wheelhouse=house)
    assert built.package.wheels == (wheel,)
