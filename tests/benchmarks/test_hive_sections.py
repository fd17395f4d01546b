"""What was measured of the hive alone, as tables and promises."""

from __future__ import annotations

import pytest

from benchmarks import ablations, ideal, limit, two_spores, urgent
from benchmarks.ablated import LEFT_OUT
from benchmarks.lab import Drained
from benchmarks.section import Section
from benchmarks.sides import hive_side
from benchmarks.spores import with_settings, with_slots


def drained(per_second: float) -> Drained:
    return Drained(round(per_second), 1.0, 0.5, 0.1, 0.0)


def judged(section: Section) -> list[tuple[float, float, bool]]:
    return [(promise.limit, round(promise.measured, 3), promise.met) for promise in section.promises]


def test_the_worse_of_two_backgrounds_is_judged() -> None:
    section = urgent.section_of({"no-ops": [[1, 2, 3], [1, 2, 5], [1, 2, 4]], "naps": [[9, 12, 16]]})
    assert section.rows == [["no-ops", "1.00", "2.00", "4.00"], ["naps", "9.00", "12.00", "16.00"]]
    assert judged(section) == [(15.0, 16.0, False)]


def test_a_second_spore_is_judged_by_pairs_and_not_by_the_best_of_each() -> None:
    noop, waiting, _ = two_spores.WORKS
    lucky = two_spores.Found([drained(100), drained(200), drained(100)], [drained(90), drained(220), drained(110)])
    slow = two_spores.Found([drained(100)], [drained(170)])
    section = two_spores.section_of([(noop, lucky), (waiting, slow)])
    assert judged(section) == [(1.0, 1.1, True), (1.8, 1.7, False)]
    assert section.rows[0][:6] == ["no-ops", "100", "100", "110", "90–220", "1.10"]


def test_shares_are_of_the_lower_limit() -> None:
    found = limit.Found(
        redis=[100_000], asyncio=[400_000], one=[60_000], two=[79_000], batch=[100], both_us=[20.0],
        held_redis=[70_000], held_two=[63_000],
    )  # fmt: skip
    section = limit.section_of(found, 2)
    assert judged(section) == [(55.0, 60.0, True), (80.0, 79.0, False), (80.0, 90.0, True)]
    assert [row[3:] for row in section.rows] == [
        ["100", "100"],
        ["400", "400"],
        ["100", "100"],
        ["60", "60"],
        ["79", "79"],
        ["100", "70"],
        ["90", "63"],
    ]
    found.both_us = [25.0]
    assert limit.section_of(found, 2).rows[4][3:] == ["79", "99"]
    assert "100 tasks a call" in section.notes[0]
    found.asyncio = [50_000]
    assert judged(limit.section_of(found, 2)) == [(55.0, 120.0, True), (80.0, 158.0, True), (80.0, 126.0, True)]


def test_calls_of_scripts_are_counted_whichever_way_they_were_called() -> None:
    stats = {"cmdstat_evalsha": {"calls": 40}, "cmdstat_eval": {"calls": 2}, "cmdstat_hget": {"calls": 7}}
    assert limit.script_calls(stats) == 42
    assert limit.script_calls({}) == 0


def test_what_waits_is_judged_by_its_ideal_and_by_one_spore() -> None:
    section = ideal.section_of([5.2], {1: [10.0], 5: [2.0], 10: [1.25]}, 10_000, 2_000)
    assert judged(section) == [(5.0, 4.0, True), (4.8, 5.0, True), (9.6, 8.0, False)]
    assert section.rows[0][3:6] == ["5.00", "5.200", "4.0 %"]
    assert [row[1:4] for row in section.rows[1:]] == [["1", "10", "10.00"], ["5", "50", "2.00"], ["10", "100", "1.00"]]


@pytest.mark.parametrize("slots", [1, 16])
def test_slots_and_settings_change_the_command_of_a_spore_and_nothing_else(slots: int) -> None:
    side = hive_side()
    changed = with_slots(side, slots).worker
    assert [part for part in changed if part not in side.worker] == ([] if str(slots) in side.worker else [str(slots)])
    assert changed[changed.index("--concurrency") + 1] == str(slots)
    told = with_settings(side, HIVE_RESULT_TTL=5, BENCH_FACTOR=1.5).worker
    assert told == ("/usr/bin/env", "HIVE_RESULT_TTL=5", "BENCH_FACTOR=1.5", *side.worker)


def test_what_is_left_out_is_compared_with_the_hive_as_it_ships() -> None:
    runs = {what: [drained(100 if what == "nothing" else 150)] for what in LEFT_OUT}
    section = ablations.section_of(runs)
    assert [row[3] for row in section.rows] == ["1.00", *["1.50"] * (len(runs) - 1)]
    assert section.rows[0][0] == "nothing: as it ships"


def test_client_and_worker_of_an_ablated_side_leave_out_the_same() -> None:
    side = ablations.without(hive_side(), "authentication")
    for command in (side.client, side.worker):
        assert command[1:4] == ("-m", "benchmarks.ablated", "authentication")
    assert side.client[4] == "benchmarks.hive_client"
    assert side.worker[4] == "venom_spore.main"
