"""`venom ota build` and what `venom ota sign` makes of it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from tests.cli.conftest import Venom, refused, told
from tests.ota.hand_wheels import make_wheel
from venom_core.core.ota_shelf import Shelf
from venom_core.ota.package import inspect_package


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """HIVE_OTA_HOME, in a folder with something to release."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HIVE_OTA_HOME", str(tmp_path / "ota"))
    monkeypatch.setenv("HIVE_OTA_PASSPHRASE", "correct horse battery staple")
    (tmp_path / "our_skills.py").write_text("VERSION = 1\n")
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "things.py").write_text("THINGS = 2\n")
    return tmp_path


def test_a_package_is_built_without_any_key(venom: Venom, folder: Path) -> None:
    done = venom("ota", "build", "1.0.0", "our_skills.py", "more", "--description", "new", "--check", "our_skills:ok")
    assert done.exit_code == 0, done.stderr
    package = folder / "ota" / "packages" / "tasks-1.0.0.zip"
    known = inspect_package(package)
    assert done.stdout == f"{package}  {known.length:,} bytes  sha256 {known.sha256}\n"
    assert done.stderr == "Sign it with: venom ota sign 1.0.0\n"
    assert known.contents.files == ("app/more/things.py", "app/our_skills.py", "manifest.json")
    assert (known.manifest.description, known.manifest.check) == ("new", "our_skills:ok")
    assert not (folder / "ota" / "keys").exists()
    again = venom("ota", "build", "1.0.0", "our_skills.py", "more", "--description", "new", "--check", "our_skills:ok")
    assert again.stdout == done.stdout
    (folder / "our_skills.py").write_text("VERSION = 2\n")
    assert "build it under a new version" in refused(venom("ota", "build", "1.0.0", "our_skills.py"))


def test_every_field_of_the_manifest_can_be_given(venom: Venom, folder: Path) -> None:
    given = ("--app", "scan", "--python", ">=3.12", "--platform", "linux_x86_64", "--min-spore", "0.4")
    done = venom("ota", "build", "2.0", "our_skills.py", *given)
    assert done.stderr == "Sign it with: venom ota sign 2.0 --app scan\n"
    manifest = inspect_package(folder / "ota" / "packages" / "scan-2.0.zip").manifest
    assert (manifest.app, manifest.python, manifest.platforms, manifest.min_spore) == (
        "scan", ">=3.12", ("linux_x86_64",), "0.4",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("1.0.0 beta", "our_skills.py"), "BAD_METADATA"),
        (("1.0", "our_skills.py", "--python", "new"), "BAD_METADATA"),
        (("1.0", "our_skills.py", "--check", "no function"), "BAD_METADATA"),
        (("1.0", "our_skills.py", "--platform", "windoze"), "no node is of the platform windoze"),
    ],
)
def test_what_no_node_would_take_is_not_built(
    arguments: tuple[str, ...], code: str, venom: Venom, folder: Path
) -> None:
    assert code in refused(venom("ota", "build", *arguments))
    assert not list((folder / "ota").glob("packages/*"))


def test_a_version_is_built_in_one_spelling(venom: Venom, folder: Path) -> None:
    assert venom("ota", "build", "1.6", "our_skills.py").exit_code == 0
    said = refused(venom("ota", "build", "1.6.0", "our_skills.py"))
    assert "VERSION_REUSED: 1.6.0 is the same version as 1.6, which is built already; give it a new version" in said
    assert venom("ota", "build", "1.6.1", "our_skills.py").exit_code == 0
    assert venom("ota", "build", "1.6.0", "our_skills.py", "--app", "tasks-2").exit_code == 0
    assert venom("ota", "build", "1.6", "our_skills.py").exit_code == 0


def test_the_keys_stay_out_of_a_package_of_the_whole_folder(
    venom: Venom, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HIVE_OTA_HOME")
    assert venom("ota", "init").exit_code == 0
    built = [venom("ota", "build", "1.0", ".") for _ in range(2)]
    assert [done.exit_code for done in built] == [0, 0], built[1].stderr
    names = inspect_package(folder / ".venom" / "ota" / "packages" / "tasks-1.0.zip").contents.files
    assert [name for name in names if ".venom" in name or name.endswith(".pem")] == []


def test_wrong_use_is_explained(venom: Venom, folder: Path) -> None:
    assert venom("ota", "build", "1.0").exit_code == 2
    assert venom("ota", "build", "1.0", "not_there.py").exit_code == 2
    done = venom("ota", "build", "1.0", "our_skills.py", "--embed-wheels")
    assert (done.exit_code, "go with --requirements" in done.stderr) == (2, True)


def pinned(folder: Path) -> tuple[str, ...]:
    wheel = make_wheel(folder / "wheelhouse")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    (folder / "pins.txt").write_text(f"acme==1.0 --hash=sha256:{digest}\n")
    return "--requirements", "pins.txt", "--wheelhouse", "wheelhouse"


def test_its_wheels_are_signed_with_it(venom: Venom, folder: Path) -> None:
    done = venom("ota", "build", "1.0", "our_skills.py", *pinned(folder))
    assert done.exit_code == 0, done.stderr
    assert done.stdout.splitlines()[1].startswith(str(folder / "ota" / "wheels" / "acme-1.0-py3-none-any.whl"))
    assert venom("ota", "init").exit_code == 0
    assert venom("ota", "sign", "1.0").exit_code == 0
    assert venom("ota", "publish").exit_code == 0
    assert "wheels/acme-1.0-py3-none-any.whl" in json.dumps(told(venom("ota", "verify", "--json")))
    # A second package with the same wheel signs nothing twice, also when the wheel lies here no more.
    assert venom("ota", "build", "2.0", "our_skills.py", *pinned(folder)).exit_code == 0
    (folder / "ota" / "wheels" / "acme-1.0-py3-none-any.whl").unlink()
    assert venom("ota", "sign", "2.0").exit_code == 0


def test_a_wheel_that_is_gone_or_another_is_named(venom: Venom, folder: Path) -> None:
    assert venom("ota", "build", "1.0", "our_skills.py", *pinned(folder)).exit_code == 0
    assert venom("ota", "init").exit_code == 0
    wheel = folder / "ota" / "wheels" / "acme-1.0-py3-none-any.whl"
    content = wheel.read_bytes()
    wheel.unlink()
    assert "is not there, and the package needs it" in refused(venom("ota", "sign", "1.0"))
    wheel.write_bytes(content)
    assert venom("ota", "sign", "1.0").exit_code == 0
    make_wheel(folder / "wheelhouse", change={"acme.py": b"OTHER = 1\n"})
    digest = hashlib.sha256((folder / "wheelhouse" / wheel.name).read_bytes()).hexdigest()
    (folder / "pins.txt").write_text(f"acme==1.0 --hash=sha256:{digest}\n")
    pins = ("--requirements", "pins.txt", "--wheelhouse", "wheelhouse")
    assert venom("ota", "build", "2.0", "our_skills.py", *pins).exit_code == 0
    assert "VERSION_REUSED" in refused(venom("ota", "sign", "2.0"))


def test_wheels_inside_need_no_signature_of_their_own(venom: Venom, folder: Path) -> None:
    done = venom("ota", "build", "1.0", "our_skills.py", *pinned(folder), "--embed-wheels")
    assert done.stdout.splitlines()[1:] == ["acme-1.0-py3-none-any.whl  in the package"]
    [package] = Shelf(folder / "ota", "").all()
    assert package.wheels == ()
