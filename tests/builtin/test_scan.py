from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from venom_core.errors import Forbidden, InvalidTask
from venom_spore.builtin import scan as scan_module
from venom_spore.builtin.scan import Scan
from venom_spore.builtin.workspace import PATH_PARTS_MAX, Workspace


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "workspace"
    (made / "src/deep").mkdir(parents=True)
    (made / "src/a.py").write_text("import os\nPassword = 'x'\n")
    (made / "src/deep/b.PY").write_text("# ZAŻÓŁĆ\npassword\n")
    (made / "src/picture.png").write_bytes(b"\x89PNG\xff")
    (made / "Makefile").write_text("all:\n")
    return made


@pytest.fixture
def scan(root: Path) -> Scan:
    return Scan(Workspace(root, 1000))


def test_a_folder_is_counted_with_all_below_it(scan: Scan) -> None:
    found = scan.scan_path()
    assert (found["path"], found["files"], found["more"]) == (".", 4, False)
    assert found["bytes"] == sum(entry["size"] for entry in found["largest"])
    assert found["kinds"] == {".py": 2, ".png": 1, "(none)": 1}
    assert found["largest"][0] == {"path": "src/a.py", "size": 25}
    assert found["matches"] == []


def test_lines_that_hold_a_text_are_found_whatever_its_case(scan: Scan) -> None:
    found = scan.scan_path("src", contains="PASSWORD")
    assert found["matches"] == [
        {"path": "src/a.py", "line": 2, "text": "Password = 'x'"},
        {"path": "src/deep/b.PY", "line": 2, "text": "password"},
    ]
    assert found["unread"] == 1
    assert [match["path"] for match in scan.scan_path(contains="zażółć")["matches"]] == ["src/deep/b.PY"]


def test_names_limit_what_is_looked_at(scan: Scan) -> None:
    assert scan.scan_path(names="*.py")["files"] == 1
    assert scan.scan_path(names="[ab].*")["kinds"] == {".py": 2}
    with pytest.raises(InvalidTask, match=r"names is a pattern such as \*\.py"):
        scan.scan_path(names="")


def test_one_file_is_scanned_too(scan: Scan) -> None:
    found = scan.scan_path("src/a.py", contains="import")
    assert (found["path"], found["files"], found["bytes"]) == ("src/a.py", 1, 25)
    assert found["matches"] == [{"path": "src/a.py", "line": 1, "text": "import os"}]


def test_links_pipes_and_what_is_outside_are_not_looked_at(root: Path, scan: Scan) -> None:
    (root.parent / "secret.txt").write_text("password")
    (root / "link").symlink_to(root.parent)
    (root / "file-link").symlink_to(root.parent / "secret.txt")
    os.mkfifo(root / "pipe")
    assert scan.scan_path(contains="password")["files"] == 4
    with pytest.raises(Forbidden, match="'link' is a symbolic link"):
        scan.scan_path("link/workspace")
    with pytest.raises(Forbidden, match=r"has '\.\.' in it"):
        scan.scan_path("..")
    with pytest.raises(InvalidTask, match="there is no 'nothing' in the workspace"):
        scan.scan_path("nothing")


def test_a_link_or_a_pipe_itself_is_refused(root: Path, scan: Scan) -> None:
    (root / "link").symlink_to(root.parent)
    os.mkfifo(root / "pipe")
    with pytest.raises(Forbidden, match="'link' is a symbolic link"):
        scan.scan_path("link")
    with pytest.raises(InvalidTask, match="'pipe' is neither a file nor a folder"):
        scan.scan_path("pipe")


def test_a_name_that_is_not_utf_8_is_told_as_far_as_it_can_be_read(root: Path, scan: Scan) -> None:
    folder = root / os.fsdecode(b"fold\xff")
    folder.mkdir()
    (folder / os.fsdecode(b"odd\xfe.txt")).write_text("a password")
    found = scan.scan_path(names="*.txt", contains="password")
    assert found["matches"] == [{"path": "fold?/odd?.txt", "line": 1, "text": "a password"}]
    assert found["largest"] == [{"path": "fold?/odd?.txt", "size": 10}]
    (root / os.fsdecode(b"a.\xfd")).touch()
    assert ".?" in scan.scan_path()["kinds"]
    json.dumps(scan.scan_path(contains="password"), ensure_ascii=False).encode()


@pytest.fixture
def deep(root: Path) -> Iterator[Path]:
    """A folder in a folder, 1,200 times, too deep for Python to remove it, with a file where a path may still reach."""
    here = os.open(root, os.O_RDONLY)
    for depth in range(1, 1200):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
        if depth in (PATH_PARTS_MAX - 1, PATH_PARTS_MAX):
            os.close(os.open("leaf.txt", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)
    yield root
    subprocess.run(["rm", "-rf", str(root)], check=True)


@pytest.mark.usefixtures("deep")
def test_a_tree_is_followed_as_deep_as_a_path_may_be(scan: Scan) -> None:
    found = scan.scan_path(names="*.txt", contains="x")
    assert (found["files"], found["unread"], found["more"]) == (1, 0, True)
    assert found["largest"][0]["path"] == "d/" * (PATH_PARTS_MAX - 1) + "leaf.txt"
    inside = scan.scan_path("d/" * 10, names="*.txt")
    assert (inside["files"], inside["more"]) == (1, True)


def test_folders_that_hold_nothing_deeper_than_allowed_are_all_there_is(root: Path, scan: Scan) -> None:
    (root / "/".join("d" * (PATH_PARTS_MAX - 1))).mkdir(parents=True)
    assert scan.scan_path()["more"] is False


def test_what_does_not_match_counts_as_looked_at(root: Path, scan: Scan, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(50):
        (root / f"{number}.other").touch()
        (root / f"folder-{number}").mkdir()
    monkeypatch.setattr(scan_module, "ENTRIES_MAX", 60)
    found = scan.scan_path(names="*.nothing")
    assert (found["files"], found["more"]) == (0, True)
    monkeypatch.setattr(scan_module, "ENTRIES_MAX", 106)
    assert scan.scan_path(names="*.nothing")["more"] is False
    monkeypatch.setattr(scan_module, "ENTRIES_MAX", 105)
    assert scan.scan_path(names="*.nothing")["more"] is True


def test_every_list_has_an_end(root: Path, scan: Scan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan_module, "ENTRIES_MAX", 2)
    found = scan.scan_path()
    assert (found["files"], found["more"]) == (1, True)
    monkeypatch.setattr(scan_module, "ENTRIES_MAX", 1000)
    monkeypatch.setattr(scan_module, "MATCHES_MAX", 1)
    found = scan.scan_path(contains="password")
    assert (len(found["matches"]), found["more"]) == (1, True)
    monkeypatch.setattr(scan_module, "SEARCHED_BYTES_MAX", 10)
    found = scan.scan_path(contains="nowhere")
    assert (found["files"], found["matches"], found["more"]) == (4, [], True)


def test_a_file_larger_than_the_limit_is_counted_and_not_read(root: Path, scan: Scan) -> None:
    (root / "large.txt").write_text("password " * 1000)
    found = scan.scan_path(names="*.txt", contains="password")
    assert (found["files"], found["bytes"], found["unread"], found["matches"]) == (1, 9000, 1, [])
