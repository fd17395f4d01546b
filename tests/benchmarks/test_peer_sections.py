"""What trials and drains found, as tables and promises."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks import peers_drain, recovery
from benchmarks.lab import Drained
from benchmarks.peers.catalogue import HIVE, PEERS
from benchmarks.peers.peer import OURS, Peer
from benchmarks.peers.trial import Health, Recovery
from benchmarks.recovery import HEAD
from benchmarks.section import Section


@pytest.fixture(autouse=True)
def _no_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asking a peer for its version would install it."""
    monkeypatch.setattr(Peer, "versions", lambda one: f"{one.folder} 1.0")


SAVED, NEVER = Recovery(1.25, 1, 1), Recovery(None)
PATIENCE_S = 400.0


def peer(folder: str) -> Peer:
    """One of the catalogue, with our own environment, so that nothing is installed."""
    found = next(one for one in PEERS if one.folder == folder)
    return replace(found, language=OURS, packages=("redis",))


def recovered(*rows: recovery.Row) -> Section:
    hive = [recovery.Row(HIVE, mode, 60.0, [SAVED]) for mode in HIVE.modes]
    return recovery.section_of([*hive, *rows])


def cells(section: Section, row: int) -> dict[str, str]:
    return dict(zip(HEAD, section.rows[row], strict=True))


def test_a_row_says_how_soon_a_task_began_again() -> None:
    arq = peer("arq")
    section = recovered(recovery.Row(arq, arq.modes[1], 60.0, [SAVED, Recovery(2.0, 2, 2), Recovery(1.0, 1, 1)]))
    assert cells(section, 2) == {
        "queue": "arq", "settings": "`job_timeout=1`", "rescued": "3 of 3", "p50": "1.25 s", "longest": "2.00 s",
        "began more than once": "1 of 3", HEAD[6]: "", HEAD[7]: "", HEAD[8]: "",
    }  # fmt: skip


def test_what_did_not_begin_within_the_patience_is_said_so_and_counts_as_the_longest() -> None:
    arq = peer("arq")
    section = recovered(
        recovery.Row(arq, arq.modes[0], PATIENCE_S, [NEVER, NEVER, SAVED]),
        recovery.Row(arq, arq.modes[1], 60.0, [SAVED, SAVED, NEVER]),
        recovery.Row(arq, arq.modes[1], 60.0),
    )
    rows = [cells(section, number) for number in (2, 3, 4)]
    assert [row["rescued"] for row in rows] == ["1 of 3", "2 of 3", "0 of 0"]
    assert [row["p50"] for row in rows] == ["not within 400 s", "1.25 s", "not within 60 s"]
    assert [row["longest"] for row in rows] == ["not within 400 s", "not within 60 s", "not within 60 s"]


def test_a_row_says_what_became_of_a_task_whose_worker_lived() -> None:
    arq = peer("arq")
    found = [Health(3.0), Health(3.0, doubled_s=1.5), Health(3.0, cut_s=1.0), Health(3.0, doubled_s=1.5, cut_s=1.0)]
    section = recovered(*(recovery.Row(arq, arq.modes[1], 60.0, [SAVED], one, one) for one in found))
    told = [cells(section, row)[HEAD[7]] for row in range(2, 6)]
    assert told == ["no", "**yes**, after 1.5 s", "cut off after 1.0 s", "**yes**, after 1.5 s"]
    assert cells(section, 2)[HEAD[6]] == "3.0 s"


def test_a_queue_keeps_tasks_if_at_some_settings_one_was_rescued() -> None:
    arq, saq = peer("arq"), peer("saq")
    section = recovered(
        recovery.Row(arq, arq.modes[0], PATIENCE_S, [NEVER]),
        recovery.Row(arq, arq.modes[1], 60.0, [SAVED, NEVER]),
        recovery.Row(saq, saq.modes[0], PATIENCE_S, [NEVER, NEVER]),
        recovery.Row(saq, saq.modes[1], PATIENCE_S),
    )
    assert recovery.keepers(section.to_dict()) == {"hive": True, "arq": True, "SAQ": False}


def test_the_hives_promises_are_judged_by_its_longest_sample() -> None:
    hive = [recovery.Row(HIVE, mode, 60.0, [SAVED, Recovery(9.0)]) for mode in HIVE.modes]
    promises = recovery.section_of(hive).promises
    assert [(promise.limit, promise.measured, promise.met) for promise in promises] == [(10, 9, True), (2, 9, False)]


def drained(folder: str, per_second: float) -> peers_drain.Row:
    one = HIVE if folder == "hive" else peer(folder)
    run = Drained(round(per_second), 1.0, 0.5, 0.1, 0.0)
    return peers_drain.Row(one, HIVE.side(HIVE.drain), [run], [run])


def test_the_promises_take_the_fastest_python_queue_that_keeps_tasks() -> None:
    fast = drained("rq", 5_000)
    others = [drained("arq", 2_500), drained("dramatiq", 4_000), fast]
    in_python = [peers_drain.Row(replace(row.peer, language="python"), row.side, row.one, row.two) for row in others]
    kept = {"arq": True, "Dramatiq": True, "RQ": False, "BullMQ, Node": True}
    rows = [drained("hive", 100_000), *in_python, drained("bullmq", 8_000)]
    rates, fastest = peers_drain.ratios(rows, kept)
    assert fastest == "Dramatiq"
    assert rates == {"arq": 40.0, "Dramatiq": 25.0}


def test_a_row_of_the_drain_compares_with_arq_and_with_the_hive() -> None:
    section = peers_drain.section_of([drained("hive", 100_000), drained("arq", 2_500)], {"arq": True}, quick=False)
    arq = dict(zip(section.head, section.rows[1], strict=True))
    assert arq["× arq"] == "1.0"
    assert arq["of the hive's"] == "1/40"
    assert [row[-1] for row in section.rows] == ["not measured", "yes"]
