"""What whoever signs can do: make, sign, publish, renew, rotate; and every step that was cut off can be finished."""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path

import pytest

from tests.ota.folders import snapshot
from tests.ota.households import CHEAP, DAY_S, PASSPHRASE, Household, package
from venom_core.audit_chain import read_entries, verify
from venom_core.clock import ManualClock
from venom_core.errors import InputError
from venom_core.ota.checking import check_repository
from venom_core.ota.publishing import Publisher
from venom_core.ota.refusal import Code, UpdateRefused
from venom_core.ota.repository import AUDIT, Repository
from venom_core.ota.roles import KEYS_MAX
from venom_core.ota.whole_files import only_one

WHEEL = "attrs-25.1.0-py3-none-any.whl"


def without_passphrase(repository: Repository, clock: ManualClock) -> Repository:
    """The same as a Nexus opens it: the offline keys are elsewhere."""
    shutil.rmtree(repository.home / "keys")
    return Repository(repository.home, clock=clock)


def test_a_new_repository_is_signed_published_and_empty(tmp_path: Path, clock: ManualClock) -> None:
    repository = Repository(tmp_path / "ota", lambda: PASSPHRASE, clock=clock, cost=CHEAP)
    assert repository.init() == repository.fingerprint()
    assert repository.exists
    assert repository.signed() == ()
    roles = repository.root().roles
    assert {name: (len(role.keyids), role.threshold) for name, role in roles.items()} == dict.fromkeys(roles, (1, 1))
    checked = check_repository(repository.files, repository.targets_folder, clock)
    assert set(checked.standing.versions.values()) == {1}
    with pytest.raises(InputError, match="holds a repository already"):
        repository.init()


@pytest.mark.parametrize(("keys", "threshold"), [(0, 1), (1, 0), (1, 2), (KEYS_MAX + 1, 1), (3, -1)])
def test_numbers_of_keys_that_make_no_sense_make_nothing(keys: int, threshold: int, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="makes no sense"):
        Repository(tmp_path / "ota", PASSPHRASE).init(keys, threshold)
    assert snapshot(tmp_path / "ota") == {}


@pytest.mark.parametrize("passphrase", [None, "", "too short"])
def test_offline_keys_have_a_passphrase(passphrase: str | None, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="passphrase"):
        Repository(tmp_path / "ota", passphrase).init()
    assert list(tmp_path.rglob("*.pem")) == []
    assert not Repository(tmp_path / "ota").exists


def test_where_nothing_was_made_every_step_says_how_to_begin(tmp_path: Path) -> None:
    nowhere = Repository(tmp_path / "ota", PASSPHRASE)
    for step in (nowhere.fingerprint, nowhere.publish, nowhere.root, nowhere.signed, lambda: nowhere.rotate("root")):
        with pytest.raises(InputError, match="venom ota init"):
            step()
    assert snapshot(tmp_path / "ota") == {}


def test_a_version_is_signed_once(repository: Repository, tmp_path: Path) -> None:
    before = repository.files.folder
    names = sorted(path.name for path in before.iterdir())
    repository.add_package(package(tmp_path))
    assert sorted(path.name for path in before.iterdir()) == names, "the same again is no new version"
    with pytest.raises(UpdateRefused, match="new version") as caught:
        repository.add_package(package(tmp_path, text="number = 2\n"))
    assert caught.value.code is Code.VERSION_REUSED
    repository.add_package(package(tmp_path, "1.0.1", text="number = 2\n"))
    assert [each.name for each in repository.signed()] == [
        "packages/tasks-1.0.0.zip", "packages/tasks-1.0.1.zip",
    ]  # fmt: skip


def test_a_version_is_signed_in_one_spelling(repository: Repository, tmp_path: Path) -> None:
    """Nodes compare versions, not words: they would take 1.0 for the 1.0.0 that is signed."""
    before = snapshot(repository.home)
    with pytest.raises(UpdateRefused, match=r"1\.0 is the same version as 1\.0\.0, which is signed already") as caught:
        repository.add_package(package(tmp_path, "1.0"))
    assert caught.value.code is Code.VERSION_REUSED
    assert snapshot(repository.home) == before
    repository.add_package(package(tmp_path, "1.0", app="other"))


def test_what_is_no_package_is_not_signed(repository: Repository, tmp_path: Path) -> None:
    before = snapshot(repository.home)
    (tmp_path / "tasks-2.0.0.zip").write_bytes(b"PK\x05\x06" + b"\0" * 18)
    with pytest.raises(UpdateRefused):
        repository.add_package(tmp_path / "tasks-2.0.0.zip")
    assert snapshot(repository.home) == before


def test_wheels_are_signed_by_their_names(household: Household, tmp_path: Path) -> None:
    (tmp_path / WHEEL).write_bytes(b"wheel")
    signed = household.repository.add_wheel(tmp_path / WHEEL)
    household.repository.publish()
    assert signed in household.refresh()
    assert (signed.name, signed.listing) == (f"wheels/{WHEEL}", None)
    assert (household.repository.targets_folder / signed.served_as).read_bytes() == b"wheel"


def test_only_what_was_signed_can_be_withdrawn(repository: Repository) -> None:
    for version, app in (("9.9", "tasks"), ("1.0.0", "other")):
        with pytest.raises(InputError, match="venom ota verify"):
            repository.withdraw(version, app)
    withdrawn = repository.withdraw("1.0.0")
    assert withdrawn.listing is not None
    assert withdrawn.listing.withdrawn
    assert repository.signed() == (withdrawn,)


def test_each_change_stands_in_the_audit_of_the_folder(tmp_path: Path, clock: ManualClock) -> None:
    made = Repository(tmp_path / "ota", PASSPHRASE, clock=clock, cost=CHEAP)
    made.init()
    made.add_package(package(tmp_path, "1.0.0"))
    made.publish()
    made.publish(due_only=True)
    made.rotate("timestamp")
    made.withdraw("1.0.0")
    chain = tmp_path / "ota" / AUDIT
    events = [(entry.event, entry.actor) for entry in read_entries(chain) if entry is not None]
    assert [event for event, _ in events] == [
        "ota_repository_made", "ota_signed", "ota_published", "ota_key_made", "ota_withdrawn",
    ]  # fmt: skip
    assert (events[0][1], events[1][1]) == (made.fingerprint(), "packages/tasks-1.0.0.zip")
    assert verify(chain).seq == 5


def test_an_audit_that_takes_nothing_undoes_nothing(
    tmp_path: Path, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "ota" / AUDIT).mkdir(parents=True)
    made = Repository(tmp_path / "ota", PASSPHRASE, clock=clock, cost=CHEAP)
    assert len(made.init()) == 64
    assert "was not written" in caplog.text


def test_a_nexus_signs_what_is_due_and_nothing_else(household: Household, clock: ManualClock) -> None:
    nexus = without_passphrase(household.repository, clock)
    assert nexus.publish(due_only=True).renewed == ()
    for hours, renewed in ((12, ()), (1, ("timestamp",)), (74, ("snapshot", "timestamp")), (1, ())):
        clock.advance(hours * 3600)
        assert nexus.publish(due_only=True).renewed == renewed, hours
        assert household.refresh()
    assert nexus.publish().renewed == ("timestamp",)


def test_what_only_a_person_can_renew_is_said_in_time(repository: Repository, clock: ManualClock) -> None:
    clock.advance(46 * DAY_S)
    assert repository.publish().warnings == (
        "release expires in 44 days; renew it with: venom ota sign --renew release",
    )
    clock.advance(50 * DAY_S)
    assert "has expired: no Spore takes an update" in repository.publish().warnings[0]
    repository.renew("release")
    repository.renew("root")
    assert repository.publish().warnings == ()
    with pytest.raises(InputError, match="venom ota publish"):
        repository.renew("timestamp")


def test_a_changed_role_needs_its_offline_keys(repository: Repository, clock: ManualClock, tmp_path: Path) -> None:
    nexus = without_passphrase(repository, clock)
    before = snapshot(repository.files.folder)
    for step in (lambda: nexus.withdraw("1.0.0"), lambda: nexus.renew("root"), lambda: nexus.rotate("snapshot")):
        with pytest.raises(InputError, match="--keys FOLDER"):
            step()
    assert snapshot(repository.files.folder) == before
    assert len(nexus.keys.files()) == 2, "a key that was made in vain is gone again"


def test_keys_may_be_brought_along(repository: Repository, clock: ManualClock, tmp_path: Path) -> None:
    stick = tmp_path / "stick"
    (repository.home / "keys").rename(stick)
    with_stick = Repository(repository.home, PASSPHRASE, keys=[stick], clock=clock, cost=CHEAP)
    with_stick.rotate("timestamp")
    assert with_stick.withdraw("1.0.0").name == "packages/tasks-1.0.0.zip"


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_a_root_key_that_is_lost_is_replaced_by_the_others(lost: int, household: Household) -> None:
    repository = household.repository
    roots = [file for file in repository.keys.files() if file.half.role == "root"]
    roots[lost].path.unlink()
    made = repository.rotate("root", roots[lost].half.keyid)
    keyids = repository.root().roles["root"].keyids
    assert made in keyids
    assert roots[lost].half.keyid not in keyids
    assert household.refresh()
    for file in (each for each in repository.keys.files() if each.half.keyid in keyids[:2]):
        file.path.unlink()
    with pytest.raises(InputError, match="2 keys of root must sign"):
        repository.rotate("root")


def test_the_oldest_key_is_replaced_where_none_is_named(repository: Repository, clock: ManualClock) -> None:
    first = [file.half.keyid for file in repository.keys.files() if file.half.role == "root"]
    clock.advance(60)
    made = [repository.rotate("root") for _ in range(3)]
    assert sorted(repository.root().roles["root"].keyids) == sorted(made)
    assert not set(first) & set(made)
    retired = sorted(path.name for path in (repository.home / "retired").glob("*.pem"))
    assert len(retired) == 3
    for wrong in ("0" * 64, first[0]):
        with pytest.raises(InputError, match="is no key of root"):
            repository.rotate("root", wrong)


def test_further_keys_and_how_many_must_sign(household: Household) -> None:
    repository = household.repository
    added = repository.add_key("release")
    repository.set_threshold("release", 2)
    assert household.refresh()
    assert added in repository.root().roles["targets"].keyids
    next(file for file in repository.keys.files() if file.half.keyid == added).path.unlink()
    with pytest.raises(InputError, match="2 keys of release must sign"):
        repository.withdraw("1.0.0")
    for wrong in (0, 3):
        with pytest.raises(InputError, match="release has 2 keys"):
            repository.set_threshold("release", wrong)
    with pytest.raises(InputError, match="is no role"):
        repository.rotate("nobody")


def test_a_role_has_no_more_keys_than_the_limit(repository: Repository) -> None:
    for _ in range(KEYS_MAX - 1):
        repository.add_key("timestamp")
    with pytest.raises(InputError, match="takes no more"):
        repository.add_key("timestamp")
    repository.rotate("timestamp")


@pytest.mark.parametrize("role", ["root", "targets", "snapshot", "timestamp"])
def test_a_rotation_that_was_cut_off_is_finished_by_publishing(
    role: str, household: Household, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fall(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(Publisher, "publish", fall)
        with pytest.raises(KeyboardInterrupt):
            household.repository.rotate(role)
    if role != "root":
        with pytest.raises(UpdateRefused) as caught:
            household.refresh()
        assert caught.value.code is Code.BAD_SIGNATURE
    household.repository.publish()
    assert household.refresh()


@pytest.mark.parametrize("names", [("timestamp.json",), ("2.snapshot.json", "1.snapshot.json", "timestamp.json")])
def test_a_publication_that_was_cut_off_is_finished_by_the_next(
    names: tuple[str, ...], repository: Repository, clock: ManualClock
) -> None:
    for name in names:
        (repository.files.folder / name).unlink()
    repository.publish(due_only=True)
    assert check_repository(repository.files, repository.targets_folder, clock).signed


def test_two_who_change_it_do_not_meet(repository: Repository) -> None:
    with only_one(repository.home) as alone:
        assert alone
        with pytest.raises(InputError, match="another process is changing"):
            repository.publish()
    assert repository.publish().renewed == ("timestamp",)


def test_a_spoilt_repository_is_said(repository: Repository) -> None:
    newest = repository.files.folder / "2.targets.json"
    kept = newest.read_bytes()
    for data in (b"", b"{}", b"[" * 50_000, (repository.files.folder / "1.root.json").read_bytes()):
        newest.write_bytes(data)
        with pytest.raises((InputError, UpdateRefused)):
            repository.signed()
    newest.write_bytes(kept)
    for path in repository.files.folder.glob("*.targets.json"):
        path.unlink()
    with pytest.raises(InputError, match="holds no targets; restore"):
        repository.signed()


def served(repository: Repository) -> Path:
    [signed] = repository.signed()
    return repository.targets_folder / signed.served_as


def test_verify_reads_every_signed_byte(repository: Repository, clock: ManualClock) -> None:
    def check() -> Code:
        with pytest.raises(UpdateRefused) as caught:
            check_repository(repository.files, repository.targets_folder, clock)
        return caught.value.code

    path = served(repository)
    kept = path.read_bytes()
    path.write_bytes(kept[:-1])
    assert check() is Code.WRONG_LENGTH
    path.write_bytes(kept[:-1] + b"\1")
    assert check() is Code.WRONG_HASH
    path.unlink()
    assert check() is Code.LOCAL_FAULT
    path.write_bytes(kept)
    assert check_repository(repository.files, repository.targets_folder, clock).signed == repository.signed()
    clock.advance(2 * DAY_S)
    assert check() is Code.EXPIRED


def test_verify_compares_a_package_with_what_is_signed_of_it(household: Household, clock: ManualClock) -> None:
    forge = household.forge()
    repository = household.repository

    def lie(signed: dict[str, object]) -> None:
        targets = signed["targets"]
        assert isinstance(targets, dict)
        targets["packages/tasks-1.0.0.zip"]["custom"]["files"] = 7

    forge.change("targets", lie)
    with pytest.raises(UpdateRefused) as caught:
        check_repository(repository.files, repository.targets_folder, clock)
    assert caught.value.code is Code.ZIP_LIES


def test_no_secret_stands_in_what_is_served(repository: Repository) -> None:
    for path in (repository.home / "repository").rglob("*"):
        if path.is_file():
            assert b"PRIVATE KEY" not in path.read_bytes()
            assert PASSPHRASE.encode() not in path.read_bytes()
    timestamp = json.loads((repository.files.folder / "timestamp.json").read_bytes())
    assert set(timestamp["signed"]) >= {"expires", "issued", "meta", "version"}


def test_verify_reads_no_metadata_that_a_spore_would_not(repository: Repository, clock: ManualClock) -> None:
    path = repository.files.folder / "timestamp.json"
    path.write_bytes(path.read_bytes() + b" " * 16_384)
    with pytest.raises(UpdateRefused) as caught:
        check_repository(repository.files, repository.targets_folder, clock)
    assert caught.value.code is Code.TOO_BIG


def test_a_file_that_changes_while_it_is_signed_is_not_served(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody writes into the wheel between the reading of its hash and the copying of its bytes."""
    wheel = tmp_path / WHEEL
    wheel.write_bytes(b"wheel")
    copied = shutil.copyfile

    def change_first(source: Path, into: Path) -> object:
        wheel.write_bytes(b"other")
        return copied(source, into)

    before = snapshot(repository.home)
    monkeypatch.setattr(shutil, "copyfile", change_first)
    with pytest.raises(InputError, match="changed while it was signed"):
        repository.add_wheel(wheel)
    assert snapshot(repository.home) == before


def test_a_disk_that_fails_leaves_the_signed_files_as_they_were(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    before = snapshot(repository.home)
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        repository.publish()
    assert snapshot(repository.home) == before
