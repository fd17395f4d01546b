from __future__ import annotations

import asyncio

from tests.demo.ends import ended, file
from venom_core.demo.ledger import Ledger
from venom_core.domain.lifecycle import TaskStatus


def test_results_add_up() -> None:
    ledger = Ledger()
    ledger.add(
        file("a.py"), ended("/src/a.py", {"lines": 5, "severities": {"HIGH": 1, "LOW": 2}, "rules": {"B1 x": 3}})
    )
    ledger.add(file("b.py"), ended("/src/b.py", {"lines": 2, "severities": {"LOW": 1}, "rules": {"B1 x": 1}}))
    ledger.add(file("c.py"), ended("/src/c.py"))
    assert (ledger.lines, ledger.count, ledger.nodes["spore-1"]) == (10, 3, 3)
    assert ledger.severities == {"HIGH": 1, "LOW": 3}
    assert ledger.rules == {"B1 x": 4}
    assert [scanned.file.path.name for scanned in ledger.worst(10)] == ["a.py", "b.py"]
    assert [span.ended_s - span.started_s for span in ledger.spans] == [3, 3, 3]


def test_a_file_that_was_skipped_is_named_and_says_nothing_of_the_pace() -> None:
    ledger = Ledger()
    ledger.add(file("a.py"), ended("/src/a.py", {"skipped": "too odd"}))
    assert ledger.skipped == [(file("a.py"), "too odd")]
    assert ledger.spans[0].size == 0
    assert ledger.prove([file("a.py")]).holds


def test_a_file_whose_spore_died_is_listed_with_its_new_node() -> None:
    ledger = Ledger()
    ledger.add(file("a.py"), ended("/src/a.py", crashes=1))
    [again] = ledger.recovered
    assert (again.file, again.crashes, again.node) == (file("a.py"), 1, "spore-1")
    assert again.ended_s - again.started_s == 3


def test_a_task_that_failed_leaves_its_file_missing() -> None:
    ledger = Ledger()
    ledger.add(file("a.py"), ended("/src/a.py", status=TaskStatus.QUARANTINED, error="it died\nthree times"))
    assert ledger.failed == [(file("a.py"), "quarantined: it died")]
    proof = ledger.prove([file("a.py")])
    assert not proof.holds
    assert proof.missing == ("/src/a.py",)


def test_what_is_there_twice_and_what_nobody_asked_for_are_named() -> None:
    ledger = Ledger()
    for path in ("/src/a.py", "/src/a.py", "/src/strange.py"):
        ledger.add(file("a.py"), ended(path))
    proof = ledger.prove([file("a.py")])
    assert (proof.missing, proof.repeated, proof.foreign) == ((), ("/src/a.py",), ("/src/strange.py",))


async def test_one_can_wait_until_so_many_have_ended() -> None:
    ledger = Ledger()
    waiting = asyncio.create_task(ledger.reached(2))
    for name in ("a.py", "b.py"):
        await asyncio.sleep(0)
        assert not waiting.done()
        ledger.add(file(name), ended(f"/src/{name}"))
    await waiting
