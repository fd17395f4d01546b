"""Histories of what may happen: strange, and no fault."""

from __future__ import annotations

from collections.abc import Callable

from tests.chaos.writing import SEC, Script, finish_elsewhere, ordinary


def plain(script: Script) -> None:
    ordinary(script)
    script.say("told", "caller-1", ids=["a"], text="completed", token=1)
    script.found("a")
    script.counts()


def moved_to_another_node(script: Script) -> None:
    script.join(5, lease_ms=1)
    script.enqueue("a")
    script.claim(5, 1, "a")
    script.take(5, ("a", "5.1|"))
    script.settle("5.1|", "a", refused=(0,))
    finish_elsewhere(script)


def refused_the_second_time_because_it_was_done_the_first(script: Script) -> None:
    script.enqueue("a")
    script.claim(5, 1, "a")
    script.body("a", 1, "5.1|")
    script.settle("5.1|", "a", fault="StoreUnavailable")
    script.settle("5.1|", "a", refused=(0,))
    script.found("a")
    script.counts()


def given_back_the_first_time_and_taken_by_another_before_the_second(script: Script) -> None:
    script.enqueue("a")
    script.claim(5, 1, "a")
    script.settle("5.1|", "a", mark="b", fault="StoreUnavailable")
    script.claim(6, 1, "a")
    script.body("a", 1, "6.1|")
    script.settle("6.1|", "a")
    script.settle("5.1|", "a", mark="b", fault="StoreUnavailable")
    script.settle("5.1|", "a", mark="b")
    script.found("a")
    script.counts()


def settled_without_an_answer(script: Script) -> None:
    script.enqueue("a")
    script.claim(5, 1, "a")
    script.body("a", 1, "5.1|")
    script.settle("5.1|", "a", answered=False)
    script.found("a")
    script.counts()


def a_settle_that_was_refused_whole(script: Script) -> None:
    script.enqueue("a")
    script.claim(5, 1, "a")
    script.settle("5.1|", "a", fault="StoreRefused", total=3)
    script.body("a", 1, "5.1|")
    script.settle("5.1|", "a")
    script.found("a")
    script.counts()


def an_enqueue_without_an_answer_that_did_not_happen(script: Script) -> None:
    script.enqueue("a", answered=False)
    script.counts(0)


def a_reaper_that_got_only_some(script: Script) -> None:
    script.enqueue("a", "b")
    script.claim(5, 1, "a", "b")
    script.body("b", 2, "5.1|")
    script.settle("5.1|", "b")
    script.take(5, ("a", "5.1|"), ("b", "5.1|"), count=1)
    finish_elsewhere(script)
    script.found("b", token=2)
    script.counts(2)


def cancelled_while_pending(script: Script) -> None:
    script.enqueue("a")
    call = script.say("cancel", ids=["a"], sums=[4])
    script.say("ok", op=call, text="cancelled")
    script.found("a", "x", 4, 0)
    script.counts(0, 0, 1)


def a_wish_whose_answer_was_lost(script: Script) -> None:
    script.enqueue("a")
    script.say("cancel", ids=["a"], sums=[4])
    script.found("a", "x", 4, 0)
    script.counts(0, 0, 1)


def quarantined_after_three_deaths(script: Script) -> None:
    script.enqueue("a")
    for epoch in (5, 6, 7):
        script.join(epoch, name=f"spore-{epoch}", lease_ms=1)
        script.claim(epoch, 1, "a", marks="c" if epoch == 5 else "C")
        script.take(epoch, ("a", f"{epoch}.1|"))
    script.found("a", "q", 8, 0, "1.3")
    script.counts(0, 0, 0, 1)


def retried_once(script: Script) -> None:
    script.enqueue("a")
    script.claim(5, 1, "a")
    script.settle("5.1|", "a", mark="r")
    script.claim(5, 2, "a", marks="C")
    script.body("a", 1, "5.2|")
    script.settle("5.2|", "a", number=2)
    script.found("a", tries="2.0")
    script.counts()


def undone_by_the_server(script: Script) -> None:
    """What was said within the window happened or did not: a second result, a lost task, a claim given twice."""
    begin = script.at
    script.enqueue("a", "gone")
    script.claim(5, 1, "a")
    script.settle("5.1|", "a", total=3)
    script.say("told", "caller-1", ids=["a"], text="completed", token=33)
    script.say("rollback", "conductor", since=begin, until=script.at)
    script.at += SEC
    script.claim(6, 1, "a")
    script.body("a", 1, "6.1|")
    script.settle("6.1|", "a")
    script.found("a")
    script.counts()


def reaped_after_a_newer_one_joined(script: Script) -> None:
    script.join(5, lease_ms=600_000)
    script.enqueue("a")
    script.claim(5, 1, "a")
    script.join(6, lease_ms=600_000)
    script.take(5, ("a", "5.1|"))
    finish_elsewhere(script)


def reaped_after_a_newer_one_tried_to_join(script: Script) -> None:
    script.join(5, lease_ms=600_000)
    script.enqueue("a")
    script.claim(5, 1, "a")
    script.say("join", "spore-2", text="spore", number=600_000)
    script.take(5, ("a", "5.1|"))
    finish_elsewhere(script)


def rescued_by_force(script: Script) -> None:
    script.join(5, lease_ms=600_000)
    script.enqueue("a")
    script.claim(5, 1, "a")
    script.take(5, ("a", "5.1|"), force=1)
    finish_elsewhere(script)


def leaders_one_after_the_other(script: Script) -> None:
    plain(script)
    script.lead(0, "nexus-2")
    script.lead(3, "nexus-1", 1)
    script.lead(4, "nexus-2", 60_000)
    script.say("resign", "nexus-2", text="nexus-2")
    script.lead(5, "nexus-3", 60_000)
    script.say("rollback", "conductor", since=script.at - SEC, until=script.at)
    script.lead(6, "nexus-1")


def a_share_of_a_lower_level_first(script: Script) -> None:
    for number, task_id in enumerate(("low", "high")):
        script.enqueue(task_id, level=2 + 6 * number)
    script.claim(5, 1, "low", "high", marks="ci", count=2)
    for token, task_id in enumerate(("low", "high"), 1):
        script.body(task_id, token, "5.1|")
        script.found(task_id, token=token)
    script.settle("5.1|", "low", "high")
    script.counts(2)


def asked_again_and_found_in_no_order(script: Script) -> None:
    ids = ("x", "b", "a")
    for task_id in sorted(ids):
        script.enqueue(task_id)
    script.claim(5, 1, *ids, count=3, text="again")
    for token, task_id in enumerate(ids, 1):
        script.body(task_id, token, "5.1|")
        script.found(task_id, token=token)
    script.settle("5.1|", *ids)
    script.counts(3)


def a_caller_that_begins_anew(script: Script) -> None:
    script.enqueue("a", delay=500, answered=False, who="caller-9")
    script.claim(5, 1, "a")
    script.body("a", 1, "5.1|")
    script.settle("5.1|", "a")
    script.enqueue("a", delay=500, who="caller-10")
    script.found("a")
    script.counts()


def two_calls_of_a_caller_under_way_at_once(script: Script) -> None:
    calls = [script.say("enqueue", "caller-1", lane="brief", level=2, ids=[task_id]) for task_id in "abx"]
    for call in calls:
        script.say("ok", "caller-1", op=call, now=script.now)
    script.claim(5, 1, "x", "b", "a", count=3)
    for token, task_id in enumerate("xba", 1):
        script.body(task_id, token, "5.1|")
        script.found(task_id, token=token)
    script.settle("5.1|", "x", "b", "a")
    script.counts(3)


def a_torn_last_line(script: Script) -> None:
    plain(script)
    with (script.folder / "spore-1.jsonl").open("a") as file:
        file.write('{"n": 99, "wh')


GOOD: tuple[Callable[[Script], None], ...] = (
    plain,
    moved_to_another_node,
    refused_the_second_time_because_it_was_done_the_first,
    given_back_the_first_time_and_taken_by_another_before_the_second,
    settled_without_an_answer,
    a_settle_that_was_refused_whole,
    an_enqueue_without_an_answer_that_did_not_happen,
    a_reaper_that_got_only_some,
    cancelled_while_pending,
    a_wish_whose_answer_was_lost,
    quarantined_after_three_deaths,
    retried_once,
    undone_by_the_server,
    reaped_after_a_newer_one_joined,
    reaped_after_a_newer_one_tried_to_join,
    rescued_by_force,
    leaders_one_after_the_other,
    a_share_of_a_lower_level_first,
    asked_again_and_found_in_no_order,
    a_caller_that_begins_anew,
    two_calls_of_a_caller_under_way_at_once,
    a_torn_last_line,
)
