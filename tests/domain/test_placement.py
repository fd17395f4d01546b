"""Which node a task goes to: every requirement, input that lies, and what must hold for any hive."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from venom_core.domain.node import (
    TAGS_MAX,
    NodeLoad,
    NodeProfile,
    NodeState,
    check_capabilities,
    check_name,
    read_capabilities,
)
from venom_core.domain.placement import (
    GPUS_MAX,
    MEMORY_MB_MAX,
    POINTS_A_TASK,
    Requirements,
    choose,
    claim_budgets,
    free_slots,
    full_if_silent,
)
from venom_core.errors import InvalidSetting, InvalidTask

NAN, INF = math.nan, math.inf
PLAIN = {"name": "n", "concurrency": 4, "skills": ("scan",)}


def node(
    name: str = "n",
    cpu: float = 0.0,
    active: int = 0,
    *,
    slots: int = 4,
    kind: str = "spore",
    online: bool = True,
    free_mb: float = 1_000.0,
    **profile: Any,
) -> NodeState:
    said = NodeProfile(**{**PLAIN, "name": name, "kind": kind, "concurrency": slots, **profile})
    load = NodeLoad(cpu_percent=cpu, active_tasks=active, memory_available_mb=free_mb)
    return NodeState(said, load, 1, 1_000 if online else 0)


def falls_short(wanted: dict[str, Any], **profile: Any) -> list[str]:
    return Requirements.parse(wanted).shortfalls(node(**profile))


# ------------------------------------------------------------------------------------------------ each requirement


@pytest.mark.parametrize(
    ("wanted", "has", "lacks", "words"),
    [
        ({"gpu": True}, {"hardware": {"gpus": 1}}, {}, "it has 0 GPUs of 1"),
        ({"gpu": 2}, {"hardware": {"gpus": 2}}, {"hardware": {"gpus": 1}}, "it has 1 GPUs of 2"),
        ({"capabilities": ["ocr"]}, {"capabilities": {"ocr": 0.0}}, {}, "it lacks the capability 'ocr'"),
        ({"capabilities": "ocr"}, {"capabilities": {"ocr": 1.0}}, {}, "it lacks the capability 'ocr'"),
        (
            {"capabilities": {"ocr": 0.8}},
            {"capabilities": {"ocr": 0.8}},
            {"capabilities": {"ocr": 0.75}},
            "its 'ocr' is 0.75 of 0.8",
        ),
        ({"tags": ["a", "b"]}, {"tags": ("b", "a", "c")}, {"tags": ("a",)}, "it lacks the tag 'b'"),
        ({"tags": "cellar"}, {"tags": ("cellar",)}, {}, "it lacks the tag 'cellar'"),
        ({"memory_mb": 512}, {"free_mb": 512.0}, {"free_mb": 511.4}, "it has 511 MiB of free RAM of 512"),
        ({"node": "n"}, {}, {"name": "m"}, "it is not 'n'"),
        ({"code>=": "1.2"}, {"release": "1.2.0"}, {"release": "1.1.9"}, "its code is 1.1.9, older than 1.2"),
        ({"code>=": "1.2"}, {"release": "1.10"}, {}, "its code is unknown, older than 1.2"),
        ({"code>=": "1.2.1"}, {"release": "1.2.1rc1"}, {"release": "v1.3"}, "its code is v1.3, older than 1.2.1"),
    ],
)
def test_a_node_meets_it_or_the_words_say_what_is_missing(
    wanted: dict[str, Any], has: dict[str, Any], lacks: dict[str, Any], words: str
) -> None:
    assert falls_short(wanted, **has) == []
    assert falls_short(wanted, **lacks) == [words]


def test_all_that_is_missing_is_named_at_once() -> None:
    assert (
        len(falls_short({"gpu": 1, "tags": "x", "capabilities": "y", "node": "m", "code>=": "1", "memory_mb": 2e6}))
        == 6
    )


def test_a_node_that_is_gone_lacks_everything_and_a_skill_counts_too() -> None:
    assert Requirements().shortfalls(node(online=False)) == ["it is offline"]
    assert Requirements().shortfalls(node(), "mail") == ["it lacks the skill 'mail'"]
    assert Requirements().shortfalls(node(), "scan") == []


@pytest.mark.parametrize(
    "wanted", [None, {}, {"gpu": False}, {"gpu": None, "tags": None, "node": None}, {"memory_mb": 0, "tags": []}]
)
def test_what_asks_for_nothing_is_nothing(wanted: dict[str, Any] | None) -> None:
    assert Requirements.parse(wanted) == Requirements()
    assert Requirements().to_dict() == {}


@pytest.mark.parametrize(
    "wanted",
    [
        [], "gpu", 1, True, {"cpus": 3}, {"gpu": NAN}, {"gpu": -1}, {"gpu": 0.5}, {"gpu": 1.5}, {"gpu": "1"},
        {"gpu": GPUS_MAX + 1}, {"gpu": INF}, {"gpu": 10**5_000}, {1: 2}, {10**5_000: 1}, {"memory_mb": NAN},
        {"memory_mb": -INF}, {"memory_mb": INF}, {"memory_mb": True}, {"memory_mb": "512"},
        {"memory_mb": MEMORY_MB_MAX + 1}, {"capabilities": {"a": True}}, {"capabilities": {"a": NAN}},
        {"capabilities": {"a": 1.1}}, {"capabilities": {"a": "0.5"}}, {"capabilities": {"": 0.5}},
        {"capabilities": {3: 0.5}}, {"capabilities": 3}, {"capabilities": [None]}, {"tags": 5}, {"tags": {"a": 1}},
        {"tags": ["a b"]}, {"tags": [True]}, {"tags": "@a"}, {"tags": [f"t{at}" for at in range(TAGS_MAX + 1)]},
        {"node": True}, {"node": ""}, {"node": "?"}, {"node": ["a"]}, {"code>=": 1}, {"code>=": "1.2rc1"},
        {"code>=": "1..2"}, {"code>=": ""}, {"code>=": "١.٢"}, {"code>=": "1\n"}, {"code>": "1"},
    ],
    ids=lambda wanted: f"{type(wanted).__name__}",
)  # fmt: skip
def test_what_is_no_requirement_is_refused_in_one_sentence(wanted: Any) -> None:
    with pytest.raises(InvalidTask, match="requirement") as refused:
        Requirements.parse(wanted)
    assert len(str(refused.value)) < 300
    assert "\n" not in str(refused.value)


NAMES = st.from_regex(r"[A-Za-z0-9_.:-]{1,12}", fullmatch=True)
WANTED = st.fixed_dictionaries(
    {},
    optional={
        "gpu": st.booleans() | st.integers(0, GPUS_MAX),
        "capabilities": st.dictionaries(NAMES, st.floats(0, 1), max_size=4) | st.lists(NAMES, max_size=4),
        "tags": st.lists(NAMES, max_size=4),
        "memory_mb": st.floats(0, MEMORY_MB_MAX),
        "node": NAMES,
        "code>=": st.from_regex(r"[0-9]{1,3}(\.[0-9]{1,3}){0,3}", fullmatch=True),
    },
)


@given(WANTED)
def test_what_was_read_reads_the_same_again(wanted: dict[str, Any]) -> None:
    read = Requirements.parse(wanted)
    assert Requirements.parse(read.to_dict()) == read
    assert {read} == {Requirements.parse(read.to_dict())}


@given(WANTED, WANTED, st.integers(0, 3), st.floats(0, 1e9), st.from_regex(r"[0-9](\.[0-9]){0,2}", fullmatch=True))
def test_merged_a_node_meets_both_or_it_meets_neither_whole(
    one: dict[str, Any], two: dict[str, Any], gpus: int, free_mb: float, release: str
) -> None:
    own, beyond = Requirements.parse(one), Requirements.parse(two)
    capable = {name: 0.5 for name, _ in own.capabilities}
    tags = own.tags + beyond.tags[:1]
    it = node(
        own.node or beyond.node or "n",
        free_mb=free_mb,
        hardware={"gpus": gpus},
        release=release,
        capabilities=capable,
        tags=tags,
    )
    meets = not own.merged(beyond).shortfalls(it)
    assert own.merged(Requirements()) == own
    if meets:
        assert not own.shortfalls(it)
    # A name asked for besides does not replace the one the task was sealed with.
    if not own.node or own.node == beyond.node:
        assert meets == (not own.shortfalls(it) and not beyond.shortfalls(it))


def test_what_is_asked_besides_never_weakens_what_the_task_asks() -> None:
    sealed = Requirements.parse({"node": "a", "code>=": "2.0", "gpu": 2, "capabilities": {"ocr": 0.9}})
    asked = Requirements.parse({"node": "b", "code>=": "1.9", "gpu": True, "capabilities": {"ocr": 0.1}})
    assert sealed.merged(asked) == sealed
    assert asked.merged(sealed).code == "2.0"


# ------------------------------------------------------------------------------------------------ nodes that lie


def test_a_node_that_reports_nan_is_taken_for_full_and_meets_no_minimum() -> None:
    strange = node(cpu=NAN, free_mb=NAN, capabilities={"ocr": NAN})
    assert strange.load.score() == pytest.approx(40.0)
    assert falls_short({"memory_mb": 1}, free_mb=NAN) == ["it has nan MiB of free RAM of 1"]
    assert falls_short({"memory_mb": 1}, free_mb=INF) == ["it has inf MiB of free RAM of 1"]
    assert falls_short({"capabilities": {"ocr": 0.1}}, capabilities={"ocr": NAN}) == ["its 'ocr' is nan of 0.1"]
    assert falls_short({"capabilities": {"ocr": 0.1}}, capabilities={"ocr": 7.0}) == ["its 'ocr' is 7 of 0.1"]
    assert falls_short({"memory_mb": 0}, free_mb=NAN) == []
    assert choose(Requirements(), "scan", [strange, node("ok", cpu=90)]) == node("ok", cpu=90)


@pytest.mark.parametrize("reading", [NAN, INF, -INF])
def test_readings_that_are_no_numbers_break_no_decision(reading: float) -> None:
    nodes = [node("a", cpu=reading, free_mb=reading), node("b", cpu=5.0), node("c", cpu=80.0)]
    found = choose(Requirements.parse({"memory_mb": 10}), "scan", nodes)
    assert found is not None
    assert found.profile.name == "b"
    assert all(budget >= 0 for budget in claim_budgets(nodes, 3).values())


def test_a_node_with_fewer_tasks_than_none_is_no_better_than_an_idle_one() -> None:
    assert node(active=-1_000).load.score() == 0
    assert free_slots(node(active=-1_000)) == 4
    assert claim_budgets([node("a", active=-10_000), node("b", cpu=90)], 2) == {"b": 0}


@pytest.mark.parametrize("gpus", ["3", None, -2, 2.0, [1]])
def test_a_number_of_gpus_that_is_none_counts_as_no_gpu(gpus: object) -> None:
    assert falls_short({"gpu": 1}, hardware={"gpus": gpus}) != []
    assert falls_short({}, hardware={"gpus": gpus}) == []


def test_a_node_whose_event_loop_is_silent_has_no_free_slot() -> None:
    silent = NodeState(NodeProfile(name="a", concurrency=4, skills=("scan",)), NodeLoad(loop_silent_ms=901), 1, 1_000)
    assert free_slots(full_if_silent(silent, 901)) == 4
    assert free_slots(full_if_silent(silent, 900)) == 0
    assert choose(Requirements(), "scan", [full_if_silent(silent, 900), node("b", cpu=99)]) == node("b", cpu=99)


# ------------------------------------------------------------------------------------------------ the choice


def test_the_least_score_wins_among_those_with_a_free_slot() -> None:
    full, busy, idle = node("full", active=4), node("busy", cpu=80), node("idle", cpu=30)
    assert choose(Requirements(), "scan", [full, busy, idle]) is idle
    assert choose(Requirements(), "scan", [full, busy]) is busy
    assert choose(Requirements(), "scan", [full]) is full
    assert choose(Requirements(), "scan", []) is None


def test_what_was_given_since_the_last_heartbeat_counts() -> None:
    a, b = node("a"), node("b", cpu=5)
    assert choose(Requirements(), "scan", [a, b], {"a": 1}) is b
    assert choose(Requirements(), "scan", [a, b], {"a": 1, "b": 1}) is a
    assert choose(Requirements(), "scan", [a, b], {"a": 4}) is b


def test_of_equals_the_one_with_more_free_slots_and_then_by_name() -> None:
    assert choose(Requirements(), None, [node("b"), node("a", slots=8)]) == node("a", slots=8)
    assert choose(Requirements(), None, [node("b"), node("a")]) == node("a")


NODES = st.lists(
    st.builds(
        node,
        name=st.sampled_from([f"n{at}" for at in range(12)]),
        cpu=st.floats(0, 100) | st.just(NAN),
        active=st.integers(0, 12),
        slots=st.integers(0, 12),
        kind=st.sampled_from(["spore", "spore", "spore", "agent", "nexus"]),
        online=st.booleans(),
        free_mb=st.sampled_from([100.0, 2_000.0, NAN]),
        tags=st.sampled_from([(), ("x",)]),
        skills=st.sampled_from([(), ("scan",)]),
    ),
    max_size=8,
    unique_by=lambda state: state.profile.name,
)
GIVEN = st.dictionaries(st.sampled_from([f"n{at}" for at in range(12)]), st.integers(0, 12))


@given(NODES, GIVEN, st.sampled_from([{}, {"tags": "x"}, {"memory_mb": 1_000}]))
def test_never_an_unfit_node_and_always_the_least_score_with_a_free_slot(
    nodes: list[NodeState], given_: Mapping[str, int], wanted: dict[str, Any]
) -> None:
    needs = Requirements.parse(wanted)
    able = [it for it in nodes if it.profile.kind == "spore" and not needs.shortfalls(it, "scan")]
    found = choose(needs, "scan", nodes, given_)
    assert (found is None) == (not able)
    if found is None:
        return
    assert found in able
    assert found.online
    free = [it for it in able if free_slots(it, given_.get(it.profile.name, 0)) > 0]

    def score(it: NodeState) -> float:
        return it.load.score() + POINTS_A_TASK * given_.get(it.profile.name, 0)

    assert found in (free or able)
    assert score(found) == min(score(it) for it in free or able)


def test_ten_thousand_nodes_are_decided_upon() -> None:
    nodes = [node(f"n{at}", cpu=at % 100, tags=("last",) if at == 9_999 else ()) for at in range(10_000)]
    found = choose(Requirements.parse({"tags": "last"}), "scan", nodes)
    assert found is nodes[-1]
    assert choose(Requirements(), "scan", nodes) is nodes[0]
    budgets = claim_budgets(nodes, 5_000)
    assert len(budgets) > 7_000


# ------------------------------------------------------------------------------------------------ capabilities


def test_capabilities_are_read_from_a_text() -> None:
    assert read_capabilities("") == {}
    assert read_capabilities(" vision=0.9, ocr ,code = 0 ") == {"vision": 0.9, "ocr": 1.0, "code": 0.0}


@pytest.mark.parametrize("text", ["=1", "a=", "a=x", "a=nan", "a=inf", "a=-0.1", "a=1.1", "a b", "a=1=1", "ä"])
def test_a_text_that_names_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidSetting):
        read_capabilities(text)


def test_a_capability_without_a_name_is_quoted_as_it_was_given() -> None:
    with pytest.raises(InvalidSetting, match=r"not '=0\.9': its name is missing"):
        read_capabilities("ocr=1, =0.9")


def test_capabilities_may_be_names_alone() -> None:
    assert check_capabilities(["a", "b"]) == {"a": 1.0, "b": 1.0}
    assert check_capabilities({"a": 1, "b": True, "c": 0.5}) == {"a": 1.0, "b": 1.0, "c": 0.5}


@pytest.mark.parametrize(
    "capabilities",
    [
        "vision", 3, None, [3], {3: 0.5}, {"a": NAN}, {"a": "1"}, {"a": None}, {"a": 2},
        {f"c{at}": 1.0 for at in range(TAGS_MAX + 1)}, [f"c{at}" for at in range(TAGS_MAX + 1)],
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_capabilities_of_another_kind_are_refused(capabilities: Any) -> None:
    with pytest.raises(InvalidSetting):
        check_capabilities(capabilities)


@pytest.mark.parametrize("name", [None, 5, True, b"a", ["a"]])
def test_a_name_that_is_no_text_is_refused(name: Any) -> None:
    with pytest.raises(InvalidSetting):
        check_name(name)
