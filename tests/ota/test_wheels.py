from __future__ import annotations

from pathlib import Path

import pytest

from tests.ota.folders import snapshot
from tests.ota.hand_wheels import locked, make_wheel, record_line
from tests.ota.hand_zips import Hand, hand_zip
from venom_core.ota.refusal import Code, UpdateRefused
from venom_core.ota.wheels import check_wheel, lock_wheel

INFO = "acme-1.0.dist-info"
EXTRA = b"x = 1\n"


def _check(wheel: Path) -> UpdateRefused:
    before = snapshot(wheel.parent)
    with pytest.raises(UpdateRefused) as refused:
        check_wheel(wheel, lock_wheel(wheel))
    assert str(refused.value).isprintable()
    assert snapshot(wheel.parent) == before
    return refused.value


def test_a_sound_wheel_is_taken_whatever_its_file_is_called_here(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, requires=["idna>=3", 'tomli; python_version < "3"'], python=">=3.11")
    known = lock_wheel(wheel)
    stored = wheel.rename(tmp_path / f"{known.sha256}.whl")
    found = check_wheel(stored, known)
    assert (found.path, found.locked) == (stored, known)
    assert [need.name for need in found.requires] == ["idna", "tomli"]
    assert found.requires_python == ">=3.11"
    assert (known.name, known.version, known.file) == ("acme", "1.0", "acme-1.0-py3-none-any.whl")


@pytest.mark.parametrize("version", ["1.0+local.1", "2.0rc1"])
def test_versions_in_every_normal_form_are_known(tmp_path: Path, version: str) -> None:
    wheel = make_wheel(tmp_path, version=version)
    assert check_wheel(wheel, lock_wheel(wheel)).locked.version == version


@pytest.mark.parametrize(
    "path",
    [
        "acme.pth",
        "ACME.PTH",
        "acme.start",
        "acme.egg-link",
        "sitecustomize.py",
        "usercustomize/__init__.py",
        "sitecustomize.cpython-311-x86_64-linux-gnu.so",
        "_virtualenv.py",
        "acme-1.0.data/scripts/run",
        "acme-1.0.data/data/etc/passwd",
        "other.DATA/purelib/x.py",
    ],
)
def test_nothing_in_a_wheel_runs_by_itself_or_lies_elsewhere(tmp_path: Path, path: str) -> None:
    refused = _check(make_wheel(tmp_path, change={path: EXTRA}))
    assert refused.code is Code.BAD_WHEEL
    assert path.lower() in str(refused).lower()


def test_a_file_of_weights_that_is_called_pth_is_no_danger_in_a_folder(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, change={"acme_models/small.pth": b"weights"})
    check_wheel(wheel, lock_wheel(wheel))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({f"{INFO}/WHEEL": None}, "has no"),
        ({f"{INFO}/METADATA": None}, "has no"),
        ({f"{INFO}/RECORD": b"acme.py\n"}, "path, hash, size"),
        ({f"{INFO}/RECORD": b"\xff\xff"}, "cannot be read"),
        ({f"{INFO}/RECORD": b'"' + b"x" * 200_000 + b'",,\n'}, "cannot be read"),
        ({f"{INFO}/WHEEL": b"Wheel-Version: 2.0\n"}, "another version of the format"),
        ({f"{INFO}/METADATA": b"Metadata-Version: 2.1\nName: other\nVersion: 1.0\n\n"}, "of other 1.0"),
        ({f"{INFO}/METADATA": b"Metadata-Version: 2.1\nName: acme\nVersion: 1.1\n\n"}, "of acme 1.1"),
        ({f"{INFO}/METADATA": b"hello"}, "malformed"),
        ({f"{INFO}/METADATA": b"Metadata-Version: 2.1\nName: acme\nVersion: 1.0\nRequires-Dist: ???\n\n"}, "malformed"),
        (
            {
                f"{INFO}/METADATA": b"Metadata-Version: 2.1\nName: acme\nVersion: 1.0\nRequires-Dist: x; "
                + b"(" * 9000
                + b"\n\n"
            },
            "malformed",
        ),
        ({"other-2.0.dist-info/METADATA": b""}, "2 folders"),
        ({f"{INFO}/entry_points.txt": b"[console_scripts]\n../../evil = acme:main\n"}, "a program called '../../evil'"),
        ({f"{INFO}/entry_points.txt": b"[gui_scripts]\npython = acme:main\n"}, "a program called 'python'"),
        ({f"{INFO}/entry_points.txt": b"[console_scripts]\nactivate = acme:main\n"}, "a program called"),
        ({f"{INFO}/entry_points.txt": b"[DEFAULT]\n.x = acme:main\n[console_scripts]\n"}, "a program called"),
        ({f"{INFO}/entry_points.txt": b"nothing\n"}, "cannot be read"),
    ],
)
def test_a_wheel_whose_own_words_do_not_fit_is_refused(
    tmp_path: Path, change: dict[str, bytes | None], said: str
) -> None:
    refused = _check(make_wheel(tmp_path, change=change))
    assert refused.code is Code.BAD_WHEEL
    assert said in str(refused)


@pytest.mark.parametrize(
    "record",
    [
        {"acme.py": None},
        {"acme.py": record_line("acme.py", b"other")},
        {"acme.py": "acme.py,,"},
        {"acme.py": "acme.py,md5=abc,17"},
        {"none.py": record_line("none.py", b"")},
        {"again": "acme.py,,"},
        {"again": record_line("acme.py", b"VERSION = '1.0'\n")},
    ],
)
def test_each_file_is_in_the_record_once_with_its_hash(tmp_path: Path, record: dict[str, str | None]) -> None:
    assert _check(make_wheel(tmp_path, record=record)).code is Code.BAD_WHEEL


def test_programs_of_ordinary_names_and_signatures_of_the_record_are_fine(tmp_path: Path) -> None:
    points = b"[console_scripts]\nacme-run = acme:main\n[gui_scripts]\nacme.gui = acme:main\n[other]\n../x = y\n"
    signed = make_wheel(
        tmp_path,
        change={f"{INFO}/entry_points.txt": points, f"{INFO}/RECORD.jws": b"{}"},
        record={f"{INFO}/RECORD.jws": None},
    )
    check_wheel(signed, lock_wheel(signed))


def test_a_wheel_that_asks_for_an_address_of_its_own_is_refused(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, requires=["idna @ https://example.org/idna-3-py3-none-any.whl"])
    assert _check(wheel).code is Code.LOCK_URL


def test_a_wheel_is_the_file_that_was_locked(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path)
    other = locked(wheel, sha256="0" * 64)
    with pytest.raises(UpdateRefused, match="WRONG_HASH"):
        check_wheel(wheel, other)
    with pytest.raises(UpdateRefused, match="WRONG_LENGTH"):
        check_wheel(wheel, locked(wheel, size=7))
    with pytest.raises(UpdateRefused, match="LOCAL_FAULT"):
        check_wheel(tmp_path / "none", other)
    for changed in ({"name": "other"}, {"version": "1.1"}):
        with pytest.raises(UpdateRefused, match=r"BAD_WHEEL: .* calls itself 'acme-1.0.dist-info'"):
            check_wheel(wheel, locked(wheel, **changed))


def test_a_folder_of_facts_without_a_version_is_refused(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path)
    (tmp_path / "acme-x-py3-none-any.whl").write_bytes(b"")
    with pytest.raises(UpdateRefused, match="LOCK_SDIST"):
        lock_wheel(tmp_path / "acme-1.0.tar.gz")
    with pytest.raises(UpdateRefused, match="LOCK_SDIST"):
        lock_wheel(tmp_path / "acme-x-py3-none-any.whl")
    wheel.write_bytes(hand_zip([Hand(b"acme-x.dist-info/RECORD", b"")]))
    assert _check(wheel).code is Code.BAD_WHEEL


def test_the_rules_of_archives_hold_for_wheels(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path)
    for data, code in (
        (hand_zip([Hand(b"../evil")]), Code.ZIP_PATH),
        (hand_zip([Hand(b"a", b"/etc", attributes=0o120777 << 16)]), Code.ZIP_TYPE),
        (wheel.read_bytes() + b"more", Code.ZIP_AMBIGUOUS),
        (wheel.read_bytes()[:-40], Code.ZIP_CORRUPT),
    ):
        wheel.write_bytes(data)
        assert _check(wheel).code is code


def test_a_damaged_byte_behind_the_record_is_found(tmp_path: Path) -> None:
    """The signature of the record stands in no record; its checksum is judged all the same."""
    files = {f"{INFO}/RECORD": b"", f"{INFO}/RECORD.jws": b"signed"}
    wheel = make_wheel(tmp_path)
    entries = [Hand(name.encode(), content) for name, content in files.items()]
    entries[1].both(crc=1)
    wheel.write_bytes(hand_zip(entries))
    assert _check(wheel).code is Code.ZIP_CORRUPT
