from __future__ import annotations

import os
from pathlib import Path

import pytest

from venom_core.errors import Forbidden, InvalidTask
from venom_spore.builtin import scan as scan_module
from venom_spore.builtin.scan import Scan
from venom_spore.builtin.workspace import Workspace


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


def test_every_list_has_an_end(root: Path, scan: Scan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan_module, "FILES_MAX", 2)
    found = scan.scan_path()
    assert (found["files"], found["more"]) == (2, True)
    monkeypatch.setattr(scan_module, "FILES_MAX", 1000)
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
