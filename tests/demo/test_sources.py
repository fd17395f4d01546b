from __future__ import annotations

import os
from pathlib import Path

import pytest

from venom_core.demo.sources import WrongPath, find_sources, installed_packages


def write(path: Path, text: str = "x = 1\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_every_python_file_is_found_once_and_the_folders_left_out_are_counted(tmp_path: Path) -> None:
    wanted = {write(tmp_path / "a.py"), write(tmp_path / "sub" / "b.pyw")}
    write(tmp_path / "notes.txt")
    write(tmp_path / ".git" / "hook.py")
    write(tmp_path / "sub" / "node_modules" / "x.py")
    found = find_sources(tmp_path)
    assert {file.path for file in found.files} == wanted
    assert found.folders_left_out == 2
    assert found.size == 12


def test_the_order_is_mixed_and_always_the_same(tmp_path: Path) -> None:
    for number in range(20):
        write(tmp_path / f"{number:02}.py")
    names = [file.path.name for file in find_sources(tmp_path).files]
    assert names == [file.path.name for file in find_sources(tmp_path).files]
    assert names != sorted(names)


def test_one_file_may_be_named_whatever_its_suffix(tmp_path: Path) -> None:
    script = write(tmp_path / "script")
    found = find_sources(script)
    assert [file.path for file in found.files] == [script]
    assert found.shown(script) == "script"


def test_links_that_loop_are_found_and_folders_that_loop_are_not_entered(tmp_path: Path) -> None:
    (tmp_path / "loop.py").symlink_to("loop.py")
    (tmp_path / "again").symlink_to(tmp_path, target_is_directory=True)
    found = find_sources(tmp_path)
    assert [(found.shown(file.path), file.size) for file in found.files] == [("loop.py", 0)]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may enter every folder")
def test_a_folder_that_cannot_be_opened_is_counted(tmp_path: Path) -> None:
    write(tmp_path / "a.py")
    closed = tmp_path / "closed"
    closed.mkdir(mode=0)
    assert find_sources(tmp_path).folders_closed == 1
    closed.chmod(0o700)


def test_nothing_there_and_nothing_in_it_are_said(tmp_path: Path) -> None:
    with pytest.raises(WrongPath, match="nothing at"):
        find_sources(tmp_path / "missing")
    with pytest.raises(WrongPath, match="no Python file"):
        find_sources(tmp_path)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(WrongPath, match="neither a file nor a folder"):
        find_sources(pipe)


def test_this_environment_has_packages() -> None:
    assert (installed_packages() / "bandit").is_dir()
