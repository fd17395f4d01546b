"""Environments of releases, made for real: with the interpreter that runs the tests, offline, by pip and by uv."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ota.folders import snapshot
from tests.ota.hand_wheels import make_wheel
from venom_core.ota import environment
from venom_core.ota.refusal import Code, UpdateRefused
from venom_core.ota.wheels import Wheel, check_wheel, lock_wheel

READY = "def ready():\n    return True\n"


def _wheel(path: Path) -> Wheel:
    return check_wheel(path, lock_wheel(path))


def _release(home: Path, **modules: str) -> Path:
    """A folder as a package is unpacked to, with these modules in its `app/`."""
    release = home / "1.4.0-abcdefabcdef"
    (release / "app").mkdir(parents=True)
    for name, text in modules.items():
        (release / "app" / f"{name}.py").write_text(text)
    return release


def _say(python: Path, code: str) -> list[str]:
    done = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=True, cwd="/")
    return done.stdout.splitlines()


def _program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def no_uv(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A PATH on which there is no uv that runs."""
    _program(tmp_path / "bin" / "uv", "exit 1")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))


def _refused(release: Path, wheels: list[Wheel], limit_s: float = 100) -> UpdateRefused:
    """Why building is refused; the release's folder is as before."""
    before = snapshot(release)
    with pytest.raises(UpdateRefused) as refused:
        environment.build(release, wheels, None, limit_s=limit_s)
    assert snapshot(release) == before
    return refused.value


@pytest.mark.usefixtures("no_uv")
def test_a_release_sees_its_wheels_then_its_app_and_then_the_base(tmp_path: Path) -> None:
    """What is in front hides what the base has under the same name; wheels lie in a store by their hash."""
    release = _release(tmp_path / "an odd é place", skills=READY, idna="")
    store = tmp_path / "store"
    wheels = [_wheel(make_wheel(store)), _wheel(make_wheel(store, "httpx", "9.0"))]
    stored = [Wheel(wheel.path.rename(store / wheel.locked.sha256), wheel.locked) for wheel in wheels]
    base = environment.base_site_packages()
    python = environment.build(release, stored, base)
    assert python == environment.interpreter(release)
    assert sorted(path.name for path in release.iterdir()) == ["app", "venv"]
    site = next((release / "venv" / "lib").glob("python*/site-packages"))
    told = _say(
        python,
        "import sys, acme, httpx, idna, skills, msgspec, venom_core\n"
        "for it in (acme, httpx, idna, skills, msgspec): print(it.__file__)\n"
        "print(*sys.path, sep='\\n')",
    )
    app = release / "app"
    expected = [site / "acme.py", site / "httpx.py", app / "idna.py", app / "skills.py", base / "msgspec/__init__.py"]
    assert told[:5] == [str(path) for path in expected]
    assert told.index(str(site)) < told.index(str(app)) < told.index(str(base))
    environment.smoke(release, "skills:ready")


def test_the_base_is_read_as_python_reads_its_own(tmp_path: Path) -> None:
    """An editable install is a `.pth` that leads to a checkout."""
    base, checkout = tmp_path / "it's a base", tmp_path / "checkout"
    base.mkdir()
    checkout.mkdir()
    (checkout / "edited.py").write_text("x = 5\n")
    (base / "editable.pth").write_text(f"{checkout}\n")
    before = snapshot(base)
    python = environment.build(_release(tmp_path), [], base)
    assert _say(python, "import edited; print(edited.x)") == ["5"]
    assert snapshot(base) == before


def test_a_release_without_a_base_stands_alone(tmp_path: Path) -> None:
    release = _release(tmp_path, skills=READY)
    python = environment.build(release, [], None)
    assert _say(python, "import skills; print(skills.ready())") == ["True"]
    before = snapshot(release)
    environment.smoke(release, "skills:ready", modules=["skills"])
    with pytest.raises(UpdateRefused, match="DOES_NOT_START: importing it failed: ModuleNotFoundError"):
        environment.smoke(release)
    assert snapshot(release) == before


def test_a_release_that_does_not_start_is_found_out(tmp_path: Path) -> None:
    modules = {
        "broken": "import sys\nraise ValueError('no\\x1bway')\n",
        "silent": "import os\nos._exit(3)\n",
        "leaves": "import sys\nsys.exit(0)\n",
        "hangs": "import threading\nthreading.Event().wait()\n",
        "sound": "ready = 5\n",
    }
    release = _release(tmp_path, **modules)
    environment.build(release, [], None)
    said = {
        "broken": "importing it failed: ValueError: no?way",
        "silent": "importing it failed: it said nothing",
        "leaves": "importing it ended the process",
        "none": "No module named 'none'",
        "sound:ready": "sound:ready is not a function",
        "sound:other": "sound:other is not a function",
    }
    for place, why in said.items():
        with pytest.raises(UpdateRefused) as refused:
            environment.smoke(release, place, modules=[])
        assert refused.value.code is Code.DOES_NOT_START
        assert why in str(refused.value)
    with pytest.raises(UpdateRefused, match=r"DOES_NOT_START: importing it took more than 0\.5 s"):
        environment.smoke(release, "hangs", modules=[], limit_s=0.5)


def test_uv_is_given_checked_files_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program in uv's place notes its words and its surroundings."""
    notes = tmp_path / "notes"
    _program(tmp_path / "bin" / "uv", f"echo \"$@\" >> '{notes}'\n/usr/bin/env >> '{notes}'")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    for name in ("PIP_INDEX_URL", "UV_FIND_LINKS", "PYTHONPATH", "HTTPS_PROXY", "NEXUS_SHARED_TOKEN"):
        monkeypatch.setenv(name, "secret")
    release = _release(tmp_path)
    environment.build(release, [_wheel(make_wheel(tmp_path / "store"))], None)
    asked, *_ = lines = notes.read_text().splitlines()
    assert asked == "--version"
    words = next(line for line in lines if line.startswith("pip install")).split(" ")
    assert words[:-1] == [
        *("pip", "install", "--no-config", "--offline", "--no-cache", "--no-deps", "--no-index", "--no-build"),
        *("--link-mode=copy", "--python", str(release / "venv/bin/python")),
    ]
    assert words[-1].endswith("/acme-1.0-py3-none-any.whl")
    assert "secret" not in notes.read_text()


@pytest.mark.skipif(shutil.which("uv") is None, reason="uv is not on this machine; pip does the same in its place")
def test_uv_installs_what_it_is_given(tmp_path: Path) -> None:
    release = _release(tmp_path)
    python = environment.build(release, [_wheel(make_wheel(tmp_path / "store"))], None)
    site = next((release / "venv" / "lib").glob("python*/site-packages"))
    assert (site / "acme-1.0.dist-info/INSTALLER").read_text().strip() == "uv"
    assert _say(python, "import acme; print(acme.VERSION)") == ["1.0"]


@pytest.mark.usefixtures("no_uv")
def test_a_wheel_that_pip_does_not_take_leaves_nothing_behind(tmp_path: Path) -> None:
    strange = _wheel(make_wheel(tmp_path / "store", tag="cp39-cp39-win_amd64"))
    refused = _refused(_release(tmp_path), [strange])
    assert str(refused).startswith("LOCAL_FAULT: installing its wheels failed: ")


def test_a_wheel_that_changed_since_it_was_checked_is_not_installed(tmp_path: Path) -> None:
    wheel = _wheel(make_wheel(tmp_path / "store"))
    wheel.path.write_bytes(wheel.path.read_bytes() + b"x")
    assert _refused(_release(tmp_path), [wheel]).code is Code.WRONG_HASH
    wheel.path.unlink()
    assert _refused(tmp_path / "1.4.0-abcdefabcdef", [wheel]).code is Code.LOCAL_FAULT


def test_an_installer_that_fails_or_hangs_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release, wheel = _release(tmp_path), _wheel(make_wheel(tmp_path / "store"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    failing = 'test "$1" = --version || { echo "error: No space left on device (os error 28)"; exit 2; }'
    _program(tmp_path / "bin" / "uv", failing)
    assert str(_refused(release, [wheel])).startswith("NO_SPACE: installing its wheels found no room on the disk")
    _program(tmp_path / "bin" / "uv", 'test "$1" = --version || exec /bin/sleep 1000')
    assert "installing its wheels took more than 0.5 s" in str(_refused(release, [wheel], limit_s=0.5))


@pytest.mark.usefixtures("no_uv")
def test_without_an_installer_it_is_said_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    refused = _refused(_release(tmp_path), [_wheel(make_wheel(tmp_path / "store"))])
    assert "neither uv nor pip 22.3 to install the release's wheels; install one of them" in str(refused)
    assert refused.code is Code.LOCAL_FAULT


def test_an_environment_that_is_there_is_not_touched(tmp_path: Path) -> None:
    release = _release(tmp_path)
    (release / "venv").mkdir()
    (release / "venv" / "mine").write_text("mine")
    assert _refused(release, []).code is Code.LOCAL_FAULT
    assert _refused(tmp_path / "none", []).code is Code.LOCAL_FAULT


def test_a_python_without_venv_is_said_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Debian, where that module is a package of its own."""
    monkeypatch.setattr(sys, "executable", str(_program(tmp_path / "python", "echo No module named venv; exit 1")))
    refused = _refused(_release(tmp_path), [])
    assert str(refused) == "LOCAL_FAULT: making its environment (python -m venv) failed: No module named venv"


LIMITED = """
import resource, sys
from pathlib import Path
from venom_core.ota import environment
from venom_core.ota.refusal import UpdateRefused
from venom_core.ota.wheels import check_wheel, lock_wheel
wheel = Path(sys.argv[2])
checked = check_wheel(wheel, lock_wheel(wheel))
before = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
try:
    environment.build(Path(sys.argv[1]), [checked], None)
except UpdateRefused as refused:
    print(refused)
resource.setrlimit(resource.RLIMIT_FSIZE, before)
"""


def test_a_disk_that_takes_no_more_leaves_nothing_behind(tmp_path: Path) -> None:
    release = _release(tmp_path)
    wheel = make_wheel(
        tmp_path / "store", change={"noise.bin": bytes(range(256)) * 10 + Path(sys.executable).read_bytes()[:90_000]}
    )
    before = snapshot(release)
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, release, wheel], capture_output=True, text=True, check=True, timeout=100
    )
    assert done.stdout.startswith("NO_SPACE: building the environment failed: File too large"), done
    assert snapshot(release) == before
