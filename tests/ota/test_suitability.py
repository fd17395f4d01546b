from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.version import Version

from venom_core.ota.manifest import Listing, Manifest
from venom_core.ota.refusal import Code, UpdateRefused
from venom_core.ota.suitability import Choice, NodeFacts, choose, judge
from venom_core.ota.versions import release_name

HOUR_MS = 3_600_000
NOW = 1_800_000_000_000
FACTS = NodeFacts(
    node="n7",
    app="tasks",
    tags=frozenset({"gpu", "lab"}),
    platforms=frozenset({"linux_x86_64", "manylinux_2_17_x86_64"}),
    python="3.11.7",
    spore="0.4.0",
    current="1.4.0",
    floor="1.4.0",
)


@dataclass(frozen=True)
class Target:
    """What `trust.Signed` shows of a target."""

    name: str
    sha256: str
    listing: Listing | None


def listing(version: str = "1.5.0", *, manifest: dict[str, Any] | None = None, **signed: Any) -> Listing:
    made = msgspec.structs.replace(Manifest(app="tasks", version=version), **(manifest or {}))
    return Listing(manifest=made, files=1, unpacked_bytes=1, **signed)


def target(version: str = "1.5.0", sha256: str = "a" * 64, **signed: Any) -> Target:
    return Target(f"packages/tasks-{version}.zip", sha256, listing(version, **signed))


def code_of(judged: Listing, facts: NodeFacts = FACTS, sha256: str = "a" * 64) -> Code | None:
    try:
        judge(judged, facts, NOW, sha256)
    except UpdateRefused as refused:
        return refused.code if str(refused).isprintable() else None
    return None


REFUSED: list[tuple[Listing, dict[str, Any], Code]] = [
    (listing(manifest={"app": "other"}), {}, Code.NOT_FOR_THIS_NODE),
    (listing(nodes=("n8",)), {}, Code.NOT_FOR_THIS_NODE),
    (listing(nodes=()), {}, Code.NOT_FOR_THIS_NODE),
    (listing(nodes=("n*",)), {}, Code.NOT_FOR_THIS_NODE),
    (listing(tags=("gpu", "big")), {}, Code.NOT_FOR_THIS_NODE),
    (listing(nodes=("n7",), tags=("big",)), {}, Code.NOT_FOR_THIS_NODE),
    (listing(manifest={"platforms": ("win_amd64",)}), {}, Code.WRONG_PLATFORM),
    (listing(manifest={"python": ">=3.12"}), {}, Code.WRONG_PYTHON),
    (listing(manifest={"python": "<3.11"}), {}, Code.WRONG_PYTHON),
    (listing(manifest={"min_spore": "0.5"}), {}, Code.SPORE_TOO_OLD),
    (listing(manifest={"min_spore": "0.4.0"}), {"spore": "0.4.0.dev1"}, Code.SPORE_TOO_OLD),
    (listing("1.3.9"), {}, Code.ROLLBACK),
    (listing("1.4.0rc1"), {}, Code.ROLLBACK),
    (listing("1.4.5"), {"floor": "1.6.0"}, Code.ROLLBACK),
    (listing("1.3.0", downgrade_from=("1.4.0",)), {"floor": "1.6.0"}, Code.ROLLBACK),
    (listing("1.3.0", downgrade_from=("1.5.0",)), {}, Code.ROLLBACK),
    (listing("1.9.0"), {"current": "", "floor": "2.0"}, Code.ROLLBACK),
    (listing("1.5.0"), {"seen": {"1.5.0": "b" * 64}}, Code.VERSION_REUSED),
    (listing("1.4.0"), {"seen": {"1.4.0": "b" * 64}}, Code.VERSION_REUSED),
    (listing("1.5.0"), {"known_bad": frozenset({"1.5.0"})}, Code.KNOWN_BAD),
    (listing("1.5.0"), {"known_bad": frozenset({release_name("1.5.0", "a" * 64)})}, Code.KNOWN_BAD),
    (listing(), {"accepted_at_ms": (NOW - HOUR_MS + 1,)}, Code.TOO_SOON),
    (listing(), {"accepted_at_ms": (NOW - 9 * HOUR_MS, NOW)}, Code.TOO_SOON),
    (listing(), {"accepted_at_ms": (NOW + HOUR_MS // 2,)}, Code.TOO_SOON),
    (listing("x"), {}, Code.BAD_METADATA),
    (listing("1.05"), {}, Code.BAD_METADATA),
    (listing(manifest={"python": "x"}), {}, Code.BAD_METADATA),
    (listing(manifest={"min_spore": "new"}), {}, Code.BAD_METADATA),
]


@pytest.mark.parametrize(("judged", "facts", "code"), REFUSED)
def test_a_release_that_is_not_for_this_node_now_is_refused(judged: Listing, facts: dict[str, Any], code: Code) -> None:
    assert code_of(judged, replace(FACTS, **facts)) is code


TAKEN: list[tuple[Listing, dict[str, Any]]] = [
    (listing(), {}),
    (listing(nodes=("n1", "n7"), tags=("lab", "gpu")), {}),
    (listing(manifest={"platforms": ("win_amd64", "manylinux_2_17_x86_64")}), {}),
    (listing(manifest={"python": ">=3.11,<3.15"}), {"python": "3.14.0rc1"}),
    (listing(manifest={"min_spore": "0.4"}), {}),
    (listing("1.10.0"), {"current": "1.9.0"}),
    (listing("1.3.0", downgrade_from=("1.4.0",)), {}),
    (listing("1.3.0", downgrade_from=("1.4.0", "1.6.0")), {"floor": "1.6.0"}),
    (listing("1.4.0"), {"seen": {"1.4.0": "a" * 64}}),
    (listing(), {"current": "", "floor": ""}),
    (listing(), {"known_bad": frozenset({"1.4.9", release_name("1.5.0", "b" * 64)})}),
    (listing(), {"accepted_at_ms": (NOW - HOUR_MS,)}),
    (listing(), {"accepted_at_ms": (NOW + 2 * HOUR_MS,)}),
    (listing(), {"accepted_at_ms": (NOW,), "interval_s": 0}),
]


@pytest.mark.parametrize(("judged", "facts"), TAKEN)
def test_a_release_that_suits_is_taken(judged: Listing, facts: dict[str, Any]) -> None:
    judge(judged, replace(FACTS, **facts), NOW, "a" * 64)


def test_the_wait_is_said_in_seconds() -> None:
    facts = replace(FACTS, accepted_at_ms=(NOW - 600_000,))
    with pytest.raises(UpdateRefused, match=r"one update in 3600 s \(HIVE_OTA_INTERVAL there\); the next in 3000 s"):
        judge(listing(), facts, NOW)


def test_the_highest_release_that_suits_is_chosen_and_the_others_are_told() -> None:
    offers = [
        target("1.5.0"),
        target("1.10.0"),
        target("2.0", nodes=("n1",)),
        target("3.0", manifest={"app": "other"}),
        target("1.6.0", manifest={"platforms": ("win_amd64",)}),
        target("1.3.0"),
        Target("wheels/x.whl", "b" * 64, None),
        Target("packages/tasks-x.zip", "c" * 64, listing("x")),
    ]
    choice = choose(offers, FACTS, NOW)
    assert choice.take == offers[1]
    assert not choice.go_back
    told = [(name, fault.code) for name, fault in choice.refused]
    assert told == [
        ("packages/tasks-x.zip", Code.BAD_METADATA),
        ("packages/tasks-2.0.zip", Code.NOT_FOR_THIS_NODE),
    ]


def test_what_runs_already_is_not_taken_again_and_older_ones_are_not_looked_at() -> None:
    known = replace(FACTS, seen={"1.4.0": "a" * 64})
    choice = choose([target("1.3.0"), target("1.4.0"), target("1.2.0", nodes=())], known, NOW)
    assert (choice.take, choice.go_back, choice.refused) == (None, False, ())
    assert choose([], FACTS, NOW).take is None


def test_the_version_that_runs_with_other_content_is_told() -> None:
    choice = choose([target("1.4.0", "b" * 64)], replace(FACTS, seen={"1.4.0": "a" * 64}), NOW)
    assert choice.take is None
    assert [fault.code for _, fault in choice.refused] == [Code.VERSION_REUSED]


def test_only_older_releases_are_told_once_if_what_was_had_is_not_offered_any_more() -> None:
    choice = choose([target("1.2.0"), target("1.3.0")], FACTS, NOW)
    assert (choice.take, choice.go_back) == (None, False)
    assert [(name, fault.code) for name, fault in choice.refused] == [("packages/tasks-1.3.0.zip", Code.ROLLBACK)]
    back_at_the_base = replace(FACTS, current="", floor="1.4.0")
    assert choose([target("1.3.0"), target("1.4.0", withdrawn=True)], back_at_the_base, NOW) == Choice()
    assert choose([target("1.3.0")], back_at_the_base, NOW).refused != ()


def test_a_node_that_was_sent_down_stays_there() -> None:
    down = replace(FACTS, current="1.3.0", floor="1.4.0")
    assert choose([target("1.3.0", downgrade_from=("1.4.0",)), target("1.2.0")], down, NOW) == Choice()
    assert choose([target("1.3.0"), target("1.3.5")], down, NOW) == Choice()


def test_a_release_below_is_taken_if_it_was_signed_for_that() -> None:
    down = target("1.3.5", downgrade_from=("1.4.0",))
    assert choose([down, target("1.3.9")], FACTS, NOW).take == down


def test_a_release_that_was_bad_here_gives_way_to_the_next() -> None:
    facts = replace(FACTS, known_bad=frozenset({"1.6.0"}))
    choice = choose([target("1.6.0"), target("1.5.0")], facts, NOW)
    assert choice.take == target("1.5.0")
    assert [fault.code for _, fault in choice.refused] == [Code.KNOWN_BAD]


def test_too_soon_is_told_once() -> None:
    facts = replace(FACTS, accepted_at_ms=(NOW - 1000,))
    choice = choose([target("1.6.0"), target("1.5.0")], facts, NOW)
    assert choice.take is None
    assert [(name, fault.code) for name, fault in choice.refused] == [("packages/tasks-1.6.0.zip", Code.TOO_SOON)]


def test_a_withdrawn_release_sends_back_who_runs_it_whatever_the_interval() -> None:
    busy = replace(FACTS, accepted_at_ms=(NOW - 1000,))
    withdrawn = target("1.4.0", withdrawn=True)
    choice = choose([withdrawn, target("1.3.0")], busy, NOW)
    assert (choice.take, choice.go_back, choice.refused) == (None, True, ())
    assert not choose([target("1.5.0", withdrawn=True)], FACTS, NOW).go_back
    assert choose([target("1.5.0", withdrawn=True)], FACTS, NOW).take is None


def test_a_higher_release_mends_a_withdrawn_one_without_waiting() -> None:
    busy = replace(FACTS, accepted_at_ms=(NOW - 1000,))
    withdrawn = target("1.4.0", withdrawn=True)
    choice = choose([withdrawn, target("1.5.0")], busy, NOW)
    assert choice.take == target("1.5.0")
    assert not choice.go_back
    choice = choose([withdrawn, target("1.5.0", nodes=())], busy, NOW)
    assert (choice.take, choice.go_back) == (None, True)


def test_a_withdrawn_release_of_other_content_is_not_ours() -> None:
    known = replace(FACTS, seen={"1.4.0": "b" * 64})
    assert not choose([target("1.4.0", "a" * 64, withdrawn=True)], known, NOW).go_back


VERSIONS = st.sampled_from(["1.0", "1.4.0", "1.4.1", "1.10", "2.0rc1", "2.0", "0.9"])


@settings(max_examples=300, deadline=None)
@given(
    offers=st.lists(
        st.builds(
            target,
            VERSIONS,
            nodes=st.sampled_from([("*",), ("n7",), ("n8",)]),
            downgrade_from=st.lists(VERSIONS, max_size=3).map(tuple),
            withdrawn=st.booleans(),
        ),
        max_size=6,
    ),
    current=VERSIONS,
    floor=VERSIONS,
)
def test_no_choice_goes_below_what_a_node_has_had_unless_that_was_signed(
    offers: list[Target], current: str, floor: str
) -> None:
    taken = choose(offers, replace(FACTS, current=current, floor=floor), NOW).take
    if taken is None:
        return
    assert taken.listing is not None
    assert not taken.listing.withdrawn
    assert taken.listing.nodes != ("n8",)
    for held in (current, floor):
        assert Version(taken.listing.manifest.version) >= Version(held) or held in taken.listing.downgrade_from
