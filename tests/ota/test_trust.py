"""What a Spore believes, and everything it does not: each refusal has its code, one sentence, and changes nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.ota.attacks import ATTACKS, nothing, put
from tests.ota.households import DAY_S, Household, refused
from venom_core.clock import ManualClock
from venom_core.ota.refusal import Code


def test_what_is_signed_is_believed_and_looking_again_asks_for_little(household: Household) -> None:
    [signed] = household.refresh()
    assert signed.name == "packages/tasks-1.0.0.zip"
    assert signed.listing is not None
    assert (signed.listing.manifest.app, signed.listing.manifest.version) == ("tasks", "1.0.0")
    assert household.server.names() == ["2.root.json", "timestamp.json"]
    trust = household.trust()
    assert (trust.base_url, trust.app) == (household.server.url, "tasks")
    served = trust.target_url(signed).removeprefix(f"{trust.base_url}/ota/targets/")
    assert (household.repository.targets_folder / served).is_file()


def test_a_first_look_asks_in_the_order_of_the_specification(household: Household) -> None:
    household.forget()
    household.refresh()
    assert household.server.names() == ["2.root.json", "timestamp.json", "2.snapshot.json", "2.targets.json"]


def test_a_new_release_and_one_that_was_withdrawn_are_learnt(household: Household) -> None:
    household.release("1.1.0", nodes=("n7",), tags=("gpu",), downgrade_from=("2.0.0",))
    first, second = household.refresh()
    assert second.listing is not None
    assert (second.listing.nodes, second.listing.tags, second.listing.downgrade_from) == (
        ("n7",),
        ("gpu",),
        ("2.0.0",),
    )
    household.repository.withdraw("1.1.0")
    household.repository.publish()
    assert [each.listing is not None and each.listing.withdrawn for each in household.refresh()] == [False, True]
    assert first.listing is not None


@pytest.mark.parametrize("attack", ATTACKS)
def test_is_refused(attack: str, household: Household) -> None:
    code, mount = ATTACKS[attack]
    mount(household, household.forge())
    refused(household, code)


@pytest.mark.parametrize("name", ["timestamp.json", "2.snapshot.json", "2.targets.json"])
def test_a_file_that_is_absent_is_a_repository_that_is_not_whole(name: str, household: Household) -> None:
    household.forget()
    (household.repository.files.folder / name).unlink()
    assert "absent (404)" in refused(household, Code.BAD_ANSWER)


@pytest.mark.parametrize("status", [400, 401, 410, 500, 503])
def test_only_an_absent_root_is_the_end_of_the_roots(status: int, household: Household) -> None:
    household.server.plan("2.root.json", lambda answer: answer.say(status))
    assert str(status) in refused(household, Code.BAD_ANSWER)


def test_a_forbidden_root_is_an_absent_one(household: Household) -> None:
    household.server.plan("2.root.json", lambda answer: answer.say(403))
    assert household.refresh()


def test_a_timestamp_with_other_content_under_the_same_version_is_not_taken(household: Household) -> None:
    forge = household.forge()
    before = (household.trust_folder / "metadata/timestamp.json").read_bytes()
    signed = forge.signed("timestamp")
    signed["meta"]["snapshot.json"]["version"] = 99
    forge.write(forge.path_of("timestamp"), signed, forge.keys_of("timestamp"))
    household.refresh()
    assert (household.trust_folder / "metadata/timestamp.json").read_bytes() == before


def hashing_as_before(signed: dict[str, Any]) -> None:
    """What old tools wrote beside each key."""
    for key in signed["keys"].values():
        key["keyid_hash_algorithms"] = ["sha256", "sha512"]


def test_fields_that_are_not_known_are_kept_and_mean_nothing(household: Household) -> None:
    forge = household.forge()
    for role in ("root", "targets", "snapshot", "timestamp"):
        forge.change(role, put("later", value={"a": [1, None, True, "ż"]}))
    forge.change("root", hashing_as_before)
    household.refresh()
    kept = json.loads((household.trust_folder / "metadata/targets.json").read_bytes())
    assert kept["signed"]["later"] == {"a": [1, None, True, "ż"]}


def test_an_intermediate_root_may_have_expired_but_not_the_last(household: Household) -> None:
    forge = household.forge()
    forge.change("root", put("expires", value="2000-01-01T00:00:00Z"))
    refused(household, Code.EXPIRED)
    forge.change("root", put("expires", value="2030-01-01T00:00:00Z"))
    assert household.refresh()


def test_a_spore_that_was_away_for_a_year_finds_its_way(household: Household, clock: ManualClock) -> None:
    for _ in range(12):
        clock.advance(31 * DAY_S)
        household.repository.renew("root")
        household.repository.renew("release")
        household.repository.publish()
    household.server.asked.clear()
    assert household.refresh()
    assert household.server.names()[:13] == [f"{number}.root.json" for number in range(2, 15)]


def test_more_roots_in_a_row_than_the_limit_are_not_followed(household: Household) -> None:
    forge = household.forge()
    for _ in range(3):
        forge.change("root", nothing)
    from_the_limit = household.trust()
    household.server.asked.clear()
    assert from_the_limit.refresh()
    assert household.server.names()[:4] == ["2.root.json", "3.root.json", "4.root.json", "5.root.json"]


@pytest.mark.parametrize("role", ["root", "release", "snapshot", "timestamp"])
def test_every_role_rotates_several_times_in_a_row(role: str, household: Household) -> None:
    for _ in range(3):
        household.repository.rotate(role)
        assert household.refresh()
    household.repository.rotate(role)
    household.repository.rotate(role)
    household.forget()
    assert household.refresh()
