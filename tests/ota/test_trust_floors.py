"""What a Spore never goes below: versions, hashes and time, also after its cache is gone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.ota.attacks import DEEP, older, put
from tests.ota.forge import Forge
from tests.ota.hostile_server import Answer
from tests.ota.households import DAY_S, PASSPHRASE, Household, refused
from venom_core.clock import ManualClock, to_utc
from venom_core.ota.refusal import Code, UpdateRefused
from venom_core.ota.trust import Trust
from venom_core.ota.whole_files import only_one


@pytest.mark.parametrize(
    ("role", "rotated"),
    [("timestamp", ("timestamp",)), ("snapshot", ("timestamp", "snapshot")), ("targets", ("timestamp", "snapshot"))],
)
def test_what_a_thief_has_raised_is_forgotten_with_its_key(
    role: str, rotated: tuple[str, ...], household: Household
) -> None:
    """TUF's fast forward: without this nobody could publish a lower version than the thief's again."""
    forge = household.forge()
    forge.change(role, put("version", value=1_000_000))
    household.refresh()
    for each in rotated:
        household.repository.rotate(each)
    Forge(household.repository, PASSPHRASE).start_anew(50)
    assert household.refresh()
    floor = json.loads((household.trust_folder / "floor.json").read_bytes())
    assert floor["versions"][role] == 50


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
def test_the_floor_holds_when_the_cache_is_emptied(role: str, household: Household) -> None:
    older(role)(household, household.forge())
    household.forget()
    assert "has seen" in refused(household, Code.ROLLBACK)


def test_the_floor_of_the_root_holds_too(household: Household) -> None:
    household.repository.rotate("root")
    household.refresh()
    household.forget()
    household.server.plan("2.root.json", lambda answer: answer.say(404))
    assert "root has version 1" in refused(household, Code.ROLLBACK)


def test_a_clock_that_was_set_back_hides_no_expiry(household: Household, clock: ManualClock) -> None:
    clock.advance(DAY_S / 2)
    household.refresh()
    clock.advance(-3600)
    assert "set the clock" in refused(household, Code.CLOCK_BACKWARDS)
    clock.advance(3600 - 240)
    assert household.refresh()
    # Four minutes slow is allowed, but expiry is judged by the latest time that was seen.
    forge = household.forge()
    between = to_utc(clock.now_ms() + 120_000).replace(microsecond=0)
    forge.change("timestamp", put("expires", value=between.isoformat().replace("+00:00", "Z")))
    refused(household, Code.EXPIRED)


def test_a_clock_that_runs_ahead_is_believed_no_longer_than_a_timestamp_lives(
    household: Household, clock: ManualClock
) -> None:
    clock.advance(400 * DAY_S)
    refused(household, Code.EXPIRED)
    clock.advance(-400 * DAY_S)
    assert household.refresh()


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_an_hour_off_is_no_obstacle(hours: int, household: Household) -> None:
    off = ManualClock(wall_ms=household.clock.wall_ms + hours * 3_600_000)
    (household.trust_folder / "joined.json").unlink()
    household.forget()
    (household.trust_folder / "floor.json").unlink()
    household.clock = off
    household.join()
    assert household.refresh()


def test_the_expiry_of_the_timestamp_is_that_of_everything(household: Household, clock: ManualClock) -> None:
    """A mirror that withholds what is new is noticed within a day."""
    clock.advance(DAY_S + 1)
    assert "signed anew" in refused(household, Code.EXPIRED)
    household.repository.publish(due_only=True)
    assert household.refresh()


def test_two_looks_at_once_are_one(household: Household) -> None:
    with only_one(household.trust_folder) as alone:
        assert alone
        refused(household, Code.BUSY)
    assert household.refresh()


def test_who_joined_nothing_is_told_how(tmp_path: Path) -> None:
    with pytest.raises(UpdateRefused, match="venom ota join URL FINGERPRINT") as caught:
        Trust(tmp_path)
    assert caught.value.code is Code.NOT_JOINED


@pytest.mark.parametrize("name", ["joined.json", "floor.json", "root.json"])
@pytest.mark.parametrize("data", [b"", b"{", b"[" * 50_000, b'{"x": 1}'])
def test_a_spoilt_file_of_the_trust_is_said(name: str, data: bytes, household: Household) -> None:
    (household.trust_folder / name).write_bytes(data)
    with pytest.raises(UpdateRefused, match="join") as caught:
        household.refresh()
    assert caught.value.code is Code.LOCAL_FAULT


def test_a_floor_that_is_lost_is_not_begun_anew(household: Household) -> None:
    (household.trust_folder / "floor.json").unlink()
    refused(household, Code.LOCAL_FAULT)


def test_a_spoilt_cache_heals(household: Household) -> None:
    for path in (household.trust_folder / "metadata").glob("*.json"):
        if not path.is_symlink():
            path.write_bytes(DEEP)
    assert household.refresh()


def test_a_cache_that_cannot_be_written_is_a_fault_of_this_machine(household: Household) -> None:
    household.forget()
    (household.trust_folder / "metadata").write_text("a file")
    assert "mend the folder" in refused(household, Code.LOCAL_FAULT)


def test_the_least_version_of_the_app_is_kept(household: Household) -> None:
    trust = household.trust()
    assert trust.app_floor == ""
    trust.raise_app_floor("1.4.0")
    household.refresh()
    assert household.trust().app_floor == "1.4.0"


def test_an_answer_that_never_ends_is_cut_at_the_limit(household: Household) -> None:
    def endless(answer: Answer) -> None:
        answer.raw(b"HTTP/1.1 200 OK\r\n\r\n")
        while not answer.server.over.is_set():
            answer.wfile.write(b"x" * 4096)

    household.server.plan("timestamp.json", endless)
    assert "16,384" in refused(household, Code.TOO_BIG)
