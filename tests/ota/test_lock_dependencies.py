"""A set of wheels is whole or refused: nothing is resolved on a node."""

from __future__ import annotations

from pathlib import Path

import pytest
from packaging.tags import sys_tags
from packaging.version import Version

from tests.ota.hand_wheels import make_wheel
from venom_core.ota.dependencies import check_closed, checked_wheels, installed_in
from venom_core.ota.environment import base_site_packages
from venom_core.ota.lock import Lock, LockedWheel
from venom_core.ota.refusal import Code, UpdateRefused
from venom_core.ota.wheels import Wheel, check_wheel, lock_wheel

NOTHING: dict[str, Version] = {}


def _wheel(path: Path) -> Wheel:
    return check_wheel(path, lock_wheel(path))


def _acme(tmp_path: Path, *requires: str, python: str = "") -> Wheel:
    return _wheel(make_wheel(tmp_path, requires=requires, python=python))


def _idna(tmp_path: Path, *requires: str, version: str = "3.7") -> Wheel:
    return _wheel(make_wheel(tmp_path, "idna", version, requires=requires))


def _code(*wheels: Wheel, provided: dict[str, Version] = NOTHING) -> Code:
    with pytest.raises(UpdateRefused) as refused:
        check_closed(wheels, provided)
    return refused.value.code


def test_what_a_wheel_needs_is_in_the_lock_or_provided(tmp_path: Path) -> None:
    acme = _acme(tmp_path, "idna>=3")
    assert _code(acme) is Code.LOCK_INCOMPLETE
    assert _code(acme, provided={"idna": Version("2.10")}) is Code.LOCK_INCOMPLETE
    check_closed([acme], {"idna": Version("3.7")})
    check_closed([acme, _idna(tmp_path)], NOTHING)


def test_a_wheel_of_the_lock_hides_what_is_provided(tmp_path: Path) -> None:
    acme = _acme(tmp_path, "Idna>=3")
    assert _code(acme, _idna(tmp_path, version="2.10"), provided={"idna": Version("3.7")}) is Code.LOCK_INCOMPLETE


def test_what_does_not_apply_here_is_not_needed(tmp_path: Path) -> None:
    check_closed([_acme(tmp_path, 'tomli; python_version < "3"', 'rich; extra == "all"')], NOTHING)


def test_an_extra_that_is_wanted_brings_its_needs(tmp_path: Path) -> None:
    acme = _acme(tmp_path, "idna[all]")
    idna = _idna(tmp_path, 'rich; extra == "all"')
    assert _code(acme, idna) is Code.LOCK_INCOMPLETE
    check_closed([acme, idna], {"rich": Version("15")})
    check_closed([_acme(tmp_path / "plain", "idna"), idna], NOTHING)
    with pytest.raises(UpdateRefused, match=r"idna-3.7-py3-none-any.whl needs rich, which is not in the lock"):
        check_closed([idna], NOTHING, {"idna": frozenset({"all"})})


def test_needs_may_go_in_a_circle(tmp_path: Path) -> None:
    check_closed([_acme(tmp_path, "idna[x]"), _idna(tmp_path, "acme[y]; extra == 'x'")], NOTHING)


def test_a_pre_release_meets_a_need(tmp_path: Path) -> None:
    check_closed([_acme(tmp_path, "idna>=3")], {"idna": Version("4.0rc1")})


def test_a_wheel_for_another_python_is_refused(tmp_path: Path) -> None:
    assert _code(_acme(tmp_path, python=">=3.99")) is Code.WRONG_PYTHON


def test_a_condition_that_means_nothing_is_the_fault_of_its_wheel(tmp_path: Path) -> None:
    assert _code(_acme(tmp_path, 'idna; platform_machine ~= "x"')) is Code.BAD_WHEEL


def test_what_is_installed_here_is_known_by_its_normal_name(tmp_path: Path) -> None:
    found = installed_in(base_site_packages())
    assert found["venom-hive"] > Version("0")
    assert {"msgspec", "tuf"} <= found.keys()
    (tmp_path / "odd-1.dist-info").mkdir()
    (tmp_path / "odd-1.dist-info" / "METADATA").write_text("Name: odd\nVersion: one\n")
    (tmp_path / "even-1.dist-info").mkdir()
    (tmp_path / "even-1.dist-info" / "METADATA").write_text("Name: e.Ven\nVersion: 1\n")
    assert installed_in(tmp_path) == {"e-ven": Version("1")}


def test_the_wheels_of_a_lock_are_found_by_hash_and_checked(tmp_path: Path) -> None:
    """As a Spore has them: a store in which each file is called by its hash."""
    store = tmp_path / "store"
    paths = [make_wheel(store, requires=["idna", "msgspec"]), make_wheel(store, "idna", "3.7")]
    known = tuple(lock_wheel(path) for path in paths)
    for path, locked in zip(paths, known, strict=True):
        path.rename(store / f"{locked.sha256}.whl")

    def find(locked: LockedWheel) -> Path:
        return store / f"{locked.sha256}.whl"

    tags = [*sys_tags()]
    found = checked_wheels(Lock(wheels=known), tags, find, base_site_packages())
    assert [wheel.locked for wheel in found] == list(known)
    with pytest.raises(UpdateRefused, match=r"LOCK_INCOMPLETE: .* needs msgspec"):
        checked_wheels(Lock(wheels=known), tags, find, None)
    find(known[0]).write_bytes(b"other")
    with pytest.raises(UpdateRefused, match="WRONG_LENGTH"):
        checked_wheels(Lock(wheels=known), tags, find, base_site_packages())
