"""What a launcher keeps on the disk: its folders, its state, its releases."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from venom_spore.launcher.layout import BUSY, LauncherFault, Layout, held
from venom_spore.launcher.phases import Phase
from venom_spore.launcher.releases import (
    BASE,
    COMPLETE,
    Releases,
    read_complete,
    release_name,
    write_complete,
)
from venom_spore.launcher.state import (
    ACCEPTED_MAX,
    KNOWN_BAD_MAX,
    NOTES_MAX,
    STATE_BYTES_MAX,
    WORDS_CHARS_MAX,
    Damaged,
    Note,
    State,
    StateFile,
    read_state,
    write_state,
)

NAME = release_name("1.0", "ab" * 32)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A prepared home folder."""
    made = Layout(tmp_path / "home")
    made.prepare()
    return made


def complete(layout: Layout, name: str) -> Path:
    """A release that is complete and holds nothing."""
    folder = layout.release(name)
    folder.mkdir()
    write_complete(folder, name.partition("-")[0], sys.executable)
    return folder


# ----------------------------------------------------------------------------------------------------- the folders


def test_preparing_twice_changes_nothing(layout: Layout) -> None:
    before = sorted(layout.home.rglob("*"))
    layout.prepare()
    assert sorted(layout.home.rglob("*")) == before
    assert layout.home.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("place", ["home", "releases", "staging", "wheels", "trust"])
def test_a_folder_that_anybody_may_write_is_refused(layout: Layout, place: str) -> None:
    folder: Path = getattr(layout, place)
    folder.chmod(0o777)
    with pytest.raises(LauncherFault, match="can be written by anybody"):
        layout.prepare()


@pytest.mark.parametrize("place", ["home", "releases", "trust"])
def test_a_folder_that_its_group_may_write_is_refused(layout: Layout, place: str) -> None:
    folder: Path = getattr(layout, place)
    folder.chmod(0o770)
    with pytest.raises(LauncherFault, match="can be written by its group"):
        layout.prepare()


def test_a_state_that_anybody_may_write_is_refused(layout: Layout) -> None:
    StateFile(layout).change(lambda state: replace(state, current=BASE))
    layout.state_file.chmod(0o666)
    with pytest.raises(LauncherFault, match=r"state\.json can be written by anybody"):
        layout.prepare()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
@pytest.mark.parametrize("place", ["home", "releases", "trust"])
def test_a_folder_of_somebody_else_is_refused(layout: Layout, place: str) -> None:
    os.chown(getattr(layout, place), 4711, 4711)
    with pytest.raises(LauncherFault, match="belongs to user 4711"):
        layout.prepare()


def test_releases_that_are_a_link_elsewhere_are_refused(layout: Layout, tmp_path: Path) -> None:
    layout.releases.rmdir()
    (tmp_path / "elsewhere").mkdir()
    layout.releases.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(LauncherFault, match="is a link"):
        layout.prepare()


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="needs a second file system")
def test_a_home_on_two_file_systems_is_refused(tmp_path: Path) -> None:
    here, shared = tmp_path, Path("/dev/shm")
    if here.stat().st_dev == shared.stat().st_dev:
        pytest.skip("the tests' folder is on that file system itself")

    class Split(Layout):
        """A layout whose releases are mounted from elsewhere."""

        @property
        def releases(self) -> Path:
            return shared / f"venom-{os.getpid()}"

    split = Split(here / "home")
    try:
        with pytest.raises(LauncherFault, match="on one file system"):
            split.prepare()
    finally:
        split.releases.rmdir()


@pytest.mark.parametrize("make", ["folder", "file"])
def test_a_current_that_is_no_link_is_refused(layout: Layout, make: str) -> None:
    if make == "folder":
        layout.current.mkdir()
    else:
        layout.current.write_text("x")
    with pytest.raises(LauncherFault, match="move it away"):
        layout.prepare()


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../x", "a\0b"])
def test_no_name_leads_out_of_the_releases(layout: Layout, name: str) -> None:
    with pytest.raises(LauncherFault, match="not the name of a release"):
        layout.release(name)


def test_a_lock_is_held_by_one(layout: Layout) -> None:
    with held(layout.update_lock, "somebody is at it"):
        with pytest.raises(LauncherFault, match="BUSY: somebody is at it") as caught:
            held(layout.update_lock, "somebody is at it").__enter__()
        assert caught.value.code == BUSY
    with held(layout.update_lock, "nobody is"):
        pass


# ------------------------------------------------------------------------------------------------------- the state


names = st.text(st.characters(codec="ascii", exclude_characters="/\0", min_codepoint=33), min_size=3, max_size=40)
states = st.builds(
    State,
    phase=st.sampled_from(Phase),
    current=names,
    previous=names | st.just(""),
    older=names | st.just(""),
    next=names | st.just(""),
    boots=st.integers(0, 9),
    known_bad=st.lists(names, max_size=5).map(tuple),
    accepted_at=st.lists(st.floats(0, 1e12), max_size=5).map(tuple),
    app_version_floor=names | st.just(""),
    heard_ms=st.integers(0, 10**14),
    notes=st.lists(st.builds(Note, st.integers(1, 99), st.floats(0, 1e12), st.sampled_from(Phase), names, names)).map(
        tuple
    ),
)


@given(states)
def test_a_state_is_read_as_it_was_written(state: State) -> None:
    assert read_state(write_state(state)) == state


@given(
    st.binary(max_size=200)
    | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(lambda x: json.dumps(x).encode())
)
def test_what_is_no_state_is_damaged(text: bytes) -> None:
    with pytest.raises(Damaged, match="is no state of a launcher"):
        read_state(text)


@pytest.mark.parametrize(
    "change",
    [
        {"phase": "asleep"}, {"current": "../x"}, {"current": ".."}, {"current": 1}, {"boots": -1}, {"boots": True},
        {"boots": "1"}, {"boots": float("inf")}, {"known_bad": "1.0"}, {"known_bad": None}, {"accepted_at": [None]},
        {"notes": [{}]}, {"extra": 1}, {"previous": "x" * 301}, {"schema": 2}, {"heard_ms": 1e16},
    ],
    ids=str,
)  # fmt: skip
def test_a_state_with_one_thing_wrong_is_damaged(change: dict[str, object]) -> None:
    text = json.dumps(json.loads(write_state(State(current=BASE))) | change).encode()
    if change == {"known_bad": "1.0"}:
        assert read_state(text).known_bad == ("1", ".", "0")  # a text is a list of letters, and harms nobody
        return
    with pytest.raises(Damaged):
        read_state(text)


def test_a_state_too_long_is_damaged(layout: Layout) -> None:
    layout.state_file.write_bytes(b" " * (STATE_BYTES_MAX + 1))
    with pytest.raises(Damaged, match="over 65,536 bytes"):
        StateFile(layout).load()


def test_a_state_that_cannot_be_read_is_said(layout: Layout) -> None:
    layout.state_file.mkdir()
    with pytest.raises(LauncherFault, match="cannot be read: Is a directory"):
        StateFile(layout).load()


def test_a_state_is_changed_under_a_lock_and_only_written_when_it_changed(layout: Layout) -> None:
    file = StateFile(layout)
    assert file.load() == State()
    file.change(lambda state: state)
    assert not layout.state_file.exists()
    file.change(lambda state: state.move(Phase.STAGED, next=NAME))
    written = layout.state_file.stat()
    assert written.st_mode & 0o777 == 0o600
    file.change(lambda state: state)
    assert layout.state_file.stat().st_mtime_ns == written.st_mtime_ns
    assert file.load().next == NAME


def test_a_move_that_is_not_in_the_table_changes_nothing(layout: Layout) -> None:
    file = StateFile(layout)
    file.change(lambda state: state.move(Phase.STAGED, next=NAME))
    before = layout.state_file.read_bytes()
    with pytest.raises(LauncherFault, match="cannot go from staged to committed"):
        file.change(lambda state: state.move(Phase.COMMITTED))
    assert layout.state_file.read_bytes() == before


def test_what_a_state_remembers_is_bounded() -> None:
    state = State()
    for number in range(200):
        state = state.blame(f"1.{number}").blame(f"1.{number}").accept(float(number)).noted(1.0, NAME, "y" * 999)
    assert len(state.known_bad) == KNOWN_BAD_MAX
    assert state.known_bad[-1] == "1.199"
    assert len(state.accepted_at) == ACCEPTED_MAX
    assert [note.number for note in state.notes] == list(range(200 - NOTES_MAX + 1, 201))
    assert len(state.notes[0].why) == WORDS_CHARS_MAX
    assert len(write_state(state)) < STATE_BYTES_MAX
    assert read_state(write_state(state)) == state


# ---------------------------------------------------------------------------------------------------- the releases


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"version": "1"}', '{"version": 1, "python": "x"}', '{"version": "1", "python": ""}']
)
def test_a_release_is_complete_only_if_it_says_so_in_full(layout: Layout, text: str) -> None:
    folder = layout.release(NAME)
    folder.mkdir()
    assert read_complete(folder) is None
    (folder / COMPLETE).write_text(text)
    assert read_complete(folder) is None
    with pytest.raises(LauncherFault, match="is not complete"):
        Releases(layout).switch(NAME)
    assert not os.path.lexists(layout.current)


def test_switching_is_one_rename_and_again_is_nothing(layout: Layout) -> None:
    releases = Releases(layout)
    complete(layout, BASE)
    complete(layout, NAME)
    releases.switch(BASE)
    (layout.home / "current.new").symlink_to("left/over")
    releases.switch(NAME)
    assert releases.current() == NAME
    assert layout.current.readlink() == Path("releases") / NAME
    before = layout.current.lstat().st_ino
    releases.switch(NAME)
    assert layout.current.lstat().st_ino == before


@pytest.mark.parametrize(
    "target", ["elsewhere", "/etc", "releases/..", "releases/a/b", "../home/releases/x", "releases"]
)
def test_somebody_elses_link_leads_to_no_release(layout: Layout, target: str) -> None:
    layout.current.symlink_to(target)
    assert Releases(layout).current() == ""


def test_old_releases_go_and_what_is_in_use_stays(layout: Layout) -> None:
    releases = Releases(layout)
    for name in (BASE, "1-a", "2-b", "3-c", "4-d"):
        complete(layout, name)
    (layout.releases / "half").mkdir()
    (layout.releases / "file").write_text("x")
    (layout.releases / "link").symlink_to(layout.releases / "4-d")
    (layout.release("1-a") / "app").mkdir()
    (layout.release("1-a") / "app" / "x.py").write_text("")
    releases.switch("4-d")
    assert releases.collect(("3-c", "")) == ["1-a", "2-b", "file", "half", "link"]
    assert sorted(each.name for each in layout.releases.iterdir()) == [BASE, "3-c", "4-d"]
    assert releases.is_complete("4-d")


def test_the_base_follows_where_it_was_installed(layout: Layout) -> None:
    releases = Releases(layout)
    releases.make_base("/old/python")
    written = (layout.release(BASE) / COMPLETE).stat().st_mtime_ns
    releases.make_base("/old/python")
    assert (layout.release(BASE) / COMPLETE).stat().st_mtime_ns == written
    releases.make_base("/new/python")
    found = releases.complete(BASE)
    assert found is not None
    assert found.python == "/new/python"
