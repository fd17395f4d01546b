"""What a launcher makes of what it finds when it starts: every row of the table, and what nobody foresaw."""

from __future__ import annotations

import logging
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.launcher.kill_points import NEW, OLD, is_in_order, launch, put_release, stage
from venom_spore.launcher.layout import LauncherFault, Layout, held
from venom_spore.launcher.machine import Machine
from venom_spore.launcher.phases import BOOTS_MAX, Phase
from venom_spore.launcher.releases import BASE, COMPLETE, Releases
from venom_spore.launcher.state import State, StateFile


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A home where OLD runs, and NEW is complete beside it."""
    made = Layout(tmp_path / "home")
    launch(made.home, lambda _: True)
    stage(made.home, OLD)
    launch(made.home, lambda _: True)
    put_release(made.home, NEW)
    return made


def machine(layout: Layout) -> Machine:
    """A launcher that starts."""
    return Machine(layout, sys.executable, lambda: 1.0)


def found(layout: Layout, **changes: object) -> State:
    """What a launcher makes of this state."""
    StateFile(layout).change(lambda state: replace(state, **changes))  # type: ignore[arg-type]  # fields by name
    state = machine(layout).recover()
    assert StateFile(layout).load() == state
    assert Releases(layout).current() == state.current
    return state


def test_at_rest_nothing_is_changed(layout: Layout) -> None:
    Releases(layout).remove(NEW)
    before = layout.state_file.stat().st_mtime_ns
    state = found(layout)
    assert (state.phase, state.current, state.previous) == (Phase.IDLE, OLD, BASE)
    assert layout.state_file.stat().st_mtime_ns == before


def test_what_was_staged_is_still_wanted(layout: Layout) -> None:
    assert found(layout, phase=Phase.STAGED, next=NEW).phase is Phase.STAGED


def test_what_was_staged_and_is_gone_is_forgotten(layout: Layout) -> None:
    (layout.release(NEW) / COMPLETE).unlink()
    state = found(layout, phase=Phase.STAGED, next=NEW)
    assert (state.phase, state.next) == (Phase.IDLE, "")
    assert not layout.release(NEW).exists()


def test_a_drain_is_done_again(layout: Layout) -> None:
    assert found(layout, phase=Phase.DRAINING, next=NEW).phase is Phase.STAGED


@pytest.mark.parametrize("reached", [OLD, NEW])
def test_a_switch_that_was_cut_short_is_undone_and_tried_again(layout: Layout, reached: str) -> None:
    Releases(layout).switch(reached)
    state = found(layout, phase=Phase.SWITCHING, next=NEW)
    assert (state.phase, state.current, state.next, state.boots) == (Phase.STAGED, OLD, NEW, 1)


def test_a_switch_that_is_always_cut_short_is_given_up(layout: Layout) -> None:
    state = found(layout, phase=Phase.SWITCHING, next=NEW, boots=BOOTS_MAX)
    assert (state.phase, state.current, state.next, state.boots) == (Phase.IDLE, OLD, "", 0)


def test_a_trial_goes_on(layout: Layout) -> None:
    Releases(layout).switch(NEW)
    state = found(layout, phase=Phase.PROBATION, current=NEW, previous=OLD, boots=2)
    assert (state.phase, state.current, state.boots) == (Phase.PROBATION, NEW, 2)


def test_a_trial_of_what_is_gone_is_over(layout: Layout) -> None:
    Releases(layout).switch(NEW)
    (layout.release(NEW) / COMPLETE).unlink()
    state = found(layout, phase=Phase.PROBATION, current=NEW, previous=OLD)
    assert (state.phase, state.current) == (Phase.ROLLING_BACK, OLD)
    assert state.known_bad == (), "the disk is to blame, and the version may come again"


def test_starts_are_counted_and_then_it_is_over(layout: Layout) -> None:
    Releases(layout).switch(NEW)
    StateFile(layout).change(
        lambda state: replace(state, phase=Phase.PROBATION, current=NEW, previous=OLD, older=BASE, boots=0)
    )
    for boots in range(1, BOOTS_MAX + 1):
        starting = machine(layout)
        starting.recover()
        assert starting.boot()
        assert StateFile(layout).load().boots == boots
    last = machine(layout)
    last.recover()
    assert not last.boot()
    assert (last.state.phase, last.state.current, last.state.known_bad) == (Phase.ROLLING_BACK, OLD, ("2.0",))
    for _ in range(BOOTS_MAX):
        assert last.boot()
    assert not last.boot()
    assert last.state.phase is Phase.FAILED


@pytest.mark.parametrize("reached", [OLD, NEW])
def test_a_way_back_is_gone_to_its_end(layout: Layout, reached: str) -> None:
    Releases(layout).switch(reached)
    state = found(layout, phase=Phase.ROLLING_BACK, current=NEW, previous=OLD)
    assert (state.phase, state.current) == (Phase.ROLLING_BACK, OLD)


def test_a_way_back_that_is_gone_itself_leads_further(layout: Layout) -> None:
    (layout.release(OLD) / COMPLETE).unlink()
    state = found(layout, phase=Phase.ROLLING_BACK, current=NEW, previous=OLD)
    assert (state.phase, state.current) == (Phase.ROLLING_BACK, BASE)


def test_what_was_committed_is_at_rest_and_old_releases_go(layout: Layout) -> None:
    state = found(layout, phase=Phase.COMMITTED)
    assert state.phase is Phase.IDLE
    assert not layout.release(NEW).exists()


def test_safe_mode_lasts(layout: Layout) -> None:
    assert found(layout, phase=Phase.FAILED).phase is Phase.FAILED


def test_what_somebody_did_to_current_is_undone(layout: Layout) -> None:
    layout.current.unlink()
    layout.current.symlink_to("/etc")
    assert found(layout).current == OLD


def test_a_running_release_that_somebody_broke_is_replaced_by_the_one_before(
    layout: Layout, caplog: pytest.LogCaptureFixture
) -> None:
    (layout.release(OLD) / COMPLETE).unlink()
    state = found(layout)
    assert (state.phase, state.current, state.previous) == (Phase.IDLE, BASE, "")
    assert f"release {OLD} is not complete any more; going on with {BASE}" in caplog.text


@pytest.mark.parametrize("text", [b"", b"{}", None])
def test_without_a_state_what_runs_must_prove_itself_again(layout: Layout, text: bytes | None) -> None:
    if text is None:
        layout.state_file.unlink()
    else:
        layout.state_file.write_bytes(text)
    state = machine(layout).recover()
    assert (state.phase, state.current, state.previous) == (Phase.PROBATION, OLD, BASE)
    launch(layout.home, lambda _: True)
    assert is_in_order(layout.home, ends={OLD: Phase.IDLE}) == []


def test_while_an_update_is_made_nothing_is_removed(layout: Layout, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with held(layout.update_lock, "busy"):
        machine(layout).recover()
    assert layout.release(NEW).exists()
    assert "old releases stay for now: BUSY: an update is under way" in caplog.text
    machine(layout).recover()
    assert not layout.release(NEW).exists()


def test_what_runs_already_is_not_installed_again(layout: Layout) -> None:
    running = machine(layout)
    running.recover()
    StateFile(layout).change(lambda state: state.move(Phase.STAGED, next=OLD))
    assert running.reload().phase is Phase.STAGED
    running.drain()
    assert (running.state.phase, running.state.current, running.state.previous) == (Phase.IDLE, OLD, BASE)


def test_what_is_staged_and_broken_before_the_drain_is_not_drained_for(layout: Layout) -> None:
    running = machine(layout)
    running.recover()
    put_release(layout.home, NEW)
    StateFile(layout).change(lambda state: state.move(Phase.STAGED, next=NEW))
    running.reload()
    (layout.release(NEW) / COMPLETE).unlink()
    running.drain()
    assert (running.state.phase, running.state.next) == (Phase.IDLE, "")


def test_from_the_base_there_is_no_way_back(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "home")
    launch(layout.home, lambda _: True)
    StateFile(layout).change(lambda state: state.move(Phase.GO_BACK))
    launch(layout.home, lambda _: True)
    state = StateFile(layout).load()
    assert (state.phase, state.current) == (Phase.IDLE, BASE)


def test_three_releases_are_kept_and_two_ways_back(layout: Layout) -> None:
    for name in (NEW, "3.0-cccccccccccc", "4.0-dddddddddddd"):
        stage(layout.home, name)
        launch(layout.home, lambda _: True)
    kept = {each.name for each in layout.releases.iterdir()}
    assert kept == {BASE, NEW, "3.0-cccccccccccc", "4.0-dddddddddddd"}
    for expected in ("3.0-cccccccccccc", NEW, BASE):
        StateFile(layout).change(lambda state: state.move(Phase.GO_BACK))
        launch(layout.home, lambda _: True)
        assert StateFile(layout).load().current == expected


def test_the_floor_rises_when_a_release_is_committed_and_not_before(layout: Layout) -> None:
    stage(layout.home, NEW)
    launch(layout.home, lambda name: name != NEW)
    assert StateFile(layout).load().app_version_floor == "1.0"
    stage(layout.home, NEW)
    launch(layout.home, lambda _: True)
    assert StateFile(layout).load().app_version_floor == "2.0"


def test_what_failed_may_be_tried_again_when_its_surroundings_are_well(layout: Layout) -> None:
    stage(layout.home, NEW)
    launch(layout.home, lambda name: name == BASE)
    again = machine(layout)
    assert again.recover().phase is Phase.FAILED
    again.retry()
    assert (again.state.phase, again.state.current) == (Phase.ROLLING_BACK, OLD)
    launch(layout.home, lambda name: name == OLD)
    assert StateFile(layout).load().phase is Phase.IDLE


def test_a_state_that_cannot_be_read_now_is_kept_as_known(layout: Layout, caplog: pytest.LogCaptureFixture) -> None:
    running = machine(layout)
    known = running.recover()
    layout.state_file.write_text("{")
    assert running.reload() == known
    assert "going on with what is known" in caplog.text


def test_only_newer_hints_are_remembered(layout: Layout) -> None:
    running = machine(layout)
    running.recover()
    running.hear(1000)
    running.hear(999)
    assert StateFile(layout).load().heard_ms == 1000


def test_while_the_disk_takes_nothing_what_is_on_trial_is_not_what_runs(layout: Layout) -> None:
    running = machine(layout)
    running.state = State(phase=Phase.PROBATION, current=NEW, previous=OLD)
    assert running.runnable() == OLD
    running.state = State(phase=Phase.IDLE, current=NEW, previous=OLD)
    assert running.runnable() == NEW
    (layout.release(NEW) / COMPLETE).unlink()
    assert running.runnable() == OLD
    running.state = State(phase=Phase.IDLE, current=NEW)
    assert running.runnable() == BASE
    assert running.how_to_run(BASE).python == sys.executable


def test_a_name_in_the_state_that_leads_elsewhere_is_damage(layout: Layout) -> None:
    text = layout.state_file.read_text().replace(OLD, "../../etc")
    layout.state_file.write_text(text)
    state = machine(layout).recover()
    assert (state.phase, state.current) == (Phase.PROBATION, OLD)
    assert os.path.lexists(layout.state_file.with_suffix(".damaged"))


def test_a_move_that_is_not_in_the_table_is_refused(layout: Layout) -> None:
    running = machine(layout)
    running.recover()
    with pytest.raises(LauncherFault, match="cannot go from idle to committed"):
        running.commit()
