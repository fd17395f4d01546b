from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path

import pytest

from venom_core.errors import Forbidden, InvalidTask, LimitReached, VenomError
from venom_spore.builtin.files import LISTED_MAX, Files
from venom_spore.builtin.workspace import PATH_PARTS_MAX, Workspace


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A workspace with a file in it, beside a folder of secrets."""
    made = tmp_path / "workspace"
    (made / "in").mkdir(parents=True)
    (made / "in/a.txt").write_text("hello")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets/key").write_text("hidden")
    return made


@pytest.fixture
def files(root: Path) -> Files:
    return Files(Workspace(root, 1000))


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


# ---------------------------------------------------------------------------------------------------- inside of it


def test_a_file_is_written_with_its_folders_and_read_again(root: Path, files: Files) -> None:
    assert files.write_file("new/deep/b.txt", "zażółć") == {"path": "new/deep/b.txt", "bytes": 10}
    assert files.read_file("new/./deep//b.txt") == "zażółć"
    files.write_file("new/deep/b.txt", "other")
    assert (root / "new/deep/b.txt").read_text() == "other"
    assert names(root / "new/deep") == ["b.txt"]


def test_an_absolute_path_within_the_workspace_is_one_of_it(root: Path, files: Files) -> None:
    assert files.read_file(str(root / "in/a.txt")) == "hello"
    assert files.list_files(str(root))["path"] == "."


def test_a_folder_is_listed_with_kinds_and_sizes(root: Path, files: Files) -> None:
    (root / "link").symlink_to("/etc")
    os.mkfifo(root / "pipe")
    (root / os.fsdecode(b"bad-\xff")).touch()
    listed = files.list_files()
    assert [(entry["name"], entry["kind"]) for entry in listed["files"]] == [
        ("bad-?", "file"),
        ("in", "folder"),
        ("link", "link"),
        ("pipe", "special"),
    ]
    assert files.list_files("in") == {
        "path": "in",
        "files": [{"name": "a.txt", "kind": "file", "size": 5}],
        "more": False,
    }


def test_a_large_folder_is_listed_up_to_the_limit(root: Path, files: Files) -> None:
    for number in range(LISTED_MAX + 1):
        (root / "in" / f"{number:05}").touch()
    listed = files.list_files("in")
    assert (len(listed["files"]), listed["more"]) == (LISTED_MAX, True)


def test_a_mark_at_the_beginning_of_a_text_is_not_part_of_it(root: Path, files: Files) -> None:
    (root / "marked").write_bytes("zażółć".encode("utf-8-sig"))
    assert files.read_file("marked") == "zażółć"


def test_the_workspace_is_made_when_something_is_written_to_it(tmp_path: Path) -> None:
    files = Files(Workspace(tmp_path / "not/yet", 1000))
    with pytest.raises(InvalidTask, match="the workspace of this node is empty: nothing was written to it yet"):
        files.list_files()
    files.write_file("a", "a")
    assert files.read_file("a") == "a"


# ------------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("path", "kind", "words"),
    [
        ("../secrets/key", Forbidden, "'../secrets/key' has '..' in it"),
        ("in/../../secrets/key", Forbidden, "has '..' in it"),
        ("/etc/passwd", Forbidden, "'/etc/passwd' is outside of the workspace"),
        ("//etc/passwd", Forbidden, "is outside of the workspace"),
        ("", InvalidTask, "a path is text of 1 to 4096 characters without NUL"),
        ("a\0b", InvalidTask, "a path is text of 1 to 4096 characters without NUL"),
        ("x" * 5000, InvalidTask, "a path is text of 1 to 4096 characters without NUL"),
        ("x" * 300, Forbidden, "cannot be used: File name too long"),
        ("a/" * PATH_PARTS_MAX + "a", LimitReached, "is more than 64 folders deep"),
        ("nothing", InvalidTask, "there is no 'nothing' in the workspace"),
        ("nothing/at/all", InvalidTask, "there is no 'nothing' in the workspace"),
        ("in", InvalidTask, "'in' is a folder, not a file"),
        (".", InvalidTask, "'.' is a folder, not a file"),
        ("in/a.txt/b", InvalidTask, "'in/a.txt' is not a folder"),
        ("pipe", InvalidTask, "'pipe' is a special, not a file"),
        ("binary", InvalidTask, "'binary' is not UTF-8 text"),
        ("large", LimitReached, r"'large' is larger than 1,000 bytes (HIVE_FILE_BYTES_MAX)"),
        ("out", Forbidden, "'out' is a symbolic link"),
        ("out/key", Forbidden, "'out' is a symbolic link"),
        ("out-file", Forbidden, "'out-file' is a symbolic link"),
        ("within", Forbidden, "'within' is a symbolic link"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(
    root: Path, files: Files, path: str, kind: type[VenomError], words: str
) -> None:
    os.mkfifo(root / "pipe")
    (root / "binary").write_bytes(b"\xff\xfe\x00")
    (root / "large").write_bytes(b"x" * 1001)
    (root / "out").symlink_to(root.parent / "secrets")
    (root / "out-file").symlink_to(root.parent / "secrets/key")
    (root / "within").symlink_to("in/a.txt")
    with pytest.raises(kind) as caught:
        files.read_file(path)
    assert words in str(caught.value)
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize(
    ("path", "kind", "words"),
    [
        ("../a", Forbidden, "has '..' in it"),
        ("/tmp-of-somebody/a", Forbidden, "is outside of the workspace"),
        (".", InvalidTask, "'.' is a folder, not a file"),
        ("in", Forbidden, "'in' is a folder; only a file is replaced"),
        ("out", Forbidden, "'out' is a link; only a file is replaced"),
        ("out-folder/a", Forbidden, "'out-folder' is a symbolic link"),
        ("in/a.txt/b", InvalidTask, "'in/a.txt' is not a folder"),
    ],
)
def test_what_cannot_be_written_is_one_sentence_and_changes_nothing(
    root: Path, files: Files, path: str, kind: type[VenomError], words: str
) -> None:
    (root / "out").symlink_to(root.parent / "secrets/key")
    (root / "out-folder").symlink_to(root.parent / "secrets")
    before = sorted(str(found) for found in root.parent.rglob("*"))
    with pytest.raises(kind) as caught:
        files.write_file(path, "overwritten")
    assert words in str(caught.value)
    assert sorted(str(found) for found in root.parent.rglob("*")) == before
    assert (root.parent / "secrets/key").read_text() == "hidden"


def test_too_much_is_not_written(root: Path, files: Files) -> None:
    with pytest.raises(LimitReached, match="'a' is larger than 1,000 bytes"):
        files.write_file("a", "x" * 1001)
    assert not (root / "a").exists()


def test_a_workspace_that_is_no_folder_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Forbidden, match=r"the workspace of this node cannot be used: .* \(HIVE_WORKSPACE\)"):
        Files(Workspace(tmp_path / "file", 1000)).write_file("a", "a")


def test_a_write_that_fails_half_way_leaves_nothing_behind(
    root: Path, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(Forbidden, match=r"'in/a\.txt' cannot be used: No space left on device"):
        files.write_file("in/a.txt", "new")
    assert names(root / "in") == ["a.txt"]
    assert (root / "in/a.txt").read_text() == "hello"


# --------------------------------------------------------------------------------------- links swapped in meanwhile


def test_a_link_that_is_swapped_in_between_look_and_opening_leads_nowhere(root: Path, files: Files) -> None:
    """One thread turns a folder into a link to the secrets and back, as fast as it can, while another reads."""
    swapped, real, link = root / "place", root / "real", root / "link"
    real.mkdir()
    (real / "key").write_text("harmless")
    link.symlink_to(root.parent / "secrets")
    ended = threading.Event()

    def swap() -> None:
        while not ended.is_set():
            real.rename(swapped).rename(real)
            link.rename(swapped).rename(link)

    thread = threading.Thread(target=swap)
    thread.start()
    seen: set[str] = set()
    try:
        for number in range(3000):
            try:
                seen.add(files.read_file("place/key"))
            except VenomError as fault:
                seen.add(type(fault).__name__)
            if number > 500 and {"harmless", "Forbidden"} <= seen:
                break
    finally:
        ended.set()
        thread.join()
    assert seen <= {"harmless", "Forbidden", "InvalidTask"}
    assert (root.parent / "secrets/key").read_text() == "hidden"
    assert names(root.parent / "secrets") == ["key"]


def test_a_folder_that_is_open_stays_the_one_that_was_opened(root: Path) -> None:
    workspace = Workspace(root, 1000)
    with workspace.folder(("in",)) as folder:
        shutil.move(root / "in", root / "moved")
        (root / "in").symlink_to(root.parent / "secrets")
        with os.scandir(folder) as entries:
            assert [entry.name for entry in entries] == ["a.txt"]
    with pytest.raises(Forbidden, match="'in' is a symbolic link"), workspace.folder(("in",)):
        pass
