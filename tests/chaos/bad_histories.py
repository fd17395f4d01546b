"""Histories each of which breaks one rule of the checker."""

from __future__ import annotations

from collections.abc import Callable

from tests.chaos.writing import Script, finish_elsewhere, ordinary

HOUR_MS = 3_600_000


def lost(script: Script) -> None:
    ordinary(script)
    script.counts(0)


def unended(script: Script) -> None:
    script.enqueue("a")
    script.found("a", "-", 0, 0, "")
    script.counts(0)


def foreign(script: Script) -> None:
    script.found("a")
    script.counts()


def double_result(script: Script) -> None:
    ordinary(script)
    script.claim(5, 2, "a")
    script.settle("5.2|", "a", number=2)
    script.found("a")
    script.counts()


def stale_result(script: Script) -> None:
    script.enqueue("a")
    script.claim(5, 1, "a")
    script.take(5, ("a", "5.1|"))
    script.body("a", 1, "5.1|")
    script.settle("5.1|", "a")
    script.found("a", tries="1.1")
    script.counts()


def fence_twice(script: Script) -> None:
    script.enqueue("a")
    script.claim(5, 1, "a")
    script.take(5, ("a", "5.1|"))
    script.settle("5.1|", "a", mark="b")
    script.claim(6, 1, "a")
    script.body("a", 1, "6.1|")
    script.settle("6.1|", "a")
    script.found("a", tries="1.1")
    script.counts()


def two_holders(script: Script) -> None:
    script.enqueue("a")
    script.claim(5, 1, "a")
    script.claim(6, 1, "a")
    script.body("a", 1, "6.1|")
    script.settle("6.1|", "a")
    script.found("a")
    script.counts()


def two_holders_released_too_late(script: Script) -> None:
    script.enqueue("a")
    script.claim(5, 1, "a")
    script.claim(6, 1, "a")
    script.settle("5.1|", "a", mark="b")
    script.body("a", 1, "6.1|")
    script.settle("6.1|", "a")
    script.found("a")
    script.counts()


def ran_after_end(script: Script) -> None:
    ordinary(script)
    script.claim(6, 1, "a")
    script.found("a")
    script.counts()


def wrong_result(script: Script) -> None:
    ordinary(script)
    script.found("a", total=77)
    script.counts()


def wrong_status(script: Script) -> None:
    script.enqueue("a")
    script.claim(5, 1, "a")
    script.settle("5.1|", "a", mark="f")
    script.found("a", "f")
    script.counts(0, 1)


def tries_of_failures(script: Script) -> None:
    ordinary(script)
    script.found("a", tries="2.0")
    script.counts()


def tries_of_crashes(script: Script) -> None:
    ordinary(script)
    script.found("a", tries="1.1")
    script.counts()


def early(script: Script) -> None:
    script.enqueue("a", delay=60_000)
    script.claim(5, 1, "a")
    script.body("a", 1, "5.1|")
    script.settle("5.1|", "a")
    script.found("a")
    script.counts()


def unclaimed_body(script: Script) -> None:
    ordinary(script)
    script.body("a", 2, "6.6|")
    script.found("a")
    script.counts()


def foreign_result(script: Script) -> None:
    ordinary(script)
    script.found("a", token=99)
    script.counts()


def told_otherwise(script: Script) -> None:
    ordinary(script)
    script.say("told", "caller-1", ids=["a"], text="completed", token=2)
    script.found("a")
    script.counts()


def order_of_levels(script: Script) -> None:
    pair_in_a_claim(script, "bi")


def order_within_a_call(script: Script) -> None:
    script.enqueue("x", "a", "b")
    script.claim(5, 1, "x", "b", "a", count=3)
    for token, task_id in enumerate("xba", 1):
        script.body(task_id, token, "5.1|")
        script.found(task_id, token=token)
    script.settle("5.1|", "x", "b", "a")
    script.counts(3)


def order_of_arrival(script: Script) -> None:
    pair_in_a_claim(script, "cc", backwards=True)


def pair_in_a_claim(script: Script, marks: str, *, backwards: bool = False) -> None:
    """Three tasks in one claim; the first of them may be out of line, the others not."""
    ids = ["x", "a", "b"]
    for task_id in ids:
        script.enqueue(task_id)
    given = ["x", "b", "a"] if backwards else ids
    script.claim(5, 1, *given, marks="c" + marks, count=3)
    for token, task_id in enumerate(ids, 1):
        script.body(task_id, token, "5.1|")
        script.found(task_id, token=token)
    script.settle("5.1|", *ids)
    script.counts(3)


def reaped_alive(script: Script) -> None:
    script.join(5, lease_ms=60_000)
    script.enqueue("a")
    script.claim(5, 1, "a")
    script.say("renew", epoch=5, now=script.now, text="ok")
    script.take(5, ("a", "5.1|"))
    finish_elsewhere(script)


def claimed_dead(script: Script) -> None:
    script.join(5, lease_ms=1)
    script.enqueue("a", "b")
    script.claim(5, 1, "a")
    script.take(5, ("a", "5.1|"))
    script.claim(5, 2, "b")
    script.body("b", 2, "5.2|")
    script.settle("5.2|", "b", number=2)
    script.found("b", token=2)
    finish_elsewhere(script)
    script.counts(2)


def epoch_twice(script: Script) -> None:
    script.join(5)
    ordinary(script)
    script.found("a")
    script.counts()


def two_leaders_of_one_epoch(script: Script) -> None:
    ordinary(script)
    script.found("a")
    script.counts()
    script.lead(3, "nexus-1", 1)
    script.lead(3, "nexus-2", 1)


def two_leaders_at_a_time(script: Script) -> None:
    ordinary(script)
    script.found("a")
    script.counts()
    script.lead(3, "nexus-1", 1)
    script.lead(3, "nexus-1", 60_000)
    script.lead(4, "nexus-2")


def counters_of_ends(script: Script) -> None:
    ordinary(script)
    script.found("a")
    script.counts(2)


def counters_of_what_waits(script: Script) -> None:
    ordinary(script)
    script.found("a")
    script.say("counts", "conductor", sums=[0, 1, 0, 0, 1, 0, 0, 0])


def counters_not_looked_at(script: Script) -> None:
    ordinary(script)
    script.found("a")


def stamps_of_a_clock_that_is_behind(script: Script) -> None:
    stamped(script, script.now - HOUR_MS, script.now)


def stamps_of_a_clock_that_is_ahead(script: Script) -> None:
    stamped(script, script.now, script.now + HOUR_MS)


def stamped(script: Script, *stamps: int) -> None:
    ordinary(script)
    script.found("a", stamps=stamps)
    script.counts()


def residue(script: Script) -> None:
    ordinary(script)
    script.found("a")
    script.say("residue", "conductor", text="run is not empty")
    script.counts()


def unreadable(script: Script) -> None:
    ordinary(script)
    script.found("a")
    script.counts()
    with (script.folder / "spore-2.jsonl").open("w") as file:
        file.write('{"n": "x"}\n')


BAD: dict[str, tuple[Callable[[Script], None], ...]] = {
    "lost": (lost,),
    "unended": (unended,),
    "foreign": (foreign,),
    "double_result": (double_result,),
    "stale_result": (stale_result,),
    "fence_twice": (fence_twice,),
    "two_holders": (two_holders, two_holders_released_too_late),
    "ran_after_end": (ran_after_end,),
    "wrong_result": (wrong_result,),
    "wrong_status": (wrong_status,),
    "tries": (tries_of_failures, tries_of_crashes),
    "early": (early,),
    "unclaimed_body": (unclaimed_body,),
    "foreign_result": (foreign_result,),
    "told_otherwise": (told_otherwise,),
    "order": (order_of_levels, order_of_arrival, order_within_a_call),
    "reaped_alive": (reaped_alive,),
    "claimed_dead": (claimed_dead,),
    "epoch_twice": (epoch_twice,),
    "two_leaders": (two_leaders_of_one_epoch, two_leaders_at_a_time),
    "counters": (counters_of_ends, counters_of_what_waits, counters_not_looked_at),
    "stamps": (stamps_of_a_clock_that_is_behind, stamps_of_a_clock_that_is_ahead),
    "residue": (residue,),
    "unreadable": (unreadable,),
}
