"""The one place that may ask a package index: here a folder stands in for it, and pip is the real one."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from tests.ota.folders import snapshot
from tests.ota.hand_wheels import make_wheel
from venom_core.ota.refusal import Code, UpdateRefused
from venom_core.ota.wheelhouse import everywhere, fetch_wheels, wheels_for
from venom_core.ota.wheels import lock_wheel


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip is set up to take packages from, and nothing else."""
    folder = tmp_path / "index"
    folder.mkdir()
    (tmp_path / "pip.conf").write_text("")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def _pins(tmp_path: Path, *wheels: Path, more: str = "") -> Path:
    path = tmp_path / "requirements.txt"
    known = [lock_wheel(wheel) for wheel in wheels]
    path.write_text("".join(f"{lock.name}=={lock.version} --hash=sha256:{lock.sha256}\n" for lock in known) + more)
    return path


def test_wheels_are_fetched_by_their_hash_and_then_locked(tmp_path: Path, index: Path) -> None:
    acme, idna = make_wheel(index, requires=["idna"]), make_wheel(index, "idna", "3.7")
    house = tmp_path / "new" / "house"
    pins = _pins(tmp_path, acme, idna)
    fetch_wheels(pins, house)
    assert sorted(path.name for path in house.iterdir()) == [acme.name, idna.name]
    found = wheels_for(pins, house)
    assert [wheel.locked for wheel in found] == [lock_wheel(acme), lock_wheel(idna)]


def test_what_is_not_the_pinned_file_is_not_fetched(tmp_path: Path, index: Path) -> None:
    pins = _pins(tmp_path, make_wheel(index))
    make_wheel(index, change={"more.py": b"x"})
    house = tmp_path / "house"
    with pytest.raises(UpdateRefused, match="UNREACHABLE: pip could not fetch the wheels: ") as refused:
        fetch_wheels(pins, house)
    assert str(refused.value).isprintable()
    assert list(house.iterdir()) == []


@pytest.mark.usefixtures("index")
def test_a_line_that_is_refused_never_reaches_pip(tmp_path: Path) -> None:
    """The bait is source whose build would leave a file behind."""
    bait = tmp_path / "bait"
    bait.mkdir()
    (bait / "setup.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    for line, code in ((f"{bait}", Code.LOCK_EDITABLE), (f"-e {bait}", Code.LOCK_EDITABLE)):
        pins = _pins(tmp_path, more=f"{line}\n")
        before = snapshot(tmp_path)
        with pytest.raises(UpdateRefused) as refused:
            fetch_wheels(pins, tmp_path / "house")
        assert refused.value.code is code
        assert snapshot(tmp_path) == before


def test_fetching_is_bounded_in_time(tmp_path: Path, index: Path) -> None:
    pins = _pins(tmp_path, make_wheel(index))
    with pytest.raises(UpdateRefused, match=r"UNREACHABLE: fetching the wheels took more than 0\.001 s"):
        fetch_wheels(pins, tmp_path / "house", limit_s=0.001)


@pytest.mark.usefixtures("index")
def test_without_pip_it_is_said_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UpdateRefused, match="LOCAL_FAULT: there is no pip here to fetch wheels with; install it"):
        fetch_wheels(_pins(tmp_path), tmp_path / "house")


def test_a_wheel_for_other_machines_alone_is_no_lock_for_this_one(tmp_path: Path) -> None:
    """What is built here is tried here first; the other machines' wheels may lie beside it."""
    house = tmp_path / "house"
    other = make_wheel(house, tag="cp39-cp39-win_amd64")
    with pytest.raises(UpdateRefused, match="LOCK_INCOMPLETE: no wheel of acme"):
        wheels_for(_pins(tmp_path, other), house)
    plain = make_wheel(house)
    both = f"--hash=sha256:{lock_wheel(plain).sha256} --hash=sha256:{lock_wheel(other).sha256}"
    pins = _pins(tmp_path, more=f"acme==1.0 {both}\n")
    assert [wheel.path for wheel in wheels_for(pins, house)] == [other, plain]


def test_an_extra_of_a_pin_is_looked_after(tmp_path: Path) -> None:
    house = tmp_path / "house"
    wheel = make_wheel(house, requires=["nowhere; extra == 'all'"])
    digest = lock_wheel(wheel).sha256
    assert wheels_for(_pins(tmp_path, more=f"acme==1.0 --hash=sha256:{digest}\n"), house)
    with pytest.raises(UpdateRefused, match=r"LOCK_INCOMPLETE: .* needs nowhere"):
        wheels_for(_pins(tmp_path, more=f"acme[all]==1.0 --hash=sha256:{digest}\n"), house)


def test_a_folder_of_far_too_many_files_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    house = tmp_path / "house"
    pins = _pins(tmp_path, make_wheel(house))
    monkeypatch.setattr("venom_core.ota.wheelhouse.FILES_MAX", 0)
    with pytest.raises(UpdateRefused, match="TOO_BIG"):
        wheels_for(pins, house)


def test_what_every_spore_has_is_this_project_with_updates_and_their_needs() -> None:
    found = everywhere()
    assert {"venom-hive", "msgspec", "redis", "hiredis", "httpcore", "anyio", "tuf", "cryptography"} <= found.keys()
    assert not {"pytest", "bandit", "nvidia-ml-py"} & found.keys()


def test_what_is_not_installed_here_is_not_counted_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("venom_core.ota.wheelhouse.PROJECT", "a-project-that-is-nowhere")
    assert everywhere() == {}
